"""A client's secret, made or replaced, was lost when Redis went away after it: the answer read the client's health from there."""

import pytest

from tests.support.asgi import Api, basic
from tests.support.breaks import redis_away

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = range(1, 12)
"""Of the record, while the secret is made: more than there are."""


async def opens(api: Api, secret: str) -> bool:
    return (await api.introspect("a-token", by=basic("shop", secret))).status_code == 200


@pytest.mark.parametrize("at", CALLS)
async def test_a_secret_that_was_not_answered_has_replaced_nothing(api: Api, at: int) -> None:
    before = await api.client("shop")
    with redis_away(at=at, moment="before"):
        answer = await api.post("/api/v2/clients/shop/secret")
    if answer.status_code == 200:
        assert await opens(api, answer.json()["client_secret"])
    else:
        assert answer.status_code == 503
        assert await opens(api, before["client_secret"])


@pytest.mark.parametrize("at", CALLS)
async def test_a_client_whose_secret_was_not_answered_is_not_there(api: Api, at: int) -> None:
    with redis_away(at=at, moment="before"):
        answer = await api.post("/api/v2/clients", {"client_id": "shop"})
    if answer.status_code == 201:
        assert await opens(api, answer.json()["client_secret"])
    else:
        assert answer.status_code == 503
        assert (await api.get("/api/v2/clients/shop")).status_code == 404
