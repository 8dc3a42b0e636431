"""`logoutd keys list|rotate|retire`: what an operator types, what is told, and what is never shown."""

import io
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from service.cli.key_places import tell_places
from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.signing_keys import parse_signing_keys
from service.keys.times import KEEP_AFTER_S, USE_AFTER_S
from tests.support.signing_keys import PRIVATE_MEMBERS, jwk, jwks, read_keys, write_keys

HOUR_S = 3600


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("LOGOUTD_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys.json", jwks(jwk("RS256"), jwk("ES256")))


def replaced(tmp_path: Path, ago_s: int = KEEP_AFTER_S + 60) -> Path:
    """A file whose first ES256 key was replaced so long ago."""
    use_from_s = int(time.time()) - ago_s
    return write_keys(tmp_path / "keys.json", jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=use_from_s)))


def keys(*arguments: str, file: Path | None = None, expect: int = 0) -> Result:
    """Run a command on the file; nothing private may be in what it says, but where it prints the file for a Secret."""
    done = CliRunner().invoke(app, ["keys", *arguments], env={"LOGOUTD_SIGNING_KEYS_FILE": str(file)} if file else None)
    assert done.exit_code == expect, done.output
    if "--print" not in arguments and file is not None:
        held = [str(each[name]) for each in read_keys(file)["keys"] for name in PRIVATE_MEMBERS & set(each)]
        assert held
        assert not [each for each in held if each in done.stdout + done.stderr]
    return done


def told(done: Result) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(done.stdout)["keys"]
    assert {tuple(each) for each in listed} == {("kid", "alg", "state", "used_from", "used_until")}
    return listed


def test_list_tells_each_key_its_place_and_its_times(tmp_path: Path) -> None:
    use_from_s = 1_700_000_000
    file = write_keys(tmp_path / "k", jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=use_from_s)))

    assert told(keys("list", "--json", file=file)) == [
        {
            "kid": "es256-1",
            "alg": "ES256",
            "state": "previous",
            "used_from": None,
            "used_until": "2023-11-14T22:13:20Z",
        },
        {"kid": "es256-2", "alg": "ES256", "state": "current", "used_from": "2023-11-14T22:13:20Z", "used_until": None},
    ]
    assert keys("list", file=file).stdout == (
        "KID      ALG    STATE     USED FROM             USED UNTIL\n"
        "es256-1  ES256  previous  -                     2023-11-14T22:13:20Z\n"
        "es256-2  ES256  current   2023-11-14T22:13:20Z  -\n"
    )


