"""A pinned certificate: what is taken, what is refused in words, and what is read of it."""

import hashlib
import ssl
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from service.domain.connection import SIGNING_ALGORITHMS
from service.verify.certificates import InvalidCertificateError, read_certificate
from tests.support import tokens
from tests.support.certificates import SigningKey, signing_certificate
from tests.support.clock import START_MS

NOW = START_MS // 1000
DAY = 86_400


def pem(
    key: tokens.PrivateKey | SigningKey | None = None, *, begins: float = NOW - DAY, ends: float = NOW + DAY
) -> str:
    """A certificate, of our ES256 key unless another is given."""
    return signing_certificate(key or tokens.private_key("ES256"), begins_s=begins, ends_s=ends)


@pytest.mark.parametrize(
    ("alg", "verifies"),
    [
        ("RS256", {"RS256", "PS256"}),
        ("PS256", {"RS256", "PS256"}),
        ("ES256", {"ES256"}),
        ("EdDSA", {"EdDSA"}),
    ],
)
def test_a_certificate_verifies_by_the_algorithms_its_key_fits(alg: str, verifies: set[str]) -> None:
    read = read_certificate(pem(tokens.private_key(alg)))
    assert {each for each in SIGNING_ALGORITHMS if read.verifies(each, START_MS)} == verifies
    assert read.key.thumbprint() == tokens.private_key(alg).thumbprint()
    assert not read.key.is_private


def test_its_names_are_those_openssl_and_a_tokens_header_use() -> None:
    text = pem()
    read = read_certificate(text)
    der = ssl.PEM_cert_to_DER_cert(text)
    assert read.fingerprint == ":".join(f"{each:02X}" for each in hashlib.sha256(der).digest())
    assert read.thumbprints == {
        tokens.base64url(hashlib.sha1(der).digest()),
        tokens.base64url(hashlib.sha256(der).digest()),
    }


def test_it_counts_from_its_beginning_which_may_be_a_minute_ahead_to_its_last_second_and_no_longer() -> None:
    read = read_certificate(pem(begins=NOW, ends=NOW + DAY))
    begins, ends = NOW * 1000, (NOW + DAY) * 1000
    assert (read.not_before_ms, read.expires_at_ms) == (begins, ends)
    at = {begins - 60_001: False, begins - 60_000: True, ends: True, ends + 1: False}
    assert {moment: read.verifies("ES256", moment) for moment in at} == at
    assert [read.has_expired(ends), read.has_expired(ends + 1)] == [False, True]
    assert [read.has_begun(begins - 60_001), read.has_begun(begins - 60_000)] == [False, True]


def test_a_certificate_without_a_well_defined_end_never_expires() -> None:
    last_second = 253_402_300_799  # RFC 5280 section 4.1.2.5: 99991231235959Z
    read = read_certificate(pem(ends=last_second))
    assert not read.has_expired(last_second * 1000)


@pytest.mark.parametrize(
    "around",
    [
        lambda text: f"Bag Attributes\n    friendlyName: okta\nsubject=/CN=acme\n{text}",
        lambda text: f"{text}\n\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip(),
    ],
)
def test_what_stands_around_it_is_not_kept(around: Callable[[str], str]) -> None:
    assert read_certificate(around(pem_of_this := pem())).pem == pem_of_this


PRIVATE = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("", "exactly one PEM certificate"),
        ("MIIB", "exactly one PEM certificate"),
        ("http://www.okta.com/exk1", "exactly one PEM certificate"),
        (pem() + pem(), "exactly one PEM certificate"),
        (pem().replace("CERTIFICATE", "PUBLIC KEY"), "exactly one PEM certificate"),
        (pem() + PRIVATE.decode(), "private key"),
        (PRIVATE.decode(), "private key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "can be read"),
        ("-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----\n", "can be read"),
        ("-----BEGIN CERTIFICATE-----\n", "can be read"),
        (pem()[:200] + pem()[240:], "can be read"),
    ],
)
def test_what_is_no_certificate_is_refused_in_words_that_repeat_nothing(text: str, naming: str) -> None:
    with pytest.raises(InvalidCertificateError, match=naming) as refused:
        read_certificate(text)
    assert not any(line in str(refused.value) for line in text.splitlines() if len(line) > 20 and "CERT" not in line)


@pytest.mark.parametrize(
    ("key", "naming"),
    [
        (rsa.generate_private_key(65537, 1024), "1024 bits; 2048 to 8192"),
        (ec.generate_private_key(ec.SECP384R1()), "curve"),
        (ec.generate_private_key(ec.SECP256K1()), "curve"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "certificate|curve"),
        (ed448.Ed448PrivateKey.generate(), "type"),
    ],
)
def test_a_key_no_algorithm_of_ours_takes_is_refused(key: SigningKey, naming: str) -> None:
    with pytest.raises(InvalidCertificateError, match=naming):
        read_certificate(pem(key))
