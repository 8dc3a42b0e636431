"""Our signing keys: what is taken, what is refused, what signs, and what is shown of them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from service.keys.algorithms import verify_with
from service.keys.generate import generate_signing_keys
from service.keys.ring import KeyRing, SigningKeysError, load_key_ring, parse_key_ring
from tests.support.tokens import REMOVED, overridden, private_key

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")

PUBLIC_MEMBERS = {
    "RS256": {"kty", "n", "e", "use", "alg", "kid"},
    "PS256": {"kty", "n", "e", "use", "alg", "kid"},
    "ES256": {"kty", "crv", "x", "y", "use", "alg", "kid"},
    "EdDSA": {"kty", "crv", "x", "use", "alg", "kid"},
}
"""RFC 7518 sections 6.2.1 and 6.3.1, RFC 8037 section 2; RFC 7517 section 4."""

PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def jwk(alg: str, number: int = 1, /, **members: object) -> dict[str, Any]:
    """A private key as it stands in the file; REMOVED takes a member out."""
    return overridden(private_key(alg, number).as_dict(private=True), members)


def ring(*keys: dict[str, Any]) -> KeyRing:
    return parse_key_ring({"keys": [*keys]})


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "=="))
    return header


def refused(document: object) -> str:
    with pytest.raises(SigningKeysError) as caught:
        parse_key_ring(document)
    return str(caught.value)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_it_signs_with_each_algorithm_and_says_with_which_key(alg: str) -> None:
    token = ring(*(jwk(each) for each in ALGORITHMS)).sign({"a": 1}, algorithm=alg, typ="logout+jwt")

    assert header_of(token) == {"alg": alg, "kid": f"{alg.lower()}-1", "typ": "logout+jwt"}
    payload = verify_with(token, private_key(alg), alg)
    assert payload is not None
    assert json.loads(payload) == {"a": 1}


def test_the_first_key_of_an_algorithm_signs_and_all_of_them_are_published() -> None:
    keys = ring(jwk("ES256", 2), jwk("EdDSA", 1), jwk("ES256", 1))
    token = keys.sign({}, algorithm="ES256", typ="JWT")
    assert header_of(token)["kid"] == "es256-2"
    assert verify_with(token, private_key("ES256", 2), "ES256") == b"{}"
    assert [each["kid"] for each in keys.jwks()["keys"]] == ["es256-2", "eddsa-1", "es256-1"]
    assert keys.algorithms == ("ES256", "EdDSA")


def test_without_a_key_for_an_algorithm_it_does_not_sign() -> None:
    with pytest.raises(KeyError):
        ring(jwk("ES256")).sign({}, algorithm="RS256", typ="JWT")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_is_published_has_exactly_the_public_members(alg: str) -> None:
    (published,) = ring(jwk(alg, key_ops=["sign"], ext=True, note="keep this to yourself")).jwks()["keys"]
    assert set(published) == PUBLIC_MEMBERS[alg]
    assert (published["alg"], published["use"], published["kid"]) == (alg, "sig", f"{alg.lower()}-1")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_nothing_private_is_published_nor_shown_when_a_ring_is_printed(alg: str) -> None:
    private = jwk(alg)
    secrets = [value for name, value in private.items() if name in PRIVATE_MEMBERS]
    assert secrets

    keys = ring(private)

    shown = json.dumps(keys.jwks()) + repr(keys) + str(vars(keys))
    assert not [each for each in secrets if str(each) in shown]
    assert not PRIVATE_MEMBERS & set(keys.jwks()["keys"][0])


def test_a_key_without_kid_is_called_by_its_thumbprint() -> None:
    key = private_key("ES256")
    (published,) = ring(jwk("ES256", kid=REMOVED)).jwks()["keys"]
    assert published["kid"] == key.thumbprint()


def test_ed25519_is_the_newer_name_of_eddsa() -> None:
    keys = ring(jwk("EdDSA", alg="Ed25519"))
    assert keys.algorithms == ("EdDSA",)
    assert header_of(keys.sign({}, algorithm="EdDSA", typ="JWT"))["alg"] == "EdDSA"
    assert keys.jwks()["keys"][0]["alg"] == "EdDSA"


def test_generated_keys_are_taken_and_have_one_for_each_algorithm() -> None:
    keys = parse_key_ring(generate_signing_keys())
    assert keys.algorithms == ALGORITHMS
    assert len({each["kid"] for each in keys.jwks()["keys"]}) == len(ALGORITHMS)


@pytest.mark.parametrize("document", [None, [], "keys", 7, {}, {"keys": {}}, {"keys": []}, {"keys": None}, {"key": []}])
def test_a_document_that_is_no_key_set_is_refused(document: object) -> None:
    assert refused(document) == "the signing keys are not a JWKS: no `keys`"


@pytest.mark.parametrize("key", [None, [], "key", 7])
def test_a_key_that_is_no_object_is_refused(key: object) -> None:
    assert refused({"keys": [jwk("ES256"), key]}) == "signing key 2 is not an object"


@pytest.mark.parametrize("alg", [REMOVED, None, "", "HS256", "none", "RS512", "ES384", "rs256", ["RS256"], 7])
def test_an_algorithm_we_do_not_sign_with_is_refused(alg: object) -> None:
    assert refused({"keys": [jwk("RS256", alg=alg)]}) == (
        "signing key 1 needs `alg`, one of RS256, PS256, ES256, EdDSA"
    )


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_public_key_is_refused(alg: str) -> None:
    public = {name: value for name, value in jwk(alg).items() if name not in PRIVATE_MEMBERS}
    assert refused({"keys": [public]}) == "signing key 1 holds no private key"


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (ECKey.generate_key("P-384"), "ES256"),
        (ECKey.generate_key("secp256k1"), "ES256"),
        (OKPKey.generate_key("X25519"), "EdDSA"),
        (ECKey.generate_key("P-256"), "RS256"),
        (OKPKey.generate_key("Ed25519"), "ES256"),
        (OctKey.generate_key(256), "RS256"),
    ],
    ids=["P-384", "secp256k1", "X25519", "EC for RSA", "OKP for EC", "symmetric"],
)
def test_a_key_of_another_kind_than_its_algorithm_is_refused(key: RSAKey | ECKey | OKPKey | OctKey, alg: str) -> None:
    data = {**key.as_dict(private=True), "alg": alg}
    assert refused({"keys": [data]}) == f"signing key 1 does not fit {alg}, or is too weak for it"


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_an_rsa_key_of_less_than_2048_bits_is_refused(alg: str) -> None:
    with pytest.warns(SecurityWarning):
        key = RSAKey.generate_key(2040)
    with pytest.warns(SecurityWarning):
        said = refused({"keys": [{**key.as_dict(private=True), "alg": alg}]})
    assert said == f"signing key 1 does not fit {alg}, or is too weak for it"


@pytest.mark.parametrize(
    "members",
    [
        {"kty": REMOVED},
        {"kty": "AKP"},
        {"kty": 7},
        {"x": REMOVED},
        {"x": "!"},
        {"x": 7},
        {"crv": "P-999"},
        {"crv": REMOVED},
        {"d": ""},
        {"d": "AA"},
        {"y": "AA"},
        {"kid": 7},
        {"use": "enc"},
        {"key_ops": ["verify"]},
    ],
)
def test_a_key_that_cannot_be_read_or_cannot_sign_is_refused(members: dict[str, object]) -> None:
    assert refused({"keys": [jwk("ES256", **members)]}).startswith("signing key 1 ")


@pytest.mark.parametrize(
    "members",
    [{"n": "AA"}, {"n": 7}, {"n": None}, {"e": "AA"}, {"e": "_" * 100}, {"p": REMOVED}, {"p": "AA"}, {"d": "AA"}],
)
def test_an_rsa_key_that_cannot_be_read_or_cannot_sign_is_refused(members: dict[str, object]) -> None:
    assert refused({"keys": [jwk("RS256", **members)]}).startswith("signing key 1 ")


def test_halves_of_two_different_keys_are_refused() -> None:
    other = jwk("ES256", 2)
    assert refused({"keys": [jwk("ES256", d=other["d"])]}).startswith("signing key 1 ")


@pytest.mark.parametrize("second", [jwk("ES256", 1), jwk("EdDSA", 1, kid="es256-1")])
def test_a_kid_used_twice_is_refused(second: dict[str, Any]) -> None:
    assert refused({"keys": [jwk("ES256", 1), second]}) == "two signing keys have the same `kid`"


@pytest.mark.parametrize(
    ("members", "number"), [({"alg": "HS256"}, 2), ({"x": "AA"}, 2), ({"d": REMOVED}, 2), ({"kid": "es256-1"}, 0)]
)
def test_no_refusal_shows_anything_of_a_key(members: dict[str, object], number: int) -> None:
    keys = [jwk("ES256", 1), jwk("ES256", 2, **members)]
    said = refused({"keys": keys})
    assert f"{number}" in said or number == 0
    material = [str(value) for key in keys for name, value in key.items() if name in PRIVATE_MEMBERS | {"x", "y", "n"}]
    assert not [each for each in material if len(each) > 2 and each in said]


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [jwk("ES256")]}), encoding="utf-8")
    assert load_key_ring(file).algorithms == ("ES256",)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----"])
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(content)
    with pytest.raises(SigningKeysError, match=r"^the signing keys are not JSON$"):
        load_key_ring(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SigningKeysError, match=r"^the signing keys cannot be read \(FileNotFoundError\)$"):
        load_key_ring(tmp_path / "nothing.json")
    with pytest.raises(SigningKeysError, match=r"^the signing keys cannot be read \(IsADirectoryError\)$"):
        load_key_ring(tmp_path)
