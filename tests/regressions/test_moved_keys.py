"""An identity provider that moves its keys is followed by its discovery document, without anybody's help."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.asgi import Api, gtr_url, refused
from tests.support.identity_provider import IdentityProvider
from tests.support.tokens import PrivateKey

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = {"sub_id": {"format": "opaque", "id": "nobody"}}

COOL_DOWN_S = 10
"""How soon after a fetch an unknown `kid` is worth another, in seconds."""

FRESH_S = 600
"""How long fetched keys are believed without asking again, in seconds."""


@pytest_asyncio.fixture(loop_scope="module")
async def elsewhere() -> AsyncIterator[IdentityProvider]:
    """Where the keys are to be from now on; other keys than before."""
    async with IdentityProvider.running(numbers_from=2) as running:
        yield running


def move(idp: IdentityProvider, elsewhere: IdentityProvider) -> dict[str, PrivateKey]:
    """Publish new keys in another place and sign with them; the old keys, which stay where they were."""
    old, idp.keys = idp.keys, elsewhere.keys
    idp.discovery_overrides = {"jwks_uri": elsewhere.jwks_uri}
    return old


async def test_an_unknown_kid_after_the_cool_down_finds_keys_that_have_moved(
    api: Api, idp: IdentityProvider, elsewhere: IdentityProvider
) -> None:
    await api.connection(idp)
    made_up = idp.assertion(audience=gtr_url("okta"), now_s=api.clock.now_s, header={"kid": "made-up"})
    refused(await api.global_token_revocation(idp, BODY, assertion=made_up), 401, "invalid_token")
    move(idp, elsewhere)
    api.clock.advance(COOL_DOWN_S - 1)
    refused(await api.global_token_revocation(idp, BODY), 401, "invalid_token")
    assert elsewhere.fetches["keys"] == 0

    api.clock.advance(1)

    refused(await api.global_token_revocation(idp, BODY), 404, "not_found")
    assert elsewhere.fetches["keys"] == 1


async def test_stale_keys_are_looked_for_where_they_are_now_and_the_old_ones_are_believed_no_more(
    api: Api, idp: IdentityProvider, elsewhere: IdentityProvider
) -> None:
    await api.connection(idp)
    old, fetched = move(idp, elsewhere), idp.fetches["keys"]
    idp.keys = old
    api.clock.advance(FRESH_S - 1)
    refused(await api.global_token_revocation(idp, BODY), 404, "not_found")

    api.clock.advance(1)

    refused(await api.global_token_revocation(idp, BODY), 401, "invalid_token")
    assert (idp.fetches["keys"], elsewhere.fetches["keys"]) == (fetched, 1)


async def test_a_jwks_uri_that_was_configured_stays_what_it_is(
    api: Api, idp: IdentityProvider, elsewhere: IdentityProvider
) -> None:
    await api.connection(idp, options={"jwks_uri": idp.jwks_uri})
    move(idp, elsewhere)
    api.clock.advance(FRESH_S)
    refused(await api.global_token_revocation(idp, BODY), 401, "invalid_token")
    assert elsewhere.fetches["keys"] == 0
