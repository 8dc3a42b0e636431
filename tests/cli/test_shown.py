"""What is printed: for a terminal, for whatever reads lines, and never in a way that steers either."""

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.receipts import deliveries_table, show_dry_run, show_receipt, timeline
from service.cli.shown import plain, show_facts, show_finding, show_heading, show_json, show_line, show_table
from tests.support.command_line import Terminal

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\u202egnp\r\n\x9b2J[bold]x[/bold]"
SHOWN = "\\x1b]0;owned\\x07\\x1b[31mred\\x1b[0m\\u202egnp\\r\\n\\x9b2J[bold]x[/bold]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        ("Zoë ☃", "Zoë ☃"),
        ([], ""),
        (["a", "b"], "a, b"),
        (["a\n"], "a\\n"),
        (HOSTILE, SHOWN),
        ("\ud800", "\\ud800"),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert plain(value) == text


@given(st.text())
def test_nothing_that_is_shown_steers_a_terminal(text: str) -> None:
    """Whatever is printed, in whichever way, has the escapes of our own colours and no other character to obey."""
    for out in (io.StringIO(), Terminal()):
        show_table(["A", text], [[text, [text]], [text, 1]], out=out)
        show_facts({text or "x": text, "deep": {text or "x": [{"a": text}]}}, out=out)
        show_finding("ok", text, text, out=out)
        show_heading(text, out=out)
        show_line(text, out=out)
        show_json({text: text}, out=out)
        printed = out.getvalue().replace("\n", "")
        assert all(each.isprintable() for each in printed), "colours are off here"


def test_for_a_reader_of_lines_columns_are_aligned_without_a_line_broken() -> None:
    out = io.StringIO()
    show_table(["NAME", "WHAT"], [["a", "x" * 300], ["日本", "y"], ["", None]], out=out)
    assert out.getvalue() == f"NAME  WHAT\na     {'x' * 300}\n日本  y\n\n"


def test_for_a_terminal_there_is_a_table_as_wide_as_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    show_table(["NAME", "WHAT"], [["a", "x" * 50]], out=out)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert max(map(len, lines)) <= 40
    assert sum(each.count("x") for each in lines) == 50, "nothing is cut off"


def test_colours_are_for_terminals_and_for_those_who_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal, lines = Terminal(), io.StringIO()
    for out in (terminal, lines):
        show_table(["STATE"], [["dead"]], out=out)
        show_finding("fail", "door", "closed", out=out)
    assert "\x1b[1;31mdead" in terminal.getvalue()
    assert "\x1b[1;31mfail" in terminal.getvalue()
    assert "\x1b" not in lines.getvalue()


def test_a_thing_is_shown_with_its_members_by_path() -> None:
    out = io.StringIO()
    show_facts({"a": {"b": 1, "c": {}}, "list": ["x", "y"], "many": [{"d": 1}, {"d": 2}], "none": None}, out=out)
    assert out.getvalue().splitlines() == [
        "a.b        1",
        "a.c",
        "list       x, y",
        "many[1].d  1",
        "many[2].d  2",
        "none",
    ]


def test_what_is_there_to_be_copied_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    url, name = f"https://logout.example.com/{'x' * 60}", "rev_abcdefghijklmnopqrstuvwx"
    out = Terminal()
    show_facts({"endpoint": url}, out=out)
    show_table(["ID", "WHY"], [[name, "because " * 10]], out=out)
    assert f"  {url}\n" in out.getvalue()
    assert name in out.getvalue()


def test_json_is_the_value_in_ascii() -> None:
    out = io.StringIO()
    value = {"name": f"Zoë {HOSTILE}", "n": 1, "none": None}
    show_json(value, out=out)
    assert out.getvalue().isascii()
    assert json.loads(out.getvalue()) == value


RECEIPT: Mapping[str, Any] = {
    "revocation_id": "rev_1",
    "initiator": "global_token_revocation",
    "reason": None,
    "state": "incomplete",
    "accepted_at": "2026-11-25T12:00:00.000Z",
    "revoked_at": "2026-11-25T12:00:00.001Z",
    "completed_at": "2026-11-26T12:00:00.000Z",
    "sessions_ended": 2,
    "refresh_tokens_revoked": 3,
    "deliveries": [
        {
            "delivery_id": "dlv_1",
            "client_id": "notes",
            "state": "delivered",
            "attempts": [{"at": "2026-11-25T12:00:00.020Z", "duration_ms": 4, "status": 200}],
        },
        {
            "delivery_id": "dlv_2",
            "client_id": "wiki",
            "state": "retrying",
            "attempts": [
                {"at": "2026-11-25T12:00:00.021Z", "duration_ms": 5, "status": 503},
                {"at": "2026-11-25T12:00:01.021Z", "duration_ms": 6, "error": "connection refused"},
            ],
            "next_attempt_at": "2026-11-25T12:00:03.021Z",
        },
        {"delivery_id": "dlv_3", "client_id": "old", "state": "skipped", "reason": "no_logout_uri", "attempts": []},
    ],
}


def test_a_timeline_is_in_order_and_leaves_nobody_out() -> None:
    assert timeline(RECEIPT) == [
        ("2026-11-25T12:00:00.000Z", "logoutd", "accepted: global_token_revocation", "", ""),
        ("2026-11-25T12:00:00.001Z", "logoutd", "in force: 2 sessions, 3 refresh tokens ended", "", ""),
        ("2026-11-25T12:00:00.020Z", "notes", "attempt 1: delivered", "200", "4"),
        ("2026-11-25T12:00:00.021Z", "wiki", "attempt 1", "503", "5"),
        ("2026-11-25T12:00:01.021Z", "wiki", "attempt 2: retrying", "connection refused", "6"),
        ("2026-11-25T12:00:03.021Z", "wiki", "next attempt", "", ""),
        ("2026-11-26T12:00:00.000Z", "logoutd", "incomplete", "", ""),
        ("", "old", "skipped: no_logout_uri", "", ""),
    ]


def test_a_receipt_is_its_head_and_its_timeline(capsys: pytest.CaptureFixture[str]) -> None:
    show_receipt(RECEIPT)
    printed = capsys.readouterr().out
    assert printed.startswith("revocation_id           rev_1\n")
    assert "reason" not in printed
    assert printed.index("\nTimeline\n") < printed.index("\nAT ")


def test_deliveries_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    deliveries_table(RECEIPT["deliveries"])
    _, notes, wiki, old = capsys.readouterr().out.splitlines()
    assert notes.split() == ["dlv_1", "notes", "delivered", "1", "200"]
    assert re.split(" {2,}", wiki)[-2:] == ["connection refused", "2026-11-25T12:00:03.021Z"]
    assert old.split() == ["dlv_3", "old", "skipped", "0", "no_logout_uri"]


def test_a_dry_run_is_its_sums_and_a_line_for_each_application(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"client_id": "notes", "state": "would_be_told", "logout_tokens": 1},
        {"client_id": "old", "state": "would_be_skipped", "logout_tokens": 0, "reason": "not_signed_in"},
    ]
    show_dry_run({"dry_run": True, "sessions_ended": 2, "applications": rows})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sessions_ended", "2"] in lines
    assert ["notes", "would_be_told"] in lines
    assert ["old", "would_be_skipped", "not_signed_in"] in lines
