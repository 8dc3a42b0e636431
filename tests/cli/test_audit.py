"""`logoutd audit …`: read, exported, verified."""

import asyncio
import json
from contextlib import closing
from typing import Any

import pytest
import redis
from redis.asyncio import Redis as AsyncRedis

from service.domain.clock import SystemClock
from service.store import keyspace
from service.store.audit import Trail
from service.store.audit_seals import Seals
from service.store.pseudonyms import Pseudonyms
from service.store.record import Record
from service.telemetry import BoundedLines, Numbers
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


@pytest.mark.usefixtures("okta")
def test_a_seal_that_was_written_down_is_expected(commands: Commands, redis_url: str) -> None:
    asyncio.run(seal(redis_url))
    found = commands.does("audit", "verify", "--json").json
    wanted = f"{found['number']}:{found['seal']}"
    assert commands.does("audit", "verify", "--expect", wanted, "--json").json == found
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.delete(keyspace.AUDIT_TRAIL, keyspace.AUDIT_SEAL)
    commands.does("audit", "verify")
    ran = commands.run("audit", "verify", "--expect", wanted)
    assert ran.status == 1
    assert "seal 1, which was expected, is not there" in ran.err
    assert "`expect` must be" in commands.fails(1, "audit", "verify", "--expect", "1")


@pytest.mark.usefixtures("okta")
def test_what_another_key_has_sealed_is_told(commands: Commands, redis_url: str) -> None:
    asyncio.run(seal(redis_url, given_key="1" * 32))
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.delete(keyspace.AUDIT_KEY)
    commands.does("clients", "create", "wiki")
    asyncio.run(seal(redis_url))
    ran = commands.run("audit", "verify", "--json")
    assert (ran.status, ran.json["unverified"], ran.json["seals"], ran.json["problem"]) == (0, 4, 1, None)
    assert (
        ran.err == "logoutd: 4 entries are sealed by a key that is not in use any more: nothing can be told of them\n"
    )


async def seal(redis_url: str, *, given_key: str = "") -> None:
    """As a worker does."""
    client = AsyncRedis.from_url(redis_url, decode_responses=True)
    try:
        record = Record(client)
        trail = Trail(record, Pseudonyms(record, given=given_key), Numbers(), lines=BoundedLines(SystemClock()))
        seals = Seals(record, trail, keep_ms=86_400_000)
        assert await seals.seal()
    finally:
        await client.aclose()
