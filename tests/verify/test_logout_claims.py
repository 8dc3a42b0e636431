"""A logout token, steps 4 to 8: what its claims must say and must not."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from service.verify.claims import LAST_SECOND
from service.verify.logout_token import EVENT, MAX_AGE_S, MAX_AGE_WITHOUT_EXP_S, MAX_NAME_LENGTH
from tests.support.logout_token_door import LogoutTokenDoor, standing_for_logout_tokens
from tests.support.tokens import REMOVED


@pytest.fixture(scope="module")
def door() -> Iterator[LogoutTokenDoor]:
    with standing_for_logout_tokens() as door:
        yield door


# 4. iss, aud, iat, exp.


@pytest.mark.parametrize("change", ["INVALID", "/", " ", "\n"])
def test_step_4_the_issuer_is_compared_character_by_character(door: LogoutTokenDoor, change: str) -> None:
    assert door.refuses(door.token(claims={"iss": door.idp.issuer + change})).reason == "wrong_iss"


@pytest.mark.parametrize("iss", [REMOVED, None, "", 7, True, [], {}])
def test_step_4_an_issuer_that_is_no_string_is_refused(door: LogoutTokenDoor, iss: object) -> None:
    assert door.refuses(door.token(claims={"iss": iss})).reason == "wrong_iss"


def test_step_4_an_issuer_with_a_slash_at_its_end_is_taken_as_it_is(door: LogoutTokenDoor) -> None:
    """Auth0's ends so; nothing is normalised."""
    with_slash = f"{door.idp.issuer}/"
    door.accepts(door.token(claims={"iss": with_slash}), issuer=with_slash)
    assert door.refuses(door.token(), issuer=with_slash).reason == "wrong_iss"


def test_step_4_the_issuers_of_assertions_are_none_of_logout_tokens(door: LogoutTokenDoor) -> None:
    custom = "https://login.example.com"
    token = door.token(claims={"iss": custom})
    assert door.refuses(token, global_token_revocation_jwt_iss=(custom,)).reason == "wrong_iss"


def test_step_4_the_audience_is_our_client_id_alone_or_in_a_list_of_one(door: LogoutTokenDoor) -> None:
    client_id = door.claims()["aud"]
    door.accepts(door.token(claims={"aud": [client_id]}))
    for aud in (
        *(REMOVED, None, "", 7, True, {}, [], [None], [[client_id]], {client_id: client_id}, f"{client_id}INVALID"),
        *([client_id, client_id], [client_id, "another"], ["another", client_id], client_id.lower(), f"{client_id} "),
    ):
        assert door.refuses(door.token(claims={"aud": aud})).reason == "wrong_aud"


@pytest.mark.parametrize(
    ("iat", "exp", "nbf", "reason"),
    [
        (0, 120, None, None),
        (0, 0, None, None),
        (60, 180, None, None),
        (61, 180, None, "issued_in_future"),
        (-119, -59, None, None),
        (-120, -60, None, "expired"),
        (10, 9, None, "bad_lifetime"),
        (-MAX_AGE_S, 60, None, None),
        (-MAX_AGE_S - 60, 60, None, None),
        (-MAX_AGE_S - 61, 60, None, "too_old"),
        (0, MAX_AGE_S * 400, None, None),
        (0, 120, -300, None),
        (0, 120, 60, None),
        (0, 120, 61, "not_yet_valid"),
        (0.5, 119.25, -0.5, None),
    ],
)
def test_step_4_times_are_held_against_our_clock(
    door: LogoutTokenDoor, iat: float, exp: float, nbf: float | None, reason: str | None
) -> None:
    now = door.now
    times = {"iat": now + iat, "exp": now + exp, "nbf": REMOVED if nbf is None else now + nbf}
    if reason is not None:
        assert door.refuses(door.token(claims=times)).reason == reason
        return
    logout = door.accepts(door.token(claims=times))
    assert logout.issued_at_ms == round((now + iat) * 1000)
    # However long a sender would have it live: its `jti` need not be remembered for longer than a day.
    assert logout.expires_at_ms == round((now + min(exp, iat + MAX_AGE_S) + 60) * 1000)


@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
@pytest.mark.parametrize(
    "written",
    *[["true", "false", "null", '"1800000000"', "[]", "{}", "-1", str(LAST_SECOND + 1), str(10**30), "1e30"]],
)
def test_step_4_a_time_that_is_no_number_of_seconds_is_refused(door: LogoutTokenDoor, claim: str, written: str) -> None:
    token = door.with_raw_claims(**{claim: written})
    assert door.refuses(token).reason == "bad_time_claim"
    if claim == "exp":
        assert door.refuses(token, allow_missing_exp=True).reason == "bad_time_claim"


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_step_4_a_time_that_is_no_finite_number_is_refused(door: LogoutTokenDoor, written: str) -> None:
    for claim in ("iat", "exp"):
        assert door.refuses(door.with_raw_claims(**{claim: written})).reason == "malformed_claims"


