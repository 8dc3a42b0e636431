"""The same Global Token Revocation again: the same answer and no second effect, and no effect on what is new."""

import time
from contextlib import closing
from typing import Any

import pytest
import redis

from tests.support.asgi import Api, gtr_url, refused
from tests.support.contents import lifetimes_ms
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMAIL = {"format": "email", "email": "ada@example.com"}
BODY = {"sub_id": EMAIL}
JTI = "a-counter-that-begins-anew-1"


def assertion(api: Api, idp: IdentityProvider, jti: str = JTI) -> str:
    """A good assertion of this moment."""
    return idp.assertion(audience=gtr_url("okta"), alg="ES256", now_s=api.clock.now_s, claims={"jti": jti})


async def is_active(api: Api, session: dict[str, Any]) -> bool:
    return bool((await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"])


async def receipts(api: Api) -> list[str]:
    return [each["revocation_id"] for each in (await api.get("/api/v2/revocations")).json()["items"]]


def forget_what_has_expired(redis_url: str, api: Api) -> list[str]:
    """Do what Redis does by its own clock when the service's has been turned on; the keys that went."""
    now_ms = time.time() * 1000
    past = [key for key, left in lifetimes_ms(redis_url).items() if left >= 0 and now_ms + left < api.clock.now_ms()]
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.delete(*past)
    return past


async def test_a_jti_that_comes_again_in_a_newer_token_ends_what_has_begun_since(
    api: Api, idp: IdentityProvider, redis_url: str
) -> None:
    await api.connection(idp, "shop")
    await api.sign_in(idp, "shop", identifiers=[EMAIL])
    assert (await api.global_token_revocation(idp, BODY, assertion=assertion(api, idp))).status_code == 204
    first = await receipts(api)
    api.clock.advance(3600)
    assert any(":replay:" in key for key in forget_what_has_expired(redis_url, api))
    assert await receipts(api) == first, "the receipt is kept"

    session = await api.sign_in(idp, "shop")
    assert (await api.global_token_revocation(idp, BODY, assertion=assertion(api, idp))).status_code == 204

    assert not await is_active(api, session)
    assert len(await receipts(api)) == 2


async def test_the_same_token_within_its_life_ends_nothing_that_has_begun_since(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop")
    before = await api.sign_in(idp, "shop", identifiers=[EMAIL])
    token = assertion(api, idp)
    assert (await api.global_token_revocation(idp, BODY, assertion=token)).status_code == 204
    since = await api.sign_in(idp, "shop")
    api.clock.advance(60)

    assert (await api.global_token_revocation(idp, BODY, assertion=token)).status_code == 204

    assert (await is_active(api, before), await is_active(api, since)) == (False, True)
    assert len(await receipts(api)) == 1


async def test_a_request_that_named_nobody_still_does_when_it_is_repeated_after_a_sign_in(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop")
    token = assertion(api, idp)
    refused(await api.global_token_revocation(idp, BODY, assertion=token), 404, "not_found")

    session = await api.sign_in(idp, "shop", identifiers=[EMAIL])
    for _ in range(2):
        refused(await api.global_token_revocation(idp, BODY, assertion=token), 404, "not_found")
    other = {"sub_id": {**EMAIL, "email": "bob@example.com"}}
    refused(await api.global_token_revocation(idp, other, assertion=token), 401, "invalid_token")
    assert await is_active(api, session)
    assert await receipts(api) == []

    new = assertion(api, idp, "another")
    assert (await api.global_token_revocation(idp, BODY, assertion=new)).status_code == 204
    assert not await is_active(api, session)
