"""Keys an administrator configured instead of a place to fetch them: an inline JWK Set, or certificates.

There is nothing to be unavailable, to cool down or to go stale; what may go wrong was refused when they were configured.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from joserfc.jwk import Key

from service.domain.connection import ConnectionOptions
from service.errors import InvalidRequest
from service.telemetry import get_logger
from service.verify.certificates import InvalidCertificateError, SigningCertificate, read_certificate
from service.verify.key_set import MAX_KEYS_READ, MAX_KEYS_TRIED, IssuerKey, read_key_set

MAX_PARSED: Final = 2_000
"""Most connections whose pinned keys are kept parsed; the least recently used goes. Reading a certificate costs some
0.1 ms, a set of a hundred keys a hundred times that, and they are some kilobytes each."""

NO_THUMBPRINTS: Final[frozenset[str]] = frozenset()
"""Of a token whose header names no certificate."""

_PUBLIC_MEMBERS: Final = ("kty", "use", "key_ops", "alg", "kid", "n", "e", "crv", "x", "y")
"""What is kept of a key: what verifying reads (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2)."""

_PRIVATE_MEMBERS: Final = ("d", "k", "p", "q", "dp", "dq", "qi", "oth", "priv")
"""What only the owner of a key may have, and what a shared secret consists of (RFC 7518 sections 6.2.2, 6.3.2 and 6.4,
RFC 8037 section 2, and the key pairs of later algorithms)."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedKeys:
    """The keys of one connection; of a set or of certificates, never both."""

    keys: tuple[IssuerKey, ...] = ()
    certificates: tuple[SigningCertificate, ...] = ()

    def find(self, *, alg: str, kid: str | None, thumbprints: frozenset[str], now_ms: int) -> tuple[Key, ...]:
        """The keys to check a signature by `alg` with, at most MAX_KEYS_TRIED of them.

        A certificate has no `kid`, so a token's rules none out; a key of the set that has none is likewise tried with
        any. Where `thumbprints` name a pinned certificate it is that one alone; where they name none they are what they
        are, a hint of whoever wrote the header, and the signature decides.
        """
        named = [each for each in self.certificates if each.thumbprints & thumbprints] or self.certificates
        found = [each.key for each in named if each.verifies(alg, now_ms)]
        found += [each.key for each in self.keys if each.verifies(alg) and (kid is None or each.kid in {None, kid})]
        return tuple(found[:MAX_KEYS_TRIED])

    def count_usable(self, algorithms: tuple[str, ...], now_ms: int) -> int:
        """How many can check a signature by one of `algorithms` now."""
        certificates = sum(any(each.verifies(alg, now_ms) for alg in algorithms) for each in self.certificates)
        return certificates + sum(any(each.verifies(alg) for alg in algorithms) for each in self.keys)


def pinned_keys(options: ConnectionOptions) -> PinnedKeys | None:
    """The pinned keys of a connection; None where it has a place to fetch them.

    What can no longer be read is left out and logged: it verifies nothing, and stands in nothing else's way.
    """
    return _parsed(options.jwks, options.signing_certificates) if options.has_pinned_keys else None


def public_jwks(document: object) -> dict[str, Any]:
    """An inline JWK Set as it may be kept: public members of public keys.

    Raises InvalidRequest when it is no JWK Set, has more than MAX_KEYS_READ keys, or holds anything private or shared;
    what that is worth is not repeated.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise InvalidRequest("must be a JWK Set: an object with a list `keys` of objects (RFC 7517 section 5)")
    if len(listed) > MAX_KEYS_READ:
        raise InvalidRequest(f"has {len(listed)} keys; at most {MAX_KEYS_READ} are read")
    for number, each in enumerate(listed, start=1):
        private = [name for name in _PRIVATE_MEMBERS if each.get(name) is not None]
        if private or each.get("kty") == "oct":
            what = f"has `{private[0]}`" if private else "is symmetric"
            raise InvalidRequest(f"must hold public keys alone, and key {number} {what}; nothing of it was kept")
    return {"keys": [{name: each[name] for name in _PUBLIC_MEMBERS if name in each} for each in listed]}


@lru_cache(maxsize=MAX_PARSED)
def _parsed(jwks: str | None, certificates: tuple[str, ...]) -> PinnedKeys:
    keys: tuple[IssuerKey, ...] = ()
    try:
        if jwks is not None:
            keys = read_key_set(json.loads(jwks), what="`jwks`").keys
    except (ValueError, InvalidRequest):
        _log.warning("pinned_keys_unreadable", what="jwks")
    found: list[SigningCertificate] = []
    for number, each in enumerate(certificates, start=1):
        try:
            found.append(read_certificate(each))
        except InvalidCertificateError as error:
            _log.warning("pinned_keys_unreadable", what=f"certificate {number}", detail=str(error))
    return PinnedKeys(keys=keys, certificates=tuple(found))
