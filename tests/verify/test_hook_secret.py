"""The secret of an event hook: which headers hold it, and that a refusal tells nothing."""

import dataclasses

import pytest

from service.domain.connection import Connection
from service.errors import NotAuthenticated
from service.verify.hook_secret import (
    MAX_SECRET_LENGTH,
    REFUSED,
    check_hook_secret,
    hash_hook_secret,
    verify_hook_secret,
)
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET


def connection(secret: str | None = HOOK_SECRET) -> Connection:
    """A connection whose hook has this secret."""
    provider = IdentityProvider()
    provider.origin = "https://example.okta.com"
    made = provider.connection()
    hashed = None if secret is None else hash_hook_secret(secret)
    return dataclasses.replace(made, options=dataclasses.replace(made.options, okta_event_hook_secret_hash=hashed))


def reason(given: list[str], found: Connection | None) -> str:
    """Why a secret is refused; the text is the same for all, and repeats nothing."""
    with pytest.raises(NotAuthenticated) as refused:
        verify_hook_secret(given, found)
    assert str(refused.value) == REFUSED
    assert (refused.value.error, refused.value.scheme) == ("invalid_token", "Bearer")
    return refused.value.reason


@pytest.mark.parametrize(
    ("secret", "header"),
    [
        (HOOK_SECRET, HOOK_SECRET),
        (HOOK_SECRET, f"Bearer {HOOK_SECRET}"),
        (HOOK_SECRET, f"bearer   {HOOK_SECRET} "),
        (HOOK_SECRET, f" {HOOK_SECRET}"),
        ("Basic b2t0YTpzZWNyZXQ=", "Basic b2t0YTpzZWNyZXQ="),
        ("Bearer of bad news", "Bearer of bad news"),
        ("Bearer of bad news", "Bearer Bearer of bad news"),
        ("x" * MAX_SECRET_LENGTH, "Bearer " + "x" * MAX_SECRET_LENGTH),
    ],
)
def test_the_header_is_the_secret_whole_or_after_bearer(secret: str, header: str) -> None:
    found = connection(secret)
    assert verify_hook_secret([header], found) is found


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        HOOK_SECRET[:-1],
        HOOK_SECRET + "x",
        HOOK_SECRET.upper(),
        f"Basic {HOOK_SECRET}",
        f"Bearer{HOOK_SECRET}",
        hash_hook_secret(HOOK_SECRET),
        "\xff" * 20,
    ],
)
def test_anything_else_is_wrong(header: str) -> None:
    assert reason([header], connection()) == "wrong_hook_secret"


def test_what_is_missing_twice_or_too_long_is_not_compared() -> None:
    assert reason([], connection()) == "missing_hook_secret"
    assert reason([HOOK_SECRET, HOOK_SECRET], connection()) == "malformed_hook_secret"
    assert reason(["x" * (MAX_SECRET_LENGTH + len("Bearer ") + 1)], connection()) == "malformed_hook_secret"


def test_without_a_connection_or_a_secret_nothing_is_right() -> None:
    assert reason([HOOK_SECRET], None) == "unknown_connection"
    assert reason([HOOK_SECRET], connection(None)) == "no_hook_secret"
    # Nor what an absent secret is compared with.
    for header in ("", "None", "no such secret"):
        assert reason([header], None) == "unknown_connection"
        assert reason([header], connection(None)) == "no_hook_secret"


@pytest.mark.parametrize("secret", [HOOK_SECRET, "x", "two words", "Basic b2t0YTpzZWNyZXQ=", '~!"'])
def test_a_header_carries_plain_ascii_as_it_was_typed(secret: str) -> None:
    assert check_hook_secret(secret) == secret


@pytest.mark.parametrize("secret", ["", " secret", "secret ", "geh\xe4im", "a\tb", "a\nb", "a\x00b", "\ud800"])
def test_a_secret_that_no_header_carries_is_none(secret: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        check_hook_secret(secret)
