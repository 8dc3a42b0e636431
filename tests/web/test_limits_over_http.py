"""Requests no client sends, on a real socket: each limit has its status, in the form of every error, and nothing else breaks."""

import json
from collections.abc import Iterator

import pytest

from service.app import OPERATIONS
from service.embedded_redis import EmbeddedRedis
from service.web.bodies import MAX_BODY_BYTES
from service.web.request_limits import MAX_HEADERS, MAX_TARGET_BYTES
from tests.support.clock import HandClock
from tests.support.http_service import ADMIN_TOKEN, http_service
from tests.support.raw_http import RawAnswer, exchange, head
from tests.support.redis_server import empty

CLOSE = "Connection: close"
BY_ADMINISTRATOR = f"Authorization: Bearer {ADMIN_TOKEN}"


@pytest.fixture(scope="module")
def url(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service, on production's configuration of its server."""
    empty(redis_server)
    with http_service(redis_server.url, tmp_path_factory.mktemp("service"), clock=HandClock()) as service:
        yield str(service.http.base_url)


def refused(answer: RawAnswer | None, status: int, error: str) -> RawAnswer:
    """An error of ours to the letter, whoever gave it."""
    assert answer is not None, "it was closed without an answer"
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error"] == error
    return answer


def post(path: str, body: bytes, *lines: str) -> bytes:
    return head("POST", path, CLOSE, f"Content-Length: {len(body)}", *lines) + body


def is_well(url: str) -> bool:
    answer = exchange(url, head("GET", "/healthz", CLOSE))
    return answer is not None and answer.status == 200


# The head.


def test_the_longest_target_is_taken_and_a_longer_one_is_414(url: str) -> None:
    path = "/healthz?x="
    longest = path + "x" * (MAX_TARGET_BYTES - len(path) + 1)
    answer = exchange(url, head("GET", longest, CLOSE))
    assert answer is not None
    assert answer.status == 200
    refused(exchange(url, head("GET", longest + "x", CLOSE)), 414, "request_too_large")


def test_a_target_that_does_not_end_is_414_before_it_has_ended(url: str) -> None:
    refused(exchange(url, b"GET /" + b"x" * 20_000), 414, "request_too_large")


def test_headers_that_do_not_end_are_431_before_they_have_ended(url: str) -> None:
    refused(exchange(url, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000), 431, "request_too_large")


def test_as_many_headers_as_may_be_are_taken_and_one_more_is_431(url: str) -> None:
    most = [f"X-{number}: x" for number in range(MAX_HEADERS - 2)]
    answer = exchange(url, head("GET", "/healthz", CLOSE, *most))
    assert answer is not None
    assert answer.status == 200
    refused(exchange(url, head("GET", "/healthz", CLOSE, *most, "X-More: x")), 431, "request_too_large")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"\r\n\r\n",
        b"hello\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_form_of_every_error(url: str, sent: bytes) -> None:
    refused(exchange(url, sent), 400, "invalid_request")
    assert is_well(url)


FORM = "Content-Type: application/x-www-form-urlencoded"
HIDDEN = head("GET", "/.well-known/jwks.json")


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("transfer-ENCODING: Chunked", "CONTENT-length: 0"),
    ],
)
def test_rfc_9112_section_6_3_two_lengths_of_one_body_are_400_and_nothing_after_them_is_a_request(
    url: str, lines: tuple[str, ...], version: str
) -> None:
    start = head("POST", "/oauth/backchannel-logout/connection/okta", FORM, *lines).replace(
        b"HTTP/1.1", version.encode()
    )
    answer = refused(exchange(url, start + b"0\r\n\r\n" + HIDDEN), 400, "invalid_request")
    assert "Transfer-Encoding" in answer.json()["error_description"]
    assert answer.headers["connection"] == "close"
    assert b"HTTP/1.1 200" not in answer.body
    assert is_well(url)


def test_rfc_9112_section_6_1_a_transfer_encoding_in_http_1_0_is_400_and_nothing_after_it_is_a_request(
    url: str,
) -> None:
    start = head("POST", "/oauth/backchannel-logout/connection/okta", FORM, "Transfer-Encoding: chunked")
    sent = start.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n" + HIDDEN
    answer = refused(exchange(url, sent), 400, "invalid_request")
    assert "HTTP/1.0" in answer.json()["error_description"]
    assert answer.headers["connection"] == "close"
    assert b"HTTP/1.1 200" not in answer.body


def test_a_transfer_encoding_nobody_knows_is_501(url: str) -> None:
    sent = head("POST", "/oauth/introspect", "Transfer-Encoding: gzip, chunked")
    refused(exchange(url, sent), 501, "not_implemented")


