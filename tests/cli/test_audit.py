"""`logoutd audit …`: read, exported, verified."""

import json
from contextlib import closing
from typing import Any

import pytest
import redis

from service.store import keyspace
from tests.support.command_line import Commands


def exported(commands: Commands, *options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in commands.does("audit", "export", *options).out.splitlines()]


def test_the_trail_is_listed_the_newest_first(commands: Commands, signed_in: dict[str, Any]) -> None:
    commands.does("sessions", "delete-all", signed_in["user_id"], "--yes")
    heading, newest, *older = commands.does("audit", "list").rows
    assert heading == ["AT", "EVENT", "WHO", "WHAT"]
    assert newest[1] == "revocation.recorded"
    assert newest[2].startswith("operator opr_")
    assert "initiator=user_sessions_delete" in newest[3]
    assert older[-1][1] == "operation.requested"
    every = commands.does("audit", "list", "--limit", "2", "--all", "--json").json["items"]
    assert len(every) == len(older) + 1


def test_what_is_listed_is_narrowed_down(commands: Commands, signed_in: dict[str, Any]) -> None:
    commands.does("sessions", "delete-all", signed_in["user_id"], "--yes")
    (entry,) = commands.does("audit", "list", "--user-id", signed_in["user_id"], "--json").json["items"]
    for option in (("--event", "revocation.recorded"), ("--connection", "okta"), ("--since", entry["at"])):
        assert entry in commands.does("audit", "list", *option, "--json").json["items"]
        assert entry in exported(commands, *option)
    assert entry not in exported(commands, "--until", entry["at"])
    assert "`event` must be one of" in commands.fails(1, "audit", "list", "--event", "nothing")
    assert "`since` must be a moment" in commands.fails(1, "audit", "export", "--since", "yesterday")
    assert "no such user" in commands.fails(1, "audit", "export", "--user-id", "usr_nobodys")


def test_the_trail_is_exported_the_oldest_first(commands: Commands, okta: dict[str, Any]) -> None:
    found = exported(commands)
    assert [each["operation"] for each in found[-2:]] == ["create_connection", "create_connection"]
    assert found[-1]["resource"] == okta["id"]
    assert list(reversed(found)) == commands.does("audit", "list", "--all", "--json").json["items"]


@pytest.mark.usefixtures("okta")
def test_the_trail_is_verified(commands: Commands, redis_url: str) -> None:
    found = commands.does("audit", "verify", "--json").json
    assert (found["seals"], found["unsealed"], found["problem"]) == (0, 4, None)
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.hset(keyspace.AUDIT_SEAL, mapping={"id": "1-1", "seal": "x"})
    ran = commands.run("audit", "verify")
    assert ran.status == 1
    assert ran.facts["problem"] == "the latest seal, 1-1, is not there"
    assert ran.err == "logoutd: the trail is not as it was written: the latest seal, 1-1, is not there\n"
