"""Encrypted logout tokens: opened with our own key, never believed for that; and which keys may be ours."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey

from service.errors import InvalidRequest, NotAuthenticated
from service.verify.encrypted_token import (
    CONTENT_ENCRYPTION,
    KEY_MANAGEMENT,
    MAX_ENCRYPTED_LENGTH,
    check_decryption_key,
    decrypt,
)
from service.verify.signed_token import CREDENTIAL_REFUSED
from tests.support import tokens
from tests.support.logout_token_door import (
    LogoutTokenDoor,
    decryption_key,
    encrypted,
    private_jwk,
    standing_for_logout_tokens,
)

RSA, OTHER_RSA = decryption_key(), decryption_key(number=2)
OURS = json.dumps(private_jwk(RSA))

KINDS = [
    *(("RSA", alg) for alg in KEY_MANAGEMENT if alg.startswith("RSA")),
    *((curve, alg) for curve in ("P-256", "P-384", "P-521", "X25519") for alg in KEY_MANAGEMENT if "ECDH" in alg),
]


@pytest.fixture(scope="module")
def door() -> Iterator[LogoutTokenDoor]:
    with standing_for_logout_tokens() as door:
        yield door


# What is opened.


@pytest.mark.parametrize(("kind", "alg"), KINDS)
@pytest.mark.parametrize("enc", CONTENT_ENCRYPTION)
def test_a_token_encrypted_to_our_key_is_opened_and_then_verified(
    door: LogoutTokenDoor, kind: str, alg: str, enc: str
) -> None:
    key = decryption_key(kind)
    token = encrypted(door.token(claims={"jti": "inside"}), key, alg=alg, enc=enc)
    assert door.accepts(token, decryption_jwk=json.dumps(private_jwk(key))).jti == "inside"


def test_the_issuer_repeated_in_the_header_and_members_nobody_knows_are_ignored(door: LogoutTokenDoor) -> None:
    """OIDC Back-Channel Logout section 2.4 repeats `iss` there, for a receiver with many keys."""
    header = {"iss": door.idp.issuer, "kid": "whichever", "typ": "JWT", "foo": {"a": 1}, "cty": "logout+jwt"}
    door.accepts(encrypted(door.token(), RSA, **header), decryption_jwk=OURS)


@pytest.mark.parametrize("notes", [{"alg": "RSA-OAEP"}, {"key_ops": ["unwrapKey"]}, {"key_ops": ["decrypt"]}, {}])
def test_what_an_administrator_noted_on_the_key_changes_nothing(door: LogoutTokenDoor, notes: dict[str, Any]) -> None:
    jwk = {name: value for name, value in private_jwk(RSA).items() if name not in {"use", "kid"}} | notes
    check_decryption_key(jwk)
    door.accepts(encrypted(door.token(), RSA, alg="RSA-OAEP-256"), decryption_jwk=json.dumps(jwk))


# What is refused: always in the same words.


def undecryptable(door: LogoutTokenDoor) -> dict[str, str]:
    """Tokens that nobody opens with our key, by what is wrong with them."""
    good = encrypted(door.token(), RSA)
    head, key, iv, text, tag = good.split(".")

    def with_header(**members: Any) -> str:
        return ".".join((tokens.encoded({"alg": "RSA-OAEP", "enc": "A128CBC-HS256", **members}), key, iv, text, tag))

    return {
        "another key": encrypted(door.token(), OTHER_RSA),
        "another type of key": encrypted(door.token(), decryption_key("P-256"), alg="ECDH-ES"),
        "RSA1_5": encrypted(door.token(), RSA, alg="RSA1_5"),
        "dir": encrypted(door.token(), OctKey.generate_key(256), alg="dir"),
        "dir with our own public key": with_header(alg="dir"),
        "A256KW": encrypted(door.token(), OctKey.generate_key(256), alg="A256KW"),
        "a password": encrypted(door.token(), OctKey.generate_key(256), alg="PBES2-HS256+A128KW"),
        "A192GCM": encrypted(door.token(), RSA, enc="A192GCM"),
        "compressed": encrypted(door.token(), RSA, zip="DEF"),
        "compressed by nothing known": with_header(zip="none"),
        "compression null": with_header(zip=None),
        "an extension": encrypted(door.token(), RSA, crit=["exp"], exp=1),
        "alg none": with_header(alg="none"),
        "alg a list": with_header(alg=["RSA-OAEP"]),
        "enc missing": ".".join((tokens.encoded({"alg": "RSA-OAEP"}), key, iv, text, tag)),
        "enc null": with_header(enc=None),
        "enc a number": with_header(enc=7),
        "enc a list": with_header(enc=[]),
        "ECDH without a key": with_header(alg="ECDH-ES", epk={}),
        "ECDH with half a key": with_header(alg="ECDH-ES", epk={"kty": "EC", "crv": "P-256"}),
        "no header": f".{key}.{iv}.{text}.{tag}",
        "a header that is no object": ".".join((tokens.encoded(b"[]"), key, iv, text, tag)),
        "a header that is a string": ".".join((tokens.encoded(b'"alg enc"'), key, iv, text, tag)),
        "a header that is no JSON": ".".join((tokens.encoded(b"{"), key, iv, text, tag)),
        "another header": ".".join((tokens.encoded({"alg": "RSA-OAEP", "enc": "A128CBC-HS256"}), key, iv, text, tag)),
        "no key": f"{head}..{iv}.{text}.{tag}",
        "a key that was changed": ".".join((head, key[:-4] + "AAAA", iv, text, tag)),
        "no vector": f"{head}.{key}..{text}.{tag}",
        "another vector": ".".join((head, key, tokens.base64url(bytes(16)), text, tag)),
        "no content": f"{head}.{key}.{iv}..{tag}",
        "content that was changed": ".".join((head, key, iv, "AAAA" + text[4:], tag)),
        "no tag": f"{head}.{key}.{iv}.{text}.",
        "another tag": ".".join((head, key, iv, text, tokens.base64url(bytes(16)))),
        "dots": "....",
        "letters": "é.é.é.é.é",
        "spaces": ". . . .",
        "not ASCII inside": encrypted("é.é.é".encode(), RSA),
        "bytes inside": encrypted(b"\xff\xfe", RSA),
    }


def test_what_cannot_be_opened_is_refused_in_the_same_words_whatever_it_is(door: LogoutTokenDoor) -> None:
    for what, token in undecryptable(door).items():
        refusal = door.refuses(token, decryption_jwk=OURS)
        assert (refusal.reason, str(refusal)) == ("undecryptable", CREDENTIAL_REFUSED), what


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521", "X25519"])
def test_an_ephemeral_key_of_another_curve_or_of_none_is_refused(door: LogoutTokenDoor, curve: str) -> None:
    ours = decryption_key(curve)
    other = ECKey.generate_key("P-256" if curve != "P-256" else "P-384")
    _head, *rest = encrypted(door.token(), ours, alg="ECDH-ES").split(".")
    public = ours.as_dict(private=False)
    for epk in (
        dict(other.as_dict(private=False)),
        dict(OKPKey.generate_key("Ed25519").as_dict(private=False)),
        {**public, "crv": "P-999"},
        {**public, "x": "AAAA"},
        {**public, "x": 7},
        {**public, "x": ""},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "RSA", "n": "AAAA", "e": "AQAB"},
        {"x": "AAAA"},
        {},
        [],
        "epk",
        None,
        7,
    ):
        token = ".".join((tokens.encoded({"alg": "ECDH-ES", "enc": "A128CBC-HS256", "epk": epk}), *rest))
        refusal = door.refuses(token, decryption_jwk=json.dumps(private_jwk(ours)))
        assert (refusal.reason, str(refusal)) == ("undecryptable", CREDENTIAL_REFUSED), epk


def test_an_unencrypted_token_is_refused_where_encryption_was_agreed(door: LogoutTokenDoor) -> None:
    """Section 2.6 step 1: or anybody could leave it out."""
    refusal = door.refuses(door.token(), decryption_jwk=OURS)
    assert (refusal.reason, str(refusal)) == ("not_encrypted", CREDENTIAL_REFUSED)


def test_an_encrypted_token_is_refused_where_there_is_no_key_for_it(door: LogoutTokenDoor) -> None:
    refusal = door.refuses(encrypted(door.token(), RSA))
    assert (refusal.reason, str(refusal)) == ("encrypted", CREDENTIAL_REFUSED)


def test_encryption_proves_nothing_of_who_sent_it(door: LogoutTokenDoor) -> None:
    """Everybody has the public key it is encrypted to."""
    stranger = tokens.private_key("RS256", 9)
    inside = {
        "unsupported_algorithm": [
            tokens.unsigned(door.claims(), header=door.header(alg="none")),
            tokens.signed_with_public_key(door.claims(), key=RSA, header=door.header(alg="HS256")),
        ],
        "bad_signature": [tokens.signed(door.claims(), key=stranger, alg="RS256", header=door.header())],
        "algorithm_not_allowed": [door.token(alg="ES256")],
        "malformed_token": [
            json.dumps(door.claims()),
            "",
            "a.b.c",
            encrypted(door.token(), RSA),
            f"{door.token()}.",
            f"{'a' * 8193}",
        ],
    }
    for reason, texts in inside.items():
        for text in texts:
            refusal = door.refuses(encrypted(text, RSA), decryption_jwk=OURS)
            assert (refusal.reason, str(refusal)) == (reason, CREDENTIAL_REFUSED)


def test_what_is_inside_is_held_to_every_rule(door: LogoutTokenDoor) -> None:
    for claims, reason in (({"aud": "another"}, "wrong_aud"), ({"exp": 1, "iat": 1}, "expired"), ({"nonce": "n"}, "")):
        refusal = door.refuses(encrypted(door.token(claims=claims), RSA), decryption_jwk=OURS)
        assert refusal.reason == (reason or "other_kind_of_token")


def test_a_token_longer_than_anybody_sends_is_refused_unopened(door: LogoutTokenDoor) -> None:
    with pytest.raises(NotAuthenticated):
        decrypt("." * (MAX_ENCRYPTED_LENGTH + 1), "no key at all")
    head, key, iv, text, tag = encrypted(door.token(), RSA).split(".")
    refusal = door.refuses(".".join((head, key, iv, text + "A" * 20_000, tag)), decryption_jwk=OURS)
    assert refusal.reason == "malformed_token"


@settings(max_examples=300, deadline=None)
@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "enc", "epk", "zip", "crit", "apu", "apv", "iv", "tag", "p2c", "p2s", "kid", "b64"]),
        st.one_of(
            st.sampled_from([*KEY_MANAGEMENT, *CONTENT_ENCRYPTION, "dir", "RSA1_5", "A128KW", "DEF"]),
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            st.lists(st.text(max_size=4), max_size=2),
            st.fixed_dictionaries({}, optional={name: st.text(max_size=12) for name in ("kty", "crv", "x", "y", "d")}),
        ),
        max_size=5,
    ),
    parts=st.tuples(*[st.binary(max_size=40)] * 4),
    kind=st.sampled_from(["RSA", "P-256", "X25519"]),
)
def test_nothing_drawn_at_random_is_opened_or_breaks_anything(
    header: dict[str, Any], parts: tuple[bytes, ...], kind: str
) -> None:
    ours = json.dumps(private_jwk(decryption_key(kind)))
    for first in (header, {"alg": "ECDH-ES", "enc": "A128GCM", **header}):
        text = ".".join((tokens.encoded(first), *(tokens.base64url(each) for each in parts)))
        with pytest.raises(NotAuthenticated) as refused:
            decrypt(text, ours)
        assert str(refused.value) == CREDENTIAL_REFUSED


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_text_drawn_at_random_is_opened_or_breaks_anything(text: str) -> None:
    for each in (text, f"{text}....", f".{text}..{text}."):
        with pytest.raises(NotAuthenticated):
            decrypt(each, OURS)


# Which keys may be ours.


@pytest.mark.parametrize("kind", ["RSA", "P-256", "P-384", "P-521", "X25519"])
def test_a_private_key_that_can_decrypt_is_taken(kind: str) -> None:
    check_decryption_key(private_jwk(decryption_key(kind)))


def refused_key(jwk: dict[str, Any]) -> str:
    """Why a key is refused; the answer holds nothing of it."""
    with pytest.raises(InvalidRequest) as refused:
        check_decryption_key(jwk)
    message = str(refused.value)
    assert "decryption_jwk" in message
    assert not any(isinstance(value, str) and len(value) > 8 and value in message for value in jwk.values())
    return message


@pytest.mark.parametrize("kind", ["RSA", "P-256", "X25519"])
def test_a_public_key_is_refused(kind: str) -> None:
    assert "no private key" in refused_key(dict(decryption_key(kind).as_dict(private=False)))


@pytest.mark.parametrize("kind", ["RSA", "P-256", "X25519"])
def test_a_key_for_signing_is_refused(kind: str) -> None:
    assert "`use`" in refused_key({**private_jwk(decryption_key(kind)), "use": "sig"})


def test_a_key_that_cannot_decrypt_is_refused() -> None:
    assert "must be a private key" in refused_key(private_jwk(decryption_key("Ed25519")))
    assert "must be a private key" in refused_key(private_jwk(decryption_key("secp256k1")))
    refused_key({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"})


def test_a_weak_rsa_key_is_refused() -> None:
    small = rsa.generate_private_key(65537, 1024)
    numbers = small.private_numbers()
    public = small.public_key().public_numbers()
    members = {"n": public.n, "e": public.e, "d": numbers.d, "p": numbers.p, "q": numbers.q}
    members |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    jwk = {name: tokens.base64url(value.to_bytes(128, "big").lstrip(b"\0")) for name, value in members.items()}
    assert "must be a private key" in refused_key({"kty": "RSA", **jwk})


@pytest.mark.parametrize("member", ["kty", "n", "e", "d", "p", "crv", "x", "y"])
@pytest.mark.parametrize("value", [None, 7, True, "", "!", "AAAA", [], {}, "é", "\ud800"])
def test_a_broken_key_is_refused(member: str, value: object) -> None:
    for kind in ("RSA", "P-256", "X25519"):
        jwk = private_jwk(decryption_key(kind))
        if member in jwk:
            refused_key({**jwk, member: value})


@given(
    jwk=st.dictionaries(
        st.sampled_from(["kty", "crv", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y", "k", "use", "alg"]),
        st.one_of(
            st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "X25519", "AQAB", "enc", "sig"]),
            st.text(max_size=40),
            st.none() | st.booleans() | st.integers() | st.lists(st.text(max_size=3), max_size=2),
        ),
        max_size=8,
    )
)
def test_no_key_drawn_at_random_is_taken_or_breaks_anything(jwk: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        check_decryption_key(jwk)