@pytest.mark.parametrize("allow", [True, False])
def test_step_4_iat_is_required_always(door: LogoutTokenDoor, allow: bool) -> None:
    token = door.token(claims={"iat": REMOVED})
    assert door.refuses(token, allow_missing_exp=allow).reason == "bad_time_claim"


def test_step_4_exp_is_required_unless_the_connection_says_otherwise(door: LogoutTokenDoor) -> None:
    token = door.token(claims={"exp": REMOVED})
    refusal = door.refuses(token)
    assert refusal.reason == "missing_exp"
    # What an administrator has to change is in the answer: it is the habit that most of the older providers have.
    assert "allow_missing_exp" in str(refusal)
    logout = door.accepts(token, allow_missing_exp=True)
    assert logout.expires_at_ms == (door.now + MAX_AGE_WITHOUT_EXP_S + 60) * 1000


def test_step_4_without_exp_the_age_is_bounded_by_iat(door: LogoutTokenDoor) -> None:
    oldest = door.now - MAX_AGE_WITHOUT_EXP_S - 60
    door.accepts(door.token(claims={"exp": REMOVED, "iat": oldest}), allow_missing_exp=True)
    refusal = door.refuses(door.token(claims={"exp": REMOVED, "iat": oldest - 1}), allow_missing_exp=True)
    assert refusal.reason == "too_old"


def test_step_4_an_exp_that_is_there_counts_although_it_may_be_missing(door: LogoutTokenDoor) -> None:
    token = door.token(claims={"iat": door.now - 300, "exp": door.now - 180})
    assert door.refuses(token, allow_missing_exp=True).reason == "expired"


# 5. About somebody.


@pytest.mark.parametrize("absence", [REMOVED, None])
def test_step_5_neither_a_person_nor_a_session_is_refused(door: LogoutTokenDoor, absence: object) -> None:
    assert door.refuses(door.token(claims={"sub": absence, "sid": absence})).reason == "no_subject"


@pytest.mark.parametrize("claim", ["sub", "sid"])
@pytest.mark.parametrize("value", ["", 7, 0, True, False, [], ["x"], {}, "\ud800", "x" * (MAX_NAME_LENGTH + 1)])
def test_step_5_a_name_that_is_no_name_is_refused_whatever_else_is_there(
    door: LogoutTokenDoor, claim: str, value: object
) -> None:
    assert door.refuses(door.token(claims={claim: value})).reason == "bad_subject"


def test_step_5_a_name_may_be_as_long_as_a_sign_in_may_report(door: LogoutTokenDoor) -> None:
    door.accepts(door.token(claims={"sub": "x" * MAX_NAME_LENGTH, "sid": "\x00 é \U0001f469"}))


# 6. The event.


@pytest.mark.parametrize("value", [{}, {"x": 1}])
@pytest.mark.parametrize("others", [{}, {"http://schemas.openid.net/event/foobar": {}}])
def test_step_6_the_event_is_an_object_empty_or_not_and_others_beside_it_mean_nothing(
    door: LogoutTokenDoor, value: Mapping[str, Any], others: Mapping[str, Any]
) -> None:
    door.accepts(door.token(claims={"events": {EVENT: value, **others}}))


@pytest.mark.parametrize(
    "events",
    [
        *(REMOVED, None, {}, [], True, 7, "", EVENT, [EVENT], [{EVENT: {}}], {"events": {EVENT: {}}}),
        *({EVENT: True}, {EVENT: None}, {EVENT: []}, {EVENT: ""}, {EVENT: "{}"}, {EVENT: 1}, {EVENT.upper(): {}}),
        {"http://schemas.openid.net/event/foobar": {}},
        {EVENT.replace("http:", "https:"): {}},
        {f"{EVENT}/": {}},
        {"backchannel-logout": {}},
    ],
)
def test_step_6_what_is_no_such_event_is_refused(door: LogoutTokenDoor, events: object) -> None:
    assert door.refuses(door.token(claims={"events": events})).reason == "wrong_event"


# 7. No ID token.


@pytest.mark.parametrize("nonce", ["n-0S6_WzA2Mj", "", None, 0, False])
def test_step_7_a_nonce_is_refused_whatever_it_is(door: LogoutTokenDoor, nonce: object) -> None:
    assert door.refuses(door.token(claims={"nonce": nonce})).reason == "other_kind_of_token"


def test_step_7_an_id_token_is_no_logout_token(door: LogoutTokenDoor) -> None:
    for nonce in ("n-0S6_WzA2Mj", REMOVED):
        id_token = door.token(
            header={"typ": "JWT"}, claims={"events": REMOVED, "nonce": nonce, "auth_time": door.now, "at_hash": "x"}
        )
        assert door.refuses(id_token).reason == "wrong_event"


# 8. Named.


@pytest.mark.parametrize("jti", [REMOVED, None, "", 7, True, [], {}, "\ud800", "x" * 257])
def test_step_8_jti_is_required_and_a_string(door: LogoutTokenDoor, jti: object) -> None:
    assert door.refuses(door.token(claims={"jti": jti})).reason == "bad_jti"
