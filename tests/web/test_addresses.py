"""Which addresses and methods there are, and what is answered at all others."""

from collections import defaultdict
from typing import Any

import pytest

from service.app import OPERATIONS
from tests.support.asgi import Api, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")


def served() -> dict[str, set[str]]:
    """The methods of each path, HEAD beside GET."""
    by_path = defaultdict(set)
    for each in OPERATIONS:
        by_path[each.path].add(each.method)
        if each.method == "GET":
            by_path[each.path].add("HEAD")
    return by_path


async def test_a_wrong_method_is_405_and_allow_lists_all_that_are_right(api: Api) -> None:
    for path, methods in served().items():
        for wrong in set(METHODS) - methods:
            answer = await api.call(wrong, path.replace("{", "").replace("}", ""))
            refused(answer, 405, "method_not_allowed")
            assert {each.strip() for each in answer.headers["allow"].split(",")} == methods, (wrong, path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v2",
        "/api/v1/clients",
        "/API/v2/clients",
        "/api/v2/clients/",
        "/api/v2/clients/shop/",
        "/api/v2/clients/shop/extra",
        "//api/v2/clients",
        "/oauth/global-token-revocation/connection/",
        "/oauth/global-token-revocation/connection/okta/",
        "/oauth/global-token-revocation/connection/a%2Fb",
        "/.well-known/openid-configuration/",
        "/healthz/",
        "/docs/",
        "/favicon.ico",
        "/%00",
        "/%ff%fe",
        "/caf\xe9",
    ],
)
async def test_an_unknown_path_is_404_in_json_and_never_a_redirect(api: Api, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await api.call(method, path, headers={"Host": "elsewhere.example.org"})
        refused(answer, 404, "not_found", "nothing at this address")
        assert "location" not in answer.headers
        assert "elsewhere" not in answer.text


async def test_head_answers_as_get_does(api: Api) -> None:
    for path in ("/healthz", "/.well-known/jwks.json", "/api/v2/clients"):
        head, get = await api.call("HEAD", path), await api.get(path)
        assert head.status_code == get.status_code == 200
        assert head.headers["content-type"] == get.headers["content-type"]


async def test_what_does_not_exist_is_404_for_whoever_may_ask(api: Api) -> None:
    odd = ["nothing", "%00", "%F0%9F%92%A9", "..%5C", "con_x%7D%3Asession%3A1", "x" * 3000, "%ff", "*", "%7Busr%7D"]
    for each in OPERATIONS:
        if "{" not in each.path or not each.access.startswith("administrator"):
            continue
        for name in odd:
            path = "/".join(name if part.startswith("{") else part for part in each.path.split("/"))
            body = {"client_id": "x"} if each.path.endswith("{session_id}/clients") else {}
            answer = await api.call(each.method, path, [] if each.path.endswith("_id}/clients") and not body else body)
            refused(answer, 404, "not_found", "there is no such")


async def test_a_request_without_any_header_or_body_is_answered(api: Api) -> None:
    for each in OPERATIONS:
        path = each.path.replace("{", "").replace("}", "")
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope = {"type": "http", "method": each.method, "path": path, "query_string": b"", "headers": []}
        await api.app(scope, receive, send)
        # What anyone may read is there, unless it is of a connection, and there is none.
        expected = {"anyone": 404 if path != each.path else 200, "logout token": 400}.get(each.access, 401)
        assert sent[0]["status"] == expected, path
        assert not sent[-1].get("more_body")


async def test_every_answer_carries_the_headers_that_keep_browsers_from_guessing(api: Api) -> None:
    for path in ("/healthz", "/api/v2/clients", "/nowhere", "/.well-known/jwks.json"):
        answer = await api.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_requests_are_counted_by_route_and_never_by_path(api: Api) -> None:
    counted = api.resources.numbers.http_requests
    before = {
        labels: counted.labels(*labels)._value.get()
        for labels in [
            ("/api/v2/clients/{client_id}", "GET", "4xx"),
            ("unmatched", "GET", "4xx"),
            ("/api/v2/clients", "other", "4xx"),
        ]
    }
    await api.get("/api/v2/clients/ada@example.com")
    await api.get("/ada@example.com")
    await api.call("ADA", "/api/v2/clients")
    for labels, count in before.items():
        assert counted.labels(*labels)._value.get() == count + 1, labels
    assert "ada@" not in (await api.get("/metrics")).text
