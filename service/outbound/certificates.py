"""Certificates and keys an application is registered with, read before they are kept: what OpenSSL would stumble over later
is said now, by which of them it is."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from service.domain.tls_identity import TlsIdentity

MAX_CA_CERTIFICATES: Final = 16
"""Most certificates an application's may lead to: an authority, its successor, and those of a few mergers."""

MAX_CA_LENGTH: Final = 32_768
"""Longest text of them, in characters of PEM: 2 000 each. With the two below it fits in a request."""

MAX_CHAIN_CERTIFICATES: Final = 6
"""Most certificates we show: our own, and the way to an authority."""

MAX_CHAIN_LENGTH: Final = 16_384
"""Longest text of them, in characters of PEM."""

MAX_KEY_LENGTH: Final = 8192
"""Longest private key, in characters of PEM; RSA with 8 192 bits has 6 500."""

RSA_BITS: Final = (2048, 8192)
"""Least and most bits of an RSA key: less is refused by OpenSSL's default level, more costs seconds in each handshake."""

MAX_SUBJECT_LENGTH: Final = 256
"""Most characters of a subject that are shown."""

_BLOCK: Final = re.compile(r"-----BEGIN (?P<label>[^-]*)-----.*?-----END (?P=label)-----", re.DOTALL)
"""One PEM text (RFC 7468 section 3). What stands between them is commentary."""


class InvalidTlsError(ValueError):
    """A certificate or key that cannot be used. The text follows the member's name, and repeats nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What is shown of a certificate."""

    subject: str
    """As RFC 4514 writes it; empty where the certificate names itself by alternative names alone."""
    fingerprint: str
    """SHA-256 of the whole, in the spelling of `openssl x509 -fingerprint -sha256`."""
    not_before_ms: int
    expires_at_ms: int


def read_ca_certificates(pem: str, *, now_ms: int) -> str:
    """Certificates to trust, as they are kept: themselves and nothing that stood around them. Raises InvalidTlsError.

    What each may be used for is not looked at: trusted is what is listed, be it a root, an intermediate authority, or the
    server's own certificate.
    """
    found = _certificates(pem, most=MAX_CA_CERTIFICATES)
    _refuse_expired(found, now_ms)
    return _text(found)


def read_client_certificate(pem: str, *, now_ms: int) -> str:
    """The certificate to show and those it leads to, as they are kept. Raises InvalidTlsError."""
    found = _certificates(pem, most=MAX_CHAIN_CERTIFICATES)
    _refuse_expired(found, now_ms)
    for number, (each, issuer) in enumerate(itertools.pairwise(found), start=1):
        if each.issuer != issuer.subject:
            raise InvalidTlsError(
                f"must begin with the client's own certificate, and each must be issued by the next: number {number} is not"
            )
    try:
        uses = found[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return _text(found)
    except (ValueError, x509.DuplicateExtension):
        raise InvalidTlsError("has extensions that cannot be read") from None
    if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(uses):
        raise InvalidTlsError("is not for clients: its extended key usage lacks clientAuth (RFC 5280 section 4.2.1.12)")
    return _text(found)


def read_client_key(pem: str) -> str:
    """A private key, as it is kept: PKCS #8 as PEM. Raises InvalidTlsError."""
    blocks = list(_BLOCK.finditer(pem))
    if len(blocks) != 1 or not blocks[0]["label"].endswith("PRIVATE KEY"):
        raise InvalidTlsError("must be exactly one private key as PEM")
    if "ENCRYPTED" in blocks[0][0]:
        raise InvalidTlsError("must not have a passphrase")
    try:
        key = load_pem_private_key(blocks[0][0].encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidTlsError("is not a private key that can be read") from None
    match key:
        case RSAPrivateKey():
            if not RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
                raise InvalidTlsError(f"has {key.key_size} bits of RSA; {RSA_BITS[0]} to {RSA_BITS[1]} are taken")
        case EllipticCurvePrivateKey() | Ed25519PrivateKey():
            pass
        case _:
            raise InvalidTlsError("must be of RSA, of an elliptic curve, or of Ed25519")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def check_pair(certificate: str, key: str) -> None:
    """Raise InvalidTlsError when a kept key is not the one of a kept certificate."""
    public = load_pem_private_key(key.encode("ascii"), password=None).public_key()
    own = x509.load_pem_x509_certificates(certificate.encode("ascii"))[0].public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != own.public_bytes(*form):
        raise InvalidTlsError("is not the key of the first certificate in `tls_client_certificate`")


def facts(pem: str) -> tuple[CertificateFacts, ...]:
    """What is shown of kept certificates."""
    return tuple(
        CertificateFacts(
            subject=each.subject.rfc4514_string()[:MAX_SUBJECT_LENGTH],
            fingerprint=each.fingerprint(hashes.SHA256()).hex(":").upper(),
            not_before_ms=_milliseconds(each.not_valid_before_utc),
            expires_at_ms=_milliseconds(each.not_valid_after_utc),
        )
        for each in x509.load_pem_x509_certificates(pem.encode("ascii"))
    )


def facts_of(identity: TlsIdentity) -> tuple[tuple[CertificateFacts, ...], tuple[CertificateFacts, ...]]:
    """What is shown of the certificates it trusts, and of those it shows."""
    trusted, shown = identity.ca_certificates, identity.client_certificate
    return facts(trusted) if trusted else (), facts(shown) if shown else ()


def _certificates(pem: str, *, most: int) -> list[x509.Certificate]:
    blocks = list(_BLOCK.finditer(pem))
    if any("PRIVATE KEY" in each["label"] for each in blocks):
        raise InvalidTlsError("holds a private key; give certificates alone, and replace that key")
    if not blocks or any(each["label"] != "CERTIFICATE" for each in blocks):
        raise InvalidTlsError("must be certificates as PEM, each of which begins with -----BEGIN CERTIFICATE-----")
    if len(blocks) > most:
        raise InvalidTlsError(f"must not be more than {most} certificates")
    found = []
    for number, each in enumerate(blocks, start=1):
        try:
            certificate = x509.load_pem_x509_certificate(each[0].encode("ascii"))
            # What is only read when it is used, as a check that it can be.
            certificate.subject.rfc4514_string()
            certificate.issuer.rfc4514_string()
            certificate.public_key()
            _milliseconds(certificate.not_valid_before_utc), _milliseconds(certificate.not_valid_after_utc)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise InvalidTlsError(f"has a certificate that cannot be read, number {number}") from None
        found.append(certificate)
    return found


def _refuse_expired(certificates: Sequence[x509.Certificate], now_ms: int) -> None:
    for number, each in enumerate(certificates, start=1):
        if _milliseconds(each.not_valid_after_utc) < now_ms:
            ended = each.not_valid_after_utc.date().isoformat()
            raise InvalidTlsError(f"has a certificate that expired on {ended}, number {number}")


def _text(certificates: Sequence[x509.Certificate]) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode("ascii") for each in certificates)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
