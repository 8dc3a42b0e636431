"""The signature algorithms: which key each takes, and that a signature is checked by the algorithm asked for alone."""

import warnings

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.algorithms import ALGORITHMS, algorithm_name, fits, verify_with
from tests.support import tokens


def short_rsa_key() -> RSAKey:
    with pytest.warns(SecurityWarning):
        return RSAKey.generate_key(1024)


def signed(alg: str, *, key: tokens.PrivateKey | None = None, named: str | None = None) -> str:
    return tokens.signed(b"payload", key=key or tokens.private_key(alg), alg=alg, header={"alg": named or alg})


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_a_good_signature_gives_the_payload(alg: str) -> None:
    assert verify_with(signed(alg), tokens.private_key(alg), alg) == b"payload"


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("other", SIGNING_ALGORITHMS)
def test_a_signature_by_another_algorithm_gives_nothing(alg: str, other: str) -> None:
    if alg != other:
        assert verify_with(signed(other), tokens.private_key(other), alg) is None
        assert verify_with(signed(other), tokens.private_key(alg), alg) is None


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("token", ["", "..", "a.b.c", "é.é.é", "e30..", "e30.e30.e30.e30"])
def test_what_is_no_token_gives_nothing(alg: str, token: str) -> None:
    assert verify_with(token, tokens.private_key(alg), alg) is None


def test_a_header_that_names_an_algorithm_we_do_not_use_gives_nothing() -> None:
    key = tokens.private_key("RS256")
    for name in ("RS512", "none", "HS256", "PS256"):
        assert verify_with(signed("RS256", named=name), key, "RS256") is None


def test_a_key_that_is_too_short_verifies_nothing() -> None:
    key = short_rsa_key()
    assert verify_with(signed("RS256", key=key), key, "RS256") is None


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_each_algorithm_takes_the_keys_of_its_type_and_curve_alone(alg: str) -> None:
    keys: dict[str, Key] = {
        "RSA": tokens.private_key("RS256"),
        "short RSA": short_rsa_key(),
        "P-256": tokens.private_key("ES256"),
        "P-384": ECKey.generate_key("P-384"),
        "Ed25519": tokens.private_key("EdDSA"),
        "X25519": OKPKey.generate_key("X25519"),
        "Ed448": OKPKey.generate_key("Ed448"),
        "oct": OctKey.generate_key(256),
    }
    expected = {"RS256": "RSA", "PS256": "RSA", "ES256": "P-256", "EdDSA": "Ed25519"}[alg]
    assert [name for name, key in keys.items() if fits(key, alg)] == [expected]


def test_the_new_name_of_eddsa_is_the_same_algorithm() -> None:
    assert algorithm_name("Ed25519") == "EdDSA"
    public = tokens.public_jwk(tokens.private_key("EdDSA"))
    key = OKPKey.import_key({member: public[member] for member in ("kty", "crv", "x")})
    assert verify_with(signed("EdDSA", named="Ed25519"), key, "EdDSA") == b"payload"


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512", "rs256", "", None, 7, ["RS256"]])
def test_everything_else_is_no_algorithm_of_ours(alg: object) -> None:
    assert algorithm_name(alg) is None


def test_every_algorithm_of_ours_has_its_entry() -> None:
    assert tuple(ALGORITHMS) == SIGNING_ALGORITHMS


def test_verifying_by_eddsa_warns_nobody() -> None:
    with warnings.catch_warnings(record=True) as warned:
        verify_with(signed("EdDSA"), tokens.private_key("EdDSA"), "EdDSA")
    assert not warned
