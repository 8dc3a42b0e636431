"""An identity provider's JWKS (RFC 7517 section 5), read key by key: one odd key spoils nothing."""

import base64
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from service.errors import InvalidRequest
from service.keys.algorithms import ALGORITHMS, MAX_RSA_BITS, MIN_RSA_BITS, algorithm_name, fits

MAX_KEYS_READ: Final = 100
"""Most keys looked at in one document: reading one costs up to a millisecond."""

MAX_KEYS_TRIED: Final = 8
"""Most keys a signature is checked with: a check costs some 35 microseconds, and a token may name no key."""

_CURVES: Final = frozenset(each.curve for each in ALGORITHMS.values() if each.curve)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKey:
    """One public key that may have signed, and what its issuer says of it."""

    key: Key
    kid: str | None
    alg: str | None
    """The one algorithm it is for (RFC 7517 section 4.4); None: any its type fits."""

    def verifies(self, alg: str) -> bool:
        """Whether a signature by `alg`, one of SIGNING_ALGORITHMS, may be checked with it."""
        return self.alg in {None, alg} and fits(self.key, alg)


class _Skipped(Exception):
    """Why a key is left out, in a word for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The keys of one document that can be used, in its order, and how many could not, by reason."""

    keys: tuple[IssuerKey, ...]
    skipped: Mapping[str, int]

    def find(self, *, alg: str, kid: str | None) -> tuple[Key, ...]:
        """The keys to check a signature with: those named `kid`, or where the token names none, every one that fits."""
        fitting = (each.key for each in self.keys if (kid is None or each.kid == kid) and each.verifies(alg))
        return tuple(islice(fitting, MAX_KEYS_TRIED))


def read_key_set(document: object, *, what: str = "the document at `jwks_uri`") -> KeySet:
    """Read a JWKS document. Raises InvalidRequest when `what` is none; keys that are odd are skipped and counted."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise InvalidRequest(f"{what} is not a JWK Set: it has no list `keys`")
    keys: list[IssuerKey] = []
    skipped: Counter[str] = Counter()
    for each in listed[:MAX_KEYS_READ]:
        try:
            keys.append(_read_key(each))
        except _Skipped as reason:
            skipped[str(reason)] += 1
    skipped["beyond_limit"] += max(0, len(listed) - MAX_KEYS_READ)
    return KeySet(keys=tuple(keys), skipped={reason: count for reason, count in skipped.items() if count})


def _read_key(jwk: object) -> IssuerKey:
    if not isinstance(jwk, dict):
        raise _Skipped("not_an_object")
    if jwk.get("d") is not None:
        # A private key that anybody may fetch: what it signed proves nothing.
        raise _Skipped("private")
    # Null is what some serializers make of a member that is absent.
    use, operations, alg, kid = (jwk.get(member) for member in ("use", "key_ops", "alg", "kid"))
    if use not in (None, "sig"):
        raise _Skipped("other_use")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        raise _Skipped("other_use")
    if alg is not None and algorithm_name(alg) is None:
        raise _Skipped("other_algorithm")
    if kid is not None and not isinstance(kid, str):
        raise _Skipped("garbage")
    try:
        key = _import(jwk)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm):
        # What joserfc and cryptography raise for members that are missing, no base64url, or no point of the curve.
        raise _Skipped("garbage") from None
    return IssuerKey(key=key, kid=kid, alg=algorithm_name(alg))


def _import(jwk: dict[str, Any]) -> Key:
    """The public key itself. Only the members that make it one are handed on: any other may be odd at will."""
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", _:
            modulus = base64.urlsafe_b64decode(jwk["n"] + "=" * (-len(jwk["n"]) % 4))
            if not MIN_RSA_BITS <= int.from_bytes(modulus, "big").bit_length() <= MAX_RSA_BITS:
                raise _Skipped("rsa_size")
            return RSAKey.import_key({member: jwk[member] for member in ("n", "e")} | {"kty": "RSA"})
        case "EC", str(curve) if curve in _CURVES:
            return ECKey.import_key({member: jwk[member] for member in ("crv", "x", "y")} | {"kty": "EC"})
        case "OKP", str(curve) if curve in _CURVES:
            return OKPKey.import_key({member: jwk[member] for member in ("crv", "x")} | {"kty": "OKP"})
        case _:
            raise _Skipped("other_type")
