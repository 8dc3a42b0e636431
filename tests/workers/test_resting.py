"""`Retry-After`: an application that asks for a rest has it from everybody's logout tokens, not from the one it refused alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from service.domain.client_health import FIRST_PROBE_MS, LONGEST_REST_MS, OPENS_AFTER
from service.store.client_health import Report
from tests.support.house import House
from tests.support.strangers import Moody, Request, Stranger, answer, stranger, wait_then
from workers.release import LOOK_MS
from workers.slots import PER_CLIENT, PER_UNKNOWN
from workers.sparing import FRESH_MS

REST_S = 120


@pytest.fixture
async def mood() -> Moody:
    return Moody(answer())


@pytest.fixture
async def app(house: House, mood: Moody) -> AsyncIterator[Stranger]:
    """An application, `crm`."""
    async with stranger(mood) as running:
        await house.application("crm", running.url())
        yield running


async def owe(house: House, *names: str) -> list[str]:
    """Each of these is signed in at `crm`, and out; the revocations, worked off."""
    rids = []
    for name in names:
        await house.sign_in(name, "crm")
        rids.append(await house.revoke(name))
        await house.work_off(rids[-1])
    return rids


async def states(house: House, rids: Sequence[str]) -> set[tuple[str, str | None]]:
    return {((delivery := await house.delivery(rid)).state, delivery.reason) for rid in rids}


@pytest.mark.parametrize("status", [429, 503])
async def test_while_it_rests_nobody_is_told_and_then_all_are(
    house: House, mood: Moody, app: Stranger, status: int
) -> None:
    mood.now = answer(status, retry_after=f"{REST_S}")
    asked_at_ms = house.clock.now_ms()
    first = await owe(house, "ada")
    mood.now = answer()
    later = await owe(house, "bob", "cem")

    assert len(app.requests) == 1
    assert await states(house, later) == {("pending", "rate_limited")}
    assert (await house.due())["backlog:crm"] == asked_at_ms + REST_S * 1000
    for step_s in (1, 30, REST_S - 31.001):
        house.clock.advance(step_s)
        await house.sweep()
    assert len(app.requests) == 1

    house.clock.advance(0.001)
    await house.sweep()
    assert await states(house, [*first, *later]) == {("delivered", None)}
    assert len(app.requests) == 1 + 3


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_a_rest_is_forgotten_with_the_first_that_is_heard_after_it_and_not_before(
    house: House, mood: Moody, app: Stranger, status: int
) -> None:
    mood.now = answer(429, retry_after=f"{REST_S}")
    await owe(house, "ada")
    sent_before = Report(client_id="crm", attempt="sent before", answered=status < 500)
    await house.resources.client_healths.report([sent_before], now_ms=house.clock.now_ms())
    assert (await house.health("crm")).rest_until_ms == house.clock.now_ms() + REST_S * 1000

    mood.now = answer(status)
    house.clock.advance(REST_S)
    await house.sweep()
    assert (await house.health("crm")).rest_until_ms is None


async def test_one_that_asks_for_long_is_asked_again_by_another_before_that(
    house: House, mood: Moody, app: Stranger
) -> None:
    mood.now = answer(429, retry_after="3600")
    (first,) = await owe(house, "ada")
    mood.now = answer()
    await owe(house, "bob")
    health = await house.health("crm")
    assert health.rest_until_ms == house.clock.now_ms() + LONGEST_REST_MS
    house.clock.advance(LONGEST_REST_MS / 1000)
    await house.sweep()
    assert [each.claims["sub"] for each in app.requests] == ["crm|ada", "crm|bob"]
    assert (await house.delivery(first)).next_attempt_at_ms == house.clock.now_ms() - LONGEST_REST_MS + 3_600_000


async def test_a_shorter_word_does_not_shorten_a_longer_one(house: House, mood: Moody, app: Stranger) -> None:
    both, may_answer = asyncio.Event(), asyncio.Event()
    said = [answer(429, retry_after="100"), answer(429, retry_after="7")]

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        mine = said.pop(0)
        if not said:
            both.set()
        await may_answer.wait()
        await mine(request, writer)

    mood.now = behave
    for name in ("ada", "bob"):
        await house.sign_in(name, "crm")
        await house.begin_to_work_off(await house.revoke(name))
    await both.wait()
    may_answer.set()
    await house.attempts_end()
    assert (await house.health("crm")).rest_until_ms == house.clock.now_ms() + 100_000


@pytest.mark.parametrize(("status", "retry_after"), [(408, "120"), (500, "120"), (429, None), (503, "0"), (200, "120")])
async def test_what_asks_for_no_rest_holds_up_nobody(
    house: House, mood: Moody, app: Stranger, status: int, retry_after: str | None
) -> None:
    mood.now = answer(status) if retry_after is None else answer(status, retry_after=retry_after)
    await owe(house, "ada", "bob")
    assert len(app.requests) == 2
    assert (await house.health("crm")).rest_until_ms is None


async def test_who_waits_for_its_slot_when_the_word_comes_is_not_sent(house: House, mood: Moody, app: Stranger) -> None:
    saying = asyncio.Event()
    mood.now = wait_then(saying, answer(429, retry_after=f"{REST_S}"))
    rids = []
    for number in range(PER_UNKNOWN + 3):
        await house.sign_in(f"p{number}", "crm")
        rids.append(await house.revoke(f"p{number}"))
        await house.begin_to_work_off(rids[-1])
    await app.seen(PER_UNKNOWN)
    saying.set()
    await house.attempts_end()
    house.clock.advance(LOOK_MS / 1000)
    await house.sweep()
    assert len(app.requests) == PER_UNKNOWN
    assert await states(house, rids) == {("retrying", None), ("pending", "rate_limited")}


@pytest.mark.parametrize("reason", ["rate_limited", "circuit_open", "paused"])
async def test_who_waits_for_its_slot_when_another_process_hears_the_word_is_not_sent(
    house: House, app: Stranger, reason: str
) -> None:
    healths, now_ms = house.resources.client_healths, house.clock.now_ms()
    async with AsyncExitStack() as stack:
        await take_every_slot(house, stack)
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.begin_to_work_off(rid)
        match reason:
            case "paused":
                await healths.pause("crm", reason=None, now_ms=now_ms)
            case "rate_limited":
                rest = Report(client_id="crm", attempt="a", answered=None, rest_until_ms=now_ms + REST_S * 1000)
                await healths.report([rest], now_ms=now_ms)
            case _:
                fails = [Report(client_id="crm", attempt=f"{each}", answered=False) for each in range(OPENS_AFTER)]
                await healths.report(fails, now_ms=now_ms)
        house.clock.advance(FRESH_MS / 1000)
    await house.attempts_end()
    assert await states(house, [rid]) == {("pending", reason)}
    assert app.requests == []
    assert await house.waiting("crm") == ((await house.delivery(rid)).delivery_id,)


async def test_a_probe_that_had_to_wait_for_its_slot_is_sent(house: House, mood: Moody, app: Stranger) -> None:
    mood.now = answer(503)
    await owe(house, *(f"p{number}" for number in range(OPENS_AFTER)))
    mood.now = answer()
    house.clock.advance(FIRST_PROBE_MS / 1000)
    async with AsyncExitStack() as stack:
        await take_every_slot(house, stack)
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.begin_to_work_off(rid)
        house.clock.advance(FRESH_MS / 1000)
    await house.attempts_end()
    assert await states(house, [rid]) == {("delivered", None)}


async def take_every_slot(house: House, stack: AsyncExitStack) -> None:
    slots = house.worker.notifier.slots
    slots.report("crm", answered=True)
    for _ in range(PER_CLIENT):
        await stack.enter_async_context(slots.of("crm"))


async def test_an_open_breaker_is_probed_when_the_rest_is_over_and_not_before(
    house: House, mood: Moody, app: Stranger
) -> None:
    mood.now = answer(503)
    await owe(house, *(f"p{number}" for number in range(OPENS_AFTER - 1)))
    mood.now = answer(503, retry_after=f"{REST_S}")
    asked_at_ms = house.clock.now_ms()
    await owe(house, "ada")
    waiting = await owe(house, "bob")
    assert await states(house, waiting) == {("pending", "circuit_open")}
    health = await house.health("crm")
    assert health.next_probe_at_ms == (await house.due())["backlog:crm"] == asked_at_ms + REST_S * 1000
    mood.now = answer()
    house.clock.advance(FIRST_PROBE_MS / 1000)
    await house.sweep()
    assert len(app.requests) == OPENS_AFTER
    house.clock.advance(REST_S)
    await house.sweep()
    assert await states(house, waiting) == {("delivered", None)}


async def test_a_new_address_has_asked_for_nothing(house: House, mood: Moody, app: Stranger) -> None:
    mood.now = answer(429, retry_after=f"{REST_S}")
    await owe(house, "ada")
    mood.now = answer()
    (waiting,) = await owe(house, "bob")
    assert await house.resources.client_healths.probe_now("crm", now_ms=house.clock.now_ms())
    await house.sweep()
    assert (await house.delivery(waiting)).state == "delivered"
    assert not await house.resources.client_healths.probe_now("crm", now_ms=house.clock.now_ms())
