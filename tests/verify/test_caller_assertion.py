"""The assertion of a Global Token Revocation request, steps 1 to 5: what it is, who signed it, whether it can be read."""

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from service.domain.connection import SIGNING_ALGORITHMS
from service.errors import NotAuthenticated, Unavailable
from service.verify.caller_assertion import VerifiedCaller, verify_caller_assertion
from service.verify.issuer_keys import IssuerKeys
from tests.support import tokens
from tests.support.assertion_door import AUDIENCE, Door
from tests.support.clock import HandClock
from tests.support.identity_provider import IdentityProvider
from tests.support.tokens import REMOVED

# What is accepted.


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_an_assertion_as_okta_documents_it_is_accepted(door: Door, alg: str) -> None:
    caller = door.accepts(door.assertion(alg=alg, claims={"jti": "once"}))
    assert caller == VerifiedCaller(
        connection_id="con_okta", iss=door.idp.issuer, jti="once", expires_at_ms=(door.now + 300 + 60) * 1000
    )


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_an_assertion_without_kid_is_accepted(door: Door, alg: str) -> None:
    door.accepts(door.assertion(alg=alg, header={"kid": REMOVED}))


def test_claims_and_header_members_nobody_knows_are_ignored(door: Door) -> None:
    door.accepts(
        door.assertion(claims={"amr": ["pwd"], "x": None}, header={"iss": "x", "x5t": "AAAA", "foo": {"a": 1}})
    )


def test_a_header_that_carries_a_certificate_is_accepted(door: Door) -> None:
    door.accepts(door.assertion(header={"x5c": ["A" * 2600]}))


def test_eddsa_under_its_new_name_is_accepted(door: Door) -> None:
    door.accepts(door.assertion(alg="EdDSA", header={"alg": "Ed25519"}))


def test_a_verified_caller_cannot_be_changed(door: Door) -> None:
    caller = door.accepts(door.assertion())
    with pytest.raises(FrozenInstanceError):
        caller.connection_id = "con_other"  # type: ignore[misc]  # what must not work


# 1. A signed JWT of bearable size.


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "s3cret",
        "a.b",
        "a.b.c.d.e",
        "é.é.é",
        "\ud800.a.a",
        ".AAAA.AAAA",
        f"{tokens.encoded(b'[]')}.AAAA.AAAA",
        f"{tokens.encoded(b'null')}.AAAA.AAAA",
        f"{tokens.encoded(b'{')}.AAAA.AAAA",
        f"{tokens.encoded(b'{}x')}.AAAA.AAAA",
        f"{tokens.encoded(bytes([0xFF, 0xFE]))}.AAAA.AAAA",
        tokens.encoded('{"alg":"ES256"}'.encode("utf-16")) + ".AAAA.AAAA",
        tokens.encoded(b'\xef\xbb\xbf{"alg":"ES256"}') + ".AAAA.AAAA",
        tokens.encoded(b'{"alg":"none","alg":"ES256"}') + ".AAAA.AAAA",
        tokens.encoded(b'{"alg":"ES256","x":NaN}') + ".AAAA.AAAA",
        tokens.encoded(b'{"alg":"ES256","x":1e400}') + ".AAAA.AAAA",
        tokens.encoded(b"[" * 3000) + ".AAAA.AAAA",
        tokens.encoded({"alg": "ES256", "kid": 7}) + ".AAAA.AAAA",
        tokens.encoded({"alg": "ES256", "kid": None}) + ".AAAA.AAAA",
        tokens.encoded({"alg": "ES256", "typ": ["JWT"]}) + ".AAAA.AAAA",
    ],
)
def test_step_1_what_is_no_signed_jwt_is_refused(door: Door, token: str) -> None:
    assert door.refuses(token).reason == "malformed_token"


@pytest.mark.parametrize("ending", ["=", "==", "+", "/", " ", "\n", "é", "A"])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_step_1_a_part_that_is_not_plain_base64url_is_refused(door: Door, part: int, ending: str) -> None:
    parts = door.assertion().split(".")
    parts[part] += ending
    assert door.refuses(".".join(parts)).reason in {"malformed_token", "bad_signature"}


def test_step_1_a_value_has_one_spelling_only(door: Door) -> None:
    parts = door.assertion().split(".")
    assert len(parts[2]) % 4 == 2  # 64 bytes: the last character has four bits to spare
    parts[2] = parts[2][:-1] + chr(ord(parts[2][-1]) + 1)
    assert door.refuses(".".join(parts)).reason == "malformed_token"


