"""`logoutd sessions …`: seen, and ended."""

from typing import Any

from tests.support.command_line import Commands


def test_a_persons_sessions_are_listed_and_shown(commands: Commands, signed_in: dict[str, Any]) -> None:
    heading, row = commands.does("sessions", "list", signed_in["user_id"]).rows
    assert heading == ["SESSION_ID", "STATE", "CREATED", "ENDS", "CLIENTS"]
    assert row == [
        signed_in["session_id"], "active", signed_in["created_at"], signed_in["expires_at"], "notes"
    ]  # fmt: skip
    for which, found in ((("--active",), 1), (("--ended",), 0), ((), 1)):
        listed = commands.does("sessions", "list", signed_in["user_id"], *which, "--json").json["items"]
        assert len(listed) == found
    facts = commands.does("sessions", "show", signed_in["session_id"]).facts
    assert (facts["active"], facts["state"]) == ("yes", "active")
    assert facts["clients[1].client_id"] == "notes"
    person = commands.does("sessions", "person", signed_in["user_id"], "--json").json
    assert person["subject"]["sub"] == "00u1ada"


def test_a_session_is_ended(commands: Commands, signed_in: dict[str, Any]) -> None:
    told = commands.does("sessions", "delete", signed_in["session_id"], "--yes", "--json").json
    receipt = commands.does("revocations", "show", told["revocation_id"], "--json").json
    assert (receipt["initiator"], receipt["session_id"]) == ("session_delete", signed_in["session_id"])
    assert commands.does("sessions", "show", signed_in["session_id"]).facts["state"] == "ended"


def test_every_session_of_a_person_is_ended(commands: Commands, signed_in: dict[str, Any]) -> None:
    told = commands.does("sessions", "delete-all", signed_in["user_id"], "--yes").facts
    assert told["revocation_id"].startswith("rev_")
    assert commands.does("sessions", "list", signed_in["user_id"]).rows[1][1] == "ended"


def test_a_person_is_erased(commands: Commands, signed_in: dict[str, Any]) -> None:
    told = commands.does("sessions", "erase", signed_in["user_id"], "--yes").facts
    assert told["revocation_id"].startswith("rev_")
    assert "no such user" in commands.fails(1, "sessions", "person", signed_in["user_id"])


def test_nobody_and_nothing_is_told(commands: Commands) -> None:
    assert "no such session" in commands.fails(1, "sessions", "show", "ses_nobodys")
    assert "no such user" in commands.fails(1, "sessions", "list", "usr_nobodys")
    assert "no such user" in commands.fails(1, "sessions", "person", "usr_nobodys")
    assert "no such user" in commands.fails(1, "sessions", "delete-all", "usr_nobodys", "--yes")
