"""Clients that take their time: they wait for nothing but themselves, and what is theirs is taken back from them.

The deadlines here are short, and nothing is slept for: a test waits until the service has done what it says.
"""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.settings import Settings
from service.web.http_bounds import Bounds
from tests.support.authorization_server import AuthorizationServer
from tests.support.clock import HandClock
from tests.support.http_service import ADMIN_TOKEN, http_service
from tests.support.raw_http import connect, connected, exchange, head, is_open, read_answer
from tests.support.waiting import PATIENCE_S, eventually

CLOSE = "Connection: close"
FORM = "Content-Type: application/x-www-form-urlencoded"
DOOR = "/oauth/backchannel-logout/connection/okta"
NEVER_S = 600.0
"""A deadline that no test sees the end of, in seconds."""

SOON_S = 0.3
"""One that is over soon, in seconds."""


@contextlib.contextmanager
def serving(redis_url: str, folder: Path, **how: Any) -> Iterator[AuthorizationServer]:
    """The service; the deadlines that are not named never come."""
    deadlines = {name: how.pop(name, NEVER_S) for name in ("head_s", "body_s", "write_s")}
    bounds = Bounds(max_connections=how.pop("max_connections", 4096), **deadlines)
    with http_service(redis_url, folder, clock=HandClock(), bounds=bounds, **how) as service:
        yield service


def url_of(service: AuthorizationServer) -> str:
    return str(service.http.base_url)


def limited(service: AuthorizationServer, limit: str) -> float:
    """How often a limit was met, as /metrics has it."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(service.http.get("/metrics").text)
        if family.name == "logoutd_limited"
        for sample in family.samples
        if sample.labels.get("limit") == limit and sample.name.endswith("_total")
    )


def assert_well(service: AuthorizationServer) -> None:
    answer = exchange(url_of(service), head("GET", "/.well-known/jwks.json", CLOSE))
    assert answer is not None
    assert answer.status == 200


def drip(connection: socket.socket, data: bytes) -> None:
    """Send a little, also to somebody who has had enough."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(data)


def taken(connection: socket.socket, count: int) -> None:
    """Take a little, also of what was cut off."""
    with contextlib.suppress(ConnectionResetError):
        connection.recv(count)


def test_a_head_that_does_not_end_is_answered_408_however_it_drips(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, head_s=SOON_S) as service, connected(url_of(service)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        eventually(lambda: (drip(slow, b"X-A: b\r\n"), limited(service, "head_timeout"))[1], lambda met: met == 1)
        answer = read_answer(slow)
        assert answer is not None
        assert answer.status == 408
        assert answer.json()["error"] == "request_timeout"
        assert answer.headers["connection"] == "close"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert_well(service)


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, head_s=SOON_S) as service, connected(url_of(service)) as silent:
        assert read_answer(silent) is None


def test_a_head_after_another_request_has_the_same_deadline(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, head_s=SOON_S) as service, connected(url_of(service)) as slow:
        slow.sendall(head("GET", "/healthz") + b"GET /hea")
        received = b""
        while chunk := slow.recv(65536):
            received += chunk
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in received


def test_a_connection_between_two_requests_is_kept(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, head_s=SOON_S) as service, connected(url_of(service)) as patient:
        patient.sendall(head("GET", "/healthz"))
        assert patient.recv(65536).startswith(b"HTTP/1.1 200 ")
        # Another one is opened after it, is silent, and is closed for it.
        with connected(url_of(service)) as silent:
            assert read_answer(silent) is None
        assert is_open(patient)
        patient.sendall(head("GET", "/healthz", CLOSE))
        answer = read_answer(patient)
        assert answer is not None
        assert answer.status == 200


def test_a_connection_whose_last_body_came_after_its_answer_is_kept_between_two_requests_too(
    redis_url: str, tmp_path: Path
) -> None:
    with serving(redis_url, tmp_path, head_s=SOON_S) as service, connected(url_of(service)) as patient:
        patient.sendall(head("POST", "/api/v2/clients", "Content-Length: 2"))
        assert patient.recv(65536).startswith(b"HTTP/1.1 401 ")
        patient.sendall(b"{}")
        # What is read of it later is known to have been read when others, opened later, have been closed.
        for _ in range(2):
            with connected(url_of(service)) as silent:
                assert read_answer(silent) is None
        assert is_open(patient)
        assert limited(service, "head_timeout") == 2


