"""A whole story, and its audit trail read back entry for entry: nothing missing, nothing too much, nobody's name.

Told once for the module; in it both processes are killed, and the person is erased at its end.
"""

import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from service.dev import DevStack
from service.store import keyspace
from tests.support.authorization_server import Application, AuthorizationServer, Connection, Session
from tests.support.identity_provider import IdentityProvider
from tests.support.relying_party import REFUSED
from tests.support.story import Person, Story, by_email
from tests.support.waiting import eventually


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The story after it has been told."""

    web: Application
    refusing: Application
    connection: Connection
    ada: Person
    session: Session
    token: str
    server: AuthorizationServer
    of_ada: list[dict[str, Any]]
    """Her entries, before she was erased."""
    entries: list[dict[str, Any]]
    """The connection's, at the end."""


def exported(server: AuthorizationServer, query: str) -> list[dict[str, Any]]:
    answer = server.call("GET", f"/api/v2/audit/export?{query}")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture(scope="module")
def told(module_story: Story, module_stack: DevStack) -> Told:
    story, server, stack = module_story, module_story.server, module_stack
    web, refusing = story.application("web"), story.application("refusing", REFUSED, REFUSED)
    connection = story.connection(web, refusing)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web, refusing)
    token = server.refresh_token(session, web, offline=True)

    # A stranger, somebody unknown, and Ada; the service is killed as soon as it has answered, and no worker is there.
    with IdentityProvider.in_thread(numbers_from=2) as stranger:
        stranger.origin, origin = story.idp.origin, stranger.origin
        assert story.revoke(connection, by_email(ada.email), idp=stranger).status_code == 401
        stranger.origin = origin
    assert story.revoke(connection, by_email(story.person("nobody").email)).status_code == 404
    stack.worker.kill()
    assert story.revoke(connection, by_email(ada.email)).status_code == 204
    stack.service.kill()
    stack.service.start()
    stack.worker.start()
    server.only_receipt_of(session.user_id, "incomplete", within_s=30)

    # An operator's hand.
    path = f"/api/v2/connections/{connection.id}"
    server.ask("PATCH", path, {"display_name": f"Okta of {ada.email}"})
    of_ada = exported(server, f"user_id={session.user_id}")
    server.ask("DELETE", f"/api/v2/users/{session.user_id}", expect=202)
    eventually(
        lambda: exported(server, f"connection={connection.id}"),
        lambda found: found[-1]["event"] in {"delivery.dead", "person.erased"},
    )
    return Told(
        web=web,
        refusing=refusing,
        connection=connection,
        ada=ada,
        session=session,
        token=token,
        server=server,
        of_ada=of_ada,
        entries=exported(server, f"connection={connection.id}"),
    )


def test_the_trail_tells_the_story_entry_for_entry(told: Told) -> None:
    at_the_doors = [each for each in told.entries if "door" in each]
    assert [(each["event"], each["actor"]["type"], each.get("reason")) for each in at_the_doors] == [
        ("message.refused", "anyone", "unknown_kid"),
        ("message.refused", "connection", "not_found"),
        ("revocation.recorded", "connection", None),
    ]
    assert {each["door"] for each in at_the_doors} == {"global_token_revocation"}
    assert {each["origin"]["network"] for each in at_the_doors} == {"127.0.0.0/24"}
    accepted = at_the_doors[-1]
    assert accepted["actor"]["id"] == told.connection.id
    ends = [each for each in told.entries if each["event"].startswith("delivery.")]
    first = {each["client_id"]: each for each in ends if each["revocation_id"] == accepted["revocation_id"]}
    assert {name: (each["event"], each["status"], each["attempts"]) for name, each in first.items()} == {
        told.web.client_id: ("delivery.delivered", 200, 1),
        told.refusing.client_id: ("delivery.dead", 400, 1),
    }
    assert {each["actor"]["type"] for each in ends} == {"service"}
    assert accepted["at"] <= min(each["at"] for each in first.values())


def test_an_operators_change_is_told_by_its_names(told: Told) -> None:
    changes = [
        each for each in exported(told.server, "event=operation.done") if each.get("resource") == told.connection.id
    ]
    assert [(each["operation"], each.get("members")) for each in changes][-1] == (
        "update_connection",
        ["display_name"],
    )
    assert {each["actor"]["type"] for each in changes} == {"operator"}


def test_a_persons_entries_are_found_while_they_are_known_and_only_hers(told: Told) -> None:
    assert told.of_ada[0]["event"] == "revocation.recorded"
    assert len(told.of_ada) == 3
    assert {each["event"] for each in told.of_ada} == {"revocation.recorded", "delivery.delivered", "delivery.dead"}
    assert len({name for each in told.of_ada for name in each["people"]}) == 1


def test_once_erased_she_is_nobody_and_the_trail_is_what_it_was(told: Told) -> None:
    assert told.server.call("GET", f"/api/v2/audit?user_id={told.session.user_id}").status_code == 404
    assert [each for each in told.entries if each in told.of_ada] == told.of_ada
    assert [each["initiator"] for each in told.entries if each["event"] == "revocation.recorded"] == [
        "global_token_revocation",
        "user_delete",
    ]
    assert [each["event"] for each in told.entries].count("person.erased") == 1


def test_no_name_no_token_and_no_secret_is_in_the_stream(told: Told, stack: DevStack) -> None:
    with closing(redis.Redis.from_url(stack.redis_url, decode_responses=True)) as client:
        raw = repr(client.xrange(keyspace.AUDIT_TRAIL)).lower()
    assert told.connection.id in raw
    private = {
        told.ada.email,
        told.ada.sub,
        told.ada.phone_number,
        told.ada.external_id,
        told.session.user_id,
        told.session.session_id,
        told.token,
        *told.server.secrets,
        *(each.text for each in told.web.party.tokens),
    }
    assert [each[:6] for each in private if each.lower() in raw] == []


def test_the_trail_can_be_proved(told: Told) -> None:
    found = told.server.ask("GET", "/api/v2/audit/verification")
    assert found["problem"] is None
    assert found["seals"] > 0, "the workers seal it by themselves"
