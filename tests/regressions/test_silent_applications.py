"""Applications that do not answer: few attempts at a time, later and later, and the others have the slots."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from workers.slots import PER_CLIENT, PER_SUSPECT, NoSlotError, Slots


async def test_applications_that_do_not_answer_cannot_fill_the_slots_of_all() -> None:
    slots = Slots(16)
    silent = [f"silent-{number}" for number in range(7)]
    for each in silent:
        slots.report(each, answered=False)
    async with AsyncExitStack() as held:
        for each in silent:
            for _ in range(PER_SUSPECT):
                await held.enter_async_context(slots.of(each))
            with pytest.raises(NoSlotError):
                await held.enter_async_context(slots.of(each))
        async with asyncio.timeout(1):
            await held.enter_async_context(slots.of("healthy"))


async def test_one_that_answers_again_has_its_whole_share_again() -> None:
    slots = Slots(1000)
    slots.report("crm", answered=False)
    slots.report("crm", answered=True)
    async with AsyncExitStack() as held:
        for _ in range(PER_CLIENT):
            await held.enter_async_context(slots.of("crm"))
