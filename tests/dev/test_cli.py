"""The command line."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.ring import parse_key_ring
from tests.support.processes import LIMIT_S, logoutd

runner = CliRunner()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("LOGOUTD_"):
            monkeypatch.delenv(name)


def test_without_a_command_it_shows_them_all() -> None:
    shown = runner.invoke(app, []).output

    assert all(f" {command} " in shown for command in ("dev", "serve", "work", "demo", "check", "keys"))


def test_it_tells_its_version() -> None:
    done = runner.invoke(app, ["--version"])

    assert done.exit_code == 0
    assert done.output.strip()


def test_generated_keys_are_a_whole_key_ring_and_new_each_time() -> None:
    first, second = (json.loads(runner.invoke(app, ["keys", "generate"]).stdout) for _ in range(2))

    ring = parse_key_ring(first)
    assert ring.algorithms == SIGNING_ALGORITHMS
    assert {key["use"] for key in first["keys"]} == {"sig"}
    assert [key["kid"] for key in ring.jwks()["keys"]] == [key["kid"] for key in first["keys"]]
    assert not {key["kid"] for key in first["keys"]} & {key["kid"] for key in second["keys"]}


def test_the_name_of_a_generated_key_is_its_thumbprint() -> None:
    document = json.loads(runner.invoke(app, ["keys", "generate"]).stdout)
    nameless = [{name: value for name, value in key.items() if name != "kid"} for key in document["keys"]]

    named = parse_key_ring({"keys": nameless}).jwks()["keys"]

    assert [key["kid"] for key in named] == [key["kid"] for key in document["keys"]]


def test_check_ends_with_status_1_on_a_fail() -> None:
    done = runner.invoke(app, ["check", "--json"], env={"LOGOUTD_REDIS_URL": "redis://127.0.0.1:1"})

    assert done.exit_code == 1
    assert json.loads(done.stdout)["ok"] is False


def test_an_expected_error_is_one_line_without_a_traceback() -> None:
    done = runner.invoke(app, ["dev"], env={"LOGOUTD_LOG_LEVEL": "loud"})

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("logoutd: LOGOUTD_LOG_LEVEL: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("command", "module"), [("serve", "service"), ("work", "workers")])
def test_serve_and_work_are_the_two_processes_whatever_folder_they_stand_in(
    tmp_path: Path, command: str, module: str
) -> None:
    decoy = tmp_path / module
    decoy.mkdir()
    (decoy / "__init__.py").touch()
    (decoy / "__main__.py").write_text("print('the wrong one')", "utf-8")

    with logoutd(command, environment={"LOGOUTD_REDIS_URI": "x"}, folder=tmp_path) as process:
        out, told = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 1
    assert "the wrong one" not in out
    assert "LOGOUTD_REDIS_URI is not a setting; did you mean LOGOUTD_REDIS_URL?" in told
    assert "Traceback" not in told
