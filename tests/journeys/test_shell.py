"""An administrator with nothing but a shell: Okta set up, somebody signed out, the receipt read."""

import json
from pathlib import Path

import pytest

from service.dev import DevStack
from tests.support.processes import LIMIT_S, logoutd
from tests.support.relying_party import REFUSED
from tests.support.story import Story


@pytest.fixture
def environment(stack: DevStack, tmp_path: Path) -> dict[str, str]:
    """Where the service is, and the token in a file."""
    token = tmp_path / "token"
    token.write_text(stack.admin_token, "utf-8")
    return {"LOGOUTD_PUBLIC_URL": stack.url, "LOGOUTD_ADMIN_TOKEN_FILE": str(token)}


def run(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    with logoutd(*arguments, environment=environment) as process:
        out, err = process.communicate(timeout=LIMIT_S)
    assert environment["LOGOUTD_PUBLIC_URL"] not in err
    return process.returncode, out, err


def test_the_doctor_finds_a_running_dev_well(story: Story, environment: dict[str, str]) -> None:
    connection = story.connection(story.application("notes"))
    status, out, err = run(environment, "okta", "doctor", connection.name)
    assert (status, err) == (0, ""), out
    assert "ok    self-test: a request signed like Okta's was answered 204" in out
    assert connection.endpoint in out


def test_somebody_is_signed_out_and_everyone_was_told(story: Story, environment: dict[str, str]) -> None:
    notes, wiki = story.application("notes"), story.application("wiki")
    connection = story.connection(notes, wiki)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, notes, wiki)

    foretold = run(environment, "revocations", "create", connection.name, ada.email, "--dry-run", "--json")
    assert {each["state"] for each in json.loads(foretold[1])["applications"]} == {"would_be_told"}
    assert not story.is_over(session)

    status, out, err = run(
        environment, "revocations", "create", connection.name, ada.email, "--wait", "--yes", "--json"
    )
    receipt = json.loads(out)
    assert (status, err, receipt["state"], receipt["sessions_ended"]) == (0, "", "completed", 1)
    assert story.is_over(session)
    assert len(notes.party.tokens) == len(wiki.party.tokens) == 1

    _, shown, _ = run(environment, "revocations", "show", receipt["revocation_id"])
    lines = [line.split() for line in shown.splitlines()]
    assert [line[2:6] for line in lines if line[1:2] == [wiki.client_id]] == [["attempt", "1:", "delivered", "200"]]
    _, listed, _ = run(
        environment, "deliveries", "list", receipt["revocation_id"], "--client", notes.client_id, "--json"
    )
    (delivery,) = json.loads(listed)
    assert delivery == next(each for each in receipt["deliveries"] if each["client_id"] == notes.client_id)
    _, one, _ = run(environment, "deliveries", "show", receipt["revocation_id"], delivery["delivery_id"])
    assert "attempt 1: delivered" in one
    assert wiki.client_id not in one


def test_waiting_for_somebody_who_will_not_be_told_is_a_failure(story: Story, environment: dict[str, str]) -> None:
    broken = story.application("broken", REFUSED)
    connection = story.connection(broken)
    ada = story.person("ada")
    story.sign_in(ada, connection, broken)
    status, out, err = run(
        environment, "revocations", "create", connection.name, ada.email, "--wait", "--yes", "--json"
    )
    assert (status, json.loads(out)["state"]) == (1, "incomplete")
    assert err == "logoutd: in force, but not every application could be told\n"
