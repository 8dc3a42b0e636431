"""A record that nobody can read: an application's keeps no other from being told, and nobody's is repeated in the log."""

import asyncio
import traceback

import pytest

from service.store import keyspace
from service.store.codec import UnreadableError
from tests.support.heard import listening
from tests.support.house import House
from tests.support.strangers import Request, Stranger, answer, stranger
from workers.notify import LEASE_MS
from workers.sweep import HEAL_AFTER_MS

BROKEN = '{"client_id": "broken", "tls_client_key": "a secret"'


async def two_applications(house: House, app: Stranger) -> str:
    """Ada is signed in at both and out; the revocation."""
    for client_id in ("broken", "crm"):
        await house.application(client_id, app.url())
    await house.sign_in("ada", "broken", "crm")
    return await house.revoke("ada")


async def spoil(house: House) -> str:
    """Have one of them be unreadable; its record before."""
    key = keyspace.client("broken")
    before = await house.resources.record.run("GET", key)
    await house.resources.record.run("SET", key, BROKEN)
    return str(before)


async def repair(house: House, before: str) -> None:
    """Have it be as before, and let what was in hand come up again."""
    await house.resources.record.run("SET", keyspace.client("broken"), before)
    house.clock.advance((LEASE_MS + HEAL_AFTER_MS) / 1000)
    await house.sweep()


async def states(house: House, rid: str) -> dict[str, str]:
    return {each.client_id: each.state for each in await house.deliveries(rid)}


async def test_a_plan_is_made_where_one_application_cannot_be_read_and_the_others_are_told(house: House) -> None:
    async with stranger(answer()) as app:
        rid = await two_applications(house, app)
        before = await spoil(house)
        with listening() as heard:
            await house.work_off(rid)
        assert await states(house, rid) == {"broken": "pending", "crm": "delivered"}
        assert heard.one("client.unreadable")["client_id"] == "broken"
        assert "a secret" not in str(heard.lines)

        await repair(house, before)
        assert await states(house, rid) == {"broken": "delivered", "crm": "delivered"}
        # Whether it takes a token without one could not be read.
        assert [each.sid is None for each in await house.deliveries(rid)] == [False, True]
    assert (await house.receipt(rid)).state == "completed"
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_a_retry_of_one_that_cannot_be_read_waits_and_the_others_are_told(house: House) -> None:
    moods = [answer(503)]

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await moods[-1](request, writer)

    async with stranger(behave) as app:
        rid = await two_applications(house, app)
        await house.work_off(rid)
        moods.append(answer())
        before = await spoil(house)
        house.clock.advance(5)
        with listening() as heard:
            await house.sweep()
        assert await states(house, rid) == {"broken": "retrying", "crm": "delivered"}
        assert {each["client_id"] for each in heard.of("client.unreadable")} == {"broken"}
        assert heard.of("job.fault") == []

        await repair(house, before)
        assert await states(house, rid) == {"broken": "delivered", "crm": "delivered"}
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_a_scope_that_cannot_be_read_is_not_repeated(house: House) -> None:
    await house.sign_in("ada", "crm")
    rid = await house.revoke("ada")
    scope = '{"kind": "begun_by", "begun_by_ms": "ada@example.com", "upstream_sid": "ada@example.com"}'
    await house.resources.record.run("HSET", keyspace.revocation(rid), "scope", scope)
    with pytest.raises(UnreadableError) as raised:
        await house.resources.revocations.get(rid)
    assert "ada@" not in "".join(traceback.format_exception(raised.value))
