"""Capture mode: what is told of a refused token, what never is, and how often."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.domain.connection import Connection
from service.errors import NotAuthenticated, Unavailable
from service.verify.capture import (
    CAPTURE_WINDOW_MS,
    MAX_CAPTURES,
    MAX_NAMES,
    NOT_SHOWN,
    Captures,
    Expected,
    describe_token,
)
from service.verify.encrypted_token import MAX_ENCRYPTED_LENGTH
from tests.support import tokens
from tests.support.assertion_door import AUDIENCE, Door
from tests.support.clock import HandClock
from tests.support.identity_provider import CLIENT_ID

Lines = list[Any]

EMAIL = "ada@example.com"


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as heard:
        yield heard


@pytest.fixture
def captures(clock: HandClock) -> Captures:
    return Captures(clock)


def expected(connection: Connection) -> Expected:
    return Expected(issuers=connection.assertion_issuers, audience=AUDIENCE, subject=connection.assertion_subject)


def described(door: Door, token: str) -> dict[str, Any]:
    return describe_token(token, expected=expected(door.connection), now_ms=door.clock.now_ms())


def refused(captures: Captures, token: str, connection: Connection | None, reason: str = "wrong_aud") -> None:
    """A door that refuses whatever comes."""
    with pytest.raises(NotAuthenticated), captures.on_refusal(token, connection=connection, expected=expected):
        raise NotAuthenticated("no", reason=reason)


# What is told.


def test_names_verdicts_and_differences_are_told_and_nothing_else(door: Door) -> None:
    token = door.assertion(claims={"aud": "https://logout.example.com/elsewhere", "email": EMAIL})
    assert described(door, token) == {
        "characters": len(token),
        "parts": 3,
        "header": ["typ", "alg", "kid"],
        "typ": "global-token-revocation+jwt",
        "alg": "ES256",
        "kid": "es256-1",
        "claims": ["jti", "iss", "sub", "aud", "exp", "nbf", "iat", "email"],
        "iss": "match",
        "iss_sent": door.idp.issuer,
        "iss_expected": [door.idp.issuer],
        "aud": "mismatch",
        "aud_sent": "https://logout.example.com/elsewhere",
        "aud_expected": AUDIENCE,
        "sub": "match",
        "seconds_from_now": {"iat": 0, "nbf": -300, "exp": 300},
    }


@pytest.mark.parametrize(
    ("claims", "verdicts"),
    [
        ({}, ("match", "match", "match")),
        ({"aud": [AUDIENCE]}, ("match", "match", "match")),
        ({"aud": [AUDIENCE, "https://other.example"]}, ("match", "mismatch", "match")),
        ({"iss": "https://other.example"}, ("mismatch", "match", "match")),
        ({"iss": ["https://other.example"]}, ("mismatch", "match", "match")),
        ({"sub": "somebody"}, ("match", "match", "mismatch")),
        ({"iss": tokens.REMOVED, "aud": tokens.REMOVED, "sub": tokens.REMOVED}, ("missing", "missing", "missing")),
        ({"iss": None, "aud": {}, "sub": 7}, ("mismatch", "mismatch", "mismatch")),
    ],
)
def test_iss_aud_and_sub_are_held_against_what_is_expected(
    door: Door, claims: Mapping[str, Any], verdicts: tuple[str, str, str]
) -> None:
    told = described(door, door.assertion(claims=claims))
    assert (told["iss"], told["aud"], told["sub"]) == verdicts


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("https://example.okta.com/oauth2/default", "https://example.okta.com/oauth2/default"),
        (EMAIL, "another string"),
        (f"https://{EMAIL}/", "another string"),
        ("https://example.com/?code=s3cret", "another string"),
        ("x" * 5000, "another string"),
        ("https://example.com/\n{}", "another string"),
        (7, "not a string"),
        (["https://a.example", "https://b.example"], "a list of 2"),
    ],
)
def test_iss_and_aud_are_shown_where_they_are_plain_urls(door: Door, sent: object, told: str) -> None:
    assert described(door, door.assertion(claims={"iss": sent}))["iss_sent"] == told
    assert described(door, door.assertion(claims={"aud": sent}))["aud_sent"] == told


def test_where_sub_is_a_person_nothing_is_said_of_it(door: Door) -> None:
    without = Expected(issuers=("https://idp.example",), audience=CLIENT_ID)
    told = describe_token(door.assertion(), expected=without, now_ms=door.clock.now_ms())
    assert "sub" not in told
    assert "sub" in told["claims"]


@pytest.mark.parametrize("value", [True, "soon", None, -1, 10**30, [], 1e300])
def test_a_time_that_is_none_is_said_to_be_none(door: Door, value: object) -> None:
    assert described(door, door.assertion(claims={"exp": value}))["seconds_from_now"]["exp"] == "not a time"


def test_times_that_are_absent_are_absent(door: Door) -> None:
    told = described(door, door.assertion(claims={"exp": tokens.REMOVED, "nbf": tokens.REMOVED}))
    assert told["seconds_from_now"] == {"iat": 0}


# What never is.


def test_no_value_that_could_be_secret_or_personal_is_told(door: Door) -> None:
    secrets = {"jti": "s3cret-jti", "sub": EMAIL, "email": EMAIL, "nonce": "s3cret-nonce", "events": {"s3cret": {}}}
    token = door.assertion(claims=secrets, header={"x5c": ["s3cret"], "jku": "https://s3cret.example"})
    text = json.dumps(described(door, token))
    assert "s3cret" not in text
    assert EMAIL not in text
    assert not any(part in text for part in token.split("."))


@pytest.mark.parametrize(
    "hostile",
    [
        EMAIL,
        "x" * 129,
        '","event":"revocation.accepted',
        "a\nb",
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "",
        "eyJhbGciOiJSUzI1NiJ9",
        "a b",
        "ключ",
    ],
)
def test_a_name_or_value_that_is_not_of_plain_characters_is_not_shown(door: Door, hostile: str) -> None:
    told = described(door, door.assertion(header={"kid": hostile, "typ": hostile, hostile: 1}, claims={hostile: 1}))
    assert (told["kid"], told["typ"]) == (NOT_SHOWN, NOT_SHOWN)
    assert told["header"][-1] == told["claims"][-1] == NOT_SHOWN


def test_names_are_bounded_in_number(door: Door) -> None:
    many = {f"claim{number}": 1 for number in range(100)}
    told = described(door, door.assertion(header=many, claims=many))
    assert len(told["header"]) == len(told["claims"]) == MAX_NAMES


@pytest.mark.parametrize(
    ("token", "told"),
    [
        ("", {"characters": 0, "parts": 1}),
        ("s3cret", {"characters": 6, "parts": 1}),
        ("a.b.c", {"characters": 5, "parts": 3}),
        ("é.\ud800.c", {"characters": 5, "parts": 3}),
        ("x" * (MAX_ENCRYPTED_LENGTH + 1), {"characters": MAX_ENCRYPTED_LENGTH + 1}),
        (f"{tokens.encoded(b'[' * 5000)}.a.b", {"characters": 6671, "parts": 3}),
        (f"{tokens.encoded(b'[1]')}.{tokens.encoded(b'7')}.b", {"characters": 9, "parts": 3}),
        (f"{tokens.encoded(b'{}')}.{tokens.encoded(b'1' * 5000)}.b", {"characters": 6673, "parts": 3, "header": []}),
    ],
)
def test_what_is_no_token_is_told_by_its_shape(door: Door, token: str, told: dict[str, Any]) -> None:
    assert described(door, token) == told


def test_of_an_encrypted_token_the_header_is_told(door: Door) -> None:
    header = tokens.encoded({"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "ours"})
    told = described(door, f"{header}.{tokens.encoded({'key': 1})}.iv.text.tag")
    assert told == {
        "characters": told["characters"],
        "parts": 5,
        "header": ["alg", "enc", "kid"],
        "alg": "RSA-OAEP-256",
        "kid": "ours",
    }


def test_a_member_that_is_there_twice_or_a_padded_part_does_not_hide_the_rest(door: Door) -> None:
    header = tokens.encoded(b'{"alg":"none","alg":"ES256"}') + "=="
    assert described(door, f"{header}.{tokens.encoded({'iss': 1})}.b")["alg"] == "ES256"


# When, and how often.


def test_only_a_connection_in_capture_mode_is_captured(door: Door, captures: Captures, lines: Lines) -> None:
    refused(captures, door.assertion(), door.connection)
    refused(captures, door.assertion(), None)
    assert lines == []
    refused(captures, door.assertion(), door.idp.connection(capture_refused_assertions=True), "expired")
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("assertion.captured", "warning")
    assert (line["connection"], line["reason"]) == ("okta", "expired")


def test_what_is_accepted_or_fails_otherwise_is_not_captured(door: Door, captures: Captures, lines: Lines) -> None:
    connection = door.idp.connection(capture_refused_assertions=True)
    with captures.on_refusal(door.assertion(), connection=connection, expected=expected):
        accepted = True
    with pytest.raises(Unavailable), captures.on_refusal("x", connection=connection, expected=expected):
        raise Unavailable("the keys cannot be had")
    assert accepted
    assert lines == []


def test_a_stranger_cannot_fill_the_log(door: Door, captures: Captures, clock: HandClock, lines: Lines) -> None:
    one = door.idp.connection(capture_refused_assertions=True)
    other = door.idp.connection(id="con_other", capture_refused_assertions=True)
    for _ in range(MAX_CAPTURES * 3):
        refused(captures, "x", one)
    assert len(lines) == MAX_CAPTURES
    assert [line.get("last_for_seconds") for line in lines] == [None] * (MAX_CAPTURES - 1) + [60]
    refused(captures, "x", other)
    assert len(lines) == MAX_CAPTURES + 1
    clock.advance(CAPTURE_WINDOW_MS / 1000)
    refused(captures, "x", one)
    assert len(lines) == MAX_CAPTURES + 2
