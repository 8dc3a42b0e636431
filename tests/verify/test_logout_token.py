"""A logout token, step by step: what it is, who signed it, what it must say and must not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from service.domain.connection import SIGNING_ALGORITHMS
from service.errors import KeysUnavailable, NotAuthenticated
from service.verify.logout_token import (
    EVENT,
    VerifiedLogout,
    may_be_logout_token,
)
from tests.support import tokens
from tests.support.logout_token_door import SID, SUB, LogoutTokenDoor, standing_for_logout_tokens
from tests.support.tokens import REMOVED


@pytest.fixture(scope="module")
def door() -> Iterator[LogoutTokenDoor]:
    with standing_for_logout_tokens() as door:
        yield door


# What is accepted.


def test_a_logout_token_is_accepted_and_nothing_of_it_is_lost(door: LogoutTokenDoor) -> None:
    logout = door.accepts(door.token(claims={"jti": "once"}))
    assert logout == VerifiedLogout(
        connection_id="con_okta",
        iss=door.idp.issuer,
        sub=SUB,
        sid=SID,
        jti="once",
        issued_at_ms=door.now * 1000,
        expires_at_ms=(door.now + 120 + 60) * 1000,
    )


@pytest.mark.parametrize(("missing", "sub", "sid"), [("sub", None, SID), ("sid", SUB, None), ("neither", SUB, SID)])
@pytest.mark.parametrize("absence", [REMOVED, None])
def test_it_may_name_a_person_or_a_session_or_both(
    door: LogoutTokenDoor, missing: str, sub: str | None, sid: str | None, absence: object
) -> None:
    """Some senders write null where they mean nothing."""
    claims = {} if missing == "neither" else {missing: absence}
    logout = door.accepts(door.token(claims=claims))
    assert (logout.sub, logout.sid) == (sub, sid)


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_each_algorithm_of_ours_is_accepted_where_it_is_the_connections(door: LogoutTokenDoor, alg: str) -> None:
    door.accepts(door.token(alg=alg), id_token_signed_response_alg=alg)
    door.accepts(door.token(alg=alg, header={"kid": REMOVED}), id_token_signed_response_alg=alg)


def test_claims_and_header_members_nobody_knows_are_ignored(door: LogoutTokenDoor) -> None:
    claims = {"ignored_claim": "ignored", "amr": ["pwd"], "x": None, "event": {}}
    door.accepts(door.token(claims=claims, header={"iss": "x", "x5t": "AAAA", "foo": {"a": 1}}))


def test_a_verified_logout_cannot_be_changed_and_does_not_show_who_it_is_about(door: LogoutTokenDoor) -> None:
    logout = door.accepts(door.token())
    with pytest.raises(FrozenInstanceError):
        logout.sub = "another"  # type: ignore[misc]  # what must not work
    assert SUB not in repr(logout)
    assert SID not in repr(logout)
    assert {each.name for each in fields(logout) if not each.repr} == {"sub", "sid"}


# 2. A signed JWT by an algorithm of ours.


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "s3cret", "a.b", "a.b.c.d", "é.é.é", "\ud800.a.a", ".AAAA.AAAA", "[].AAAA.AAAA", "a.b.c.d.e.f"],
)
def test_step_2_what_is_no_signed_jwt_is_refused(door: LogoutTokenDoor, token: str) -> None:
    assert door.refuses(token).reason == "malformed_token"


@pytest.mark.parametrize("alg", [REMOVED, None, "", "none", "None", "NONE", "RS512", "ES384", "rs256", 7, ["RS256"]])
def test_step_2_an_algorithm_that_is_none_of_ours_is_refused(door: LogoutTokenDoor, alg: object) -> None:
    token = tokens.unsigned(door.claims(), header=door.header(alg=alg))
    assert door.refuses(token).reason == "unsupported_algorithm"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_step_2_the_public_key_is_no_shared_secret(door: LogoutTokenDoor, alg: str) -> None:
    token = tokens.signed_with_public_key(door.claims(), key=door.idp.keys["RS256"], header=door.header(alg=alg))
    assert door.refuses(token).reason == "unsupported_algorithm"


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False, "crit": ["b64"]}])
def test_step_2_a_token_that_insists_on_an_extension_is_refused(
    door: LogoutTokenDoor, header: Mapping[str, Any]
) -> None:
    assert door.refuses(door.token(header=header)).reason == "unsupported_header"


# 3. By the connection's one algorithm, and one of its keys.


@pytest.mark.parametrize("pinned", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("used", SIGNING_ALGORITHMS)
def test_step_3_only_the_connections_algorithm_is_accepted_although_keys_of_others_are_published(
    door: LogoutTokenDoor, pinned: str, used: str
) -> None:
    token = door.token(alg=used)
    if pinned == used:
        door.accepts(token, id_token_signed_response_alg=pinned)
    else:
        assert door.refuses(token, id_token_signed_response_alg=pinned).reason == "algorithm_not_allowed"


def test_step_3_where_no_algorithm_is_configured_it_is_rs256_and_no_other(door: LogoutTokenDoor) -> None:
    """OpenID Connect Registration section 2: also where its discovery document names more."""
    door.accepts(door.token(alg="RS256"))
    for alg in ("PS256", "ES256", "EdDSA"):
        assert door.refuses(door.token(alg=alg)).reason == "algorithm_not_allowed"


def test_step_3_a_provider_without_rs256_is_held_to_the_first_it_has(door: LogoutTokenDoor) -> None:
    door.accepts(door.token(alg="ES256"), signing_algorithms=("ES256", "EdDSA"))
    assert door.refuses(door.token(alg="EdDSA"), signing_algorithms=("ES256", "EdDSA")).reason == (
        "algorithm_not_allowed"
    )


def test_step_3_another_issuers_key_is_refused(door: LogoutTokenDoor) -> None:
    stranger = tokens.private_key("RS256", 9)
    for header in (door.header(), door.header(kid=REMOVED)):
        token = tokens.signed(door.claims(), key=stranger, alg="RS256", header=header)
        assert door.refuses(token).reason == "bad_signature"
    token = tokens.signed(door.claims(), key=stranger, alg="RS256", header=door.header(kid=stranger.kid))
    assert door.refuses(token).reason == "unknown_kid"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_step_3_a_token_that_was_changed_anywhere_is_refused(door: LogoutTokenDoor, part: int) -> None:
    parts = door.token().split(".")
    changed = [
        tokens.encoded(door.header(x=1)),
        tokens.encoded(door.claims(sub="another")),
        ("A" if parts[2][0] != "A" else "B") + parts[2][1:],
    ]
    parts[part] = changed[part]
    assert door.refuses(".".join(parts)).reason == "bad_signature"


def test_step_3_whatever_is_wrong_before_the_signature_is_good_does_not_tell_which_connections_exist(
    door: LogoutTokenDoor,
) -> None:
    """A connection that is not there answers, to the letter, like one that is."""
    good = door.token()
    forged = good[:-8] + "AAAAAAAA"
    broken = ["", "a.b", "a.b.c", tokens.unsigned(door.claims(), header=door.header(alg="none"))]
    for text in (forged, door.token(alg="ES256"), door.token(header={"kid": "nobody"}), "a.b.c.d.e", *broken):
        with pytest.raises(NotAuthenticated) as unknown:
            door.verify(text, connection=None)
        assert str(unknown.value) == str(door.refuses(text))
    with pytest.raises(NotAuthenticated) as unknown:
        door.verify(good, connection=None)
    assert unknown.value.reason == "unknown_connection"
    assert str(unknown.value) == str(door.refuses(forged))


def test_step_3_keys_that_cannot_be_had_are_no_refusal(door: LogoutTokenDoor) -> None:
    with pytest.raises(KeysUnavailable):
        door.accepts(door.token(), jwks_uri=f"{door.idp.origin}/nothing-here")


# Of this kind.


@pytest.mark.parametrize(
    "typ",
    [REMOVED, "logout+jwt", "LOGOUT+JWT", "Logout+Jwt", "application/logout+jwt", "JWT", "jwt", "application/jwt"],
)
def test_typ_is_logout_jwt_or_jwt_or_absent(door: LogoutTokenDoor, typ: object) -> None:
    door.accepts(door.token(header={"typ": typ}))


@pytest.mark.parametrize(
    "typ",
    [
        *("at+jwt", "application/at+jwt", "secevent+jwt", "global-token-revocation+jwt", "token-introspection+jwt"),
        *("id_token+jwt", "", "logout", "application/application/logout+jwt", "text/logout+jwt", " logout+jwt"),
    ],
)
def test_another_kind_of_token_is_refused(door: LogoutTokenDoor, typ: str) -> None:
    refusal = door.refuses(door.token(header={"typ": typ}))
    assert refusal.reason == "wrong_typ"
    assert "expected logout+jwt" in str(refusal)


@pytest.mark.parametrize("typ", [None, 7, ["logout+jwt"]])
def test_a_typ_that_is_no_string_is_refused(door: LogoutTokenDoor, typ: object) -> None:
    assert door.refuses(door.token(header={"typ": typ})).reason == "malformed_token"


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b'"s3cret"', b"7", b"{", b"{}{}", b"\xff", b'{"x":NaN}', b'{"x":1e400}', b"[" * 5000],
)
def test_claims_that_are_no_plain_json_object_are_refused(door: LogoutTokenDoor, payload: bytes) -> None:
    assert door.refuses(door.with_payload(payload)).reason == "malformed_claims"


@pytest.mark.parametrize("claim", ["iss", "sub", "sid", "aud", "exp", "iat", "jti", "events"])
def test_a_claim_twice_is_refused_even_with_the_same_value(door: LogoutTokenDoor, claim: str) -> None:
    once = json.dumps(door.claims())
    twice = once[:-1] + f', "{claim}": {json.dumps(door.claims()[claim])}' + "}"
    assert door.refuses(door.with_payload(twice.encode())).reason == "malformed_claims"


def test_the_event_twice_is_refused(door: LogoutTokenDoor) -> None:
    token = door.with_raw_claims(events=f'{{"{EVENT}": {{}}, "{EVENT}": {{}}}}')
    assert door.refuses(token).reason == "malformed_claims"


def test_what_would_be_refused_anyway_is_not_worth_keeping_and_a_forgery_may_be(door: LogoutTokenDoor) -> None:
    connection, now_ms = door.idp.connection(), door.clock.now_ms()
    forged = door.token()[:-8] + "AAAAAAAA"
    assert may_be_logout_token(forged, connection=connection, now_ms=now_ms)
    for text in ("", "a.b.c", door.token(alg="ES256"), door.token(claims={"aud": "x"}), door.token(claims={"exp": 1})):
        assert not may_be_logout_token(text, connection=connection, now_ms=now_ms)
