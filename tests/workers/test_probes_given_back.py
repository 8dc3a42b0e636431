"""A probe that finds nothing out is over at once: no application waits for the end of a lease because one was not sent."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from service.domain.client_health import FIRST_PROBE_MS, OPENS_AFTER, SUSPENDED_PROBE_MS
from service.domain.session import Participant
from service.store import keyspace
from service.store.client_health import Report
from tests.support.house import House
from tests.support.strangers import Moody, Stranger, answer, stranger
from workers import slots as slots_module
from workers.notify import LEASE_MS
from workers.release import LOOK_MS
from workers.slots import PER_CLIENT
from workers.sparing import FRESH_MS


@pytest.fixture
async def mood() -> Moody:
    return Moody(answer(503))


@pytest.fixture
async def app(house: House, mood: Moody) -> AsyncIterator[Stranger]:
    """An application, `crm`, that is down: its breaker is open."""
    async with stranger(mood) as running:
        await house.application("crm", running.url())
        await owe(house, *(f"first-{number}" for number in range(OPENS_AFTER)))
        yield running


async def owe(house: House, *names: str) -> list[str]:
    """Each of these is signed in at `crm`, and out; the revocations, worked off."""
    rids = []
    for name in names:
        await house.sign_in(name, Participant(client_id="crm", sub=f"crm|{name}", sid=f"sid-{name}"))
        rids.append(await house.revoke(name))
        await house.work_off(rids[-1])
        house.clock.advance(0.001)
    return rids


async def states(house: House, rids: list[str]) -> list[tuple[str, str | None]]:
    return [(each.state, each.reason) for rid in rids for each in [await house.delivery(rid)]]


async def begin_the_probe(house: House, rid: str) -> None:
    """Have this delivery be tried, as the sweeper has it: it does not wait for the attempt's end."""
    house.clock.advance(FIRST_PROBE_MS / 1000)
    name = (await house.delivery(rid)).delivery_id
    await house.resources.record.run("ZREM", keyspace.backlog("crm"), name)
    await house.resources.schedule.look_at([name], at_ms=house.clock.now_ms())
    await house.worker.notifier.deliver(await house.receipt(rid), [name])


async def test_one_that_is_asked_for_patience_is_followed_by_another_when_that_is_over(
    house: House, mood: Moody, app: Stranger
) -> None:
    waiting = await owe(house, "ada", "bob", "cem")
    mood.now = answer(429, retry_after="1")
    house.clock.advance(FIRST_PROBE_MS / 1000)
    await house.sweep()
    asked, now_ms = len(app.requests), house.clock.now_ms()
    health = await house.health("crm")
    assert (health.probing_until_ms, health.next_probe_at_ms) == (None, now_ms + 1000)
    assert (await house.due())["backlog:crm"] <= now_ms + 1000

    mood.now = answer()
    house.clock.advance(0.999)
    await house.sweep()
    assert len(app.requests) == asked
    house.clock.advance(0.001)
    await house.sweep()
    assert (await states(house, waiting))[1:] == [("delivered", None)] * 2


async def test_one_that_is_asked_for_patience_without_a_word_how_long_is_followed_after_the_first_pause(
    house: House, mood: Moody, app: Stranger
) -> None:
    waiting = await owe(house, "ada", "bob", "cem")
    mood.now = answer(408)
    house.clock.advance(FIRST_PROBE_MS / 1000)
    await house.sweep()
    asked = len(app.requests)
    mood.now = answer()
    house.clock.advance((FIRST_PROBE_MS - 1) / 1000)
    await house.sweep()
    assert (await house.due())["backlog:crm"] == house.clock.now_ms() + 1
    assert len(app.requests) == asked
    house.clock.advance(0.001)
    await house.sweep()
    assert (await states(house, waiting))[1:] == [("delivered", None)] * 2


async def test_a_suspended_application_that_asks_for_patience_is_asked_once_an_hour_still(
    house: House, app: Stranger
) -> None:
    healths, now_ms = house.resources.client_healths, house.clock.now_ms()
    await house.resources.record.run("HSET", keyspace.client_health("crm"), "suspended_at_ms", now_ms)
    at_ms = now_ms + FIRST_PROBE_MS
    assert await healths.take_probe("crm", "a", now_ms=at_ms, probing_until_ms=at_ms + LEASE_MS)
    await healths.report([Report(client_id="crm", attempt="a", answered=None, rest_until_ms=at_ms + 1)], now_ms=at_ms)
    assert (await house.health("crm")).next_probe_at_ms == at_ms + SUSPENDED_PROBE_MS


