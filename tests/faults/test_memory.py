"""However much comes at once, a process takes what it was given and no more: measured on `logoutd serve` as it is run."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.keys.generate import generate_signing_keys
from tests.support.processes import LIMIT_S, logoutd
from tests.support.raw_http import connect, exchange, head
from tests.support.waiting import eventually

CONNECTIONS = 128
REQUESTS = 16
BODY = b"logout_token=" + b"x" * 60_000
DOOR = "/oauth/backchannel-logout/connection/okta"
FORM = "Content-Type: application/x-www-form-urlencoded"

FLOOD = 900
"""How many connect at once, seven times as many as there is room for, with 54 MB between them. Any system has files for them."""

ALLOWED_KIB = 64 * 1024
"""How much the process may grow, in KiB: twice the 0.2 MB that a connection costs whose body is under way, for each there may be.
Without bounds it grows by three times as much."""


def resident_kib(pid: int) -> int:
    """How much memory a process has."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    (line,) = [each for each in lines if each.startswith("VmRSS:")]
    return int(line.split()[1])


@pytest.fixture
def serving(redis_url: str, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """`logoutd serve` with room for few: its URL, and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(generate_signing_keys()), "utf-8")
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PUBLIC_URL": url,
        "SIGNING_KEYS_FILE": str(keys),
        "REDIS_URL": redis_url,
        "ADMIN_TOKEN": "administrator-of-the-memory-test",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "LOG_LEVEL": "error",
        "MAX_CONNECTIONS": str(CONNECTIONS),
        "MAX_CONCURRENT_REQUESTS": str(REQUESTS),
    }
    with (tmp_path / "log").open("w") as log:
        process = logoutd(
            "serve", environment={f"LOGOUTD_{name}": value for name, value in environment.items()}, stderr=log.fileno()
        )
    try:
        eventually(lambda: is_well(url), bool, within_s=LIMIT_S)
        yield url, process.pid
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT_S)


def is_well(url: str) -> bool:
    try:
        answer = exchange(url, head("GET", "/readyz", "Connection: close"))
    except ConnectionRefusedError:
        return False
    return answer is not None and answer.status == 200


@contextlib.contextmanager
def flood(url: str, *, connections: int, whole: bool) -> Iterator[int]:
    """So many connections open at once, each with a body; yields how many could be opened."""
    length = len(BODY) if whole else len(BODY) + 1000
    count = 0
    with contextlib.ExitStack() as opened:
        for _ in range(connections):
            with contextlib.suppress(OSError):
                connection = opened.enter_context(connect(url))
                connection.sendall(head("POST", DOOR, FORM, f"Content-Length: {length}") + BODY)
                count += 1
        yield count


def test_a_flood_of_bodies_whole_and_unfinished_does_not_grow_the_process_beyond_its_bounds(
    serving: tuple[str, int],
) -> None:
    url, pid = serving
    with flood(url, connections=CONNECTIONS, whole=True):  # what is imported late
        pass
    eventually(lambda: is_well(url), bool)
    before = resident_kib(pid)
    highest = before
    for turn in range(6):
        with flood(url, connections=FLOOD, whole=turn % 2 == 0) as opened:
            assert opened > CONNECTIONS * 2
            # Once this is answered, be it by 503, all of them have been seen to.
            eventually(lambda: exchange(url, head("GET", "/healthz", "Connection: close")), bool)
            highest = max(highest, resident_kib(pid))
    assert highest - before < ALLOWED_KIB, f"grew from {before} to {highest} KiB"
    eventually(lambda: is_well(url), bool)
