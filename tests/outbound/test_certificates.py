"""What is taken as an application's certificates and key, and what is said of the rest."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.outbound.certificates import (
    MAX_CA_CERTIFICATES,
    MAX_CHAIN_CERTIFICATES,
    InvalidTlsError,
    check_pair,
    facts,
    read_ca_certificates,
    read_client_certificate,
    read_client_key,
)
from tests.support.certificates import Authority

NOW_MS = int(dt.datetime.now(dt.UTC).timestamp() * 1000)

WEEK = dt.timedelta(days=7)


def _pem(key: object, *, form: str = "PKCS8", passphrase: bytes | None = None) -> str:
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    text: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), hidden
    )
    return text.decode()


RSA = rsa.generate_private_key(65537, 2048)


def test_certificates_are_kept_as_they_are_without_what_stood_around_them(authority: Authority) -> None:
    one, two = authority.root, authority.pair("a.test").certificate
    noise = "subject=CN = whatever\n"
    assert read_ca_certificates(f"{noise}{one}\n\n# {noise}{two}{noise}", now_ms=NOW_MS) == one + two


@pytest.mark.parametrize(
    ("pem", "fault"),
    [
        ("", "must be certificates as PEM"),
        ("hello", "must be certificates as PEM"),
        ("-----BEGIN CERTIFICATE-----\nMIIB", "must be certificates as PEM"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "cannot be read, number 1"),
        ("-----BEGIN CERTIFICATE-----\nÄÖ\n-----END CERTIFICATE-----", "cannot be read, number 1"),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "must be certificates as PEM"),
        ("-----BEGIN TRUSTED CERTIFICATE-----\nMIIB\n-----END TRUSTED CERTIFICATE-----", "must be certificates as PEM"),
        (_pem(RSA), "holds a private key"),
    ],
)
def test_what_is_no_certificate_is_said_to_be_none(pem: str, fault: str) -> None:
    for read in (read_ca_certificates, read_client_certificate):
        with pytest.raises(InvalidTlsError, match=fault):
            read(pem, now_ms=NOW_MS)


def test_a_private_key_among_certificates_is_not_kept(authority: Authority) -> None:
    pair = authority.pair(common_name="x")
    with pytest.raises(InvalidTlsError, match="holds a private key"):
        read_client_certificate(pair.certificate + pair.key, now_ms=NOW_MS)


def test_certificates_have_a_number(authority: Authority) -> None:
    assert read_ca_certificates(authority.root * MAX_CA_CERTIFICATES, now_ms=NOW_MS)
    with pytest.raises(InvalidTlsError, match=f"more than {MAX_CA_CERTIFICATES}"):
        read_ca_certificates(authority.root * (MAX_CA_CERTIFICATES + 1), now_ms=NOW_MS)
    with pytest.raises(InvalidTlsError, match=f"more than {MAX_CHAIN_CERTIFICATES}"):
        read_client_certificate(authority.root * (MAX_CHAIN_CERTIFICATES + 1), now_ms=NOW_MS)


def test_one_that_has_expired_is_named_by_its_place_and_day(authority: Authority) -> None:
    late = authority.pair("a.test", expired=True).certificate
    yesterday = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).date().isoformat()
    for read in (read_ca_certificates, read_client_certificate):
        with pytest.raises(InvalidTlsError, match=f"expired on {yesterday}, number 1"):
            read(late, now_ms=NOW_MS)
    with pytest.raises(InvalidTlsError, match="number 2"):
        read_ca_certificates(authority.root + late, now_ms=NOW_MS)


def test_one_that_is_to_come_is_taken(authority: Authority) -> None:
    assert read_ca_certificates(authority.pair("a.test", early=True).certificate, now_ms=NOW_MS)


def test_a_clients_certificate_comes_first_and_leads_on(authority: Authority) -> None:
    chain = authority.chain("logoutd").certificate
    assert read_client_certificate(chain, now_ms=NOW_MS) == chain
    assert read_client_certificate(chain + authority.root, now_ms=NOW_MS) == chain + authority.root
    own, middle = (f"{each}-----END CERTIFICATE-----\n" for each in chain.split("-----END CERTIFICATE-----\n")[:2])
    for wrong in (middle + own, own + authority.root, own + own):
        with pytest.raises(InvalidTlsError, match="must begin with the client's own"):
            read_client_certificate(wrong, now_ms=NOW_MS)


def test_a_certificate_for_servers_alone_is_not_shown_as_a_clients(authority: Authority) -> None:
    with pytest.raises(InvalidTlsError, match="clientAuth"):
        read_client_certificate(authority.pair("a.test", for_servers_only=True).certificate, now_ms=NOW_MS)


@pytest.mark.parametrize(
    "pem",
    [
        _pem(RSA),
        _pem(RSA, form="TraditionalOpenSSL"),
        _pem(ec.generate_private_key(ec.SECP384R1())),
        _pem(ec.generate_private_key(ec.SECP256R1()), form="TraditionalOpenSSL"),
        _pem(ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_keys_are_kept_in_one_form(pem: str) -> None:
    kept = read_client_key(f"some words\n{pem}")
    assert kept.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert read_client_key(kept) == kept


@pytest.mark.parametrize(
    ("pem", "fault"),
    [
        ("", "exactly one private key"),
        ("hunter2", "exactly one private key"),
        (_pem(RSA) * 2, "exactly one private key"),
        (_pem(RSA, passphrase=b"hunter2"), "passphrase"),
        (_pem(RSA, form="TraditionalOpenSSL", passphrase=b"hunter2"), "passphrase"),
        ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "that can be read"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nMIIB\n-----END OPENSSH PRIVATE KEY-----", "that can be read"),
        (_pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
        (_pem(ed448.Ed448PrivateKey.generate()), "must be of RSA"),
        (_pem(dsa.generate_private_key(1024)), "must be of RSA"),
    ],
)
def test_other_keys_are_refused_by_their_fault_without_a_word_of_them(pem: str, fault: str) -> None:
    with pytest.raises(InvalidTlsError, match=fault) as refused:
        read_client_key(pem)
    assert "MIIB" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("key", [RSA, ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()])
def test_a_key_has_to_be_the_certificates(
    authority: Authority, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    pair = authority.pair(common_name="x", key=key)
    check_pair(pair.certificate, read_client_key(pair.key))
    with pytest.raises(InvalidTlsError, match="is not the key"):
        check_pair(pair.certificate, authority.pair(common_name="x").key)


def test_of_a_certificate_are_shown_whose_it_is_its_fingerprint_and_its_dates(tmp_path: Path) -> None:
    ends = dt.datetime(2030, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    pair = Authority(tmp_path).pair(common_name="logoutd, of Acme", ends=ends)
    (told,) = facts(pair.certificate)
    assert told.subject == "CN=logoutd\\, of Acme"
    assert len(told.fingerprint) == 95
    assert told.expires_at_ms == int(ends.timestamp() * 1000)
    assert told.expires_at_ms - told.not_before_ms == 2 * 24 * 3600 * 1000
    (long,) = facts(Authority(tmp_path, name="n" * 64).pair(common_name="m" * 64).certificate)
    assert len(long.subject) == 67


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_certificate_with_anything_changed_in_it_is_taken_or_refused_and_nothing_else(
    authority: Authority, data: st.DataObject
) -> None:
    pem = authority.root
    at = data.draw(st.integers(0, len(pem) - 1))
    changed = pem[:at] + data.draw(st.text(max_size=3)) + pem[at + data.draw(st.integers(0, 3)) :]
    for read in (read_ca_certificates, read_client_certificate):
        try:
            kept = read(changed, now_ms=NOW_MS)
        except InvalidTlsError:
            continue
        assert facts(kept)
