"""The names a person is registered with: none from a sign-in that was refused, each in the spelling it came in."""

import pytest

from tests.support.asgi import Api, refused, sign_in_body
from tests.support.contents import contents
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRITTEN = {"format": "email", "email": "Ada.Lovelace@Example.com"}
OTHERWISE = {"format": "email", "email": "aDA.lOVELACE@eXAMPLE.COM"}


async def test_a_refused_sign_in_leaves_no_name_behind(api: Api, idp: IdentityProvider, redis_url: str) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    authenticated = api.clock.now_s
    api.clock.advance(1)
    assert (await api.delete(f"/api/v2/users/{session['user_id']}/sessions")).status_code == 202
    before = contents(redis_url)

    stale = sign_in_body(idp, "shop", identifiers=[WRITTEN], auth_time=authenticated)
    refused(await api.post("/api/v2/sessions", stale), 409, "reauthentication_required")

    assert contents(redis_url) == before
    refused(await api.global_token_revocation(idp, {"sub_id": WRITTEN}), 404, "not_found")


async def test_an_address_is_shown_as_it_was_written_and_found_in_any_case(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop", identifiers=[WRITTEN])

    shown = (await api.get(f"/api/v2/users/{session['user_id']}")).json()["identifiers"]

    assert [each for each in shown if each["format"] == "email"] == [WRITTEN]
    assert (await api.global_token_revocation(idp, {"sub_id": OTHERWISE})).status_code == 204
    assert (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"] is False
