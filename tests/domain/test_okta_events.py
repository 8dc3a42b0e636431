"""The table of Okta's events that end sessions: what is in it, what the page says of it, and up to which moment it reaches."""

import re
from pathlib import Path

import pytest

from service.domain.okta_events import (
    CLOCK_ALLOWANCE_MS,
    ENDING_EVENTS,
    FUTURE_SKEW_MS,
    EndingEvent,
    begun_by_ms,
    name_of,
)

PAGE = (Path(__file__).parents[2] / "deploy" / "okta" / "README.md").read_text(encoding="utf-8")

SESSIONS = EndingEvent(when="sessions end")
ACCOUNT = EndingEvent(when="an account closes", closes_the_account=True)


def test_the_page_has_the_same_table() -> None:
    (table,) = re.findall(r"^\| event type \| Okta sends .*\n\|---.*\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE)
    expected = [
        f"| `{name}` | {kind.when} | {kind.ends} | {'yes' if kind.eligible else 'no'} |"
        for name, kind in ENDING_EVENTS.items()
    ]
    assert table.splitlines() == expected, "\n".join(expected)


def test_the_events_the_contract_names_are_in_it() -> None:
    assert set(ENDING_EVENTS) >= {
        "user.lifecycle.deactivate",
        "user.lifecycle.suspend",
        "user.lifecycle.delete.initiated",
        "user.session.clear",
        "user.session.end",
        "user.account.reset_password",
        "user.account.expire_password",
        "user.account.lock",
        "user.authentication.universal_logout",
    }


def test_events_that_close_an_account_and_no_others_have_the_minute() -> None:
    closing = {name for name, kind in ENDING_EVENTS.items() if kind.closes_the_account}
    assert closing == {name for name in ENDING_EVENTS if "lifecycle" in name or "account.lock" in name}
    assert all(("in the minute after" in kind.ends) == (name in closing) for name, kind in ENDING_EVENTS.items())


def test_only_what_a_person_does_or_causes_may_name_them_as_the_actor() -> None:
    assert {name for name, kind in ENDING_EVENTS.items() if kind.by_the_person} == {
        "user.account.lock",
        "user.account.lock.limit",
        "user.account.update_password",
        "user.session.end",
    }


def test_what_is_not_in_the_table_has_no_name() -> None:
    assert name_of("user.session.end") == "user.session.end"
    assert name_of("user.session.start") == name_of("ada@example.com") == "other"


@pytest.mark.parametrize(
    ("kind", "published_ms", "expected"),
    [
        (SESSIONS, 1_000_000, 1_000_000),
        (ACCOUNT, 1_000_000, 1_000_000 + CLOCK_ALLOWANCE_MS),
        (SESSIONS, 0, 0),
        (SESSIONS, None, 2_000_000),
        (ACCOUNT, None, 2_000_000 + CLOCK_ALLOWANCE_MS),
        (SESSIONS, 2_000_000 + FUTURE_SKEW_MS, 2_000_000 + FUTURE_SKEW_MS),
        (SESSIONS, 2_000_001 + FUTURE_SKEW_MS, 2_000_000 + FUTURE_SKEW_MS),
        (ACCOUNT, 10**15, 2_000_000 + FUTURE_SKEW_MS + CLOCK_ALLOWANCE_MS),
    ],
)
def test_up_to_which_moment_sessions_end(kind: EndingEvent, published_ms: int | None, expected: int) -> None:
    assert begun_by_ms(kind, published_ms=published_ms, received_ms=2_000_000) == expected
