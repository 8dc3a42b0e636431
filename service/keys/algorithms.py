"""The signature algorithms of the house: which key each takes, and how a signature is checked with exactly one of them.

joserfc is told the algorithm by the caller, never by the token: its own default list holds HS256 and leaves PS256 and
EdDSA out.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from service.domain.connection import SIGNING_ALGORITHMS

MIN_RSA_BITS: Final = 2048
"""Shortest RSA modulus, in bits (RFC 7518 sections 3.3 and 3.5)."""

MAX_RSA_BITS: Final = 8192
"""Longest RSA modulus, in bits: the cost of a check grows with its square, and nobody signs with more."""

MAX_HEADER_LENGTH: Final = 4096
"""Longest encoded header, in bytes: joserfc's 512 are too few for a header that carries its certificate (`x5c`)."""

# RFC 9864 renames the algorithm to Ed25519. Identity providers still send the name that OpenID Connect registered, and a
# warning nobody can act upon, repeated in every process, hides the ones that matter.
warnings.filterwarnings("ignore", message="EdDSA is deprecated via RFC 9864", category=SecurityWarning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """One `alg` and the keys that belong to it. `curve` is None where the key type has none."""

    name: str
    kty: Literal["RSA", "EC", "OKP"]
    curve: Literal["P-256", "Ed25519"] | None = None
    names: tuple[str, ...]
    """Every way it is written in a header or a key."""


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    each.name: each
    for each in (
        Algorithm(name="RS256", kty="RSA", names=("RS256",)),
        Algorithm(name="PS256", kty="RSA", names=("PS256",)),
        Algorithm(name="ES256", kty="EC", curve="P-256", names=("ES256",)),
        Algorithm(name="EdDSA", kty="OKP", curve="Ed25519", names=("EdDSA", "Ed25519")),
    )
}
"""Each of `SIGNING_ALGORITHMS` by its name, with what RFC 7518 section 3.1 and RFC 8037 section 3.1 ask of its key."""

if tuple(ALGORITHMS) != SIGNING_ALGORITHMS:
    raise RuntimeError("every signing algorithm has exactly one entry in ALGORITHMS")

_BY_ANY_NAME: Final = {name: each.name for each in ALGORITHMS.values() for name in each.names}


def algorithm_name(alg: object) -> str | None:
    """The name we know `alg` by (`Ed25519` of RFC 9864 is `EdDSA`), or None when it is none of ours."""
    return _BY_ANY_NAME.get(alg) if isinstance(alg, str) else None


@cache
def registry_for(alg: str) -> jws.JWSRegistry:
    """What joserfc may use for `alg`, one of SIGNING_ALGORITHMS: this algorithm and no other.

    Header members it does not know are left alone (RFC 7515 section 4); those named in `crit` are refused.
    """
    registry = jws.JWSRegistry(algorithms=ALGORITHMS[alg].names, strict_check_header=False)
    registry.max_header_length = MAX_HEADER_LENGTH
    return registry


def fits(key: Key, alg: str) -> bool:
    """Whether `key` is of the type, curve and size that `alg`, one of SIGNING_ALGORITHMS, takes."""
    wanted = ALGORITHMS[alg]
    match key:
        case RSAKey():
            return wanted.kty == "RSA" and MIN_RSA_BITS <= key.raw_value.key_size <= MAX_RSA_BITS
        case ECKey() | OKPKey():
            return wanted.kty == key.key_type and wanted.curve == key.curve_name
        case _:
            return False


def verify_with(token: str, key: Key, alg: str) -> bytes | None:
    """The payload of a compact JWS that `key` signed by `alg`, one of SIGNING_ALGORITHMS; None when it did not.

    A token that names another algorithm in its header was not signed by this one, whatever its signature says
    (RFC 8725 section 3.1).
    """
    if not fits(key, alg):
        return None
    try:
        return jws.deserialize_compact(token, key, registry=registry_for(alg)).payload
    except (JoseError, ValueError, TypeError, UnsupportedAlgorithm):
        # joserfc's own refusals, and what it lets through from base64 and from the key itself. Why does not matter: the
        # signature has not been shown to be good.
        return None
