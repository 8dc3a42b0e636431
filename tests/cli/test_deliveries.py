"""`logoutd deliveries …` and its neighbours: what was given up is listed and redelivered, and when attempts are made is shown."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.cli.durations import spelt
from tests.support.authorization_server import AuthorizationServer
from tests.support.command_line import Commands
from tests.support.dead_letters import let_die
from tests.support.house import open_house

HEADING = ["DELIVERY_ID", "CLIENT_ID", "DEAD SINCE", "ATTEMPTS", "LAST ANSWER", "REASON"]


@pytest.fixture
def give_up(redis_url: str, tmp_path: Path) -> Callable[[str], str]:
    """Has what a revocation owes to `notes` given up; the delivery."""

    def act(revocation_id: str) -> str:
        async def there() -> str:
            async with open_house(redis_url, tmp_path) as house:
                return await let_die(house.resources, revocation_id, "notes")

        return asyncio.run(there())

    return act


@pytest.fixture
def dead(commands: Commands, signed_in: dict[str, Any], give_up: Callable[[str], str]) -> dict[str, str]:
    """A revocation, and the delivery that was given up."""
    made = commands.does("revocations", "create", "okta", "ada@example.com", "--yes").facts["revocation_id"]
    return {"revocation_id": made, "delivery_id": give_up(made)}


def test_dead_letters_are_listed_without_a_receipt(commands: Commands, dead: dict[str, str]) -> None:
    heading, row = commands.does("deliveries", "list", "--state", "dead").rows
    assert heading == HEADING
    assert (row[0], row[1], *row[3:]) == (dead["delivery_id"], "notes", "1", "400", "rejected")
    for which, found in (
        (("--client", "notes", "--connection", "okta", "--since", "1h"), 1),
        (("--client", "other"), 0),
        (("--since", "2100-01-01T00:00:00Z"), 0),
    ):
        listed = commands.does("deliveries", "list", "--state", "dead", *which, "--all", "--json").json["items"]
        assert len(listed) == found
    assert commands.does("clients", "show", "notes").facts["dead_letters"] == "1"
    of_receipt = commands.does("deliveries", "list", dead["revocation_id"], "--state", "dead", "--json").json
    assert [each["delivery_id"] for each in of_receipt] == [dead["delivery_id"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("list", "--state", "delivered"),
        ("list", "rev_x", "--since", "1h"),
        ("list", "rev_x", "--connection", "okta"),
        ("list", "rev_x", "--all"),
        ("redeliver",),
    ],
)
def test_what_no_list_can_answer_is_not_asked(commands: Commands, arguments: tuple[str, ...]) -> None:
    commands.fails(2, "deliveries", *arguments)


def test_one_is_redelivered_and_a_second_time_refused(commands: Commands, dead: dict[str, str]) -> None:
    heading, row = commands.does("deliveries", "redeliver", dead["delivery_id"]).rows
    assert heading == ["DELIVERY_ID", "CLIENT_ID", "WHAT", "REASON"]
    assert row == [dead["delivery_id"], "notes", "redelivered"]
    assert "being tried already" in commands.fails(1, "deliveries", "redeliver", dead["delivery_id"])
    assert "no such delivery" in commands.fails(1, "deliveries", "redeliver", "dlv_nobodys_x", "--force")
    shown = commands.does("revocations", "show", dead["revocation_id"])
    assert [each[1:] for each in shown.rows if "redelivered" in each] == [["notes", "redelivered"]]
    assert [each[1:3] for each in shown.rows if "attempt 1" in each] == [["notes", "attempt 1"]], "not `pending`"


def test_what_is_dead_of_a_revocation_is_redelivered(commands: Commands, dead: dict[str, str]) -> None:
    told = commands.does("revocations", "redeliver", dead["revocation_id"], "--json").json
    assert [each["delivery_id"] for each in told["deliveries"]] == [dead["delivery_id"]]
    assert "is dead" in commands.fails(1, "revocations", "redeliver", dead["revocation_id"])


@pytest.mark.parametrize("since", ["36h", "2000-01-01T00:00:00Z"])
def test_what_an_application_was_not_told_is_redelivered(commands: Commands, dead: dict[str, str], since: str) -> None:
    assert commands.does("clients", "redeliver", "notes", "--since", since).facts == {
        "client_id": "notes",
        "redelivered": "1",
    }
    again = commands.does("applications", "redeliver", "notes", "--since", since, "--json").json
    assert again == {"client_id": "notes", "redelivered": 0, "not_redelivered": [], "next_cursor": None}
    assert "--since" in commands.fails(2, "clients", "redeliver", "notes")
    assert "`since` must be" in commands.fails(1, "clients", "redeliver", "notes", "--since", "yesterday")
    assert "no such client" in commands.fails(1, "clients", "redeliver", "nobody", "--since", since)


def test_when_nothing_can_be_redelivered_the_reason_is_told_and_it_is_1(
    commands: Commands, dead: dict[str, str]
) -> None:
    commands.does("clients", "update", "notes", "--logout-uri", "")
    ran = commands.run("clients", "redeliver", "notes", "--since", "1h")
    assert ran.status == 1
    assert [dead["delivery_id"], "no_logout_uri"] in ran.rows
    assert ran.err == "logoutd: nothing could be redelivered\n"


def test_the_schedule_is_a_table_of_attempts(commands: Commands) -> None:
    told = commands.does("deliveries", "schedule")
    assert told.rows[:4] == [
        ["ATTEMPT", "AFTER", "SINCE THE FIRST"],
        ["1", "0s"],
        ["2", "1s", "1s"],
        ["3", "2s", "3s"],
    ]
    assert ["14", "1h", "2h 8m"] in told.rows
    assert ["35", "each 1h"] in told.rows
    assert told.facts["given up after"] == "1d"
    assert told.facts["longest Retry-After"] == "1h"
    assert commands.does("deliveries", "schedule", "--json").json["window_seconds"] == 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "0.5s"), (59, "59s"), (60, "1m"), (1023, "17m 3s"), (3600, "1h"), (93_784, "1d 2h")],
)
def test_durations_are_spelt_by_their_greatest_units(seconds: float, text: str) -> None:
    assert spelt(seconds) == text


def test_an_application_joins_a_session_and_leaves_it(
    commands: Commands, server: AuthorizationServer, okta: dict[str, Any]
) -> None:
    made = commands.does(
        "sessions", "create", "okta", "00u1ada", "--client", "notes", "--upstream-sid", "up-1", "--json"
    )
    session_id = made.json["session_id"]
    person = commands.does("sessions", "person", made.json["user_id"], "--json").json
    assert person["subject"] == {"iss": okta["options"]["issuer"], "sub": "00u1ada"}
    commands.does("clients", "create", "crm")
    server.ask("PATCH", f"/api/v2/connections/{okta['id']}/clients", [{"client_id": "crm", "status": True}], expect=200)
    joined = commands.does("sessions", "join", session_id, "crm", "--sub", "ada", "--sid", "own", "--json").json
    assert (joined["client_id"], joined["sub"], joined["sid"]) == ("crm", "ada", "own")
    commands.fails(2, "sessions", "leave", session_id, "crm")
    commands.does("sessions", "leave", session_id, "crm", "--yes")
    shown = commands.does("sessions", "show", session_id, "--json").json
    assert [each["client_id"] for each in shown["clients"]] == ["notes"]
    assert shown["upstream_sid"] == "up-1"


def test_a_sign_in_may_come_from_a_file_and_names_a_person(
    commands: Commands, okta: dict[str, Any], tmp_path: Path
) -> None:
    body = tmp_path / "sign-in.json"
    body.write_text('{"connection": "okta", "subject": {"iss": "https://i.example", "sub": "b"}}', "utf-8")
    assert commands.does("sessions", "create", "--file", str(body)).facts["session_id"].startswith("ses_")
    commands.fails(2, "sessions", "create", "okta")
    commands.fails(2, "sessions", "create", "okta", "--iss", "https://i.example")
    assert "no such connection" in commands.fails(1, "sessions", "create", "nobodys", "ada")


def test_a_refresh_token_is_ended_by_its_name(
    commands: Commands, server: AuthorizationServer, signed_in: dict[str, Any]
) -> None:
    body = {"session_id": signed_in["session_id"], "client_id": "notes"}
    made = server.ask("POST", "/api/v2/refresh-tokens", body, expect=201)
    commands.fails(2, "refresh-tokens", "delete", made["refresh_token_id"])
    told = commands.does("refresh-tokens", "delete", made["refresh_token_id"], "--yes").facts
    assert told["revocation_id"].startswith("rev_")
    assert not server.is_active(made["refresh_token"])
    assert "no such refresh token" in commands.fails(1, "refresh-tokens", "delete", "rt_nobodys", "--yes")
