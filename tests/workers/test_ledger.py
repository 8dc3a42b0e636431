"""Writing outcomes down: many in one write, each told what became of its own."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.delivery import Attempt, Delivery
from service.domain.identifiers import delivery_id_for
from service.domain.revocation import Revocation
from service.errors import Unavailable, WrongRecord
from service.store import keyspace
from tests.support.breaks import redis_away
from tests.support.contents import trail
from tests.support.heard import listening
from tests.support.house import House, open_house, user_id
from tests.support.redis_server import start_redis
from workers import ledger as ledger_module
from workers.ledger import Entry

LEASE_MS = 20_000

CALLS_OF_A_WRITE = 8
"""Calls to the record for one write, however many outcomes: the audit trail's pseudonyms and entries, outcomes, dead letters
(two), due index, statistics, participation."""


async def leased(house: House, *clients: str) -> tuple[Revocation, list[Delivery]]:
    """A revocation with deliveries in our hands."""
    await house.resources.trail.pseudonyms.key()
    rid = await house.record_only(house.request("ada"))
    owed = [
        Delivery(
            delivery_id=delivery_id_for(rid, "usr_ada", each, "ada", None),
            user_id=user_id("ada"),
            client_id=each,
            sub="ada",
            sid=None,
        )
        for each in clients
    ]
    now_ms = house.clock.now_ms()
    await house.resources.revocations.plan(
        await house.receipt(rid),
        owed,
        sessions_ended=0,
        refresh_tokens_revoked=0,
        now_ms=now_ms,
        lease_until_ms=now_ms + LEASE_MS,
    )
    return await house.receipt(rid), owed


def dead(house: House, revocation: Revocation, before: Delivery, *, lease_ms: int = LEASE_MS) -> Entry:
    attempt = Attempt(at_ms=house.clock.now_ms(), duration_ms=1, status=400, error="rejected")
    return Entry(
        revocation=revocation,
        before=before,
        after=replace(before, state="dead", reason="rejected", attempts=(attempt,), attempt_count=1),
        lease_until_ms=house.clock.now_ms() + lease_ms,
    )


async def test_what_ends_at_the_same_time_is_written_at_once(house: House) -> None:
    revocation, owed = await leased(house, *(f"app-{n:03}" for n in range(100)))
    ledger = house.worker.notifier.ledger

    with redis_away(at=1000, moment="before") as counting:
        written = await asyncio.gather(*(ledger.write(dead(house, revocation, each)) for each in owed))

    assert written == [True] * 100
    assert counting.calls == CALLS_OF_A_WRITE
    assert {each.state for each in await house.deliveries(revocation.revocation_id)} == {"dead"}
    totals = await house.resources.statistics.totals()
    assert (totals.deliveries, totals.attempts, totals.told_count) == ({"dead": 100}, {"4xx": 100}, 1)


async def test_what_cannot_be_written_for_a_record_of_another_kind_keeps_no_other_from_it(house: House) -> None:
    revocation, owed = await leased(house, "a", "b")
    other, of_other = await leased(house, "c")
    await house.resources.record.run("DEL", keyspace.leases(other.revocation_id))
    await house.resources.record.run("SET", keyspace.leases(other.revocation_id), "no leases")
    ledger = house.worker.notifier.ledger
    entries = [dead(house, revocation, owed[0]), dead(house, other, of_other[0]), dead(house, revocation, owed[1])]
    first, broken, last = await asyncio.gather(*(ledger.write(each) for each in entries), return_exceptions=True)
    assert (first, last) == (True, True)
    assert isinstance(broken, WrongRecord)
    assert {each.state for each in await house.deliveries(revocation.revocation_id)} == {"dead"}
    assert (await house.receipt(revocation.revocation_id)).state == "incomplete"
    assert (await house.resources.statistics.totals()).deliveries == {"dead": 2}


async def test_what_ends_while_a_write_is_under_way_goes_into_the_next(house: House) -> None:
    revocation, owed = await leased(house, "a", "b", "c")
    ledger = house.worker.notifier.ledger
    with redis_away(at=1000, moment="before") as counting:
        first = asyncio.create_task(ledger.write(dead(house, revocation, owed[0])))
        for _ in range(2):
            await asyncio.sleep(0)  # the outcome is handed in, and its write begins
        assert counting.calls == 1
        others = [asyncio.create_task(ledger.write(dead(house, revocation, each))) for each in owed[1:]]
        assert await asyncio.gather(first, *others) == [True, True, True]
    assert counting.calls == 2 * CALLS_OF_A_WRITE


async def test_more_than_fit_one_write_are_written_in_several(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_BATCH", 2)
    revocation, owed = await leased(house, "a", "b", "c", "d", "e")
    ledger = house.worker.notifier.ledger
    with redis_away(at=1000, moment="before") as counting:
        await asyncio.gather(*(ledger.write(dead(house, revocation, each)) for each in owed))
    assert counting.calls == 3 * CALLS_OF_A_WRITE
    assert (await house.receipt(revocation.revocation_id)).state == "incomplete"


async def test_each_is_told_whether_its_own_was_kept(house: House) -> None:
    revocation, owed = await leased(house, "a", "b")
    ledger = house.worker.notifier.ledger
    entries = [dead(house, revocation, owed[0]), dead(house, revocation, owed[1], lease_ms=1)]
    assert await asyncio.gather(*map(ledger.write, entries)) == [True, False]
    assert [each.state for each in await house.deliveries(revocation.revocation_id)] == ["dead", "pending"]


async def test_of_an_end_that_was_not_kept_the_trail_says_that_it_does_not_hold(house: House, redis_url: str) -> None:
    revocation, owed = await leased(house, "a", "b")
    ledger = house.worker.notifier.ledger
    lost, kept = dead(house, revocation, owed[0], lease_ms=1), dead(house, revocation, owed[1])
    await asyncio.gather(ledger.write(lost), ledger.write(kept))
    # Another has done the very same: that holds.
    await ledger.write(replace(kept, lease_until_ms=1))
    told = [(each["event"], each["client_id"]) for each in trail(redis_url) if each["event"].startswith("delivery.")]
    assert told == [
        ("delivery.dead", "a"),
        ("delivery.dead", "b"),
        ("delivery.not_ended", "a"),
        ("delivery.dead", "b"),
    ]


@pytest.mark.parametrize("further", [1, 2])
async def test_what_was_kept_is_kept_though_the_trail_cannot_be_told_what_was_not(house: House, further: int) -> None:
    revocation, owed = await leased(house, "a", "b")
    ledger = house.worker.notifier.ledger
    entries = [dead(house, revocation, owed[0], lease_ms=1), dead(house, revocation, owed[1])]
    with redis_away(at=CALLS_OF_A_WRITE + further, moment="before"):
        assert await asyncio.gather(*map(ledger.write, entries)) == [False, True]
    assert [each.state for each in await house.deliveries(revocation.revocation_id)] == ["pending", "dead"]


async def test_without_redis_each_of_a_write_is_told_and_the_next_write_goes_on(house: House) -> None:
    revocation, owed = await leased(house, "a", "b", "c")
    ledger = house.worker.notifier.ledger
    with redis_away(at=1, moment="before"):
        outcomes = await asyncio.gather(
            *(ledger.write(dead(house, revocation, each)) for each in owed[:2]), return_exceptions=True
        )
    assert [type(each) for each in outcomes] == [Unavailable, Unavailable]
    assert await ledger.write(dead(house, revocation, owed[2]))


async def test_whoever_stops_waiting_holds_up_nobody(house: House) -> None:
    revocation, owed = await leased(house, "a", "b")
    ledger = house.worker.notifier.ledger
    leaving = asyncio.create_task(ledger.write(dead(house, revocation, owed[0])))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await ledger.write(dead(house, revocation, owed[1]))
    assert leaving.cancelled()


async def test_what_nobody_waits_for_any_more_is_written_before_the_end(house: House) -> None:
    """The write of an attempt that was cancelled goes on by itself; ended with the record closed, it would lose the outcome and
    leave a connection open."""
    revocation, owed = await leased(house, "a")
    ledger = house.worker.notifier.ledger
    leaving = asyncio.create_task(ledger.write(dead(house, revocation, owed[0])))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await house.worker.notifier.drain(0)
    assert [each.state for each in await house.deliveries(revocation.revocation_id)] == ["dead"]


async def test_a_redis_that_does_not_answer_holds_up_the_end_no_longer_than_its_bound_and_what_is_left_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write takes seconds then, and there may be many: whoever stops the worker would kill it in the middle."""
    monkeypatch.setattr(ledger_module, "FINISH_S", 0.1)
    monkeypatch.setattr(ledger_module, "MAX_BATCH", 1)
    redis = start_redis(tmp_path)
    try:
        async with open_house(redis.url, tmp_path) as house:
            revocation, owed = await leased(house, "a", "b", "c")
            ledger = house.worker.notifier.ledger
            os.kill(redis.pid, signal.SIGSTOP)
            try:
                writing = [asyncio.create_task(ledger.write(dead(house, revocation, each))) for each in owed]
                await asyncio.sleep(0)
                with listening() as heard:
                    async with asyncio.timeout(1.5):
                        await house.worker.notifier.drain(0)
                    outcomes = await asyncio.gather(*writing, return_exceptions=True)
            finally:
                os.kill(redis.pid, signal.SIGCONT)
            assert heard.one("ledger.not_finished")["outcomes"] == 3
            assert [type(each) for each in outcomes] == [asyncio.CancelledError] * 3
            # As after a kill: in nobody's hands once its lease has run out, and due.
            house.clock.advance(LEASE_MS / 1000)
            until_ms = house.clock.now_ms() + LEASE_MS
            taken = await house.resources.deliveries.claim(
                revocation.revocation_id, now_ms=house.clock.now_ms(), lease_until_ms=until_ms
            )
            assert {each.client_id for each in taken} == {"a", "b", "c"}
    finally:
        redis.stop()
