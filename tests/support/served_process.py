"""`logoutd serve` as it is run, alone: for what only a process of its own shows."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.keys.generate import generate_signing_keys
from tests.support.processes import LIMIT_S, logoutd
from tests.support.raw_http import exchange, head
from tests.support.waiting import eventually


@dataclass(frozen=True, slots=True)
class Served:
    """It, while it serves."""

    url: str
    pid: int
    log: Path


@contextmanager
def served(redis_url: str, folder: Path, **settings: str) -> Iterator[Served]:
    """Serve on loopback until the block ends, the log in `folder`; `settings` by their names without the prefix."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = folder / "keys.json"
    keys.write_text(json.dumps(generate_signing_keys()), "utf-8")
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PUBLIC_URL": url,
        "SIGNING_KEYS_FILE": str(keys),
        "REDIS_URL": redis_url,
        "ADMIN_TOKEN": "administrator-of-a-process-alone",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        **settings,
    }
    with (folder / "log").open("w") as log:
        process = logoutd(
            "serve", environment={f"LOGOUTD_{name}": value for name, value in environment.items()}, stderr=log.fileno()
        )
    try:
        eventually(lambda: is_ready(url), bool, within_s=LIMIT_S)
        yield Served(url, process.pid, folder / "log")
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT_S)


def is_ready(url: str) -> bool:
    """Whether it answers that it is."""
    try:
        answer = exchange(url, head("GET", "/readyz", "Connection: close"))
    except ConnectionRefusedError:
        return False
    return answer is not None and answer.status == 200
