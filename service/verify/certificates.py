"""A pinned X.509 certificate: the public key in it, until when it counts, and what to call it.

It is pinned, not validated: an administrator has said that this very key signs, so nobody else's signature under the
certificate would add anything. Who issued it, for whom and for what use is not looked at; SAML certificates are
self-signed and say little of it. Its dates are, because a certificate past its end is one its owner no longer answers for.
"""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.algorithms import MAX_RSA_BITS, MIN_RSA_BITS, fits

MAX_SIGNING_CERTIFICATES: Final = 4
"""Most certificates of one connection: the one in use, the next, and room for a second rollover begun in haste. A token
need not say which signed it, so each is tried."""

MAX_CERTIFICATE_LENGTH: Final = 8192
"""Longest certificate, in characters of PEM; the ones in use have under 2 000."""

SKEW_MS: Final = 60_000
"""How far a certificate's beginning may lie ahead of our clock, in milliseconds: one made a moment ago counts. Its end is
never stretched."""

_BEGIN: Final = "-----BEGIN "
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


class InvalidCertificateError(ValueError):
    """Not a certificate we can pin; the text says why and repeats nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningCertificate:
    """One certificate, as far as a signature's check needs it."""

    key: Key
    pem: str
    """The certificate and nothing else that stood beside it."""
    fingerprint: str
    """SHA-256 of the whole, in the spelling of `openssl x509 -fingerprint -sha256`. Tells nothing of whose it is."""
    thumbprints: frozenset[str]
    """What a token's header calls it: `x5t` and `x5t#S256` (RFC 7515 sections 4.1.7 and 4.1.8)."""
    not_before_ms: int
    expires_at_ms: int
    """Its last moment (`notAfter`, RFC 5280 section 4.1.2.5)."""

    def has_begun(self, now_ms: int) -> bool:
        """Whether its validity has begun."""
        return now_ms >= self.not_before_ms - SKEW_MS

    def has_expired(self, now_ms: int) -> bool:
        """Whether its validity is over."""
        return now_ms > self.expires_at_ms

    def verifies(self, alg: str, now_ms: int) -> bool:
        """Whether a signature by `alg`, one of SIGNING_ALGORITHMS, may be checked with it now."""
        return fits(self.key, alg) and self.has_begun(now_ms) and not self.has_expired(now_ms)


def read_certificate(pem: str) -> SigningCertificate:
    """Read one PEM certificate (RFC 7468 section 5). Raises InvalidCertificateError: it is none, there are more, a
    private key is with it, or its key is of no type, curve or size we check signatures with."""
    if "PRIVATE KEY" in pem:
        raise InvalidCertificateError("holds a private key; give the certificate alone, and replace that key")
    if pem.count(_BEGIN) != 1 or _CERTIFICATE not in pem:
        raise InvalidCertificateError(f"must be exactly one PEM certificate, which begins with {_CERTIFICATE}")
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
        key = _public_key(certificate)
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except InvalidCertificateError:
        raise
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm, JoseError):
        # What cryptography raises for text that is no base64, bytes that are no certificate, and keys it does not know.
        raise InvalidCertificateError("is not an X.509 certificate that can be read") from None
    sha256 = certificate.fingerprint(hashes.SHA256())
    # SHA-1 here is a name that others gave, and proves nothing.
    sha1 = certificate.fingerprint(hashes.SHA1())  # noqa: S303
    return SigningCertificate(
        key=key,
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
        fingerprint=sha256.hex(":").upper(),
        thumbprints=frozenset(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (sha1, sha256)),
        not_before_ms=_milliseconds(not_before),
        expires_at_ms=_milliseconds(not_after),
    )


def _public_key(certificate: x509.Certificate) -> Key:
    public = certificate.public_key()
    match public:
        case RSAPublicKey():
            # Before anything is computed with it: the cost grows with the square of its length.
            if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
                raise InvalidCertificateError(
                    f"has an RSA key of {public.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are taken"
                )
            kind: type[RSAKey | ECKey | OKPKey] = RSAKey
        case EllipticCurvePublicKey():
            kind = ECKey
        case Ed25519PublicKey():
            kind = OKPKey
        case _:
            raise InvalidCertificateError("has a key of a type no signature algorithm of ours takes")
    key = kind.import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    if not any(fits(key, alg) for alg in SIGNING_ALGORITHMS):
        raise InvalidCertificateError("has a key of a curve no signature algorithm of ours takes")
    return key


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
