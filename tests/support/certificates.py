"""A certificate authority for one test and certificates it signs; and self-signed ones, as SAML applications have."""

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.support.tokens import PrivateKey

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
"""A key as cryptography has it: also one that joserfc would not make."""

_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate, with those it leads to short of the root after it, and its key; both as PEM."""

    certificate: str
    key: str


class Authority:
    """An authority whose root certificate is a file in `folder`, to be trusted by whom it is given to."""

    def __init__(
        self, folder: Path, *, name: str = "An authority of the tests", ends: dt.datetime | None = None
    ) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        root = (
            _certificate(self._name, self._name, self._key.public_key(), begins=now - _DAY, ends=ends or now + _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        folder.mkdir(exist_ok=True)
        self.ca_file = folder / "authority.pem"
        self.ca_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    @property
    def root(self) -> str:
        """Its root certificate, as PEM."""
        return self.ca_file.read_text("ascii")

    def server_tls(
        self,
        *names: str,
        expired: bool = False,
        early: bool = False,
        self_signed: bool = False,
        clients_of: "Authority | None" = None,
        least: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> ssl.SSLContext:
        """What a server that may call itself `names` needs; with `clients_of`, it wants a certificate of that authority."""
        pair = self.pair(*names, expired=expired, early=early, self_signed=self_signed)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = least, most
        context.load_cert_chain(self.file_of(pair))
        if clients_of is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=clients_of.root)
        return context

    def pair(
        self,
        *names: str,
        expired: bool = False,
        early: bool = False,
        self_signed: bool = False,
        common_name: str | None = None,
        for_servers_only: bool = False,
        key: SigningKey | None = None,
        begins: dt.datetime | None = None,
        ends: dt.datetime | None = None,
    ) -> Pair:
        """A certificate for `names`, or for a client called `common_name`, and its key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
        issuer, signer = (subject, key) if self_signed else (self._name, self._key)
        ends = ends or dt.datetime.now(dt.UTC) + (-_DAY if expired else 3 * _DAY if early else _DAY)
        unsigned = _certificate(subject, issuer, key.public_key(), begins=begins or ends - 2 * _DAY, ends=ends)
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            unsigned = unsigned.add_extension(alternatives, critical=not common_name)
        if for_servers_only:
            unsigned = unsigned.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
        return Pair(certificate=_pem(unsigned.sign(signer, algorithm)), key=_key_pem(key))

    def chain(self, common_name: str, *, weak: bool = False, ends: dt.datetime | None = None) -> Pair:
        """A client's certificate by way of an intermediate authority, whose key is too small when `weak`."""
        key = ec.generate_private_key(ec.SECP256R1())
        middle_key = rsa.generate_private_key(65537, 1024) if weak else ec.generate_private_key(ec.SECP256R1())
        middle_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority between")])
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        dates: Any = {"begins": dt.datetime.now(dt.UTC) - _DAY, "ends": ends or dt.datetime.now(dt.UTC) + _DAY}
        middle = (
            _certificate(middle_name, self._name, middle_key.public_key(), **dates)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        own = _certificate(name, middle_name, key.public_key(), **dates).sign(middle_key, hashes.SHA256())
        return Pair(certificate=_pem(own) + _pem(middle), key=_key_pem(key))

    def file_of(self, pair: Pair) -> Path:
        """A file with both."""
        file = self._folder / f"{len(list(self._folder.iterdir()))}.pem"
        file.write_text(pair.key + pair.certificate, "ascii")
        return file


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Any, *, begins: dt.datetime, ends: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_pem(key: SigningKey) -> str:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode("ascii")


def signing_certificate(key: PrivateKey | SigningKey, *, begins_s: float, ends_s: float, name: str = "acme") -> str:
    """A self-signed certificate over `key`, such as a SAML application's, as PEM; its dates in seconds since the epoch."""
    private: Any = key.private_key if isinstance(key, RSAKey | ECKey | OKPKey) else key
    owner = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(owner)
        .issuer_name(owner)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(begins_s, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(ends_s, dt.UTC))
        .sign(
            private, None if isinstance(private, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
        )
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
