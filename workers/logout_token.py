"""The logout token we mint for one audience (OIDC Back-Channel Logout 1.0 section 2.4)."""

import secrets
from typing import Any, Final

from service.domain.delivery import Delivery
from service.keys.ring import KeyRing
from service.verify.logout_token import EVENT

LIFETIME_S: Final = 120
"""`exp` minus `iat`, in seconds: section 4 advises two minutes at most. Each attempt has a token of its own."""

TYP: Final = "logout+jwt"
"""Explicit typing (section 2.4, RFC 8725 section 3.11)."""


def logout_claims(delivery: Delivery, *, issuer: str, now_s: int, jti: str) -> dict[str, Any]:
    """The claims of one attempt.

    `sub` is always there, so that an application which cannot find the session can find the person; `sid` where one
    session is meant. No `nonce`, ever: it is what tells an ID token. `txn` (RFC 8417 section 2.2) is the same over all
    attempts of a delivery, `jti` never: a receiver that remembers tokens must not take a repeat for a replay.
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": delivery.client_id,
        "iat": now_s,
        "exp": now_s + LIFETIME_S,
        "jti": jti,
        "txn": delivery.delivery_id,
        "sub": delivery.sub,
        "events": {EVENT: {}},
    }
    if delivery.sid is not None:
        claims["sid"] = delivery.sid
    return claims


def mint_logout_token(delivery: Delivery, *, key_ring: KeyRing, algorithm: str, issuer: str, now_s: int) -> str:
    """A fresh logout token for one attempt. KeyError when there is no key for `algorithm`."""
    claims = logout_claims(delivery, issuer=issuer, now_s=now_s, jti=secrets.token_urlsafe(16))
    return key_ring.sign(claims, algorithm=algorithm, typ=TYP)