def test_step_1_a_token_longer_than_anybody_sends_is_refused_however_well_it_is_signed(door: Door) -> None:
    room = 8192 - len(door.assertion(claims={"x": "", "y": ""}))
    longest = door.assertion(claims={"x": "", "y": "a" * (room * 3 // 4)})
    assert 8188 <= len(longest) <= 8192
    door.accepts(longest)
    assert "at most 8192" in str(door.refuses(door.assertion(claims={"x": "aaaa", "y": "a" * (room * 3 // 4)})))


def test_step_1_a_header_longer_than_anybody_sends_is_refused_however_well_it_is_signed(door: Door) -> None:
    refusal = door.refuses(door.assertion(header={"x5c": ["A" * 3072]}))
    assert refusal.reason == "malformed_token"
    assert "longer than 4096" in str(refusal)


# 2. An algorithm of ours, and no extension.


@pytest.mark.parametrize(
    "alg", [None, "", "none", "None", "NONE", "RS512", "ES384", "es256", "Ed448", 7, ["ES256"], {}]
)
def test_step_2_an_algorithm_that_is_none_of_ours_is_refused(door: Door, alg: object) -> None:
    token = tokens.unsigned(door.claims(), header={"typ": "global-token-revocation+jwt", "alg": alg})
    assert door.refuses(token).reason == "unsupported_algorithm"


def test_step_2_a_header_without_algorithm_is_refused(door: Door) -> None:
    assert door.refuses(tokens.unsigned(door.claims(), header={})).reason == "unsupported_algorithm"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_step_2_the_public_key_is_no_shared_secret(door: Door, alg: str) -> None:
    key = door.idp.keys["RS256"]
    header = {"typ": "global-token-revocation+jwt", "alg": alg, "kid": key.kid}
    token = tokens.signed_with_public_key(door.claims(), key=key, header=header)
    assert door.refuses(token).reason == "unsupported_algorithm"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["unknown"]},
        {"crit": []},
        {"crit": None},
        {"b64": False, "crit": ["b64"]},
        {"b64": False},
        {"b64": True},
    ],
)
def test_step_2_a_token_that_insists_on_an_extension_is_refused(door: Door, header: Mapping[str, Any]) -> None:
    assert door.refuses(door.assertion(header=header)).reason == "unsupported_header"


# 3. A key of this connection's identity provider.


def test_step_3_whatever_is_wrong_with_a_credential_the_caller_is_told_the_same(door: Door) -> None:
    good = door.assertion()
    with pytest.raises(NotAuthenticated) as unknown:
        door.verify(good, connection=None)
    refusals = [
        unknown.value,
        door.refuses(good, signing_algorithms=("RS256",)),
        door.refuses(door.assertion(header={"kid": "nobody"})),
        door.refuses(door.with_payload(door.claims())[:-8] + "AAAAAAAA"),
    ]
    assert [each.reason for each in refusals] == [
        "unknown_connection",
        "algorithm_not_allowed",
        "unknown_kid",
        "bad_signature",
    ]
    assert {str(each) for each in refusals} == {"the token is not one this connection accepts"}


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("part", [0, 1, 2])
def test_step_3_a_token_that_was_changed_anywhere_is_refused(door: Door, alg: str, part: int) -> None:
    parts = door.assertion(alg=alg).split(".")
    if part == 0:
        parts[0] = tokens.encoded({**door.idp.header(alg), "x": 1})
    elif part == 1:
        parts[1] = tokens.encoded(door.claims(jti="another"))
    else:
        parts[2] = ("A" if parts[2][0] != "A" else "B") + parts[2][1:]
    assert door.refuses(".".join(parts)).reason == "bad_signature"


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("signature", ["", "AAAA", "A" * 2000])
def test_step_3_a_signature_of_another_length_is_refused(door: Door, alg: str, signature: str) -> None:
    unsigned = door.assertion(alg=alg).rpartition(".")[0]
    assert door.refuses(f"{unsigned}.{signature}").reason == "bad_signature"


def test_step_3_an_algorithm_that_is_not_the_connections_is_refused_although_its_key_is_published(door: Door) -> None:
    token = door.assertion(alg="ES256")
    door.accepts(token, id_token_signed_response_alg="ES256")
    assert door.refuses(token, id_token_signed_response_alg="RS256").reason == "algorithm_not_allowed"


@pytest.mark.parametrize(("named", "used"), [("RS256", "PS256"), ("PS256", "RS256")])
def test_step_3_a_key_for_one_algorithm_does_not_serve_another(door: Door, named: str, used: str) -> None:
    key = door.idp.keys[used]
    header = {**door.idp.header(named), "kid": key.kid}
    assert door.refuses(tokens.signed(door.claims(), key=key, alg=named, header=header)).reason == "unknown_kid"
    header = tokens.overridden(door.idp.header(named), {"kid": REMOVED})
    assert door.refuses(tokens.signed(door.claims(), key=key, alg=named, header=header)).reason == "bad_signature"


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("kid", [True, False])
def test_step_3_another_issuers_key_is_refused(door: Door, alg: str, kid: bool) -> None:
    stranger = tokens.private_key(alg, 2)
    header = tokens.overridden(door.idp.header(alg), {} if kid else {"kid": REMOVED})
    assert door.refuses(tokens.signed(door.claims(), key=stranger, alg=alg, header=header)).reason == "bad_signature"


def test_step_3_a_key_in_the_token_or_named_by_it_is_never_used(door: Door) -> None:
    stranger = tokens.private_key("ES256", 2)
    fetched = door.idp.fetches.total()
    header = {
        **door.idp.header("ES256"),
        "jwk": tokens.public_jwk(stranger),
        "jku": f"{door.idp.origin}/stranger/oauth2/v1/keys",
        "x5u": f"{door.idp.origin}/stranger/oauth2/v1/keys",
    }
    token = tokens.signed(door.claims(), key=stranger, alg="ES256", header=header)
    assert door.refuses(token).reason == "bad_signature"
    assert door.idp.fetches.total() == fetched


def test_step_3_keys_that_cannot_be_had_are_no_fault_of_the_caller(door: Door) -> None:
    with pytest.raises(Unavailable):
        door.accepts(door.assertion(), jwks_uri=f"{door.idp.origin}/nothing-here")


@pytest.mark.parametrize("named", [True, False])
async def test_step_3_a_rotation_is_followed_whether_or_not_tokens_name_their_key(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock, named: bool
) -> None:
    header = {} if named else {"kid": REMOVED}

    async def verify() -> VerifiedCaller:
        token = idp.assertion(audience=AUDIENCE, alg="ES256", now_s=clock.now_s, header=header)
        return await verify_caller_assertion(
            token, connection=idp.connection(), audience=AUDIENCE, keys=keys, now_ms=clock.now_ms()
        )

    await verify()
    idp.rotate()
    await verify()
    assert idp.fetches["keys"] == 2
    idp.rotate()
    with pytest.raises(NotAuthenticated):  # the cool-down of the first two fetches
        await verify()
    clock.advance(30)
    await verify()
    assert idp.fetches["keys"] == 3


# 4. Of this kind.


@pytest.mark.parametrize(
    "typ",
    [
        "global-token-revocation+jwt",
        "Global-Token-Revocation+JWT",
        "application/global-token-revocation+jwt",
        "APPLICATION/global-token-revocation+jwt",
    ],
)
def test_step_4_typ_compares_as_a_media_type(door: Door, typ: str) -> None:
    door.accepts(door.assertion(header={"typ": typ}))


@pytest.mark.parametrize(
    "typ",
    [
        REMOVED,
        "",
        "JWT",
        "at+jwt",
        "logout+jwt",
        "secevent+jwt",
        "global-token-revocation",
        "application/application/global-token-revocation+jwt",
        "text/global-token-revocation+jwt",
        " global-token-revocation+jwt",
    ],
)
def test_step_4_another_kind_of_token_is_refused(door: Door, typ: object) -> None:
    refusal = door.refuses(door.assertion(header={"typ": typ}))
    assert refusal.reason == "wrong_typ"
    assert "expected global-token-revocation+jwt" in str(refusal)


# 5. Claims that can be read in one way only.


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"s3cret"',
        b"7",
        b"{",
        b"{}{}",
        b"\xff",
        b'\xef\xbb\xbf{"jti":"x"}',
        '{"jti":"x"}'.encode("utf-16"),
        b'{"sub":"a","sub":"b"}',
        b'{"x":{"a":1,"a":1}}',
        b'{"x":[{"a":1,"\\u0061":1}]}',
        b'{"x":NaN}',
        b'{"x":[-Infinity]}',
        b'{"x":1e400}',
        b'{"x":' + b"9" * 5000 + b"}",
        b"[" * 5000,
    ],
)
def test_step_5_claims_that_are_no_plain_json_object_are_refused(door: Door, payload: bytes) -> None:
    assert door.refuses(door.with_payload(payload)).reason == "malformed_claims"


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"])
def test_step_5_a_claim_twice_is_refused_even_with_the_same_value(door: Door, claim: str) -> None:
    once = json.dumps(door.claims())
    twice = once[:-1] + f', "{claim}": {json.dumps(door.claims()[claim])}' + "}"
    assert door.refuses(door.with_payload(twice.encode())).reason == "malformed_claims"
