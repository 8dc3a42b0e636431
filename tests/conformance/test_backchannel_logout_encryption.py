"""OpenID Connect Back-Channel Logout 1.0, section 2.6 step 1: encrypted logout tokens, and the key that opens them."""

import json

import pytest

from tests.support import tokens
from tests.support.clock import HandClock
from tests.support.logout_door import LogoutDoor, is_accepted, is_refused
from tests.support.logout_service import clock, door, idp, parties, server, story
from tests.support.logout_token_door import decryption_key, encrypted, private_jwk
from tests.support.story import Story

__all__ = ["clock", "door", "idp", "parties", "server", "story"]


@pytest.mark.parametrize(
    ("kind", "alg"),
    [("RSA", "RSA-OAEP"), ("RSA", "RSA-OAEP-256"), ("P-256", "ECDH-ES"), ("P-521", "ECDH-ES+A256KW")],
)
@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A256GCM"])
def test_section_2_6_step_1_an_encrypted_token_is_decrypted(
    story: Story, clock: HandClock, kind: str, alg: str, enc: str
) -> None:
    key = decryption_key(kind)
    door = LogoutDoor.open(story, clock, decryption_jwk=private_jwk(key))
    assert is_accepted(door.send(encrypted(door.token(), key, alg=alg, enc=enc)))
    assert door.session_is_over


def test_section_2_6_step_1_what_is_not_as_agreed_is_refused_in_one_way(story: Story, clock: HandClock) -> None:
    key = decryption_key()
    door = LogoutDoor.open(story, clock, decryption_jwk=private_jwk(key))
    without = LogoutDoor.open(story, clock, name="without")
    stranger = tokens.private_key("RS256", 9)
    wrongly_signed = tokens.signed(door.claims(), key=stranger, alg="RS256", header=door.header())
    answers = [
        without.send(encrypted(without.token(), key)),
        *(
            door.send(token)
            for token in (
                door.token(),
                encrypted(door.token(), decryption_key(number=2)),
                encrypted(door.token(), key, alg="RSA1_5"),
                encrypted(door.token(), key, zip="DEF"),
                encrypted(wrongly_signed, key),
                encrypted(tokens.unsigned(door.claims(), header={"alg": "none"}), key),
                encrypted(json.dumps(door.claims()), key),
                encrypted(encrypted(door.token(), key), key),
                "a.b.c.d.e",
            )
        ),
    ]
    assert all(is_refused(each) for each in answers)
    assert len({each.json()["error_description"] for each in answers}) == 1
    assert door.nothing_happened
    assert without.nothing_happened


def test_the_decryption_key_never_comes_back(story: Story, clock: HandClock) -> None:
    secret = private_jwk(decryption_key())
    door = LogoutDoor.open(story, clock, decryption_jwk=secret)
    path = f"/api/v2/connections/{door.connection.id}"
    answers = [
        door.server.call("GET", path),
        door.server.call("GET", "/api/v2/connections"),
        door.server.call("PATCH", path, {"display_name": "Ours"}),
        door.server.call("PATCH", path, {"options": {"decryption_jwk": secret}}),
    ]
    assert {each.status_code for each in answers} == {200}
    for answer in answers:
        assert not any(secret[member] in answer.text for member in ("d", "p", "q", "dp", "dq", "qi"))
        assert "decryption_jwk" not in answer.text
    # And a change that does not name it leaves it in its place.
    assert is_accepted(door.send(encrypted(door.token(), decryption_key())))


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "RSA"},
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"},
        dict(decryption_key().as_dict(private=False)),
        dict(decryption_key("P-256").as_dict(private=False)),
        {**private_jwk(decryption_key()), "use": "sig"},
        {**private_jwk(decryption_key()), "d": "AAAA"},
        private_jwk(decryption_key("Ed25519")),
        "a string",
        [],
    ],
)
def test_a_key_that_can_open_nothing_is_refused_at_registration(door: LogoutDoor, jwk: object) -> None:
    path = f"/api/v2/connections/{door.connection.id}"
    answer = door.server.call("PATCH", path, {"options": {"decryption_jwk": jwk}})
    assert is_refused(answer, "decryption_jwk")
    assert is_accepted(door.send(door.token()))
