"""A rolling restart, as routers see it: readiness goes red first, and only then is anything refused."""

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from service.dev import DevStack, dev_stack
from tests.support.waiting import eventually

DELAY_S = 2


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    folder = tmp_path_factory.mktemp("leaving")
    delay = {"LOGOUTD_SHUTDOWN_DELAY_SECONDS": str(DELAY_S)}
    with dev_stack(port=0, data_dir=folder / "data", log_to=folder / "log", environment=delay) as running:
        yield running


def address(stack: DevStack) -> tuple[str, int]:
    """Where the service listens."""
    host, port = stack.url.removeprefix("http://").split(":")
    return host, int(port)


def ask(stack: DevStack, path: str) -> HTTPResponse:
    """The answer to one request on a connection of its own."""
    with closing(HTTPConnection(*address(stack), timeout=5)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer


def refuses(stack: DevStack) -> bool:
    """Whether nobody takes a new connection."""
    try:
        socket.create_connection(address(stack), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_readiness_is_red_before_anything_is_refused_and_the_end_is_clean(stack: DevStack) -> None:
    stack.service.start()
    kept = HTTPConnection(*address(stack), timeout=5)
    with closing(kept):
        kept.request("GET", "/healthz")
        assert kept.getresponse().read()

        stack.service.terminate()
        red = eventually(lambda: ask(stack, "/readyz"), lambda answer: answer.status == 503)
        assert int(red.headers["retry-after"]) > 0
        served = ask(stack, "/.well-known/jwks.json")
        assert served.status == 200, "whoever has not heard of it is served"
        assert served.headers["connection"] == "close"

        kept.request("GET", "/healthz")
        answer = kept.getresponse()
        assert (answer.status, answer.headers["connection"]) == (200, "close"), (
            "a connection that is kept ends in order"
        )

    # A second SIGTERM, as an impatient supervisor sends it, shortens nothing.
    stack.service.process.send_signal(signal.SIGTERM)
    assert ask(stack, "/healthz").status == 200
    eventually(lambda: refuses(stack), bool)
    assert stack.service.process.wait(15) == 0


def test_somebody_at_a_terminal_does_not_wait(stack: DevStack) -> None:
    stack.service.start()
    stack.service.process.send_signal(signal.SIGTERM)
    eventually(lambda: ask(stack, "/readyz").status, lambda status: status == 503)
    stack.service.process.send_signal(signal.SIGINT)
    assert stack.service.process.wait(15) == 0


def test_a_worker_ends_cleanly_too(stack: DevStack, tmp_path: Path) -> None:
    stack.worker.start()
    stack.worker.terminate()
    assert stack.worker.process.wait(30) == 0
