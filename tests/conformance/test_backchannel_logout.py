"""OpenID Connect Back-Channel Logout 1.0, the receiver's side over real HTTP: the request, who it comes from, what is answered.

`rp_…`: the rows of the certification suite's plan for relying parties (`oidcc-client-back-channel-logout-rp-basic`), named as
its modules are (`oidcc-client-test-rp-backchannel-rpinitlogout-alg-none`), and one of an encrypted token. The suite sends
tokens without `typ`, with an `ignored_claim`, beside an `ignored_parameter`. Every refusal is checked to have changed
nothing, and to be exactly 400. What a token must say is in `test_backchannel_logout_token`, claim by claim.
"""

import json
from typing import Any

import pytest

from tests.support import tokens
from tests.support.clock import HandClock
from tests.support.identity_provider import IdentityProvider
from tests.support.logout_door import LogoutDoor, is_accepted, is_refused
from tests.support.logout_token_door import decryption_key, encrypted, private_jwk
from tests.support.lone_service import clock, idp, parties, server, story
from tests.support.story import Story, by_iss_sub
from tests.support.tokens import REMOVED

__all__ = ["clock", "idp", "parties", "server", "story"]

MAX_BODY_BYTES = 65_536
"""Largest body that is read, in bytes."""


@pytest.fixture
def door(story: Story, clock: HandClock) -> LogoutDoor:
    """A door, with somebody behind it."""
    return LogoutDoor.open(story, clock)


def suite_token(door: LogoutDoor, *, alg: str = "RS256", **claims: Any) -> str:
    """A token as the certification suite makes it."""
    return door.token(alg=alg, header={"typ": REMOVED}, claims={"ignored_claim": "ignored", **claims})


# The certification suite.


def test_rp_rpinitlogout_is_exactly_200_and_ends_the_session(door: LogoutDoor) -> None:
    assert is_accepted(door.send(suite_token(door), ignored_parameter="ignored"))
    assert door.session_is_over


def test_rp_rpinitlogout_alg_none_is_exactly_400(door: LogoutDoor) -> None:
    for alg in ("none", "None", "NONE"):
        for signature in ("", "AAAA"):
            token = tokens.unsigned(door.claims(), header={"alg": alg}) + signature
            assert is_refused(door.send(token, ignored_parameter="ignored"), "`alg`")
    assert door.nothing_happened


def test_rp_rpinitlogout_no_event_is_exactly_400(door: LogoutDoor) -> None:
    assert is_refused(door.send(suite_token(door, events=REMOVED)), "`events`")
    assert door.nothing_happened


def test_rp_rpinitlogout_with_nonce_is_exactly_400(door: LogoutDoor) -> None:
    assert is_refused(door.send(suite_token(door, nonce="n-0S6_WzA2Mj")), "`nonce`")
    assert door.nothing_happened


@pytest.mark.parametrize(
    ("registered", "sent"),
    [("RS256", "ES256"), ("RS256", "PS256"), ("RS256", "EdDSA"), ("PS256", "RS256"), ("ES256", "RS256")],
)
def test_rp_rpinitlogout_wrong_alg_is_exactly_400_although_its_key_is_in_the_jwks(
    story: Story, clock: HandClock, registered: str, sent: str
) -> None:
    door = LogoutDoor.open(story, clock, id_token_signed_response_alg=registered)
    assert is_refused(door.send(suite_token(door, alg=sent)))
    assert door.nothing_happened
    assert is_accepted(door.send(suite_token(door, alg=registered)))


def test_rp_rpinitlogout_wrong_aud_is_exactly_400(door: LogoutDoor) -> None:
    assert is_refused(door.send(suite_token(door, aud=f"{door.connection.client_id}INVALID")), "`aud`")
    assert door.nothing_happened


def test_rp_rpinitlogout_wrong_event_is_exactly_400(door: LogoutDoor) -> None:
    token = suite_token(door, events={"http://schemas.openid.net/event/foobar": {}})
    assert is_refused(door.send(token), "`events`")
    assert door.nothing_happened


def test_rp_rpinitlogout_wrong_iss_is_exactly_400(door: LogoutDoor) -> None:
    assert is_refused(door.send(suite_token(door, iss=f"{door.idp.issuer}INVALID")), "`iss`")
    assert door.nothing_happened


def test_rp_rpinitlogout_encrypted_when_it_was_registered_so(story: Story, clock: HandClock) -> None:
    key = decryption_key()
    door = LogoutDoor.open(story, clock, decryption_jwk=private_jwk(key))
    assert is_refused(door.send(suite_token(door)))
    assert door.nothing_happened
    assert is_accepted(door.send(encrypted(suite_token(door), key, iss=door.idp.issuer)))
    assert door.session_is_over


