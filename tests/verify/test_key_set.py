"""An identity provider's JWKS: which of its keys are used for what, and which are passed over."""

import base64
from typing import Any

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from service.verify.issuer_keys import IssuerKeys
from service.verify.key_set import MAX_KEYS_READ, MAX_KEYS_TRIED
from tests.support import tokens
from tests.support.identity_provider import IdentityProvider
from tests.support.tokens import kids


def published(kid: str, of: str = "ES256", **members: Any) -> dict[str, Any]:
    return tokens.overridden({**tokens.public_jwk(tokens.private_key(of)), "kid": kid}, members)


async def test_a_kid_selects_the_key_of_that_name(idp: IdentityProvider, keys: IssuerKeys) -> None:
    found = await keys.candidates(idp.connection(), alg="ES256", kid="es256-1")
    assert kids(found) == ["es256-1"]


async def test_a_key_handed_out_is_public(idp: IdentityProvider, keys: IssuerKeys) -> None:
    for alg in ("RS256", "PS256", "ES256", "EdDSA"):
        (key,) = await keys.candidates(idp.connection(), alg=alg, kid=None)
        assert not key.is_private


async def test_without_a_kid_every_key_that_fits_the_algorithm_is_a_candidate(
    idp: IdentityProvider, keys: IssuerKeys
) -> None:
    idp.rotate(keep_published=True)
    assert kids(await keys.candidates(idp.connection(), alg="EdDSA", kid=None)) == ["eddsa-1", "eddsa-2"]


async def test_without_a_kid_no_more_than_eight_keys_are_tried(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.published = [published(f"k{number}") for number in range(20)]
    found = await keys.candidates(idp.connection(), alg="ES256", kid=None)
    assert len(found) == MAX_KEYS_TRIED == 8


async def test_two_keys_of_one_kid_are_both_candidates(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.rotate(keep_published=True)
    for each in idp.published:
        assert isinstance(each, dict)
        each["kid"] = "same"
    found = await keys.candidates(idp.connection(), alg="ES256", kid="same")
    assert kids(found) == ["es256-1", "es256-2"]


async def test_a_key_without_alg_serves_the_algorithms_of_its_type_alone(
    idp: IdentityProvider, keys: IssuerKeys
) -> None:
    idp.published = [published("any", of=alg, alg=tokens.REMOVED) for alg in ("EdDSA", "ES256", "RS256")]
    for alg, kid in (("EdDSA", "eddsa-1"), ("ES256", "es256-1"), ("RS256", "rs256-1"), ("PS256", "rs256-1")):
        assert kids(await keys.candidates(idp.connection(), alg=alg, kid="any")) == [kid]


@pytest.mark.parametrize(
    ("members", "usable"),
    [
        ({}, True),
        ({"use": tokens.REMOVED, "alg": tokens.REMOVED}, True),
        ({"key_ops": ["verify"]}, True),
        ({"key_ops": ["sign", "verify"], "use": tokens.REMOVED}, True),
        ({"use": None, "key_ops": None, "alg": None}, True),
        ({"x5c": 7, "x5u": "nowhere", "use": "sig"}, True),
        ({"use": "enc"}, False),
        ({"use": ["sig"]}, False),
        ({"key_ops": ["encrypt"]}, False),
        ({"key_ops": "verify"}, False),
        ({"alg": "ES384"}, False),
        ({"alg": "RS256"}, False),
        ({"alg": ["ES256"]}, False),
    ],
)
async def test_a_key_counts_only_for_what_it_says_it_is_for(
    idp: IdentityProvider, keys: IssuerKeys, members: dict[str, Any], usable: bool
) -> None:
    idp.published = [published("k", **members)]
    found = await keys.candidates(idp.connection(), alg="ES256", kid="k")
    assert len(found) == usable


async def test_the_new_name_of_eddsa_in_a_key_means_the_same(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.published = [published("k", of="EdDSA", alg="Ed25519")]
    assert len(await keys.candidates(idp.connection(), alg="EdDSA", kid="k")) == 1


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
async def test_an_rsa_key_under_2048_bits_is_no_key(idp: IdentityProvider, keys: IssuerKeys, alg: str) -> None:
    with pytest.warns(SecurityWarning):
        key = RSAKey.generate_key(1024, {"kid": "short"})
    idp.published = [tokens.public_jwk(key)]
    assert await keys.candidates(idp.connection(), alg=alg, kid="short") == ()


async def test_one_odd_key_spoils_nothing(idp: IdentityProvider, keys: IssuerKeys) -> None:
    ec, rsa = published("es256-1"), published("rs256-1", of="RS256")
    odd: list[object] = [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "es256-1"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "es256-1"},
        {"kty": "EC", "crv": ["P-256"], "kid": "es256-1"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "es256-1"},
        {"kty": "EC", "crv": "Ed25519", "x": "AA", "y": "AA", "kid": "es256-1"},
        {"kty": "OKP", "crv": "X25519", "x": base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kid": "es256-1"},
        {},
        None,
        "key",
        ["kty", "RSA"],
        OctKey.generate_key(256, {"kid": "es256-1"}).as_dict(private=True),
        ec | {"x": 7},
        ec | {"x": "not base64url!"},
        ec | {"y": ec["x"]},
        ec | {"kid": 7},
        ec | {"kid": {}},
        {"kty": "RSA", "kid": "rs256-1"},
        rsa | {"n": 5},
        rsa | {"n": "é"},
        rsa | {"n": "A" * 100_000},
        rsa | {"e": "AQ"},
        rsa | {"e": ""},
        rsa | {"kty": ["RSA"]},
    ]
    idp.published = [*odd, *idp.published]
    connection = idp.connection()
    assert kids(await keys.candidates(connection, alg="ES256", kid="es256-1")) == ["es256-1"]
    assert kids(await keys.candidates(connection, alg="RS256", kid="rs256-1")) == ["rs256-1"]
    assert kids(await keys.candidates(connection, alg="EdDSA", kid=None)) == ["eddsa-1"]
    assert idp.fetches["keys"] == 1


async def test_a_private_key_that_everybody_may_fetch_is_no_key(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.published = [tokens.private_key("ES256").as_dict(private=True)]
    assert await keys.candidates(idp.connection(), alg="ES256", kid="es256-1") == ()


async def test_only_the_first_hundred_keys_are_looked_at(idp: IdentityProvider, keys: IssuerKeys) -> None:
    idp.published = [*[{"kty": "odd"}] * (MAX_KEYS_READ - 1), published("last"), published("beyond")]
    assert len(await keys.candidates(idp.connection(), alg="ES256", kid="last")) == 1
    assert await keys.candidates(idp.connection(), alg="ES256", kid="beyond") == ()


@pytest.mark.parametrize("key", [ECKey.generate_key("P-384"), OKPKey.generate_key("Ed448")])
async def test_a_curve_none_of_our_algorithms_uses_is_no_key(
    idp: IdentityProvider, keys: IssuerKeys, key: ECKey | OKPKey
) -> None:
    idp.published = [tokens.public_jwk(key)]
    for alg in ("RS256", "PS256", "ES256", "EdDSA"):
        assert await keys.candidates(idp.connection(), alg=alg, kid=None) == ()
