"""Was it the identity provider that logged somebody out? A back-channel logout token, verified step by step.

OIDC Back-Channel Logout 1.0 section 2.6. The same keys sign ID tokens and assertions: what tells them apart are `typ`,
`events` and the absence of `nonce`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from service.domain.connection import Connection
from service.errors import NotAuthenticated
from service.verify.claims import SKEW_S, is_text, media_type, time_claim, token_id, told
from service.verify.encrypted_token import decrypt, is_encrypted
from service.verify.issuer_keys import IssuerKeys
from service.verify.signed_token import (
    CREDENTIAL_REFUSED,
    SignedToken,
    read_claims,
    read_token,
    refuse,
    signed_payload,
    unverified_payload,
)

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
"""The member of `events` that makes a logout token one (section 2.4); with `http`, as the specification has it."""

TYPES: Final = frozenset({None, "jwt", "logout+jwt"})
"""What `typ` may be: section 2.4 recommends `logout+jwt`, and section 4.1 forbids to insist on it."""

MAX_AGE_S: Final = 86_400
"""Oldest `iat`, in seconds before now: the day the certification suite allows. `exp` is usually minutes ahead of it."""

MAX_AGE_WITHOUT_EXP_S: Final = 600
"""Oldest `iat` of a token that has no `exp`, in seconds."""

MAX_NAME_LENGTH: Final = 1024
"""Longest `sub` or `sid`, in characters: as long as a sign-in may report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLogout:
    """The proof that a connection's identity provider has logged somebody out. Only this module makes one."""

    connection_id: str
    iss: str
    sub: str | None = field(repr=False)
    """The person, by their upstream name; None: whoever has the session."""
    sid: str | None = field(repr=False)
    """The upstream session; None: every one of `sub`."""
    jti: str
    issued_at_ms: int
    """Its `iat`, by the identity provider's clock: no session begun after it is meant."""
    expires_at_ms: int
    """From when the token is refused whatever it says. Until then its `jti` is remembered."""


async def verify_logout_token(
    text: str, *, connection: Connection | None, keys: IssuerKeys, now_ms: int
) -> VerifiedLogout:
    """Verify what a connection's identity provider is said to have sent.

    `connection` is None where there is none of that name. Raises NotAuthenticated, whose `reason` is for the log and whose
    text is for the caller, and KeysUnavailable when there is no telling.
    """
    # A connection that does not exist answers like one whose credential is wrong.
    if connection is None:
        if not is_encrypted(text):
            read_token(text)
        refuse("unknown_connection", CREDENTIAL_REFUSED)
    # Steps 1 to 3, then 4 to 7 of section 2.6.
    signed = _open(text, connection)
    payload = await signed_payload(signed, connection=connection, algorithms=_algorithms(connection), keys=keys)
    return _check(signed, payload, connection=connection, now=now_ms / 1000)


def may_be_logout_token(text: str, *, connection: Connection, now_ms: int) -> bool:
    """Whether only the signature is left to check: what would be refused anyway is not worth keeping."""
    try:
        signed = _open(text, connection)
        if signed.alg not in _algorithms(connection):
            return False
        _check(signed, unverified_payload(signed), connection=connection, now=now_ms / 1000)
    except NotAuthenticated:
        return False
    return True


def _algorithms(connection: Connection) -> frozenset[str]:
    # 3. By the one algorithm of its ID tokens (section 2.6 step 3), also where its keys include one for another.
    return frozenset({connection.id_token_algorithm})


def _open(text: str, connection: Connection) -> SignedToken:
    # A signed JWT by an asymmetric algorithm of ours; never `none` or HS* (step 3, RFC 8725 section 3.2). It is read before
    # anything of the connection is looked at, and nothing of the connection shows in what is answered to strangers.
    key = connection.options.decryption_jwk
    if not is_encrypted(text):
        signed = read_token(text)
        # 1. Encrypted where that was agreed, or anybody could leave it out (step 1).
        if key is not None:
            refuse("not_encrypted", CREDENTIAL_REFUSED)
        return signed
    if key is None:
        refuse("encrypted", CREDENTIAL_REFUSED)
    inside = decrypt(text, key)
    try:
        return read_token(inside)
    except NotAuthenticated as error:
        refuse(error.reason, CREDENTIAL_REFUSED)