# Section 2.5: the request.


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_section_2_5_the_request_is_a_post(door: LogoutDoor, method: str) -> None:
    answer = door.server.http.request(method, door.url, params={"logout_token": door.token()})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["cache-control"] == "no-store"
    assert door.nothing_happened


@pytest.mark.parametrize("name", ["", "Logout_Token", "token", "id_token_hint"])
def test_section_2_5_the_parameter_is_required(door: LogoutDoor, name: str) -> None:
    assert is_refused(door.send_form([(name, door.token())] if name else []), "`logout_token` is missing")
    assert is_refused(door.send_form([("logout_token", "")]), "`logout_token` is missing")
    assert door.nothing_happened


def test_section_2_5_the_parameter_is_read_from_the_body_alone(door: LogoutDoor) -> None:
    in_the_query = str(door.server.http.build_request("POST", door.url, params={"logout_token": door.token()}).url)
    assert is_refused(door.send_form([], url=in_the_query), "missing")
    assert door.nothing_happened
    # And one in the query is no second one.
    assert is_accepted(door.send_form([("logout_token", door.token())], url=in_the_query))


def test_section_2_5_the_parameter_twice_is_refused_even_with_the_same_value(door: LogoutDoor) -> None:
    token = door.token()
    for pair in ([token, token], [token, door.token()], [token, ""], ["", token]):
        assert is_refused(door.send_form([("logout_token", each) for each in pair]), "more than once")
    assert door.nothing_happened


def test_section_2_5_other_parameters_are_ignored_however_often_they_are_there(door: LogoutDoor) -> None:
    pairs = [("state", "x"), ("logout_token", door.token()), ("state", "y"), ("é", "\U0001f469"), ("empty", "")]
    assert is_accepted(door.send_form(pairs))
    assert door.session_is_over


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded; charset=UTF-8", "APPLICATION/X-WWW-FORM-URLENCODED"]
)
def test_section_2_5_the_request_is_a_form(door: LogoutDoor, content_type: str) -> None:
    assert is_accepted(door.send_form([("logout_token", door.token())], content_type=content_type))


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/json", "multipart/form-data; boundary=x", "application/logout+jwt", "x"],
)
def test_section_2_5_what_is_called_something_else_is_refused(door: LogoutDoor, content_type: str) -> None:
    answer = door.send_form([("logout_token", door.token())], content_type=content_type)
    assert is_refused(answer, "application/x-www-form-urlencoded")
    assert is_refused(door.send_body(door.token().encode(), content_type=content_type))
    as_json = json.dumps({"logout_token": door.token()}).encode()
    assert is_refused(door.send_body(as_json, content_type=content_type))
    assert door.nothing_happened


@pytest.mark.parametrize("body", [b"", b"logout_token", b"&&&", b"logout_token=%FF", b"\xff=\xff", b"a=b&" * 40])
def test_section_2_5_what_is_no_form_is_refused(door: LogoutDoor, body: bytes) -> None:
    assert is_refused(door.send_body(body))
    assert door.nothing_happened


def test_section_2_5_a_body_of_unreasonable_size_is_refused(door: LogoutDoor) -> None:
    token = door.token()
    padding = MAX_BODY_BYTES - len(f"logout_token={token}&x=")
    assert is_refused(door.send(token, x="x" * (padding + 1)), "larger than")
    assert door.nothing_happened
    assert is_accepted(door.send(token, x="x" * padding))


@pytest.mark.parametrize("name", ["nobody", "a.b", "%00", "x" * 129, "é"])
def test_section_2_8_a_connection_that_does_not_exist_answers_like_one_that_refuses(
    door: LogoutDoor, name: str
) -> None:
    url = door.url.rpartition("/")[0] + "/" + name
    forged = door.token()[:-8] + "AAAAAAAA"
    for token in (forged, "garbage", "a.b.c.d.e"):
        there = door.send(token)
        elsewhere = door.send_form([("logout_token", token)], url=url)
        assert is_refused(elsewhere)
        assert (elsewhere.status_code, elsewhere.json()) == (there.status_code, there.json())
    assert is_refused(door.send_form([("logout_token", door.token())], url=url))
    assert door.nothing_happened


def test_a_disabled_connection_is_refused_and_only_to_who_proves_to_be_its_provider(door: LogoutDoor) -> None:
    """Not as Keycloak's CVE-2026-1486, which took what a disabled identity provider sent."""
    door.server.ask("PATCH", f"/api/v2/connections/{door.connection.id}", {"enabled": False})
    assert is_refused(door.send(door.token()), "disabled")
    forged = door.send(door.token()[:-8] + "AAAAAAAA")
    assert is_refused(forged)
    assert "disabled" not in forged.text
    assert door.nothing_happened


# Section 2.4 and 2.6: the token.


