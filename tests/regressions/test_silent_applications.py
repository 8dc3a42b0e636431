"""Applications that do not answer: few attempts at a time, and the others have the slots."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.support.house import DAY_S, House
from workers import slots as slots_module
from workers.slots import PER_CLIENT, PER_SUSPECT, NoSlotError, Slots


async def test_applications_that_do_not_answer_cannot_fill_the_slots_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "PATIENCE_S", 0.01)
    slots = Slots(16)
    silent = [f"silent-{number}" for number in range(7)]
    for each in silent:
        slots.report(each, answered=False)
    async with AsyncExitStack() as held:
        for each in silent:
            while True:
                try:
                    await held.enter_async_context(slots.of(each))
                except NoSlotError:
                    break
        slots.report("healthy", answered=True)
        async with asyncio.timeout(1):
            for _ in range(8):
                await held.enter_async_context(slots.of("healthy"))


async def test_one_that_answers_again_has_its_whole_share_again() -> None:
    slots = Slots(1000)
    slots.report("crm", answered=False)
    slots.report("crm", answered=True)
    async with AsyncExitStack() as held:
        for _ in range(PER_CLIENT):
            await held.enter_async_context(slots.of("crm"))


async def test_one_whose_turn_never_comes_is_given_up_after_a_day(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots_module, "PATIENCE_S", 0.01)
    await house.application("silent", "http://127.0.0.1:9/logout")
    await house.sign_in("ada", "silent")
    slots = house.worker.notifier.slots
    slots.report("silent", answered=False)
    async with AsyncExitStack() as held:
        for _ in range(PER_SUSPECT):
            await held.enter_async_context(slots.of("silent"))
        rid = await house.revoke("ada")
        await house.work_off(rid)
        waits = await house.delivery(rid)
        assert (waits.state, waits.reason, waits.attempt_count) == ("pending", "busy", 0)

        house.clock.advance(DAY_S)
        await house.sweep()
        assert (await house.delivery(rid)).state == "pending"
        house.clock.advance(1)
        await house.sweep()

    given_up = await house.delivery(rid)
    assert (given_up.state, given_up.reason, given_up.attempt_count) == ("dead", "gave_up", 0)
    assert (await house.receipt(rid)).state == "incomplete"
    assert await house.due() == {}