def _check(signed: SignedToken, payload: bytes, *, connection: Connection, now: float) -> VerifiedLogout:
    # Of this kind and no other (RFC 8725 section 3.11): an access token, a security event, an assertion are refused.
    if media_type(signed.typ) not in TYPES:
        refuse("wrong_typ", f"`typ` is {told(signed.typ)}; expected logout+jwt, JWT or none")
    claims = read_claims(payload)

    # 4. `iss`, `aud`, `iat` and `exp` as of an ID token (step 4, OpenID Connect Core section 3.1.3.7).
    iss = claims.get("iss")
    if iss != connection.options.issuer or not isinstance(iss, str):
        refuse("wrong_iss", f"`iss` is {told(iss)}; expected {connection.options.issuer}")
    aud, client_id = claims.get("aud"), connection.options.client_id
    if aud not in (client_id, [client_id]):
        refuse("wrong_aud", f"`aud` is {told(aud)}; expected the client_id of this connection and no other")
    iat, until = _check_times(claims, allow_missing_exp=connection.options.allow_missing_exp, now=now)

    # 5. About a person, a session, or both (step 5). Some senders write null for none.
    sub, sid = _name(claims, "sub"), _name(claims, "sid")
    if sub is None and sid is None:
        refuse("no_subject", "the token has neither `sub` nor `sid`")

    # 6. A logout (step 6). Its value is an empty object, which Python calls false.
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        refuse("wrong_event", f"`events` must be an object with the member {EVENT}, itself an object")

    # 7. Not an ID token (step 7).
    if "nonce" in claims:
        refuse("other_kind_of_token", "`nonce` belongs to an ID token and must be absent")

    # 8. Named, so that it can be remembered (step 8; `jti` is required by section 2.4).
    return VerifiedLogout(
        connection_id=connection.id,
        iss=iss,
        sub=sub,
        sid=sid,
        jti=token_id(claims),
        issued_at_ms=int(iat * 1000),
        expires_at_ms=int(until * 1000),
    )


def _check_times(claims: Mapping[str, Any], *, allow_missing_exp: bool, now: float) -> tuple[float, float]:
    """Hold the time claims against `now`, seconds since the epoch; returns `iat`, and until when the token is accepted."""
    iat = time_claim(claims, "iat")
    if iat > now + SKEW_S:
        refuse("issued_in_future", f"`iat` is {iat - now:.0f} s ahead of our clock; at most {SKEW_S} s are allowed")
    if "exp" not in claims and not allow_missing_exp:
        refuse("missing_exp", "`exp` is missing; older providers need the connection's option `allow_missing_exp`")
    if "exp" in claims:
        exp = time_claim(claims, "exp")
        if exp <= now - SKEW_S:
            refuse("expired", f"`exp` was {now - exp:.0f} s ago; at most {SKEW_S} s are allowed for clocks that differ")
        if exp < iat:
            refuse("bad_lifetime", "`exp` is before `iat`")
        oldest, until = MAX_AGE_S, min(exp, iat + MAX_AGE_S)
    else:
        oldest, until = MAX_AGE_WITHOUT_EXP_S, iat + MAX_AGE_WITHOUT_EXP_S
    if iat < now - oldest - SKEW_S:
        refuse("too_old", f"`iat` is {now - iat:.0f} s ago; at most {oldest} s are allowed")
    if "nbf" in claims and (nbf := time_claim(claims, "nbf")) > now + SKEW_S:
        refuse("not_yet_valid", f"`nbf` is {nbf - now:.0f} s ahead of our clock; at most {SKEW_S} s are allowed")
    return iat, until + SKEW_S


def _name(claims: Mapping[str, Any], member: str) -> str | None:
    value = claims.get(member)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME_LENGTH or not is_text(value):
        refuse("bad_subject", f"`{member}` must be a string of 1 to {MAX_NAME_LENGTH} characters")
    return value
