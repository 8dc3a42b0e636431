"""The key ring of a running process: whatever keys the operator's file has now, and the clock that says which one signs.

They are those of the authorization server we stand beside: applications check a logout token with the keys and the
algorithm of their ID tokens (OIDC Back-Channel Logout section 2.4).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jwt

from service.domain.clock import Clock, SystemClock
from service.keys.algorithms import registry_for
from service.keys.signing_keys import SigningKeys, SigningKeysError, load_signing_keys, parse_signing_keys

__all__ = ["KeyRing", "SigningKeysError", "load_key_ring", "parse_key_ring"]


class KeyRing:
    """Signs with the key whose time it is, and publishes all of them. Safe to use from several threads."""

    def __init__(self, keys: SigningKeys, *, clock: Clock | None = None) -> None:
        self._keys = keys
        self._clock = clock or SystemClock()

    @property
    def keys(self) -> SigningKeys:
        """The keys as they are now."""
        return self._keys

    @property
    def now_s(self) -> int:
        """The time it goes by, in whole seconds since the epoch."""
        return self._clock.now_ms() // 1000

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms there is a key for that signs now."""
        return self._keys.algorithms(now_s=self.now_s)

    def replace(self, keys: SigningKeys) -> None:
        """From now on these. A signature under way is made with what it began with."""
        self._keys = keys

    def sign(self, claims: Mapping[str, Any], *, algorithm: str, typ: str) -> str:
        """A compact JWS over `claims` with `alg`, `kid` and `typ` in its header. KeyError without a key for it."""
        signing = self._keys.signing(algorithm, now_s=self.now_s)
        if signing is None:
            raise KeyError(algorithm)
        header = {"alg": algorithm, "kid": signing.kid, "typ": typ}
        return jwt.encode(header, dict(claims), signing.key, registry=registry_for(algorithm))

    def jwks(self) -> dict[str, Any]:
        """The public half of every key (RFC 7517 section 5): those yet to sign and those that did, too."""
        return self._keys.jwks()


def load_key_ring(path: Path, *, clock: Clock | None = None) -> KeyRing:
    """A key ring of a file. Raises SigningKeysError."""
    return KeyRing(load_signing_keys(path), clock=clock)


def parse_key_ring(document: object, *, clock: Clock | None = None) -> KeyRing:
    """A key ring of a private JWKS document. Raises SigningKeysError."""
    return KeyRing(parse_signing_keys(document), clock=clock)