@pytest.mark.parametrize("token", ["garbage", ".", "..", "a.b.c", "é", "\x00", "eyJhbGciOiJSUzI1NiJ9..", "x" * 20_000])
def test_section_2_6_what_is_no_token_is_refused(door: LogoutDoor, token: str) -> None:
    assert is_refused(door.send(token))
    assert door.nothing_happened


def test_section_2_6_step_2_a_bad_signature_is_refused(door: LogoutDoor) -> None:
    stranger = tokens.private_key("RS256", 9)
    head, _, signature = door.token().split(".")
    for token in (
        door.token()[:-8] + "AAAAAAAA",
        f"{head}.{tokens.encoded(door.claims(sub='another'))}.{signature}",
        f"{head}.{tokens.encoded(door.claims())}.",
        tokens.signed(door.claims(), key=stranger, alg="RS256", header=door.header()),
        tokens.signed(door.claims(), key=stranger, alg="RS256", header=door.header(jwk=tokens.public_jwk(stranger))),
        tokens.signed(door.claims(), key=stranger, alg="RS256", header=door.header(kid="nobody")),
        tokens.signed_with_public_key(door.claims(), key=door.idp.keys["RS256"], header=door.header(alg="HS256")),
        tokens.signed_with_public_key(door.claims(), key=door.idp.keys["RS256"], header=door.header()),
    ):
        assert is_refused(door.send(token))
    assert door.nothing_happened


def test_section_2_6_step_2_the_key_of_another_connections_provider_is_refused(
    door: LogoutDoor, clock: HandClock
) -> None:
    with IdentityProvider.in_thread(numbers_from=5) as other:
        story = Story(server=door.server, idp=other, parties=door.story.parties)
        theirs = LogoutDoor.open(story, clock, name="theirs")
        forged = tokens.signed(door.claims(), key=other.keys["RS256"], alg="RS256", header=door.header())
        named = door.header(kid=other.keys["RS256"].kid)
        for token in (forged, tokens.signed(door.claims(), key=other.keys["RS256"], alg="RS256", header=named)):
            assert is_refused(door.send(token))
        # Nor does a token that is good at one door open another.
        assert is_refused(door.send(theirs.token()))
        assert is_refused(theirs.send(door.token()))
        assert theirs.nothing_happened
    assert door.nothing_happened


def test_section_2_6_step_2_a_token_for_another_connection_to_the_same_provider_is_refused(
    story: Story, clock: HandClock
) -> None:
    one, other = LogoutDoor.open(story, clock, name="one"), LogoutDoor.open(story, clock, name="other")
    assert is_refused(one.send(other.token()), "`aud`")
    assert one.nothing_happened
    assert other.nothing_happened


@pytest.mark.parametrize("named", [True, False])
def test_section_2_6_step_2_a_rotation_of_the_providers_keys_is_followed(
    door: LogoutDoor, clock: HandClock, named: bool
) -> None:
    """OpenID Connect Core section 10.1.1."""
    header = {} if named else {"kid": REMOVED}
    with IdentityProvider.in_thread(numbers_from=6) as idp:
        theirs = LogoutDoor.open(Story(server=door.server, idp=idp, parties=door.story.parties), clock, name="rotating")
        idp.rotate()
        clock.advance(30)
        assert is_accepted(theirs.send(theirs.token(header=header)))
        assert theirs.session_is_over


def test_rfc_8725_section_3_12_an_id_token_an_assertion_and_an_access_token_are_no_logout_tokens(
    door: LogoutDoor,
) -> None:
    id_token = {"events": REMOVED, "nonce": "n-0S6_WzA2Mj", "auth_time": door.clock.now_s}
    assertion = {"client_id": door.connection.client_id, "now_s": door.clock.now_s}
    for token in (
        door.token(header={"typ": "JWT"}, claims=id_token),
        door.token(header={"typ": REMOVED}, claims={**id_token, "nonce": REMOVED}),
        door.token(header={"typ": "at+jwt"}, claims={"events": REMOVED, "scope": "openid"}),
        door.idp.assertion(audience=door.connection.endpoint, **assertion),
        door.idp.assertion(audience=door.url, **assertion),
        door.idp.assertion(audience=door.connection.client_id, **assertion, header={"typ": "JWT"}),
    ):
        assert is_refused(door.send(token))
    assert door.nothing_happened


def test_rfc_8725_section_3_12_a_logout_token_is_no_assertion(door: LogoutDoor) -> None:
    ada = by_iss_sub(door.idp.issuer, door.ada.sub)
    kind = {"typ": "global-token-revocation+jwt"}
    as_assertion = {"aud": door.connection.endpoint, "sub": door.connection.client_id}
    for token in (door.token(), door.token(header=kind), door.token(header=kind, claims=as_assertion)):
        answer = door.server.http.post(
            door.connection.endpoint, headers={"Authorization": f"Bearer {token}"}, json={"sub_id": ada}
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert door.nothing_happened
