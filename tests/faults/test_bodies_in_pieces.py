"""A body in many small pieces, and one that goes on after its answer: neither takes the process from everybody else."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.web.http_bounds import Bounds
from service.web.http_framing import MAX_CHUNKS, MAX_UNWANTED_BYTES
from tests.support.authorization_server import AuthorizationServer
from tests.support.clock import HandClock
from tests.support.documented import hold
from tests.support.http_service import ADMIN_TOKEN, http_service
from tests.support.raw_http import connect, connected, exchange, head, read_answer
from tests.support.waiting import eventually

CLOSE = "Connection: close"
BY_ADMINISTRATOR = f"Authorization: Bearer {ADMIN_TOKEN}"
CHUNKED = "Transfer-Encoding: chunked"
OK_WITHIN_S = 0.5
"""Longest anybody else may wait meanwhile, in seconds: a free process answers in a few milliseconds."""


@pytest.fixture
def service(redis_url: str, tmp_path: Path) -> Iterator[AuthorizationServer]:
    """No deadline ends what is sent here."""
    bounds = Bounds(max_connections=64, head_s=600.0, body_s=600.0, write_s=600.0)
    with http_service(redis_url, tmp_path, clock=HandClock(), bounds=bounds) as running:
        yield running


def url_of(service: AuthorizationServer) -> str:
    return str(service.http.base_url)


@contextlib.contextmanager
def sending(connection: socket.socket, data: bytes) -> Iterator[threading.Thread]:
    """Somebody who sends all of it, as fast as it is taken, while the block runs."""

    def send() -> None:
        with contextlib.suppress(OSError):
            connection.sendall(data)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield sender
    finally:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        sender.join()


@pytest.mark.parametrize(
    "path", ["/api/v2/clients", "/oauth/backchannel-logout/connection/okta", "/webhooks/okta/connection/okta"]
)
def test_a_body_in_chunks_of_one_byte_keeps_nobody_waiting(service: AuthorizationServer, path: str) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    with connected(url_of(service)) as hostile:
        hostile.sendall(head("POST", path, form, CHUNKED))
        slowest = 0.0
        with sending(hostile, b"1\r\nx\r\n" * 2_000_000):
            for _ in range(10):
                began = time.monotonic()
                answer = exchange(url_of(service), head("GET", "/healthz", CLOSE))
                slowest = max(slowest, time.monotonic() - began)
                assert answer is not None
                assert answer.status == 200
    assert slowest < OK_WITHIN_S


def test_a_body_in_too_many_chunks_is_413_and_the_connection_closed(service: AuthorizationServer) -> None:
    start = head("POST", "/api/v2/clients", BY_ADMINISTRATOR, CHUNKED)
    answer = exchange(url_of(service), start + b"1\r\n \r\n" * (MAX_CHUNKS + 1))
    assert answer is not None
    assert answer.status == 413
    assert answer.json()["error"] == "request_too_large"
    assert "chunks" in answer.json()["error_description"]
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert 'logoutd_limited_total{limit="chunks"} 1.0' in service.http.get("/metrics").text


@pytest.mark.parametrize(
    "door",
    [
        "/oauth/global-token-revocation/connection/",
        "/oauth/backchannel-logout/connection/",
        "/webhooks/okta/connection/",
    ],
)
def test_every_door_describes_how_too_many_chunks_are_refused(service: AuthorizationServer, door: str) -> None:
    """Also the one whose own refusals are all 400: it is not asked."""
    answer = exchange(url_of(service), head("POST", door + "okta", CHUNKED) + b"1\r\n \r\n" * (MAX_CHUNKS + 1))
    assert answer is not None
    request = httpx.Request("POST", f"{url_of(service)}{door}okta")
    hold(httpx.Response(answer.status, headers=answer.headers, content=answer.body, request=request))
    paths = service.http.get("/openapi.json").json()["paths"]
    assert (
        f"{MAX_CHUNKS} chunks"
        in paths[door + "{connection_name}"]["post"]["responses"][str(answer.status)]["description"]
    )


@pytest.mark.parametrize(
    ("framing", "body", "status"),
    [
        ((CHUNKED,), b"1\r\n \r\n" * (MAX_CHUNKS + 1), 413),
        ((CHUNKED,), b"no size\r\n", 400),
        ((CHUNKED, "Content-Length: 2"), b"", 400),
    ],
)
def test_a_refused_head_is_answered_without_content_and_its_connection_closed(
    service: AuthorizationServer, caplog: pytest.LogCaptureFixture, framing: tuple[str, ...], body: bytes, status: int
) -> None:
    answer = exchange(url_of(service), head("HEAD", "/healthz", *framing) + body)
    assert answer is not None
    assert (answer.status, answer.body, answer.headers["connection"]) == (status, b"", "close")
    assert caplog.records == []


def test_as_many_chunks_as_may_be_are_a_body_like_any_other(service: AuthorizationServer) -> None:
    start = head("POST", "/api/v2/clients", BY_ADMINISTRATOR, CHUNKED, CLOSE)
    answer = exchange(url_of(service), start + b"1\r\n \r\n" * (MAX_CHUNKS - 1) + b"2\r\n{}\r\n0\r\n\r\n")
    assert answer is not None
    assert answer.status == 201


def test_each_request_on_a_connection_has_its_own_number_of_chunks(service: AuthorizationServer) -> None:
    one = head("POST", "/api/v2/clients", BY_ADMINISTRATOR, CHUNKED)
    last = head("POST", "/api/v2/clients", BY_ADMINISTRATOR, CHUNKED, CLOSE)
    body = b"1\r\n \r\n" * (MAX_CHUNKS - 24) + b"2\r\n{}\r\n0\r\n\r\n"
    with connected(url_of(service)) as connection:
        connection.sendall((one + body) * 2 + last + body)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert received.count(b"HTTP/1.1 201 ") == 3


@pytest.mark.parametrize("framing", [f"Content-Length: {MAX_UNWANTED_BYTES * 100}", CHUNKED])
def test_a_body_that_goes_on_after_its_answer_is_not_read_on(service: AuthorizationServer, framing: str) -> None:
    with connect(url_of(service)) as connection:
        connection.sendall(head("POST", "/api/v2/clients", framing))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        piece = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        if framing != CHUNKED:
            piece = b"x" * 0x4000
        with pytest.raises(ConnectionError):
            connection.sendall(piece * 20_000)


def test_a_small_rest_of_a_body_is_taken_and_the_connection_kept(service: AuthorizationServer) -> None:
    with connected(url_of(service)) as connection:
        connection.sendall(head("POST", "/api/v2/clients", f"Content-Length: {MAX_UNWANTED_BYTES}"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        connection.sendall(b"x" * MAX_UNWANTED_BYTES + head("GET", "/healthz", CLOSE))
        answer = read_answer(connection)
        assert answer is not None
        assert answer.status == 200


def last_on_its_connection(sent: bytes, http: str) -> bytes:
    """A request after whose answer the connection closes: because it says so, or because of its version."""
    if http == "1.0":
        return sent.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
    return sent.replace(b"\r\n\r\n", f"\r\n{CLOSE}\r\n\r\n".encode(), 1)


@pytest.mark.parametrize("http", ["1.0", "1.1"])
@pytest.mark.parametrize(("lines", "status"), [((), 401), ((BY_ADMINISTRATOR,), 413)])
def test_a_large_body_on_a_connection_that_closes_does_not_lose_its_answer(
    service: AuthorizationServer, http: str, lines: tuple[str, ...], status: int
) -> None:
    size = 3_000_000
    sent = last_on_its_connection(head("POST", "/api/v2/clients", *lines, f"Content-Length: {size}"), http)
    for _ in range(10):
        with connected(url_of(service)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            connection.sendall(sent + b"x" * size)
            answer = read_answer(connection)
            assert answer is not None
            assert (answer.status, answer.headers["connection"]) == (status, "close")


@pytest.mark.parametrize("size", [1_000_000, 3_000_000])
@pytest.mark.parametrize(("lines", "status"), [((), 401), ((BY_ADMINISTRATOR,), 413)])
@pytest.mark.parametrize("pieces", [0, 4096])
def test_a_large_body_that_is_sent_whole_before_anything_is_read_does_not_lose_its_answer(
    service: AuthorizationServer, size: int, lines: tuple[str, ...], status: int, pieces: int
) -> None:
    """Refused early, whatever is left of it; most clients look for an answer when they have sent everything."""
    body = b"x" * size
    if pieces:
        body = (b"%x\r\n" % pieces + b"x" * pieces + b"\r\n") * (size // pieces) + b"0\r\n\r\n"
    framing = CHUNKED if pieces else f"Content-Length: {size}"
    for _ in range(10):
        with connected(url_of(service)) as connection:
            # As on a real line, the last of it is sent long after the first was read.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            connection.sendall(head("POST", "/api/v2/clients", *lines, framing) + body)
            assert connection.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_connection_that_is_closed_while_more_comes_ends_without_a_reset(service: AuthorizationServer) -> None:
    with connected(url_of(service)) as connection:
        connection.sendall(
            head("POST", "/api/v2/clients", BY_ADMINISTRATOR, CHUNKED) + b"1\r\n \r\n" * (MAX_CHUNKS + 1)
        )
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        connection.sendall(b"x" * 1_000_000)
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_whoever_goes_on_sending_after_the_end_is_cut_off_in_time(redis_url: str, tmp_path: Path) -> None:
    bounds = Bounds(max_connections=64, linger_s=0.3)
    with (
        http_service(redis_url, tmp_path, clock=HandClock(), bounds=bounds) as service,
        connected(url_of(service)) as connection,
    ):
        connection.sendall(head("GET", "/healthz", CHUNKED) + b"no size\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")

        def is_cut_off() -> bool:
            try:
                connection.sendall(b"x")
            except ConnectionError:
                return True
            return False

        assert not is_cut_off()
        eventually(is_cut_off, bool)


def test_requests_that_come_all_at_once_are_answered_one_after_the_other(service: AuthorizationServer) -> None:
    """More of them than is read at a time, and what follows each waits for its answer."""
    with connected(url_of(service)) as connection:
        connection.sendall(head("GET", "/healthz") * 500 + head("GET", "/healthz", CLOSE))
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert received.count(b"HTTP/1.1 200 ") == 501


@pytest.mark.parametrize("before", [b"", head("GET", "/healthz")])
def test_a_head_that_is_too_long_is_not_read_whole_though_it_comes_at_once(
    service: AuthorizationServer, before: bytes
) -> None:
    """Its headers hold less than they may: it is what stands between them that there is too much of."""
    padded = before + head("GET", "/healthz", CLOSE, *(f"X-{n}: {' ' * 4000}x" for n in range(8)))
    with connected(url_of(service)) as connection:
        connection.sendall(padded)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert b"HTTP/1.1 431 " in received
