"""Every operation behind a credential, when too much is asked: of a credential that may be guessed at (429), of the process
(503). Each answer is held against the document."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.app import OPERATIONS
from service.web.operation import Operation
from tests.support.asgi import ADMINISTRATOR, Api, basic, bearer, calling_from, refused, serving
from tests.support.identity_provider import IdentityProvider
from tests.support.strangers import answer, stranger, wait_then
from tests.web.examples import name_of

STRANGER = "203.0.113.9"

GUARDED = [each for each in OPERATIONS if each.access != "anyone" or 429 in each.responses]


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A service that bears next to nothing."""
    limits = {"failed_authentications_per_minute": 1, "door_requests_per_second": 1, "max_concurrent_requests": 1}
    async with serving(redis_url, tmp_path, **limits) as opened:
        yield opened


async def knock(http: httpx.AsyncClient, operation: Operation, credential: str) -> httpx.Response:
    path = operation.path.replace("{connection_name}", "okta").replace("{", "").replace("}", "")
    path = f"{path}?{operation.query_example}"
    if operation.path.startswith("/webhooks/"):
        headers = {"Authorization": credential, "X-Okta-Verification-Challenge": "abc"}
    elif operation.access == "administrator or application":
        headers = basic("shop", credential)
    else:
        headers = bearer(credential)
    if operation.form:
        return await http.post(path, data={operation.form[0]: credential}, headers=headers)
    body = {} if operation.method in {"POST", "PATCH"} else None
    return await http.request(operation.method, path, json=body, headers=headers)


@pytest.mark.parametrize("operation", GUARDED, ids=name_of)
async def test_guesses_are_429_before_long(api: Api, operation: Operation) -> None:
    async with calling_from(api, STRANGER) as http:
        for number in range(50):
            answered = await knock(http, operation, f"guess-{number}")
            if answered.status_code in {429, 503}:
                # At the event hook 429 would be final.
                later = (
                    (503, "temporarily_unavailable")
                    if operation.access == "hook secret"
                    else (429, "too_many_requests")
                )
                refused(answered, *later, "from this address")
                assert int(answered.headers["retry-after"]) > 0
                return
    pytest.fail(f"fifty guesses, and still {answered.status_code}")


async def test_every_operation_is_503_while_the_process_has_too_much_to_do(api: Api, idp: IdentityProvider) -> None:
    released = asyncio.Event()
    async with stranger(wait_then(released, answer(404))) as slow:
        options = {"discovery_url": slow.url("/.well-known/openid-configuration")}
        body = {
            "strategy": "oidc",
            "name": "slow",
            "options": {"type": "back_channel", "client_id": "logoutd", **options},
        }
        first = asyncio.create_task(api.post("/api/v2/connections", body))
        await slow.seen(1)
        async with calling_from(api, STRANGER) as http:
            for each in OPERATIONS:
                if each.always:
                    continue
                answered = await knock(http, each, "anything")
                refused(answered, 503, "temporarily_unavailable", "too many requests are under way here")
                assert answered.headers["retry-after"] == "1"
            assert (await http.get("/healthz")).status_code == 200
        released.set()
        assert (await first).status_code == 400
    assert (await api.call("GET", "/api/v2/delivery-schedule", by=ADMINISTRATOR)).status_code == 200
