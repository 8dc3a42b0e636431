"""Exit statuses, where the service is looked for, by whose word, and what is asked before something is taken away."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.cli.api import Api, ApiRefused, Target, Unreachable, find_target
from service.dev.folder import default_folder
from service.settings import SettingsError
from tests.support.command_line import Commands
from tests.support.http_service import ADMIN_TOKEN
from tests.support.processes import LIMIT_S, clean_environment
from tests.support.strangers import answer, stranger_in_thread

OTHER_TOKEN = "another-administrators-token"


# 3: the service cannot be reached.


def test_where_nothing_listens_is_3(commands: Commands) -> None:
    told = commands.fails(3, "connections", "list", "--url", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1/api/v2/connections cannot be reached: ConnectError" in told


def test_a_name_that_does_not_resolve_is_3(commands: Commands) -> None:
    assert "cannot be reached" in commands.fails(3, "connections", "list", "--url", "https://nobody.invalid")


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"<html>", "its answer is not JSON"),
        (404, b"<html>not here", "status 404"),
        (302, b"", "status 302"),
        (502, b'{"message": "bad gateway"}', "status 502"),
        (401, b'{"error": "x", "error_description": 7}', "status 401"),
        (500, b"[" * 100_000, "status 500"),
    ],
)
def test_what_answers_and_is_not_logoutd_is_3(commands: Commands, status: int, body: bytes, told: str) -> None:
    with stranger_in_thread(answer(status, body)) as other:
        err = commands.fails(3, "connections", "list", "--url", other.url(""))
    assert "is not logoutd" in err
    assert told in err


# 1: it refused.


def test_what_the_service_refuses_is_1(commands: Commands) -> None:
    told = commands.fails(1, "connections", "list", LOGOUTD_ADMIN_TOKEN_FILE="", LOGOUTD_ADMIN_TOKEN=OTHER_TOKEN)
    assert told == "logoutd: this is not the administrator's token\n"


def test_an_error_that_would_steer_the_terminal_is_shown_as_text(commands: Commands) -> None:
    body = b'{"error": "x", "error_description": "\\u001b[2J\\u009b1mgone\\nlogoutd: done"}'
    with stranger_in_thread(answer(400, body)) as other:
        told = commands.fails(1, "connections", "list", "--url", other.url(""))
    assert told == "logoutd: \\x1b[2J\\x9b1mgone\\nlogoutd: done\n"


# 2: the command line or the environment; nothing is sent.


@pytest.mark.parametrize(
    ("environment", "arguments", "told"),
    [
        ({"LOGOUTD_PUBLIC_URI": "x"}, (), "LOGOUTD_PUBLIC_URI is not a setting; did you mean LOGOUTD_PUBLIC_URL?"),
        ({"LOGOUTD_ADMIN_TOKEN_FILE": ""}, (), "no administrator's token: set LOGOUTD_ADMIN_TOKEN_FILE"),
        ({"LOGOUTD_ADMIN_TOKEN_FILE": "/nowhere"}, (), "the file cannot be read"),
        ({"LOGOUTD_ADMIN_TOKEN": OTHER_TOKEN}, (), "are both set"),
        ({}, ("--token-file", "/nowhere"), "--token-file: the file cannot be read (FileNotFoundError)"),
        ({}, ("--url", "logout.example.com"), "--url: must be an http(s) URL"),
        ({}, ("--url", "https://user:pass@logout.example.com"), "--url: must be an http(s) URL"),
    ],
)
def test_what_cannot_be_used_is_2_and_one_line(
    commands: Commands, environment: Mapping[str, str], arguments: tuple[str, ...], told: str
) -> None:
    err = commands.fails(2, "connections", "list", *arguments, **environment)
    assert told in err
    assert err.count("\n") == 1
    assert OTHER_TOKEN not in err
    assert "pass@" not in err


@pytest.mark.parametrize(
    "arguments", [("connections", "nonsense"), ("connections", "show"), ("clients", "list", "--no")]
)
def test_a_command_line_that_says_nothing_is_2(commands: Commands, arguments: tuple[str, ...]) -> None:
    commands.fails(2, *arguments)


def test_there_is_no_way_to_put_the_token_on_the_command_line(commands: Commands) -> None:
    commands.fails(2, "connections", "list", "--token", "x")


@pytest.mark.parametrize("group", ["connections", "clients", "applications", "sessions", "revocations", "deliveries"])
def test_help_tells_the_exit_statuses(commands: Commands, group: str) -> None:
    for command in ((), (group,)):
        assert "3 the service cannot be reached" in " ".join(commands.does(*command, "--help").out.split())


# Where, and by whose word.


@pytest.fixture
def dev_token() -> Iterator[str]:
    kept = default_folder() / "admin-token"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("the-token-that-dev-keeps\n", "utf-8")
    yield "the-token-that-dev-keeps"
    kept.unlink()


def test_without_anything_said_it_is_the_dev_of_this_machine(dev_token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_target(url=None, token_file=None) == Target(url="http://127.0.0.1:8000", token=dev_token)
    monkeypatch.setenv("LOGOUTD_PORT", "9000")
    assert find_target(url=None, token_file=None).url == "http://127.0.0.1:9000"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:8000", "http://127.9.9.9"])
def test_the_token_of_dev_goes_to_this_machine(dev_token: str, url: str) -> None:
    assert find_target(url=url, token_file=None).token == dev_token


@pytest.mark.parametrize("url", ["https://logout.example.com", "http://127.0.0.1.example.com", "https://10.0.0.1"])
def test_and_to_no_other(dev_token: str, url: str) -> None:
    with pytest.raises(SettingsError, match="no administrator's token"):
        find_target(url=url, token_file=None)


def test_a_token_file_goes_before_the_environment_and_the_url_before_the_public_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(" from-a-file\n", "utf-8")
    monkeypatch.setenv("LOGOUTD_ADMIN_TOKEN", OTHER_TOKEN)
    monkeypatch.setenv("LOGOUTD_PUBLIC_URL", "https://logout.example.com/under/")
    assert find_target(url=None, token_file=None) == Target(url="https://logout.example.com/under", token=OTHER_TOKEN)
    assert find_target(url="https://other.example.com/", token_file=file) == Target(
        url="https://other.example.com", token="from-a-file"
    )


@pytest.mark.parametrize("content", ["two words", "a\nb", "a\x00b", "tökén", ""])
def test_what_no_token_is_like_is_not_sent(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content, "utf-8")
    with pytest.raises(SettingsError, match="administrator's token"):
        find_target(url=None, token_file=file)


def test_a_target_does_not_show_its_token() -> None:
    assert OTHER_TOKEN not in repr(Target(url="https://logout.example.com", token=OTHER_TOKEN))


def test_a_token_sent_in_the_clear_is_warned_of(commands: Commands) -> None:
    ran = commands.run("connections", "list", "--url", "http://nobody.invalid")
    assert ran.err.startswith("logoutd: warning: http://nobody.invalid is plain http")
    assert ran.status == 3


def test_a_proxy_of_the_environment_is_never_handed_what_goes_to_this_machine(commands: Commands) -> None:
    proxies = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    assert commands.run("connections", "list", **proxies).status == 0
    told = commands.run("connections", "list", "--url", "http://nobody.invalid", **proxies).err
    assert "Connection refused" in told, "elsewhere it is asked"


def test_the_token_goes_to_the_api_and_not_to_doors() -> None:
    with (
        stranger_in_thread(answer(200, b"{}")) as other,
        Api(Target(url=other.url(""), token=OTHER_TOKEN)) as api,
    ):
        api.get("connections")
        api.send("POST", other.url("/oauth/global-token-revocation/connection/okta"))
    assert [each.headers.get("authorization") for each in other.requests] == [f"Bearer {OTHER_TOKEN}", None]


def test_a_path_cannot_be_climbed_out_of() -> None:
    with Api(Target(url="http://127.0.0.1:1", token=OTHER_TOKEN)) as api:
        for segment in ("", ".", ".."):
            with pytest.raises(ApiRefused):
                api.call("DELETE", "clients", segment)
        with pytest.raises(Unreachable, match=r"/clients/\.\.%2Fx cannot"):
            api.call("DELETE", "clients", "../x")


# What is asked first.


DESTRUCTIVE = [
    ("connections", "delete", "okta"),
    ("connections", "disable", "okta"),
    ("clients", "delete", "notes"),
    ("clients", "new-secret", "notes"),
    ("sessions", "delete", "SESSION"),
    ("sessions", "delete-all", "USER"),
    ("revocations", "create", "okta", "ada@example.com"),
]


@pytest.mark.parametrize("command", DESTRUCTIVE)
def test_without_a_terminal_to_ask_at_yes_must_be_said(
    commands: Commands, signed_in: dict[str, Any], command: tuple[str, ...]
) -> None:
    assert "say --yes" in commands.fails(2, *named(command, signed_in), given="y\n")
    unchanged(commands, signed_in)


@pytest.mark.parametrize("typed", [b"n\n", b"\n", b"x\n", b"\x04"])
@pytest.mark.parametrize("command", DESTRUCTIVE[-1:])
def test_whoever_does_not_say_yes_has_changed_nothing(
    commands: Commands, signed_in: dict[str, Any], command: tuple[str, ...], typed: bytes
) -> None:
    status, out, shown = at_a_terminal(commands, *named(command, signed_in), typed=typed)
    assert (status, out) == (1, "")
    assert " [y/N] " in shown
    assert "nothing was changed" in shown
    unchanged(commands, signed_in)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (DESTRUCTIVE[0], "sign nobody out any more; whoever is signed in through it stays so"),
        (DESTRUCTIVE[1], "answered 403; whoever is signed in through it stays so"),
        (DESTRUCTIVE[2], "Its refresh tokens end"),
        (DESTRUCTIVE[3], "stops working at once"),
    ],
)
def test_the_question_says_what_comes_of_a_yes(
    commands: Commands, signed_in: dict[str, Any], command: tuple[str, ...], told: str
) -> None:
    assert told in at_a_terminal(commands, *named(command, signed_in), typed=b"n\n")[2]


def test_whoever_says_yes_has(commands: Commands, signed_in: dict[str, Any]) -> None:
    status, out, shown = at_a_terminal(commands, "revocations", "create", "okta", "ada@example.com", typed=b"y\n")
    assert status == 0, shown
    assert out.startswith("revocation_id  rev_")
    assert commands.does("sessions", "show", signed_in["session_id"]).facts["state"] == "ended"


def named(command: tuple[str, ...], signed_in: dict[str, Any]) -> list[str]:
    names = {"SESSION": signed_in["session_id"], "USER": signed_in["user_id"]}
    return [names.get(word, word) for word in command]


def unchanged(commands: Commands, signed_in: dict[str, Any]) -> None:
    assert commands.does("sessions", "show", signed_in["session_id"]).facts["state"] == "active"
    assert commands.does("connections", "show", "okta").facts["enabled"] == "yes"
    commands.does("clients", "show", "notes")
    assert commands.does("revocations", "list", "--json").json["items"] == []


def at_a_terminal(commands: Commands, *arguments: str, typed: bytes) -> tuple[int, str, str]:
    """A command of its own process whose standard input is a terminal: its status, what it printed, what it said."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "service.cli", *arguments],
            env=clean_environment(commands.environment),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.write(ours, typed)
            out, err = process.communicate(timeout=LIMIT_S)
    finally:
        os.close(ours)
        os.close(theirs)
    assert ADMIN_TOKEN not in out + err
    return process.returncode, out, err
