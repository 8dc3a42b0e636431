"""Our signing keys: several algorithms side by side, parsed once, never shown whole.

They are those of the authorization server we stand beside: applications check a logout token with the keys and the
algorithm of their ID tokens (OIDC Back-Channel Logout section 2.4).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from service.domain.connection import SIGNING_ALGORITHMS
from service.errors import LogoutdError
from service.keys.algorithms import algorithm_name, fits, registry_for

_PUBLIC: Final = frozenset({"kty", "crv", "x", "y", "n", "e"})
"""The members of a public key (RFC 7518 sections 6.2.1 and 6.3.1, RFC 8037 section 2)."""


class SigningKeysError(LogoutdError):
    """The signing keys cannot be used; the message says which and why, never what is in them."""


class KeyRing:
    """Private keys by algorithm; the first in the file of each algorithm signs, all of them are published."""

    def __init__(self, keys: tuple[tuple[str, Key], ...]) -> None:
        self._keys = keys
        self._signing: dict[str, Key] = {}
        for algorithm, key in keys:
            self._signing.setdefault(algorithm, key)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms there is a key for."""
        return tuple(self._signing)

    def sign(self, claims: Mapping[str, Any], *, algorithm: str, typ: str) -> str:
        """A compact JWS over `claims` with `alg`, `kid` and `typ` in its header. KeyError without a key for it."""
        key = self._signing[algorithm]
        header = {"alg": algorithm, "kid": key.kid, "typ": typ}
        return jwt.encode(header, dict(claims), key, registry=registry_for(algorithm))

    def jwks(self) -> dict[str, Any]:
        """The public half of every key (RFC 7517 section 5)."""
        return {
            "keys": [
                {
                    # Only what makes the key and names it: `key_ops` says `sign` here, and a note is the operator's own.
                    **{name: value for name, value in key.as_dict(private=False).items() if name in _PUBLIC},
                    "use": "sig",
                    "alg": algorithm,
                    "kid": key.kid,
                }
                for algorithm, key in self._keys
            ]
        }


def load_key_ring(path: Path) -> KeyRing:
    """Read a private JWKS. Raises SigningKeysError: unreadable, not a JWKS, a key that is public, of no algorithm we
    sign with, too weak, or of a `kid` used twice."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SigningKeysError(f"the signing keys cannot be read ({type(error).__name__})") from None
    except ValueError:
        raise SigningKeysError("the signing keys are not JSON") from None
    return parse_key_ring(document)


def parse_key_ring(document: object) -> KeyRing:
    """A key ring from a private JWKS document. Raises SigningKeysError."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not listed:
        raise SigningKeysError("the signing keys are not a JWKS: no `keys`")
    keys = tuple(_import(number, data) for number, data in enumerate(listed, start=1))
    names = [key.kid for _, key in keys]
    if len(set(names)) != len(names):
        raise SigningKeysError("two signing keys have the same `kid`")
    return KeyRing(keys)


def _import(number: int, data: object) -> tuple[str, Key]:
    if not isinstance(data, dict):
        raise SigningKeysError(f"signing key {number} is not an object")
    algorithm = algorithm_name(data.get("alg"))
    if algorithm is None:
        raise SigningKeysError(f"signing key {number} needs `alg`, one of {', '.join(SIGNING_ALGORITHMS)}")
    try:
        # By the one name we sign under: joserfc holds a key to its `alg` to the letter.
        key = JWKRegistry.import_key({**data, "alg": algorithm})
        fitting = fits(key, algorithm)
    except (JoseError, ValueError, TypeError, KeyError):
        raise SigningKeysError(f"signing key {number} cannot be read") from None
    if not key.is_private:
        raise SigningKeysError(f"signing key {number} holds no private key")
    if not fitting:
        raise SigningKeysError(f"signing key {number} does not fit {algorithm}, or is too weak for it")
    key.ensure_kid()
    try:
        # Parsing an RSA key takes tens of milliseconds: now, and not at the first logout.
        KeyRing(((algorithm, key),)).sign({}, algorithm=algorithm, typ="JWT")
    except (JoseError, ValueError):
        raise SigningKeysError(f"signing key {number} cannot sign") from None
    return algorithm, key
