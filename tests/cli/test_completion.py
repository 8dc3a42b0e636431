"""Completion: of commands by the shell's own means, of names by asking the service, silently."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import app
from tests.support.command_line import Commands, Ran
from tests.support.strangers import answer, stranger_in_thread


def completed(commands: Commands, line: str, **environment: str) -> list[str]:
    """What bash offers at the end of a line; whatever happens it is no error and nothing is said."""
    words = line.split(" ")
    ran: Ran = commands.run(
        _LOGOUTD_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), **environment
    )
    assert ran.err == ""
    return ran.out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_offered_its_script(shell: str) -> None:
    done = CliRunner().invoke(app, [], prog_name="logoutd", env={"_LOGOUTD_COMPLETE": f"source_{shell}"})
    assert done.exit_code == 0
    assert "_LOGOUTD_COMPLETE" in done.output


def test_help_says_how_to_install_it() -> None:
    assert {"--install-completion", "--show-completion"} <= set(CliRunner().invoke(app, ["--help"]).output.split())


def test_commands_are_completed(commands: Commands) -> None:
    assert completed(commands, "logoutd conn") == ["connections"]
    assert set(completed(commands, "logoutd revocations ")) == {"list", "show", "create", "redeliver"}


def test_connections_and_applications_are_completed_by_what_there_is(commands: Commands, okta: dict[str, Any]) -> None:
    assert completed(commands, "logoutd connections show ") == ["okta"]
    assert completed(commands, "logoutd revocations create ok") == ["okta"]
    assert completed(commands, "logoutd okta doctor ") == ["okta"]
    assert completed(commands, "logoutd clients show no") == ["notes"]
    assert completed(commands, "logoutd connections show x") == []


@pytest.mark.parametrize(
    "environment",
    [
        {"LOGOUTD_PUBLIC_URL": "http://127.0.0.1:1"},
        {"LOGOUTD_ADMIN_TOKEN_FILE": ""},
        {"LOGOUTD_ADMIN_TOKEN_FILE": "", "LOGOUTD_ADMIN_TOKEN": "another-administrators-token"},
        {"LOGOUTD_NONSENSE": "x"},
    ],
)
def test_where_nothing_can_be_asked_nothing_is_offered(
    commands: Commands, okta: dict[str, Any], environment: dict[str, str]
) -> None:
    assert completed(commands, "logoutd connections show ", **environment) == []


@pytest.mark.parametrize("body", ["7", "{}", '{"items": 7}', '{"items": [7, {}, {"name": 7}]}', "<html>"])
def test_what_is_no_list_offers_nothing(commands: Commands, body: str) -> None:
    with stranger_in_thread(answer(200, body.encode())) as other:
        offered = completed(commands, "logoutd connections show ", LOGOUTD_PUBLIC_URL=other.url(""))
    assert offered in ([], ["7"])


def test_no_word_is_offered_that_a_shell_would_act_upon(commands: Commands) -> None:
    names = ["good", "$(id)", "`id`", "a b", "a;b", "*", "a\nb", "\x1b[2J", "a'b", '"', "a|b"]
    body = json.dumps({"items": [{"name": each} for each in names], "next_cursor": None}).encode()
    with stranger_in_thread(answer(200, body)) as other:
        offered = completed(commands, "logoutd connections show ", LOGOUTD_PUBLIC_URL=other.url(""))
    assert offered == ["good"]
