"""A hint about a token's type is a hint (RFC 7662 section 2.1): a wrong one hides nothing."""

import pytest

from tests.support.asgi import ADMINISTRATOR, Api
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_refresh_token_is_found_though_the_hint_says_session(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    token = await api.refresh_token(await api.sign_in(idp, "shop"), "shop")

    for by in (api.by("shop"), ADMINISTRATOR):
        hinted = (await api.introspect(token, by=by, token_type_hint="session")).json()
        assert hinted["active"] is True
        assert hinted == (await api.introspect(token, by=by)).json()


async def test_what_is_neither_session_nor_token_is_inactive_under_that_hint(api: Api) -> None:
    assert (await api.introspect("nothing", token_type_hint="session")).json() == {"active": False}
