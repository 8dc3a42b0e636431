"""JSON bodies are read strictly, by every operation that takes one: what is ambiguous, foreign or too much is refused."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from service.web.bodies import MAX_BODY_BYTES
from tests.support.asgi import ADMINISTRATOR, NOBODY, Api, bearer, gtr_path, gtr_url, refused
from tests.support.identity_provider import NOTHING, IdentityProvider
from tests.web.examples import READING, Example, name_of, prepare

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = [name_of(each) for each in READING]
MAY_BE_ABSENT = {name_of(each) for each in READING if each.body_may_be_absent}

WRONG_TYPES: Mapping[str, Any] = {
    "POST /api/v2/sessions": {"connection": 7},
    "POST /api/v2/sessions/{session_id}/clients": {"client_id": 7},
    "POST /api/v2/refresh-tokens": {"offline": "false"},
    "POST /api/v2/refresh-tokens/rotate": {"token": 7},
    "POST /api/v2/connections": {"enabled": "true"},
    "PATCH /api/v2/connections/{connection_id}": {"display_name": 7},
    "PATCH /api/v2/connections/{connection_id}/clients": {"status": "true"},
    "POST /api/v2/clients": {"backchannel_logout_session_required": 1},
    "PATCH /api/v2/clients/{client_id}": {"client_name": ["The shop"]},
    "POST /api/v2/clients/{client_id}/pause": {"reason": 7},
    "POST /api/v2/revocations": {"subject": "ada@example.com"},
}
"""A member of each body with a value of a type it does not take; nothing is converted."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "POST /api/v2/sessions": ("connection", "subject"),
    "POST /api/v2/sessions/{session_id}/clients": ("client_id",),
    "POST /api/v2/refresh-tokens": ("session_id", "client_id"),
    "POST /api/v2/refresh-tokens/rotate": ("refresh_token", "client_id"),
    "POST /api/v2/connections": ("name", "strategy", "options"),
    "PATCH /api/v2/connections/{connection_id}": (),
    "PATCH /api/v2/connections/{connection_id}/clients": ("client_id", "status"),
    "POST /api/v2/clients": (),
    "PATCH /api/v2/clients/{client_id}": (),
    "POST /api/v2/clients/{client_id}/pause": (),
    "POST /api/v2/revocations": ("connection", "subject"),
}
"""The members without which each body is refused."""


def changed(body: Any, members: Mapping[str, Any], *, without: str = "") -> Any:
    """A body with members laid over it and one taken out; of a list, its first item."""
    if isinstance(body, list):
        return [changed(body[0], members, without=without)]
    return {name: value for name, value in {**body, **members}.items() if name != without}


async def send(
    api: Api, example: Example, raw: bytes | AsyncIterator[bytes], headers: Mapping[str, str] = NOTHING
) -> httpx.Response:
    return await api.call(example.method, example.path, raw=raw, headers=headers)


@pytest.mark.parametrize("name", NAMES)
async def test_a_body_is_read_strictly(api: Api, idp: IdentityProvider, name: str) -> None:
    example = (await prepare(api, idp))[name]
    written = json.dumps(example.body).encode()
    object_written = written.removeprefix(b"[").removesuffix(b"]")
    first, value = next(iter((example.body[0] if isinstance(example.body, list) else example.body).items()))
    twice = object_written[:-1] + f", {json.dumps(first)}: {json.dumps(value)}}}".encode()
    opened, closed = (b"[", b"]") if isinstance(example.body, list) else (b"", b"")

    for raw, *naming in (
        *([] if name in MAY_BE_ABSENT else [(b"", "not valid JSON")]),
        (b"null",),
        (b"7",),
        (b'"text"',),
        (written[:-1], "not valid JSON"),
        (written + b" x", "not valid JSON"),
        (b"\xef\xbb\xbf" + written, "not valid JSON"),
        (written + b"\xff", "not UTF-8"),
        (written.decode().encode("utf-16"), "not UTF-8"),
        (opened + twice + closed, "the same member twice"),
        (opened + object_written[:-1] + b', "x": NaN}' + closed, "NaN"),
        (opened + object_written[:-1] + b', "x": -Infinity}' + closed, "NaN"),
        (b"[" * 60_000, "not valid JSON"),
        (b'{"a":' * 10_000, "not valid JSON"),
        (b"[" * 150 + b"]" * 150,),
        (b"[" * 500 + b"]" * 500,),
        (b'{"a":' * 300 + b"1" + b"}" * 300,),
        (b"9" * 5_000, "not valid JSON"),
        (b'"\\ud800"',),
    ):
        refused(await send(api, example, raw), 400, "invalid_request", *naming)

    foreign = changed(example.body, {"surprise": 1, "another": 2})
    refused(
        await api.call(example.method, example.path, foreign),
        400,
        "invalid_request",
        "surprise` is not a member of this request",
        "another` is not a member of this request",
    )
    wrong = changed(example.body, WRONG_TYPES[name])
    refused(await api.call(example.method, example.path, wrong), 400, "invalid_request", *WRONG_TYPES[name])
    for each in REQUIRED[name]:
        lacking = changed(example.body, {}, without=each)
        refused(await api.call(example.method, example.path, lacking), 400, "invalid_request", f"{each}` is missing")

    # After all of this the request itself is taken: nothing above was refused for another reason.
    answer = await api.call(example.method, example.path, example.body)
    assert answer.is_success, answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", NAMES)
