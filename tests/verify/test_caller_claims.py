"""The assertion of a Global Token Revocation request, steps 6 to 8, 10 and 11: what its claims say, times apart."""

from typing import Any

import pytest

from tests.support.assertion_door import AUDIENCE, Door
from tests.support.identity_provider import CLIENT_ID
from tests.support.tokens import REMOVED

# 6. iss.


@pytest.mark.parametrize(
    "iss", [REMOVED, None, "", "s3cret", 7, True, [], {}, ["{issuer}"], "{issuer}/", " {issuer}", "{ISSUER}"]
)
def test_step_6_another_issuer_is_refused(door: Door, iss: Any) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(each) for each in value]
        issuer = door.idp.issuer
        return value.format(issuer=issuer, ISSUER=issuer.upper()) if isinstance(value, str) else value

    refusal = door.refuses(door.assertion(claims={"iss": filled(iss)}))
    assert refusal.reason == "wrong_iss"
    assert f"expected {door.idp.issuer}" in str(refusal)


def test_step_6_the_issuers_that_were_configured_take_the_place_of_the_connections(door: Door) -> None:
    configured = ("http://www.okta.com/exk1", "https://login.example.com")
    for iss in configured:
        caller = door.accepts(door.assertion(claims={"iss": iss}), global_token_revocation_jwt_iss=configured)
        assert caller.iss == iss
    assert door.refuses(door.assertion(), global_token_revocation_jwt_iss=configured).reason == "wrong_iss"


# 7. sub.


@pytest.mark.parametrize("sub", [REMOVED, None, "", "s3cret", CLIENT_ID.upper(), CLIENT_ID + " ", 7, [CLIENT_ID], {}])
def test_step_7_another_caller_is_refused(door: Door, sub: object) -> None:
    refusal = door.refuses(door.assertion(claims={"sub": sub}))
    assert refusal.reason == "wrong_sub"
    assert f"expected {CLIENT_ID}" in str(refusal)


def test_step_7_the_subject_that_was_configured_takes_the_place_of_the_client_id(door: Door) -> None:
    token = door.assertion(claims={"sub": "0oaSamlInstance"})
    door.accepts(token, global_token_revocation_jwt_sub="0oaSamlInstance")
    assert door.refuses(door.assertion(), global_token_revocation_jwt_sub="0oaSamlInstance").reason == "wrong_sub"


# 8. aud.


def test_step_8_the_endpoint_alone_in_a_list_is_accepted(door: Door) -> None:
    door.accepts(door.assertion(claims={"aud": [AUDIENCE]}))


@pytest.mark.parametrize(
    "aud",
    [
        REMOVED,
        None,
        "",
        "s3cret",
        AUDIENCE + "/",
        AUDIENCE + "?",
        AUDIENCE + "?x=1",
        AUDIENCE.replace("https", "http"),
        AUDIENCE.replace("okta", "other"),
        AUDIENCE.upper(),
        CLIENT_ID,
        [],
        [AUDIENCE, AUDIENCE],
        [AUDIENCE, "https://other.example"],
        [[AUDIENCE]],
        {AUDIENCE: 1},
        True,
        7,
    ],
)
def test_step_8_another_audience_is_refused(door: Door, aud: object) -> None:
    refusal = door.refuses(door.assertion(claims={"aud": aud}))
    assert refusal.reason == "wrong_aud"
    assert str(refusal).endswith(f"expected exactly {AUDIENCE}")


def test_step_8_the_refusal_says_what_was_sent_where_that_is_a_plain_url(door: Door) -> None:
    assert f"`aud` is {AUDIENCE}/;" in str(door.refuses(door.assertion(claims={"aud": AUDIENCE + "/"})))
    for private in ("https://ann@example.com/", "https://example.com/?token=s3cret", "ann@example.com"):
        assert "`aud` is another string;" in str(door.refuses(door.assertion(claims={"aud": private})))


# 10. jti.


@pytest.mark.parametrize("jti", ["x", "x" * 256, "\u0000", "ü", "\U0001f600"])
def test_step_10_any_name_is_a_name(door: Door, jti: str) -> None:
    assert door.accepts(door.assertion(claims={"jti": jti})).jti == jti


@pytest.mark.parametrize("jti", [REMOVED, None, "", "s3cret" * 43, 7, True, ["x"], {}, "\ud800", "x\udfff"])
def test_step_10_an_assertion_that_cannot_be_remembered_by_name_is_refused(door: Door, jti: object) -> None:
    assert door.refuses(door.assertion(claims={"jti": jti})).reason == "bad_jti"


# 11. No other kind of JWT.


@pytest.mark.parametrize("claim", ["events", "nonce"])
@pytest.mark.parametrize("value", [None, {}, "", "s3cret", {"http://schemas.openid.net/event/backchannel-logout": {}}])
def test_step_11_a_claim_of_another_kind_of_token_is_refused(door: Door, claim: str, value: object) -> None:
    refusal = door.refuses(door.assertion(claims={claim: value}))
    assert refusal.reason == "other_kind_of_token"
    assert f"`{claim}`" in str(refusal)
