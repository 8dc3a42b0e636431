"""The audit trail is explained to operators, and every call that changes something is in it, or says why not."""

import re
from pathlib import Path

from service.app import OPERATIONS
from service.domain.audit import EVENTS
from service.store.audit import MOST_A_MINUTE, MOST_AN_HOUR

PAGE = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Audit trail\n")[2].partition("\n## ")[0]

ELSEWHERE = {
    "create_revocation": "the revocation's own entry",
    "delete_session": "the revocation's own entry",
    "delete_user_sessions": "the revocation's own entry",
    "delete_refresh_token": "the revocation's own entry",
    "erase_user": "the revocation's own entry, and that of the erasure",
    "create_session": "everyday",
    "join_session": "everyday",
    "leave_session": "its own entry",
    "create_refresh_token": "everyday",
    "rotate_refresh_token": "everyday",
    "introspect": "everyday",
    "revoke_token": "its own entry",
}
"""Calls that change something and are not told as an operator's act, and why."""


def test_every_event_is_in_the_operators_table_with_what_it_means() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (.*) \|$", SECTION, flags=re.MULTILINE))
    assert rows == dict(EVENTS)


def test_the_bounds_are_the_ones_that_are_told() -> None:
    assert MOST_A_MINUTE == 10
    assert "ten entries a minute of one kind" in SECTION
    assert f"{MOST_AN_HOUR} an hour of all kinds" in SECTION


def test_every_call_that_changes_something_is_told_or_says_why_not() -> None:
    ours = [each for each in OPERATIONS if each.access.startswith("administrator") and each.method != "GET"]
    untold = {each.endpoint.__name__ for each in ours if not each.is_audited}
    assert untold == set(ELSEWHERE)
