"""Is it the identity provider that asks? The assertion of a Global Token Revocation request, verified step by step.

The profile is Okta's: the assertion names the caller (`iss`, `sub`) and the endpoint (`aud`), never the person; nothing
binds it to the body beside it. Hence `jti`, which the door remembers together with the body it came with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.domain.connection import Connection
from service.verify.claims import SKEW_S, media_type, time_claim, token_id, told
from service.verify.issuer_keys import IssuerKeys
from service.verify.signed_token import CREDENTIAL_REFUSED, read_claims, read_token, refuse, signed_payload

TYP: Final = "global-token-revocation+jwt"
"""The kind of JWT this is (RFC 8725 section 3.11), as Okta sends it."""

MAX_LIFETIME_S: Final = 300
"""Longest life of an assertion, in seconds from `iat`: what Okta gives it. Never from `nbf`, which it sets 300 s back."""

MAX_AGE_S: Final = 600
"""Oldest `iat`, in seconds before now (RFC 7523 section 3 item 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCaller:
    """The proof that a connection's identity provider asks. Only this module makes one."""

    connection_id: str
    iss: str
    jti: str
    expires_at_ms: int
    """From when the assertion is refused whatever it says: its `exp` and the skew. Until then its `jti` is remembered."""


async def verify_caller_assertion(
    token: str, *, connection: Connection | None, audience: str, keys: IssuerKeys, now_ms: int
) -> VerifiedCaller:
    """Verify a caller's assertion for one connection's Global Token Revocation endpoint.

    `connection` is None where there is none of that name; `audience` is the endpoint's URL built from PUBLIC_URL. Raises
    NotAuthenticated, whose `reason` is for the log and whose text is for the caller, and Unavailable when the identity
    provider's keys cannot be had.
    """
    # 1. A signed JWT of bearable size (RFC 7515 section 7.1), its header an object without repetitions (section 4).
    # 2. Signed by an asymmetric algorithm of ours; never `none` or HS* (RFC 8725 sections 3.1 and 3.2); no extension
    #    that we would have to understand (RFC 7515 section 4.1.11).
    signed = read_token(token)

    # 3. Signed by a key of this connection's identity provider, by an algorithm it uses (RFC 8725 sections 3.1, 3.3, 3.8).
    #    A connection that does not exist answers like one whose credential is wrong.
    if connection is None:
        refuse("unknown_connection", CREDENTIAL_REFUSED)
    payload = await signed_payload(signed, connection=connection, algorithms=connection.allowed_algorithms, keys=keys)

    # 4. Of this kind and no other (RFC 8725 section 3.11); compared as media types are (RFC 7515 section 4.1.9).
    if media_type(signed.typ) != TYP:
        refuse("wrong_typ", f"`typ` is {told(signed.typ)}; expected {TYP}")

    # 5. Claims that can be read in one way only (RFC 7519 section 4).
    claims = read_claims(payload)

    # 6. Issued by the connection's identity provider, character by character (RFC 7523 section 3 item 1).
    iss = claims.get("iss")
    if not isinstance(iss, str) or iss not in connection.assertion_issuers:
        refuse("wrong_iss", f"`iss` is {told(iss)}; expected {' or '.join(connection.assertion_issuers)}")

    # 7. About the caller it was configured for (RFC 8725 section 3.8; Okta: the client_id, or a SAML app's instance id).
    if claims.get("sub") != connection.assertion_subject:
        refuse("wrong_sub", f"`sub` is {told(claims.get('sub'))}; expected {connection.assertion_subject}")

    # 8. Meant for this endpoint and for nobody else (RFC 7523 section 3 item 3, RFC 8725 section 3.9).
    aud = claims.get("aud")
    if aud not in (audience, [audience]):
        refuse("wrong_aud", f"`aud` is {told(aud)}; expected exactly {audience}")

    # 9. Fresh (RFC 7523 section 3 items 4 to 6, RFC 7519 sections 4.1.4 to 4.1.6).
    exp = _check_times(claims, now=now_ms / 1000)

    # 10. Named, so that it can be remembered (RFC 7519 section 4.1.7).
    jti = token_id(claims)

    # 11. No other JWT of the same issuer dressed up: an ID token, a logout token, a security event (RFC 8725 section 3.12).
    for foreign in ("events", "nonce"):
        if foreign in claims:
            refuse("other_kind_of_token", f"`{foreign}` belongs to another kind of token and must be absent")

    return VerifiedCaller(connection_id=connection.id, iss=iss, jti=jti, expires_at_ms=int((exp + SKEW_S) * 1000))


def _check_times(claims: Mapping[str, Any], *, now: float) -> float:
    """Hold the time claims against `now`, seconds since the epoch; returns `exp`."""
    exp, iat = time_claim(claims, "exp"), time_claim(claims, "iat")
    if iat > now + SKEW_S:
        refuse("issued_in_future", f"`iat` is {iat - now:.0f} s ahead of our clock; at most {SKEW_S} s are allowed")
    if iat < now - MAX_AGE_S:
        refuse("too_old", f"`iat` is {now - iat:.0f} s ago; at most {MAX_AGE_S} s are allowed")
    if exp <= now - SKEW_S:
        refuse("expired", f"`exp` was {now - exp:.0f} s ago; at most {SKEW_S} s are allowed for clocks that differ")
    if exp < iat:
        refuse("bad_lifetime", "`exp` is before `iat`")
    # From `iat`: `nbf` may lie before it, and says nothing about how long the assertion lives.
    if exp - iat > MAX_LIFETIME_S + SKEW_S:
        refuse("bad_lifetime", f"`exp` is {exp - iat:.0f} s after `iat`; at most {MAX_LIFETIME_S} s are expected")
    if exp > now + MAX_LIFETIME_S + SKEW_S:
        refuse(
            "bad_lifetime", f"`exp` is {exp - now:.0f} s ahead of our clock; at most {MAX_LIFETIME_S} s are expected"
        )
    if "nbf" in claims and (nbf := time_claim(claims, "nbf")) > now + SKEW_S:
        refuse("not_yet_valid", f"`nbf` is {nbf - now:.0f} s ahead of our clock; at most {SKEW_S} s are allowed")
    return exp
