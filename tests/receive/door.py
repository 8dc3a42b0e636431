"""At the door for Global Token Revocation: somebody to sign out, and who knocks, with what."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support import tokens
from tests.support.asgi import NOBODY, Api, bearer, gtr_path, gtr_url
from tests.support.identity_provider import CLIENT_ID, NOTHING, IdentityProvider

EMAIL = {"format": "email", "email": "ada@example.com"}
NAMES: dict[str, dict[str, Any]] = {
    "email": EMAIL,
    "opaque": {"format": "opaque", "id": "employee-7"},
    "phone_number": {"format": "phone_number", "phone_number": "+12065550100"},
    "account": {"format": "account", "uri": "acct:ada@example.com"},
    "uri": {"format": "uri", "uri": "https://people.example.com/ada"},
    "did": {"format": "did", "url": "did:example:ada"},
}
"""Names a person is registered with, one of each format."""


def assertion(api: Api, idp: IdentityProvider, *, name: str = "okta", **more: Any) -> str:
    """A good assertion for a connection's door."""
    return idp.assertion(audience=gtr_url(name), alg="ES256", now_s=api.clock.now_s, **more)


def forged(api: Api, idp: IdentityProvider) -> str:
    """One whose signature is another key's."""
    claims = idp.claims(audience=gtr_url("okta"), client_id=CLIENT_ID, now_s=api.clock.now_s)
    return tokens.signed(claims, key=tokens.private_key("ES256", 9), alg="ES256", header=idp.header("ES256"))


async def knock(
    api: Api,
    token: str | None,
    raw: bytes = json.dumps({"sub_id": EMAIL}).encode(),
    *,
    name: str = "okta",
    headers: Mapping[str, str] = NOTHING,
) -> httpx.Response:
    """A request at the door; JSON unless `headers` say otherwise."""
    by = NOBODY if token is None else bearer(token)
    return await api.call(
        "POST", gtr_path(name), raw=raw, by=by, headers={"Content-Type": "application/json", **headers}
    )


async def ada(api: Api, idp: IdentityProvider) -> str:
    """A connection, and somebody signed in through it by every kind of name; their refresh token."""
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop", identifiers=[*NAMES.values()])
    return await api.refresh_token(session, "shop", offline=True)
