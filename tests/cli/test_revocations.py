"""`logoutd revocations …` and `logoutd deliveries …`: signed out by hand, without a worker to tell anybody."""

from typing import Any

import pytest

from tests.support.command_line import Commands
from tests.support.strangers import answer, stranger_in_thread


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("ada@example.com",), None),
        (("-",), "ADA@EXAMPLE.COM\n"),
        (('{"format": "email", "email": "ada@example.com"}',), None),
        (("-",), '{"format": "email", "email": "ada@example.com"}'),
        (("ada@example.com", "--format", "email"), None),
    ],
)
def test_a_person_is_signed_out_by_any_name(
    commands: Commands, signed_in: dict[str, Any], arguments: tuple[str, ...], given: str | None
) -> None:
    told = commands.does("revocations", "create", "okta", *arguments, "--reason", "laptop stolen", "--yes", given=given)
    receipt = commands.does("revocations", "show", told.facts["revocation_id"], "--json").json
    assert (receipt["initiator"], receipt["reason"]) == ("operator", "laptop stolen")
    assert receipt["user_ids"] == [signed_in["user_id"]]
    assert commands.does("sessions", "show", signed_in["session_id"]).facts["active"] == "no"


def test_by_issuer_and_subject_or_by_our_own_id(commands: Commands, signed_in: dict[str, Any], okta: Any) -> None:
    iss = okta["options"]["issuer"]
    for arguments in (("00u1ada", "--iss", iss), (signed_in["user_id"],)):
        assert commands.does("revocations", "create", "okta", *arguments, "--yes").facts["revocation_id"]
    listed = commands.does("revocations", "list", "--user-id", signed_in["user_id"], "--json").json["items"]
    assert len(listed) == 2


def test_somebody_unknown_is_refused(commands: Commands, okta: dict[str, Any]) -> None:
    told = commands.fails(1, "revocations", "create", "okta", "nobody@example.com", "--yes")
    assert "no such subject is known" in told
    assert "nobody@" not in told
    assert "no such connection" in commands.fails(1, "revocations", "create", "nobodys", "x", "--yes")


@pytest.mark.parametrize(
    "arguments",
    [
        ("",),
        ("x", "--format", "aliases"),
        ("x", "--format", "nonsense"),
        ("x", "--iss", "i", "--format", "email"),
        ("{",),
    ],
)
def test_a_subject_that_cannot_be_one_is_not_sent(commands: Commands, arguments: tuple[str, ...]) -> None:
    commands.fails(2, "revocations", "create", "okta", "--yes", *arguments)


def test_receipts_are_listed_by_connection_person_and_state(commands: Commands, signed_in: dict[str, Any]) -> None:
    commands.does("revocations", "create", "okta", "ada@example.com", "--yes")
    heading, row = commands.does("revocations", "list", "--connection", "okta").rows
    assert heading == ["REVOCATION_ID", "STATE", "ACCEPTED", "INITIATOR", "SESSIONS", "REFRESH TOKENS"]
    assert row[3] == "operator"
    assert commands.does("revocations", "list", "--state", "completed", "--json").json["items"] == []
    assert "`state` must be" in commands.fails(1, "revocations", "list", "--state", "nonsense")


def test_waiting_has_an_end_and_says_that_it_is_in_force(commands: Commands, signed_in: dict[str, Any]) -> None:
    ran = commands.run(
        "revocations", "create", "okta", "ada@example.com", "--wait", "--within", "0.1", "--yes", "--json"
    )
    assert ran.status == 1
    assert ran.json["state"] in {"accepted", "notifying"}, "the receipt as it is, and nothing else, is on stdout"
    assert ran.err == "logoutd: in force, but not everybody was told within 0.1 s; the service goes on trying\n"
    assert commands.does("sessions", "show", signed_in["session_id"]).facts["active"] == "no"


def test_a_receipt_is_a_timeline(commands: Commands, signed_in: dict[str, Any]) -> None:
    made = commands.does("revocations", "create", "okta", "ada@example.com", "--yes").facts["revocation_id"]
    receipt = commands.does("revocations", "show", made, "--json").json
    told = commands.does("revocations", "show", made)
    assert told.facts["state"] == receipt["state"]
    assert ["AT", "WHO", "WHAT", "ANSWER", "MS"] in told.rows
    assert [receipt["accepted_at"], "logoutd", "accepted: operator"] in told.rows
    assert [each for each in told.rows if each and each[0] == receipt["revoked_at"] and each[2].startswith("in force")]


def test_deliveries_are_those_of_a_receipt(commands: Commands, signed_in: dict[str, Any]) -> None:
    made = commands.does("revocations", "create", "okta", "ada@example.com", "--yes").facts["revocation_id"]
    assert commands.does("deliveries", "list", made, "--json").json == []
    heading = ["DELIVERY_ID", "CLIENT_ID", "STATE", "ATTEMPTS", "LAST ANSWER", "NEXT ATTEMPT", "REASON"]
    assert commands.does("deliveries", "list", made).rows == [heading]
    assert "no such delivery" in commands.fails(1, "deliveries", "show", made, "dlv_nobodys")
    assert "no such revocation" in commands.fails(1, "deliveries", "list", "rev_nobodys")
    assert "--state" in commands.fails(2, "deliveries", "list", made, "--state", "gone")


def test_a_dry_run_signs_nobody_out(commands: Commands, signed_in: dict[str, Any]) -> None:
    told = commands.does("revocations", "create", "okta", "ada@example.com", "--dry-run")
    assert told.facts["sessions_ended"] == "1"
    assert ["notes", "would_be_told"] in told.rows
    assert commands.does("sessions", "show", signed_in["session_id"]).facts["active"] == "yes"
    assert commands.does("revocations", "list", "--json").json["items"] == []


@pytest.mark.parametrize(
    "document", [b"{}", b"<html>", b'{"paths": {"/api/v2/revocations": {"post": {"parameters": []}}}}']
)
def test_a_service_that_knows_no_dry_run_is_not_asked_for_one(commands: Commands, document: bytes) -> None:
    """It would sign somebody out."""
    with stranger_in_thread(answer(200, document)) as older:
        told = commands.fails(
            1, "revocations", "create", "okta", "ada@example.com", "--dry-run", "--url", older.url("")
        )
    assert told == "logoutd: this service has no dry run\n"
    assert [(each.method, each.target) for each in older.requests] == [("GET", "/openapi.json")]
