"""An assertion shaped to the letter like Okta's, by a key made for one run: it proves our side of the agreement, not Okta's."""

import time
import uuid
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import RSAKey

from service.verify.caller_assertion import TYP

ALGORITHM: Final = "RS256"
"""What Okta signs with."""

RSA_BITS: Final = 2048
"""Size of the key, in bits: that of Okta's."""

LIFETIME_S: Final = 300
"""How far `exp` lies after and `nbf` before `iat`, in seconds, as Okta documents it."""


class PassingKey:
    """A key that is nowhere but in this process, and gone with it."""

    def __init__(self) -> None:
        self._key = RSAKey.generate_key(RSA_BITS, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)

    def jwks(self) -> dict[str, Any]:
        """Its public half, as a JWKS (RFC 7517)."""
        return {"keys": [self._key.as_dict(private=False)]}

    def assertion(self, *, iss: str, sub: str, aud: str) -> str:
        """The bearer JWT of one Global Token Revocation request, issued now."""
        now = int(time.time())
        header = {"typ": TYP, "alg": ALGORITHM, "kid": self._key.kid}
        claims: dict[str, Any] = {
            "jti": uuid.uuid4().hex,
            "iss": iss,
            "sub": sub,
            "aud": aud,
            "exp": now + LIFETIME_S,
            "nbf": now - LIFETIME_S,
            "iat": now,
        }
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])
