"""`logoutd connections …` against the real service."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.domain.revocation import RevocationRequest
from service.store.blast_radius import BlastRadius
from service.store.record import Record
from tests.support.authorization_server import AuthorizationServer
from tests.support.command_line import Commands
from tests.support.identity_provider import IdentityProvider
from tests.support.strangers import answer, stranger_in_thread


def test_a_connection_is_created_by_options_and_shows_what_to_paste(commands: Commands, idp: IdentityProvider) -> None:
    commands.does("clients", "create", "notes")
    made = commands.does(
        "connections",
        "create",
        "okta",
        "--discovery-url",
        idp.discovery_url,
        "--client-id",
        "0oa1",
        "--client",
        "notes",
    )
    base = commands.environment["LOGOUTD_PUBLIC_URL"].rstrip("/")
    assert made.facts["global_token_revocation_endpoint"] == f"{base}/oauth/global-token-revocation/connection/okta"
    assert made.facts["options.issuer"] == idp.issuer
    assert made.facts["options.type"] == "back_channel"
    assert made.facts["enabled_clients"] == "notes"
    assert made.facts["enabled"] == "yes"


def test_a_connection_is_created_from_a_file_with_options_over_it(
    commands: Commands, idp: IdentityProvider, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-ours\n", "utf-8")
    body = {
        "name": "okta",
        "strategy": "oidc",
        "options": {"type": "front_channel", "discovery_url": idp.discovery_url},
    }
    made = commands.does(
        "connections", "create", "-f", "-", "--client-id", "12345", "--disabled", "--display-name", "Acme",
        "-o", "scopes=openid email", "-o", 'global_token_revocation_jwt_iss=["https://a.example", "https://b.example"]',
        "--option-file", f"client_secret={secret}", "--json",
        given=json.dumps(body),
    )  # fmt: skip
    assert made.json["options"]["type"] == "front_channel"
    assert made.json["options"]["client_id"] == "12345"
    assert made.json["options"]["scopes"] == "openid email"
    assert made.json["options"]["global_token_revocation_jwt_iss"] == ["https://a.example", "https://b.example"]
    assert (made.json["enabled"], made.json["display_name"]) == (False, "Acme")
    assert "s3cret" not in made.out


def test_a_connection_that_is_held_shows_so_and_is_released(
    commands: Commands, server: AuthorizationServer, idp: IdentityProvider, redis_url: str
) -> None:
    made = commands.does(
        "connections", "create", "okta", "--discovery-url", idp.discovery_url, "--client-id", "0oa1", "--json"
    )
    hold_by_hand(redis_url, made.json["id"], people=3)
    assert commands.does("connections", "show", "okta").facts["hold.people"] == "3"
    commands.fails(2, "connections", "release", "okta", "--yes")
    done = commands.does("connections", "release", "okta", "--apply", "--yes", "--json")
    assert done.json == {"applied": 3, "left": 0}
    assert "hold" not in commands.does("connections", "show", "okta", "--json").json
    hold_by_hand(redis_url, made.json["id"], people=2)
    assert commands.does("connections", "release", "okta", "--discard", "--yes", "--json").json["applied"] == 0
    assert "hold" not in commands.does("connections", "show", "okta", "--json").json


def hold_by_hand(redis_url: str, connection_id: str, *, people: int) -> None:
    """Have requests for so many people held, where one is allowed."""

    async def ask() -> None:
        async with Redis.from_url(redis_url, decode_responses=True) as client:
            radius = BlastRadius(Record(client), people=1, window_ms=60_000)
            for number in range(-1, people):
                asked = RevocationRequest(
                    revocation_id=f"rev_held{number}",
                    connection_id=connection_id,
                    user_ids=(f"usr_{number}",),
                    initiator="global_token_revocation",
                )
                if await radius.count(asked, now_ms=1000 + number) != "passed":
                    await radius.keep(asked, now_ms=1000 + number)

    asyncio.run(ask())


@pytest.mark.parametrize("command", ["create", "update"])
def test_a_secret_is_not_taken_from_an_argument(commands: Commands, command: str) -> None:
    for name in ("client_secret", "decryption_jwk", "okta_event_hook_secret"):
        told = commands.fails(2, "connections", command, "okta", "-o", f"{name}=s3cret")
        assert f"--option-file {name}=FILE" in told
        assert "s3cret" not in told


def test_what_the_service_refuses_is_told_in_its_words(commands: Commands, okta: dict[str, Any]) -> None:
    assert "already" in commands.fails(
        1, "connections", "create", "okta", "-o", "issuer=https://x.example",
        "-o", "authorization_endpoint=https://x.example/a", "--client-id", "x",
    )  # fmt: skip
    assert "`options.client_id` is missing" in commands.fails(
        1, "connections", "create", "two", "--discovery-url", "https://x.example"
    )
    assert "no such connection" in commands.fails(1, "connections", "show", "nobodys")


def test_connections_are_listed_and_shown_by_name_or_id(commands: Commands, okta: dict[str, Any]) -> None:
    heading, row = commands.does("connections", "list").rows
    assert heading == ["NAME", "ENABLED", "ISSUER", "CLIENTS", "ID"]
    assert row == ["okta", "yes", okta["options"]["issuer"], "1", okta["id"]]
    for named in ("okta", okta["id"]):
        assert commands.does("connections", "show", named, "--json").json == okta
    assert commands.does("connections", "list", "--json").json == {"items": [okta], "next_cursor": None}


def test_a_connection_is_changed_option_by_option(commands: Commands, okta: dict[str, Any]) -> None:
    changed = commands.does(
        "connections", "update", "okta", "--display-name", "Okta", "--capture",
        "-o", "global_token_revocation_jwt_sub=0oa2", "--json",
    ).json  # fmt: skip
    assert changed["display_name"] == "Okta"
    assert changed["options"]["capture_refused_assertions"] is True
    assert changed["options"]["global_token_revocation_jwt_sub"] == "0oa2"
    unset = commands.does(
        "connections", "update", "okta", "--no-capture", "-o", "global_token_revocation_jwt_sub=null", "--json"
    ).json
    assert unset["options"] == okta["options"]
    assert "nothing to change" in commands.fails(2, "connections", "update", "okta")


def test_a_connection_is_disabled_and_enabled(commands: Commands, okta: dict[str, Any]) -> None:
    assert commands.does("connections", "disable", "okta", "--yes").facts["enabled"] == "no"
    assert commands.does("connections", "enable", "okta").facts["enabled"] == "yes"


def test_applications_are_enabled_and_disabled(commands: Commands, okta: dict[str, Any]) -> None:
    commands.does("applications", "create", "wiki")
    enabled = commands.does("connections", "clients", "enable", "okta", "wiki")
    assert enabled.rows == [["CLIENT_ID", "ENABLED"], ["notes", "yes"], ["wiki", "yes"]]
    commands.does("connections", "clients", "disable", "okta", "notes", "wiki")
    assert commands.does("connections", "clients", "list", "okta", "--json").json["items"] == []
    assert "does not exist" in commands.fails(1, "connections", "clients", "enable", "okta", "nobodys")


def test_removing_a_connection_says_nothing_and_it_is_gone(commands: Commands, okta: dict[str, Any]) -> None:
    assert commands.does("connections", "delete", "okta", "--yes", "--json").out == ""
    assert "no such connection" in commands.fails(1, "connections", "show", "okta")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--file", "/nowhere"), "cannot be read (FileNotFoundError)"),
        (("-o", "scopes"), "--option is NAME="),
        (("-o", "=x"), "--option is NAME="),
        (("-o", "jwks={"), "--option jwks does not hold JSON"),
        (("--option-file", "jwks=/nowhere"), "cannot be read (FileNotFoundError)"),
    ],
)
def test_what_cannot_be_read_is_a_mistake_of_the_command_line(
    commands: Commands, arguments: tuple[str, ...], told: str
) -> None:
    assert told in commands.fails(2, "connections", "update", "okta", *arguments)


@pytest.mark.parametrize("given", ["", "[]", "{", "7", "[" * 100_000])
def test_a_body_that_is_no_object_is_a_mistake_too(commands: Commands, given: str) -> None:
    assert "--file does not hold" in commands.fails(2, "connections", "update", "okta", "-f", "-", given=given)
    assert "`options` is not" in commands.fails(2, "connections", "update", "okta", "-f", "-", given='{"options": 7}')


def test_the_service_tests_a_connection(commands: Commands, okta: dict[str, Any]) -> None:
    told = commands.does("connections", "test", "okta")
    assert all(line.startswith(("ok    ", "warn  ")) for line in told.out.splitlines())
    assert commands.does("connections", "test", okta["id"], "--json").json["ok"] is True
    assert "no such connection" in commands.fails(1, "connections", "test", "nobodys")


@pytest.mark.parametrize(("fit", "status"), [(True, 0), (False, 1)])
def test_a_test_of_a_connection_is_a_checklist(commands: Commands, fit: bool, status: int) -> None:
    level = "ok" if fit else "fail"
    told = {"ok": fit, "checks": [{"check": "usable keys", "level": level, "detail": "as \x1b found"}]}
    with stranger_in_thread(answer(200, json.dumps(told).encode())) as service:
        lines = commands.run("connections", "test", "okta", "--url", service.url(""))
        as_json = commands.run("connections", "test", "okta", "--url", service.url(""), "--json")
    assert (lines.status, as_json.status) == (status, status)
    assert lines.out == f"{level:<4}  usable keys: as \\x1b found\n"
    assert as_json.json == told
    assert {(each.method, each.target) for each in service.requests} == {("POST", "/api/v2/connections/okta/test")}
