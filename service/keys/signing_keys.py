"""Our signing keys as the operator's file has them: what they are, and which of them signs when.

The file is a private JWKS (RFC 7517 section 5). One member of ours says from when on a key signs; without it, and so in any
JWKS from elsewhere, a key may sign at any time. It is for our processes only and is never published.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from service.domain.connection import SIGNING_ALGORITHMS
from service.errors import LogoutdError
from service.keys.algorithms import algorithm_name, fits, registry_for
from service.keys.times import LATEST_TIME_S

_OURS: Final = "logoutd_"
"""How members of ours begin. One we do not know is refused: misspelt, it would let a key sign before anybody knows it."""

USE_FROM: Final = f"{_OURS}use_from"
"""From when on a key signs: a NumericDate in whole seconds (RFC 7519 section 2)."""

_PUBLIC: Final = frozenset({"kty", "crv", "x", "y", "n", "e"})
"""The members of a public key (RFC 7518 sections 6.2.1 and 6.3.1, RFC 8037 section 2)."""

State = Literal["next", "current", "previous"]
"""Published and not used yet; signs; published and not used any more."""


class SigningKeysError(LogoutdError):
    """The signing keys cannot be used, or not changed so; the message says which and why, never what is in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key and the one algorithm it signs with (RFC 8725 section 3.1)."""

    algorithm: str
    key: Key = field(repr=False)
    use_from_s: int = 0
    """From when on it signs, in seconds since the epoch; 0: it may at any time."""

    @property
    def kid(self) -> str:
        """Its name."""
        return str(self.key.kid)

    def public(self) -> dict[str, Any]:
        """Its public half (RFC 7517 section 4)."""
        return {
            # Only what makes the key and names it: `key_ops` says `sign` here, and a note is the operator's own.
            **{name: value for name, value in self.key.as_dict(private=False).items() if name in _PUBLIC},
            "use": "sig",
            "alg": self.algorithm,
            "kid": self.kid,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a key is in its life."""

    kid: str
    algorithm: str
    state: State
    from_s: int
    """When it began to sign, or will, in seconds since the epoch; 0: nobody knows."""
    until_s: int | None
    """When another takes its place, in seconds since the epoch; None while none is to."""


class SigningKeys:
    """The keys of one file. Of each algorithm the one whose time came last signs; of equals, the first in the file."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._keys = tuple(keys)
        self._latest_first = {
            # Sorting keeps the order of equals.
            algorithm: tuple(sorted(of_it, key=lambda each: -each.use_from_s))
            for algorithm in dict.fromkeys(each.algorithm for each in keys)
            if (of_it := [each for each in keys if each.algorithm == algorithm])
        }
        self._jwks = {"keys": [each.public() for each in self._keys]}

    @property
    def kids(self) -> tuple[str, ...]:
        """The name of every key, in the order of the file."""
        return tuple(each.kid for each in self._keys)

    def signing(self, algorithm: str, *, now_s: int) -> SigningKey | None:
        """The key that signs with `algorithm` now, or None."""
        keys = self._latest_first.get(algorithm, ())
        return next((each for each in keys if each.use_from_s <= now_s), None)

    def algorithms(self, *, now_s: int) -> tuple[str, ...]:
        """The algorithms a key signs with now."""
        return tuple(each for each in self._latest_first if self.signing(each, now_s=now_s))

    def jwks(self) -> dict[str, Any]:
        """The public half of every key (RFC 7517 section 5), whatever its place in its life."""
        return {"keys": [dict(each) for each in self._jwks["keys"]]}

    def places(self, *, now_s: int) -> tuple[Place, ...]:
        """Where each key is in its life, in the order of the file."""
        found: dict[str, Place] = {}
        for algorithm, keys in self._latest_first.items():
            until_s: int | None = None
            signing = self.signing(algorithm, now_s=now_s)
            for each in keys:
                waiting: State = "next" if each.use_from_s > now_s else "previous"
                found[each.kid] = Place(
                    kid=each.kid,
                    algorithm=algorithm,
                    state="current" if each is signing else waiting,
                    from_s=each.use_from_s,
                    until_s=until_s,
                )
                until_s = each.use_from_s
        return tuple(found[each.kid] for each in self._keys)


def load_signing_keys(path: Path) -> SigningKeys:
    """Read a private JWKS. Raises SigningKeysError: unreadable, not a JWKS, a key that is public, of no algorithm we
    sign with, too weak, of a `kid` used twice or of a time that is none."""
    return parse_signing_keys(decode_signing_keys(read_signing_keys(path)))


def read_signing_keys(path: Path) -> bytes:
    """The file as it is. Raises SigningKeysError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SigningKeysError(f"the signing keys cannot be read ({type(error).__name__})") from None


def decode_signing_keys(content: bytes) -> Any:
    """What the file says, unchecked. Raises SigningKeysError when it is not JSON."""
    try:
        return json.loads(content.decode("utf-8"))
    except ValueError:
        raise SigningKeysError("the signing keys are not JSON") from None


def parse_signing_keys(document: object) -> SigningKeys:
    """The keys of a private JWKS document. Raises SigningKeysError."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not listed:
        raise SigningKeysError("the signing keys are not a JWKS: no `keys`")
    keys = SigningKeys([_import(number, data) for number, data in enumerate(listed, start=1)])
    if len(set(keys.kids)) != len(keys.kids):
        raise SigningKeysError("two signing keys have the same `kid`")
    return keys


def _import(number: int, data: object) -> SigningKey:
    if not isinstance(data, dict):
        raise SigningKeysError(f"signing key {number} is not an object")
    algorithm = algorithm_name(data.get("alg"))
    if algorithm is None:
        raise SigningKeysError(f"signing key {number} needs `alg`, one of {', '.join(SIGNING_ALGORITHMS)}")
    use_from_s = _use_from_s(number, data)
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
        jwt.encode({"alg": algorithm}, {}, key, registry=registry_for(algorithm))
    except (JoseError, ValueError):
        raise SigningKeysError(f"signing key {number} cannot sign") from None
    return SigningKey(algorithm=algorithm, key=key, use_from_s=use_from_s)


def _use_from_s(number: int, data: dict[str, Any]) -> int:
    if any(name.startswith(_OURS) and name != USE_FROM for name in data):
        raise SigningKeysError(f"signing key {number} has a member `{_OURS}…` that is none of ours; {USE_FROM} is")
    said = data.get(USE_FROM, 0)
    if isinstance(said, bool) or not isinstance(said, int) or not 0 <= said <= LATEST_TIME_S:
        raise SigningKeysError(f"signing key {number} has a `{USE_FROM}` that is no time in whole seconds")
    return said
