"""An offline refresh token outlives its session by months; so must the way to find it by the upstream session's `sid`."""

import pytest

from tests.support.asgi import Api, api, idp, module_api
from tests.support.contents import lifetimes_ms
from tests.support.identity_provider import IdentityProvider

__all__ = ["api", "idp", "module_api"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

YEAR_S = 365 * 86_400


async def test_a_logout_of_the_upstream_session_still_finds_the_offline_token_of_a_session_long_over(
    api: Api, idp: IdentityProvider, redis_url: str
) -> None:
    await api.connection(idp, "shop", options={"revoke_offline_access": True})
    session = await api.sign_in(idp, "shop", upstream_sid="upstream-1", expires_in=60)
    token = await api.refresh_token(session, "shop", offline=True, expires_in=YEAR_S)

    (left_ms,) = [left for key, left in lifetimes_ms(redis_url).items() if key.startswith("logoutd:upstream-sid:")]
    assert left_ms > 300 * 86_400_000

    api.clock.advance(3600)
    assert (await api.introspect(token)).json()["active"]
    answer = await api.backchannel_logout(idp.logout_token(sid="upstream-1", now_s=api.clock.now_s))
    assert answer.status_code == 200
    assert (await api.introspect(token)).json() == {"active": False}