def test_a_chunk_that_is_none_ends_the_request_and_not_the_service(url: str) -> None:
    path = "/oauth/backchannel-logout/connection/okta"
    form = "Content-Type: application/x-www-form-urlencoded"
    sent = head("POST", path, form, "Transfer-Encoding: chunked") + b"5\r\nlogou\r\nno chunk\r\n"
    refused(exchange(url, sent), 400, "invalid_request")
    assert is_well(url)


def test_what_comes_after_an_answer_may_be_anything(url: str) -> None:
    # 401 is answered before the body is read, and what follows is no chunk of one.
    sent = head("POST", "/api/v2/clients", "Transfer-Encoding: chunked") + b"no chunk at all\r\n\r\n"
    answer = exchange(url, sent)
    assert answer is not None
    assert answer.status in {400, 401}
    assert is_well(url)


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PUT", "BREW", "CONNECT"])
def test_a_method_that_is_not_taken_is_405_and_says_which_are(url: str, method: str) -> None:
    answer = refused(exchange(url, head(method, "/healthz", CLOSE, "X-Secret: s3cret")), 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert b"s3cret" not in answer.body


def test_no_host_a_request_names_is_in_its_answer(url: str) -> None:
    for path in ["/", "/healthz/", "//evil.example/", *sorted({each.path for each in OPERATIONS})]:
        sent = head("GET", path.replace("{", "").replace("}", ""), CLOSE).replace(
            b"logout.example.com", b"evil.example"
        )
        answer = exchange(url, sent + b"")
        assert answer is not None
        assert answer.status < 500 or path == "/readyz", path
        assert "location" not in answer.headers
        assert b"evil.example" not in answer.body.replace(b"//evil.example/", b"")


def test_no_other_origin_is_allowed_anything(url: str) -> None:
    for path in ("/healthz", "/.well-known/jwks.json", "/api/v2/clients"):
        answer = exchange(url, head("GET", path, CLOSE, "Origin: https://evil.example"))
        assert answer is not None
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    answer = exchange(
        url, head("OPTIONS", "/healthz", CLOSE, "Origin: https://evil.example", "Access-Control-Request-Method: GET")
    )
    refused(answer, 405, "method_not_allowed")


# The body.


def test_a_body_that_announces_too_much_is_413_before_it_comes(url: str) -> None:
    sent = head("POST", "/api/v2/clients", CLOSE, BY_ADMINISTRATOR, f"Content-Length: {MAX_BODY_BYTES + 1}")
    refused(exchange(url, sent), 413, "request_too_large")


def test_a_body_in_pieces_that_grows_too_large_is_413(url: str) -> None:
    piece = b"1000\r\n" + b" " * 4096 + b"\r\n"
    sent = head("POST", "/api/v2/clients", CLOSE, BY_ADMINISTRATOR, "Transfer-Encoding: chunked") + piece * 17
    refused(exchange(url, sent), 413, "request_too_large")


@pytest.mark.parametrize("path", ["/api/v2/clients", "/api/v2/connections", "/api/v2/sessions", "/api/v2/revocations"])
@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"[" * 33 + b"1" + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
        (b"[" * 30_000, ""),
        (b'{"a":' * 13_000, ""),
        (b'{"a":' + b"9" * 33 + b"}", "number"),
        (b'{"a":' + b"9" * 60_000 + b"}", "number"),
        (b'{"a":1e400}', "number"),
        (b'{"a":-1e400}', "number"),
        (b'{"a":1e' + b"9" * 5000 + b"}", "number"),
        (b'{"a":0.' + b"1" * 5000 + b"}", "number"),
    ],
)
def test_json_that_is_too_deep_or_has_a_number_too_large_is_400(url: str, path: str, body: bytes, told: str) -> None:
    answer = refused(exchange(url, post(path, body, BY_ADMINISTRATOR)), 400, "invalid_request")
    assert told in answer.json()["error_description"]


def test_a_form_of_too_many_parameters_is_400(url: str) -> None:
    form = b"token=x&" + b"&".join(b"p%d=x" % number for number in range(40))
    kind = "Content-Type: application/x-www-form-urlencoded"
    answer = refused(exchange(url, post("/oauth/introspect", form, kind, BY_ADMINISTRATOR)), 400, "invalid_request")
    assert "32" in answer.json()["error_description"]


def test_lists_that_are_too_long_are_400(url: str) -> None:
    session = {"connection": "x", "subject": {"iss": "x", "sub": "x"}}
    for path, body in (
        ("/api/v2/sessions", {**session, "clients": [{"client_id": "x"}] * 1001}),
        ("/api/v2/sessions", {**session, "identifiers": [{"format": "email", "email": "a@b.example"}] * 101}),
        ("/api/v2/connections", {"name": "x", "strategy": "oidc", "options": {}, "enabled_clients": ["x"] * 1001}),
    ):
        answer = refused(exchange(url, post(path, json.dumps(body).encode(), BY_ADMINISTRATOR)), 400, "invalid_request")
        assert "at most" in answer.json()["error_description"], answer
