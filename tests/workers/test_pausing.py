"""A pause: nothing is sent, nothing is lost, and the clock stands still."""

from collections.abc import AsyncIterator

import pytest

from service.domain.retry_schedule import WINDOW_S
from tests.support.house import DAY_S, House
from tests.support.strangers import Stranger, answer, stranger
from workers.release import LONGEST_LOOK_MS, LOOK_MS


async def owe(house: House, *names: str) -> list[str]:
    """Accept and work off a revocation of each of these, signed in at `crm`; their ids."""
    rids = []
    for name in names:
        await house.sign_in(name, "crm")
        rids.append(await house.revoke(name))
        await house.work_off(rids[-1])
        house.clock.advance(0.001)
    return rids


async def pause(house: House) -> None:
    await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())


async def resume(house: House) -> None:
    await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())


async def pass_time(house: House, seconds: float, *, steps: int) -> None:
    for _ in range(steps):
        house.clock.advance(seconds / steps)
        await house.sweep()


@pytest.fixture
async def app(house: House) -> AsyncIterator[Stranger]:
    """An application, `crm`, that takes what it is sent."""
    async with stranger(answer()) as running:
        await house.application("crm", running.url())
        yield running


async def test_nothing_is_sent_for_days_and_then_everything_the_oldest_first(house: House, app: Stranger) -> None:
    await pause(house)
    rids = await owe(house, "ada", "bob", "cem")
    await pass_time(house, 3 * DAY_S, steps=80)
    assert app.connections == 0
    assert {(each.state, each.reason) for rid in rids for each in await house.deliveries(rid)} == {
        ("pending", "paused")
    }

    await resume(house)
    await house.sweep()
    attempts = [(await house.delivery(rid)).attempts[0].at_ms for rid in rids]
    assert {(await house.delivery(rid)).state for rid in rids} == {"delivered"}
    assert attempts == sorted(attempts)
    assert len(app.requests) == 3


async def test_what_is_due_while_it_is_paused_waits_too(house: House) -> None:
    async with stranger(answer(503)) as down:
        await house.application("crm", down.url())
        (rid,) = await owe(house, "ada")
        await pause(house)
        await pass_time(house, 60, steps=5)
        waits = await house.delivery(rid)
    assert (waits.state, waits.reason, waits.attempt_count) == ("retrying", "paused", 1)


async def test_resumed_it_has_a_day_again(house: House) -> None:
    async with stranger(answer(503)) as down:
        await house.application("crm", down.url())
        (rid,) = await owe(house, "ada")
        await pause(house)
        await pass_time(house, 10 * DAY_S, steps=20)
        await resume(house)
        resumed_ms = house.clock.now_ms()
        while (await house.delivery(rid)).state != "dead":
            await house.sweep()
            house.clock.advance(600)
    given_up = await house.delivery(rid)
    assert given_up.reason == "gave_up"
    assert WINDOW_S - 3600 <= (given_up.attempts[-1].at_ms - resumed_ms) / 1000 <= WINDOW_S


async def test_what_is_never_resumed_ends_with_the_time_receipts_are_kept(house: House, app: Stranger) -> None:
    await pause(house)
    (rid,) = await owe(house, "ada")
    await pass_time(house, house.resources.settings.receipt_days * DAY_S - 10, steps=5)
    assert (await house.delivery(rid)).state == "pending"
    await pass_time(house, 2 * LONGEST_LOOK_MS / 1000, steps=4)
    given_up = await house.delivery(rid)
    assert (given_up.state, given_up.reason, given_up.attempt_count) == ("dead", "gave_up", 0)
    assert app.connections == 0


async def test_paused_again_before_all_were_let_go_the_rest_waits(house: House, app: Stranger) -> None:
    await pause(house)
    await owe(house, *(f"person-{number}" for number in range(40)))
    await resume(house)
    await house.sweep()
    told = len(app.requests)
    assert 0 < told < 40
    await pause(house)
    await pass_time(house, 10 * LOOK_MS / 1000, steps=10)
    assert len(app.requests) == told
    assert len(await house.waiting("crm")) == 40 - told