async def test_what_says_nothing_and_is_no_probe_ends_no_probe(house: House, app: Stranger) -> None:
    healths, at_ms = house.resources.client_healths, house.clock.now_ms() + FIRST_PROBE_MS
    assert await healths.take_probe("crm", "a", now_ms=at_ms, probing_until_ms=at_ms + LEASE_MS)
    await healths.report([Report(client_id="crm", attempt="b", answered=None)], now_ms=at_ms)
    assert not await healths.give_back_probe("crm", "b", look_at_ms=at_ms)
    assert (await house.health("crm")).probing_until_ms == at_ms + LEASE_MS


async def test_one_that_finds_no_slot_leaves_it_to_another(
    house: House, mood: Moody, app: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots_module, "PATIENCE_S", 0.01)
    waiting = await owe(house, "ada", "bob")
    mood.now = answer()
    async with AsyncExitStack() as stack:
        for _ in range(PER_CLIENT):
            await stack.enter_async_context(house.worker.notifier.slots.of("crm"))
        await begin_the_probe(house, waiting[0])
        await house.attempts_end()
    await is_followed_soon(house, waiting)


async def test_one_that_finds_no_turn_leaves_it_to_another(house: House, mood: Moody, app: Stranger) -> None:
    waiting = await owe(house, "ada", "bob")
    mood.now = answer()
    crm = await house.resources.applications.get("crm")
    assert crm is not None
    await house.resources.applications.replace(replace(crm, delivery_rate_per_second=1.0))
    limited = await house.resources.applications.get("crm")
    assert limited is not None
    at_ms = house.clock.now_ms() + FIRST_PROBE_MS
    for number in range(20):
        await house.resources.turns.take(limited, f"{number}", now_ms=at_ms, lease_until_ms=at_ms + LEASE_MS)
    await begin_the_probe(house, waiting[0])
    await house.attempts_end()
    held = await house.delivery(waiting[0])
    assert (held.state, held.reason) == ("pending", "rate_limited")
    assert (await house.health("crm")).probing_until_ms is None


async def test_one_whose_process_stood_still_leaves_it_to_another_and_says_nothing_of_how_much_is_taken(
    house: House, mood: Moody, app: Stranger
) -> None:
    waiting = await owe(house, "ada", "bob")
    mood.now = answer()
    async with AsyncExitStack() as stack:
        for _ in range(PER_CLIENT):
            await stack.enter_async_context(house.worker.notifier.slots.of("crm"))
        await begin_the_probe(house, waiting[0])
        house.clock.advance(LEASE_MS / 1000)
    await house.attempts_end()
    assert (await house.delivery(waiting[0])).reason == "busy"
    assert not (await house.health("crm")).crowded
    await is_followed_soon(house, waiting)


async def test_one_that_is_not_sent_for_the_sake_of_a_newer_session_leaves_it_to_another_at_once(
    house: House, mood: Moody, app: Stranger
) -> None:
    waiting = await owe(house, "ada", "bob")
    mood.now = answer()
    async with AsyncExitStack() as stack:
        for _ in range(PER_CLIENT):
            await stack.enter_async_context(house.worker.notifier.slots.of("crm"))
        await begin_the_probe(house, waiting[0])
        house.clock.advance(FRESH_MS / 1000)
        await house.sign_in("ada", Participant(client_id="crm", sub="crm|ada", sid="sid-ada"))
    await house.attempts_end()
    assert await states(house, waiting) == [("dead", "newer_session"), ("pending", "circuit_open")]
    assert (await house.health("crm")).probing_until_ms is None
    await house.sweep()
    assert (await house.delivery(waiting[1])).state == "delivered"


async def is_followed_soon(house: House, waiting: list[str]) -> None:
    assert (await house.health("crm")).probing_until_ms is None
    house.clock.advance(LOOK_MS / 1000)
    await house.sweep()
    assert await states(house, waiting) == [("delivered", None)] * len(waiting)