def test_on_a_terminal_there_is_a_table(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    places = parse_signing_keys(read_keys(file)).places(now_s=0)
    tell_places(places, as_json=False, out=out, made=["es256-1"])
    header, *rows = out.getvalue().splitlines()
    assert header.split() == ["KID", "ALG", "STATE", "USED", "FROM", "USED", "UNTIL"]
    assert [row.split() for row in rows] == [
        ["rs256-1", "RS256", "current", "-", "-"],
        ["es256-1", "ES256", "current", "(new)", "-", "-"],
    ]


def test_rotate_gives_every_algorithm_a_next_key_that_signs_in_a_day_and_keeps_the_file_private(file: Path) -> None:
    before_s = int(time.time())

    listed = told(keys("rotate", "--json", file=file))

    assert [each["state"] for each in listed] == ["current"] * 2 + ["next"] * 4
    assert [each["alg"] for each in listed[2:]] == list(SIGNING_ALGORITHMS)
    uses_from = {each["logoutd_use_from"] for each in read_keys(file)["keys"][2:]}
    assert all(before_s + USE_AFTER_S <= each <= time.time() + USE_AFTER_S for each in uses_from)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told(keys("list", "--json", file=file)) == listed


def test_rotate_takes_one_algorithm_and_a_time_and_marks_what_is_new(file: Path) -> None:
    lines = keys("rotate", "--alg", "EdDSA", "--alg", "ES256", "--use-after", "10m", file=file).stdout.splitlines()

    assert [line.split("  ")[1:3] for line in lines if "(new)" in line] == [
        ["EdDSA", "next (new)"],
        ["ES256", "next (new)"],
    ]
    assert [each["alg"] for each in read_keys(file)["keys"]] == ["RS256", "ES256", "EdDSA", "ES256"]


def test_a_file_named_by_hand_goes_before_the_setting(tmp_path: Path, file: Path) -> None:
    other = write_keys(tmp_path / "other.json", jwks(jwk("EdDSA")))
    assert [each["kid"] for each in told(keys("list", "--json", "--file", str(other), file=file))] == ["eddsa-1"]


def test_print_leaves_the_file_and_prints_a_whole_secret_and_nothing_else(file: Path) -> None:
    before = file.read_bytes()
    file.chmod(0o400)

    done = keys("rotate", "--print", file=file)

    assert file.read_bytes() == before
    assert [each.algorithm for each in parse_signing_keys(json.loads(done.stdout)).places(now_s=0)] == [
        *("RS256", "ES256"),
        *SIGNING_ALGORITHMS,
    ]
    assert done.stderr.count("(new)") == 4


def test_a_second_rotation_changes_nothing_and_fails_in_one_line(file: Path) -> None:
    keys("rotate", file=file)
    before = file.read_bytes()

    done = keys("rotate", file=file, expect=1)

    assert done.stderr.startswith("logoutd: nothing to rotate, the next key is there already: ")
    assert (done.stderr.count("\n"), done.stdout, file.read_bytes()) == (1, "", before)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["rotate", "--use-after", "9m"], 1, "at least 10 minutes"),
        (["rotate", "--use-after", "600"], 2, "is no duration"),
        (["rotate", "--use-after", "2w"], 2, "is no duration"),
        (["rotate", "--alg", "HS256"], 2, "HS256 is none of RS256"),
        (["retire"], 2, "name the keys"),
        (["retire", "--replaced", "es256-1"], 2, "name the keys"),
        (["retire", "es256-1"], 1, "logoutd: es256-1 signs ES256 now: rotate, and retire it once another signs\n"),
        (["retire", "nobody"], 1, "logoutd: there is no signing key nobody\n"),
        (["retire", "-nobody"], 1, "logoutd: there is no signing key -nobody\n"),
    ],
)
def test_what_would_leave_a_gap_or_makes_no_sense_is_refused_and_changes_nothing(
    file: Path, arguments: list[str], status: int, said: str
) -> None:
    before = file.read_bytes()
    done = keys(*arguments, file=file, expect=status)
    assert said in done.stderr
    assert file.read_bytes() == before


def test_retire_takes_out_a_key_that_was_replaced_by_name_or_with_all_such(tmp_path: Path) -> None:
    for arguments in (["es256-1"], ["--replaced"]):
        file = replaced(tmp_path)
        assert [each["kid"] for each in told(keys("retire", "--json", *arguments, file=file))] == ["es256-2"]
        assert [each["kid"] for each in read_keys(file)["keys"]] == ["es256-2"]


def test_retire_waits_for_what_was_signed_a_moment_ago(tmp_path: Path) -> None:
    file = replaced(tmp_path, ago_s=60)
    before = file.read_bytes()
    assert "retire it from " in keys("retire", "es256-1", file=file, expect=1).stderr
    # Nothing to do is no failure for a job that runs every night.
    assert len(told(keys("retire", "--replaced", "--json", file=file))) == 2
    assert file.read_bytes() == before


def test_retire_can_print_too(tmp_path: Path) -> None:
    file = replaced(tmp_path)
    printed = json.loads(keys("retire", "es256-1", "--print", file=file).stdout)
    assert [each["kid"] for each in printed["keys"]] == ["es256-2"]
    assert len(read_keys(file)["keys"]) == 2


@pytest.mark.parametrize("command", [["list"], ["rotate"], ["retire", "a"]])
def test_a_file_that_is_none_is_one_line(tmp_path: Path, command: list[str]) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{", "utf-8")
    for path, said in ((broken, "the signing keys are not JSON"), (tmp_path / "no" / "where", "cannot be read")):
        done = CliRunner().invoke(app, ["keys", *command, "--file", str(path)])
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert said in done.stderr


def test_without_a_file_it_says_how_to_name_one() -> None:
    done = CliRunner().invoke(app, ["keys", "list"])
    assert done.exit_code == 2
    assert "LOGOUTD_SIGNING_KEYS_FILE" in done.stderr
