"""The judge of the demo: a logout token, verified by an application that trusts nothing.

OpenID Connect Back-Channel Logout 1.0 section 2.6, step by step, with every "may" read as "must". It shares no code with
the side that mints these tokens.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

BACK_CHANNEL_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
"""The one member of `events` (section 2.4)."""

TOKEN_TYPE: Final = "logout+jwt"
"""`typ` of a logout token (section 2.4)."""

MAX_LIFETIME_SECONDS: Final = 120
"""Longest `exp` - `iat` taken, in seconds: section 4 asks for two minutes at most."""

CLOCK_SKEW_SECONDS: Final = 5
"""How far `iat` may lie in the future, in seconds: the two clocks are one machine's."""

PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "k", "oth"})
"""Members of a JWK that nobody publishes (RFC 7518 section 6)."""


class LogoutTokenRefused(Exception):
    """The application answers 400; the text says which step failed and never holds the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """A logout token that passed every step."""

    alg: str
    jti: str
    txn: str | None
    sub: str | None
    sid: str | None


class IssuerKeys:
    """The public keys of one issuer, found as any relying party finds them: discovery document, then JWKS."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._keys: dict[str, tuple[Mapping[str, Any], Key]] = {}

    async def fetch(self) -> None:
        """Fetch discovery document and keys. Raises LogoutTokenRefused when they are not what they should be."""
        async with httpx.AsyncClient(trust_env=False) as client:
            metadata = await _get_object(client, f"{self.issuer}/.well-known/openid-configuration")
            if metadata.get("issuer") != self.issuer:
                raise LogoutTokenRefused("the discovery document names another issuer")
            if not (
                metadata.get("backchannel_logout_supported") and metadata.get("backchannel_logout_session_supported")
            ):
                raise LogoutTokenRefused("the discovery document does not announce back-channel logout with sessions")
            keys = (await _get_object(client, str(metadata.get("jwks_uri")))).get("keys")
        if not isinstance(keys, list) or any(PRIVATE_MEMBERS & set(key) for key in keys):
            raise LogoutTokenRefused("the JWKS is no list of public keys")
        self._keys = {key["kid"]: (key, JWKRegistry.import_key(key)) for key in keys}

    async def key(self, kid: object, *, alg: str) -> Key:
        """The key of that name, if it is for signatures by `alg`; an unknown name is looked up afresh once."""
        if not isinstance(kid, str):
            raise LogoutTokenRefused("the header has no `kid`")
        if kid not in self._keys:
            await self.fetch()
        if kid not in self._keys:
            raise LogoutTokenRefused("`kid` names no key of the issuer")
        described, key = self._keys[kid]
        if described.get("alg", alg) != alg or described.get("use", "sig") != "sig":
            raise LogoutTokenRefused("`kid` names a key for something else")
        return key


async def verify_logout_token(
    token: str, *, keys: IssuerKeys, client_id: str, alg: str, session_required: bool, now_s: float
) -> LogoutToken:
    """Verify a logout token meant for `client_id`, whose ID tokens are signed by `alg`. Raises LogoutTokenRefused."""
    # 1. Signed, and not encrypted: this application negotiated no encryption.
    parts = token.split(".")
    if len(parts) != 3:
        raise LogoutTokenRefused("not a signed JWT")
    # 2., 3. `typ`; `alg` is the one registered, and so never `none`; the signature, by a key of the issuer.
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError):
        raise LogoutTokenRefused("not a signed JWT") from None
    if header.get("typ") != TOKEN_TYPE:
        raise LogoutTokenRefused(f"`typ` is not {TOKEN_TYPE}")
    if header.get("alg") != alg:
        raise LogoutTokenRefused(f"`alg` is not the registered {alg}")
    key = await keys.key(header.get("kid"), alg=alg)
    try:
        payload = jws.deserialize_compact(token, key, algorithms=[alg]).payload
    except (JoseError, ValueError):
        raise LogoutTokenRefused("the signature is not the issuer's") from None
    claims = _claims(payload)
    # 4. `iss`, `aud`, `iat`, `exp`, as for an ID token.
    if claims.get("iss") != keys.issuer:
        raise LogoutTokenRefused("`iss` is not the issuer")
    if claims.get("aud") not in (client_id, [client_id]):
        raise LogoutTokenRefused("`aud` is not this application alone")
    _check_times(claims, now_s=now_s)
    # 5. `sub`, `sid` or both; `sid` where it was asked for at registration (section 2.2).
    sub, sid = _name(claims, "sub"), _name(claims, "sid")
    if sub is None and sid is None:
        raise LogoutTokenRefused("neither `sub` nor `sid`")
    if session_required and sid is None:
        raise LogoutTokenRefused("no `sid`, which this application requires")
    # 6. `events`: that one member, an empty object.
    if claims.get("events") != {BACK_CHANNEL_EVENT: {}}:
        raise LogoutTokenRefused("`events` is not the back-channel logout event alone")
    # 7. No `nonce`, whatever its value: this must never pass for an ID token.
    if "nonce" in claims:
        raise LogoutTokenRefused("`nonce` is present")
    # 8. is the caller's: it remembers each `jti`.
    jti = _name(claims, "jti")
    if jti is None:
        raise LogoutTokenRefused("no `jti`")
    return LogoutToken(alg=alg, jti=jti, txn=_name(claims, "txn"), sub=sub, sid=sid)


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        raise LogoutTokenRefused("the claims are not JSON") from None
    if not isinstance(claims, dict):
        raise LogoutTokenRefused("the claims are not a JSON object")
    return claims


def _check_times(claims: Mapping[str, Any], *, now_s: float) -> None:
    iat, exp = _instant(claims, "iat"), _instant(claims, "exp")
    if iat > now_s + CLOCK_SKEW_SECONDS:
        raise LogoutTokenRefused("`iat` is in the future")
    if exp <= now_s:
        raise LogoutTokenRefused("expired")
    if not 0 < exp - iat <= MAX_LIFETIME_SECONDS:
        raise LogoutTokenRefused(f"`exp` is not within {MAX_LIFETIME_SECONDS} s after `iat`")


def _instant(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LogoutTokenRefused(f"`{name}` is not a time")
    return value


def _name(claims: Mapping[str, Any], claim: str) -> str | None:
    if claim not in claims:
        return None
    value = claims[claim]
    if not isinstance(value, str) or not value:
        raise LogoutTokenRefused(f"`{claim}` is not a string that says something")
    return value


async def _get_object(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    try:
        response = await client.get(url)
        found = response.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise LogoutTokenRefused(f"the issuer's metadata cannot be fetched ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise LogoutTokenRefused("the issuer's metadata is not a JSON object")
    return found