async def test_a_json_body_is_taken_whatever_its_content_type_says(api: Api, idp: IdentityProvider, name: str) -> None:
    for kind in (NOTHING, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}):
        await api.resources.record.client.flushall()
        api.secrets.clear()
        example = (await prepare(api, idp))[name]
        answer = await send(api, example, json.dumps(example.body).encode(), kind)
        assert answer.is_success, (kind, answer.text)


async def in_pieces(raw: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), 4096):
        yield raw[start : start + 4096]


@pytest.mark.parametrize("name", NAMES)
async def test_a_body_of_more_than_64_kib_is_413_however_it_is_sent(api: Api, idp: IdentityProvider, name: str) -> None:
    example = (await prepare(api, idp))[name]
    written = json.dumps(example.body).encode()
    fits = written + b" " * (MAX_BODY_BYTES - len(written))
    too_large = fits + b" "
    for answer in (
        await send(api, example, too_large),
        await send(api, example, in_pieces(too_large)),
        await send(api, example, b"x" * (10 * MAX_BODY_BYTES)),
        await send(api, example, in_pieces(too_large), {"Content-Length": str(len(too_large))}),
    ):
        assert refused(answer, 413, "request_too_large") == "the body is larger than 64 KiB"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await send(api, example, in_pieces(fits))).is_success


async def test_a_stranger_is_refused_before_anything_of_the_body_is_looked_at(api: Api, idp: IdentityProvider) -> None:
    examples = await prepare(api, idp)
    for each in examples.values():
        for raw in (b"{", b"x" * (2 * MAX_BODY_BYTES)):
            refused(await api.call(each.method, each.path, raw=raw, by=NOBODY), 401, "invalid_token")


async def test_the_door_refuses_a_body_of_more_than_64_kib(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp)
    headers = {"Content-Type": "application/json"}
    for raw in (b" " * (MAX_BODY_BYTES + 1), in_pieces(b" " * (MAX_BODY_BYTES + 1))):
        assertion = idp.assertion(audience=gtr_url("okta"), alg="ES256", now_s=api.clock.now_s)
        answer = await api.call("POST", gtr_path("okta"), raw=raw, by=bearer(assertion), headers=headers)
        refused(answer, 413, "request_too_large")


async def test_headers_of_more_than_16_kib_are_refused(api: Api) -> None:
    for headers in ({"X-Odd": "x" * 16_384}, {f"X-Odd-{number}": "x" * 1000 for number in range(17)}):
        answer = await api.call("GET", "/api/v2/clients", headers=headers)
        refused(answer, 431, "request_too_large", "16 KiB")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await api.call("GET", "/api/v2/clients", headers={"X-Odd": "x" * 8192})).status_code == 200


async def test_what_was_sent_is_not_repeated_in_the_refusal(api: Api) -> None:
    secret = "hunter2-hunter2-hunter2"
    for body in (
        {"client_id": [secret]},
        {"client_name": "x", "id_token_signed_response_alg": secret},
        {"backchannel_logout_uri": f"https://user:{secret}@example.com/"},
        {"client_id": f"{secret} with a space"},
    ):
        assert secret not in refused(await api.post("/api/v2/clients", body), 400, "invalid_request")


async def test_a_name_of_a_foreign_member_is_cut_and_only_a_few_are_named(api: Api) -> None:
    body = {f"{number}-" + "x" * 500: number for number in range(50)}
    description = refused(await api.post("/api/v2/clients", body), 400, "invalid_request", "and 45 more")
    assert len(description) < 600
    assert "x" * 64 not in description


async def test_a_request_that_breaks_off_is_no_fault_of_ours(api: Api) -> None:
    arriving = [{"type": "http.request", "body": b'{"client_', "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return arriving.pop(0)

    async def send_on(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/v2/clients",
        "raw_path": b"/api/v2/clients",
        "query_string": b"",
        "headers": [(b"authorization", ADMINISTRATOR["Authorization"].encode())],
    }
    await api.app(scope, receive, send_on)

    assert sent[0]["status"] == 400
    assert (await api.get("/api/v2/clients")).json()["items"] == []
