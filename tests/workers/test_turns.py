"""An application's own limits, kept for the whole fleet: so many logout tokens at once, and so many a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.application import Application
from service.store import keyspace
from service.store import turns as store
from tests.support.breaks import redis_away
from tests.support.house import House, open_house
from tests.support.strangers import Request, answer, stranger
from workers import turns
from workers.notify import LEASE_MS
from workers.release import LOOK_MS
from workers.slots import PER_CLIENT
from workers.turns import slots_for


async def limit(house: House, crm: Application, *, at_once: int | None = None, rate: float | None = None) -> None:
    """Have an application take no more."""
    changed = replace(crm, delivery_max_concurrent=at_once, delivery_rate_per_second=rate)
    await house.resources.applications.replace(changed)


async def owe(house: House, *names: str) -> list[str]:
    """Accept revocations of these, signed in at `crm`, and begin to work them off; their ids."""
    rids = []
    for name in names:
        await house.sign_in(name, "crm")
        rids.append(await house.revoke(name))
        await house.begin_to_work_off(rids[-1])
        house.clock.advance(0.001)
    return rids


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a turn."""
    for module in (turns, store):
        monkeypatch.setattr(module, "TURN_PATIENCE_MS", 0)


@pytest.fixture
async def other(house: House, redis_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Another worker."""
    async with open_house(redis_url, tmp_path) as opened:
        opened.clock.advance((house.clock.now_ms() - opened.clock.now_ms()) / 1000)
        yield opened


async def test_all_workers_together_have_no_more_under_way_than_it_takes(house: House, other: House) -> None:
    under_way, most, answering = 0, 0, asyncio.Event()

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await answering.wait()
        under_way -= 1
        await answer(200)(request, writer)

    async with stranger(behave) as app:
        await limit(house, await house.application("crm", app.url()), at_once=3)
        rids = await owe(house, "a", "b", "c", "d") + await owe(other, "e", "f", "g", "h")
        await app.seen(3)
        answering.set()
        await house.attempts_end()
        await other.attempts_end()
        await house.sweep()
    assert most == 3
    assert {(await house.delivery(rid)).state for rid in rids} == {"delivered"}
    assert await house.resources.record.run("EXISTS", keyspace.turns("crm")) == 0


@pytest.mark.usefixtures("impatient")
async def test_what_finds_no_turn_waits_in_the_backlog_and_has_it_later(house: House, other: House) -> None:
    answering = asyncio.Event()

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await answering.wait()
        await answer(200)(request, writer)

    async with stranger(behave) as app:
        await limit(house, await house.application("crm", app.url()), at_once=1)
        (first,) = await owe(house, "ada")
        await app.seen(1)
        (second,) = await owe(other, "bob")
        await other.attempts_end()
        waits = await house.delivery(second)
        assert (waits.state, waits.reason, len(app.requests)) == ("pending", "busy", 1)
        answering.set()
        await house.attempts_end()
        house.clock.advance(LOOK_MS / 1000)
        await house.sweep()
    assert [(await house.delivery(rid)).state for rid in (first, second)] == ["delivered"] * 2


@pytest.mark.usefixtures("impatient")
async def test_the_turn_of_a_worker_that_died_is_free_when_its_lease_ends(house: House) -> None:
    async with stranger(answer()) as app:
        crm = await house.application("crm", app.url())
        await limit(house, crm, at_once=1)
        now_ms = house.clock.now_ms()
        dead = replace(crm, delivery_max_concurrent=1)
        await house.resources.turns.take(dead, "of the dead", now_ms=now_ms, lease_until_ms=now_ms + LEASE_MS)
        (rid,) = await owe(house, "ada")
        await house.attempts_end()
        assert (await house.delivery(rid)).reason == "busy"
        house.clock.advance(LEASE_MS / 1000)
        await house.sweep()
    assert (await house.delivery(rid)).state == "delivered"


async def test_a_rate_is_kept_without_bursts(house: House) -> None:
    moments: list[float] = []

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        moments.append(time.monotonic())
        await answer(200)(request, writer)

    async with stranger(behave) as app:
        await limit(house, await house.application("crm", app.url()), rate=50)
        house.worker.notifier.slots.report("crm", answered=True)
        began = time.monotonic()
        for number in range(20):
            await house.sign_in(f"person-{number}", "crm")
            await house.begin_to_work_off(await house.revoke(f"person-{number}"))
        await house.attempts_end()
        await house.sweep()
    assert len(moments) == 20
    # By the standing clock all were asked for at once; each came a fiftieth of a second after the other.
    assert moments[-1] - began >= 19 / 50


@pytest.mark.parametrize("rate", [700.0, 333.0, 1000.0, 3.0])
async def test_a_rate_is_kept_to_the_full_and_no_further(house: House, rate: float) -> None:
    """Counted in whole milliseconds, 700 a second were 500."""
    crm = replace(await house.application("crm"), delivery_rate_per_second=rate)
    turns, now_ms = house.resources.turns, house.clock.now_ms()
    taken = []
    while True:
        turn = await turns.take(crm, f"{len(taken)}", now_ms=now_ms, lease_until_ms=now_ms + LEASE_MS)
        if turn.verdict != "taken":
            break
        taken.append(turn.wait_ms)
    expected = rate * store.TURN_PATIENCE_MS / 1000
    assert expected * 0.99 - 1 <= len(taken) - 1 <= expected
    assert taken == sorted(taken)
    assert turn.verdict == "rate_limited"
    assert turn.wait_ms > store.TURN_PATIENCE_MS


@pytest.mark.usefixtures("impatient")
async def test_beyond_its_rate_deliveries_wait_with_the_reason_and_are_let_go_by_it(house: House) -> None:
    async with stranger(answer()) as app:
        await limit(house, await house.application("crm", app.url()), rate=2)
        rids = await owe(house, "ada", "bob", "cem")
        await house.attempts_end()
        assert [(await house.delivery(rid)).state for rid in rids] == ["delivered", "pending", "pending"]
        assert [(await house.delivery(rid)).reason for rid in rids[1:]] == ["rate_limited"] * 2
        told = []
        for _ in range(4):
            house.clock.advance(LOOK_MS / 1000)
            await house.sweep()
            told.append(len(app.requests))
    assert told == [2, 3, 3, 3]


@pytest.mark.usefixtures("impatient")
async def test_a_new_one_does_not_take_the_turn_of_those_that_wait(house: House) -> None:
    async with stranger(answer()) as app:
        await limit(house, await house.application("crm", app.url()), rate=2)
        _, waiting = await owe(house, "ada", "bob")
        await house.attempts_end()
        house.clock.advance(10)
        (new,) = await owe(house, "cem")
        await house.attempts_end()
        assert (await house.delivery(new)).reason == "rate_limited"
        assert len(await house.waiting("crm")) == 2
        await house.sweep()
        assert (await house.delivery(waiting)).state == "delivered"
        assert (await house.delivery(new)).state == "pending"


async def test_applications_without_limits_cost_no_call(house: House) -> None:
    calls = {}
    async with stranger(answer()) as app:
        crm = await house.application("crm", app.url())
        for name, rate in (("without", None), ("with", 1000.0)):
            await limit(house, replace(crm, revision=crm.revision), rate=rate)
            crm = replace(crm, revision=crm.revision + 1)
            await house.sign_in(name, "crm")
            rid = await house.revoke(name)
            with redis_away(at=1000, moment="before") as counting:
                await house.work_off(rid)
            calls[name] = counting.calls
    assert calls["with"] == calls["without"] + 1


@pytest.mark.parametrize(
    ("at_once", "rate", "slots"),
    [
        (None, None, PER_CLIENT),
        (1, None, 1),
        (500, None, PER_CLIENT),
        (None, 1, 3),
        (None, 1000, PER_CLIENT),
        (2, 1, 2),
    ],
)
def test_no_more_slots_are_held_than_turns_can_come(at_once: int | None, rate: float | None, slots: int) -> None:
    crm = Application(
        client_id="crm",
        client_secret_hash="",
        delivery_max_concurrent=at_once,
        delivery_rate_per_second=rate,
        created_at_ms=0,
        updated_at_ms=0,
    )
    assert slots_for(crm) == slots