def test_a_body_that_drips_is_answered_408(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, body_s=SOON_S) as service, connected(url_of(service)) as slow:
        slow.sendall(head("POST", DOOR, FORM, "Content-Length: 60000") + b"logout_token=")
        eventually(lambda: (drip(slow, b"x"), limited(service, "body_timeout"))[1], lambda met: met == 1)
        answer = read_answer(slow)
        assert answer is not None
        assert answer.status == 408
        assert answer.json()["error"] == "request_timeout"
        assert_well(service)


def test_a_body_that_drips_on_after_its_answer_does_not_keep_the_connection(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, body_s=SOON_S) as service, connected(url_of(service)) as slow:
        slow.sendall(head("POST", "/api/v2/clients", "Content-Length: 60000") + b"{")
        assert slow.recv(65536).startswith(b"HTTP/1.1 401 ")
        eventually(lambda: (drip(slow, b" "), limited(service, "body_timeout"))[1], lambda met: met == 1)
        assert read_answer(slow) is None


def test_an_answer_nobody_reads_is_cut_off(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, write_s=SOON_S) as service:
        address = service.http.base_url
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(PATIENCE_S)
            deaf.connect((address.host, address.port))
            # What asks for more than any buffer on the way holds: answers of a hundred kilobytes, one after the other.
            with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
                deaf.sendall(head("GET", "/docs") * 200)
            eventually(lambda: limited(service, "write_timeout"), lambda met: met == 1)
        assert_well(service)


def test_an_answer_that_is_taken_slowly_is_not_cut_off(redis_url: str, tmp_path: Path) -> None:
    """It takes several times as long as one that is not taken at all may."""
    asked = 400
    with serving(redis_url, tmp_path, write_s=SOON_S) as service, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        slow.settimeout(PATIENCE_S)
        slow.connect((service.http.base_url.host, service.http.base_url.port))
        slow.sendall(head("GET", "/docs") * (asked - 1) + head("GET", "/docs", CLOSE))
        began, answers, last = time.monotonic(), 0, b""
        while time.monotonic() - began < SOON_S * 6:
            received = slow.recv(4096)
            answers += (last[-12:] + received).count(b"HTTP/1.1 200 ")
            last = received
            assert_well(service)
        assert answers < asked, "it was taken too fast to tell"
        while received := slow.recv(65536):
            answers += (last[-12:] + received).count(b"HTTP/1.1 200 ")
            last = received
        assert answers == asked
        assert limited(service, "write_timeout") == 0


def test_an_answer_that_is_taken_by_the_byte_is_cut_off(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, write_s=SOON_S) as service, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE_S)
        slow.connect((service.http.base_url.host, service.http.base_url.port))
        with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
            slow.sendall(head("GET", "/docs") * 200)
        eventually(lambda: (taken(slow, 1), limited(service, "write_timeout"))[1], lambda met: met == 1)


def test_a_thousand_slow_connections_do_not_stop_an_ordinary_request(redis_url: str, tmp_path: Path) -> None:
    """A third of them sends nothing, a third a part of a head, a third a part of a body. None of them has a deadline here."""
    sent = [b"", b"GET / HTTP/1.1\r\nX-A: ", head("POST", DOOR, FORM, "Content-Length: 60000") + b"logout_token=x"]
    with (
        serving(redis_url, tmp_path, max_concurrent_requests=8) as service,
        contextlib.ExitStack() as slow,
    ):
        for number in range(999):
            connection = slow.enter_context(connect(url_of(service)))
            connection.sendall(sent[number % 3])
        began = time.monotonic()
        for _ in range(20):
            assert_well(service)
            assert service.http.get("/api/v2/clients", headers=service.administrator).status_code == 200
        assert time.monotonic() - began < PATIENCE_S
        assert limited(service, "concurrency") == 0


def test_beyond_the_most_connections_the_one_that_has_waited_longest_makes_room(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, max_connections=8) as service, contextlib.ExitStack() as slow:
        waiting = [slow.enter_context(connect(url_of(service))) for _ in range(30)]
        for each in waiting:
            drip(each, b"GET / HTTP/1.1\r\n")
        assert_well(service)
        eventually(lambda: [is_open(each) for each in waiting].count(True), lambda still: still < 8)
        assert not is_open(waiting[0])
        assert is_open(waiting[-1])
        assert limited(service, "connections") >= 23


