"""However much comes at once, a process takes what it was given and no more: measured on `logoutd serve` as it is run."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.raw_http import connect, exchange, head
from tests.support.served_process import Served, is_ready, served
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
def serving(redis_url: str, tmp_path: Path) -> Iterator[Served]:
    """`logoutd serve` with room for few."""
    settings = {"LOG_LEVEL": "error", "MAX_CONNECTIONS": str(CONNECTIONS), "MAX_CONCURRENT_REQUESTS": str(REQUESTS)}
    with served(redis_url, tmp_path, **settings) as running:
        yield running


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
    serving: Served,
) -> None:
    url, pid = serving.url, serving.pid
    with flood(url, connections=CONNECTIONS, whole=True):  # what is imported late
        pass
    eventually(lambda: is_ready(url), bool)
    before = resident_kib(pid)
    highest = before
    for turn in range(6):
        with flood(url, connections=FLOOD, whole=turn % 2 == 0) as opened:
            assert opened > CONNECTIONS * 2
            # Once this is answered, be it by 503, all of them have been seen to.
            eventually(lambda: exchange(url, head("GET", "/healthz", "Connection: close")), bool)
            highest = max(highest, resident_kib(pid))
    assert highest - before < ALLOWED_KIB, f"grew from {before} to {highest} KiB"
    eventually(lambda: is_ready(url), bool)
