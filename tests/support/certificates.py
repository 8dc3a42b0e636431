"""A certificate authority for one test and certificates it signs; and self-signed ones, as SAML applications have."""

import datetime as dt
import ssl
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.support.tokens import PrivateKey

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
"""A key as cryptography has it: also one that joserfc would not make."""

_DAY: Final = dt.timedelta(days=1)


class Authority:
    """An authority whose root certificate is a file in `folder`, to be trusted by whom it is given to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of the tests")])
        now = dt.datetime.now(dt.UTC)
        root = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = folder / "authority.pem"
        self.ca_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def server_tls(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """What a server that may call itself `names` needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        ends = dt.datetime.now(dt.UTC) + (-_DAY if expired else _DAY)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - 2 * _DAY)
            .not_valid_after(ends)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        file = self._folder / f"{certificate.serial_number}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


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