def test_a_body_that_has_been_on_its_way_longest_makes_room_too(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, max_connections=8) as service, contextlib.ExitStack() as slow:
        busy = [slow.enter_context(connect(url_of(service))) for _ in range(8)]
        for each in busy:
            each.sendall(head("POST", DOOR, FORM, "Content-Length: 60000") + b"logout_token=x")
        for _ in range(4):
            assert_well(service)
        assert not is_open(busy[0])
        assert is_open(busy[-1])


@pytest.mark.usefixtures("many_files")
def test_more_slow_bodies_than_connections_are_kept_do_not_stop_an_ordinary_request(
    redis_url: str, tmp_path: Path
) -> None:
    most = Settings.model_fields["max_connections"].default
    slow_body = head("POST", DOOR, FORM, "Content-Length: 60000") + b"logout_token=x"
    with serving(redis_url, tmp_path, max_connections=most) as service, contextlib.ExitStack() as slow:
        for _ in range(most + 100):
            drip(slow.enter_context(connect(url_of(service))), slow_body)
        for _ in range(20):
            answer = exchange(url_of(service), head("GET", "/healthz", CLOSE))
            assert answer is not None
            assert answer.status == 200
            assert_well(service)


def test_where_all_connections_are_being_answered_a_new_one_is_answered_503(tmp_path: Path, deaf_redis: str) -> None:
    with serving(deaf_redis, tmp_path, max_connections=8) as service, contextlib.ExitStack() as stuck:
        for _ in range(8):
            busy = stuck.enter_context(connect(url_of(service)))
            busy.sendall(head("GET", "/api/v2/clients", f"Authorization: Bearer {ADMIN_TOKEN}"))

        def refused() -> bool:
            answer = exchange(url_of(service), b"")
            if answer is None:
                return False
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["error"] == "temporarily_unavailable"
            return True

        eventually(refused, bool)
        stuck.close()
        eventually(lambda: exchange(url_of(service), head("GET", "/healthz", CLOSE)), lambda told: told is not None)


def test_a_request_that_takes_too_long_is_given_up_and_answered_503(
    redis_url: str, tmp_path: Path, deaf_redis: str
) -> None:
    """Redis accepts and does not answer; the request's own deadline comes before that of the call to it."""
    with serving(deaf_redis, tmp_path, deadline_s=SOON_S) as service:
        answer = exchange(
            url_of(service), head("GET", "/api/v2/clients", CLOSE, f"Authorization: Bearer {ADMIN_TOKEN}")
        )
        assert answer is not None
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"] == "temporarily_unavailable"
        assert "0.3 s" in answer.json()["error_description"]


def test_beyond_the_most_requests_further_ones_are_answered_503_and_probes_still_pass(
    tmp_path: Path, deaf_redis: str
) -> None:
    by_administrator = f"Authorization: Bearer {ADMIN_TOKEN}"
    with serving(deaf_redis, tmp_path, max_concurrent_requests=4) as service, contextlib.ExitStack() as stack:
        for _ in range(4):
            stuck = stack.enter_context(connect(url_of(service)))
            stuck.sendall(head("GET", "/api/v2/clients", CLOSE, by_administrator))

        def refused() -> bool:
            answer = exchange(url_of(service), head("GET", "/.well-known/jwks.json", CLOSE))
            assert answer is not None
            if answer.status == 200:
                return False
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.json() == {
                "error": "temporarily_unavailable",
                "error_description": "too many requests are under way here",
            }
            return True

        eventually(refused, bool)
        probe = exchange(url_of(service), head("GET", "/healthz", CLOSE))
        assert probe is not None
        assert probe.status == 200
        # Each of the four is told that Redis cannot be reached, and gives its place back.
        eventually(lambda: exchange(url_of(service), head("GET", "/.well-known/jwks.json", CLOSE)).status, (200).__eq__)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of each connection are this process's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * (Settings.model_fields["max_connections"].default + 100) + 512
    assert hard == resource.RLIM_INFINITY or hard >= needed, f"this test needs {needed} file descriptors (ulimit -n)"
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def deaf_redis() -> Iterator[str]:
    """The URL of something that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
