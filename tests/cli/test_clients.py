"""`logoutd clients …`, which `logoutd applications …` is too."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.command_line import Commands

URI = "http://127.0.0.1:9/backchannel-logout"


@pytest.mark.parametrize("word", ["clients", "applications"])
def test_an_application_is_registered_listed_changed_and_removed(commands: Commands, word: str) -> None:
    made = commands.does(word, "create", "notes", "--name", "Notes", "--logout-uri", URI, "--session-required")
    assert made.facts["client_id"] == "notes"
    assert made.facts["client_secret"].startswith("logoutd_cs_"), "shown this once"
    assert made.facts["backchannel_logout_session_required"] == "yes"

    heading, row = commands.does(word, "list").rows
    assert heading == ["CLIENT_ID", "NAME", "LOGOUT URI", "ALG", "SID REQUIRED"]
    assert row == ["notes", "Notes", URI, "RS256", "yes"]

    changed = commands.does(
        word, "update", "notes", "--name", "", "--logout-uri", "", "--no-session-required", "--alg", "ES256", "--json"
    ).json
    assert (changed["client_name"], changed["backchannel_logout_uri"]) == (None, None)
    assert (changed["backchannel_logout_session_required"], changed["id_token_signed_response_alg"]) == (False, "ES256")
    assert "client_secret" not in changed
    assert commands.does(word, "show", "notes", "--json").json == {**changed, "dead_letters": 0}

    replaced = commands.does(word, "new-secret", "notes", "--yes").facts["client_secret"]
    assert replaced.startswith("logoutd_cs_")
    assert replaced != made.facts["client_secret"]
    assert commands.does(word, "delete", "notes", "--yes").out == ""
    assert "no such client" in commands.fails(1, word, "show", "notes")


def test_an_application_may_come_from_a_file_and_have_its_client_id_made(commands: Commands) -> None:
    made = commands.does("clients", "create", "-f", "-", "--json", given='{"client_name": "From a file"}').json
    assert made["client_name"] == "From a file"
    assert made["client_id"].startswith("app_")


def test_certificates_and_a_key_come_from_files_and_go_again(commands: Commands, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair(common_name="logoutd")
    files = {"ca": authority.root, "cert": pair.certificate, "key": pair.key}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    options = [each for name in files for each in (f"--tls-{name}-file", str(tmp_path / name))]
    uri = "https://app.example.com/logout"
    made = commands.does("clients", "create", "notes", "--logout-uri", uri, *options)
    assert "PRIVATE" not in made.out
    shown = commands.does("clients", "show", "notes", "--json").json["tls"]
    assert shown["client_certificate_chain"][0]["subject"] == "CN=logoutd"
    assert shown["ca_certificates"][0]["subject"] == "CN=An authority of the tests"

    changed = commands.does("clients", "update", "notes", "--tls-cert-file", "", "--json").json
    assert set(changed["tls"]) == {"ca_certificates"}
    assert "tls" not in commands.does("clients", "update", "notes", "--tls-ca-file", "", "--json").json
    assert "cannot be read" in commands.fails(2, "clients", "update", "notes", "--tls-key-file", str(tmp_path / "none"))


def test_what_is_not_among_the_choices_is_refused_by_the_service(commands: Commands) -> None:
    assert "id_token_signed_response_alg" in commands.fails(1, "clients", "create", "notes", "--alg", "HS256")
    assert "client_id" in commands.fails(1, "clients", "create", "a b")
    assert "nothing to change" in commands.fails(2, "clients", "update", "notes")


@pytest.mark.parametrize("client_id", ["a:b", "a@b", "a+b", "a=b", "~a", "..a", "-a"])
def test_any_client_id_can_be_named(commands: Commands, client_id: str) -> None:
    commands.does("clients", "create", "--", client_id)
    assert commands.does("clients", "show", "--json", "--", client_id).json["client_id"] == client_id


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a?b", "a#b", "a%2fb", "é", "a\nb"])
def test_a_name_that_is_none_leads_nowhere_else(commands: Commands, name: str) -> None:
    commands.does("clients", "create", "notes")
    for command in (("show",), ("delete", "--yes"), ("update", "--name", "x")):
        assert "nothing" in (told := commands.fails(1, "clients", *command, "--", name)) or "no such client" in told
    assert len(commands.does("clients", "list", "--json").json["items"]) == 1


def test_lists_come_in_pages_or_whole(commands: Commands, server: Any) -> None:
    names = [f"app-{number:03}" for number in range(103)]
    for name in names:
        server.ask("POST", "/api/v2/clients", {"client_id": name}, expect=201)
    first = commands.run("clients", "list", "--limit", "2")
    assert [row[0] for row in first.rows[1:]] == names[:2]
    cursor = commands.does("clients", "list", "--limit", "2", "--json").json["next_cursor"]
    assert first.err == f"logoutd: there may be more: --cursor {cursor}, or --all\n"
    second = commands.run("clients", "list", "--limit", "2", "--cursor", cursor)
    assert [row[0] for row in second.rows[1:]] == names[2:4]
    whole = commands.does("clients", "list", "--all", "--json").json
    assert ([each["client_id"] for each in whole["items"]], whole["next_cursor"]) == (names, None)
    assert "cursor" in commands.fails(1, "clients", "list", "--cursor", "nonsense")
    assert "--limit" in commands.fails(2, "clients", "list", "--limit", "101")


def test_an_application_is_paused_and_resumed(commands: Commands) -> None:
    commands.does("clients", "create", "notes")
    paused = commands.does("clients", "pause", "notes", "--reason", "CHG-1", "--json").json["delivery"]
    assert (paused["state"], paused["reason"]) == ("paused", "CHG-1")
    assert commands.does("clients", "pause", "notes").facts["delivery.state"] == "paused"
    assert commands.does("clients", "resume", "notes").facts["delivery.state"] == "active"
    assert "no such client" in commands.fails(1, "clients", "pause", "nobody")


def test_what_an_application_takes_is_limited_and_limited_no_more(commands: Commands) -> None:
    made = commands.does("clients", "create", "notes", "--max-concurrent", "2", "--rate", "0.5", "--json").json
    assert (made["delivery_max_concurrent"], made["delivery_rate_per_second"]) == (2, 0.5)
    changed = commands.does("clients", "update", "notes", "--max-concurrent", "0", "--rate", "0", "--json").json
    assert (changed["delivery_max_concurrent"], changed["delivery_rate_per_second"]) == (None, None)
