"""Slots: a slow application fills its own share, and nobody else waits for it."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from service.domain.revocation import Lane
from workers import slots as slots_module
from workers.slots import (
    MAX_WAITING,
    MAX_WAITING_HESITANT,
    PER_CLIENT,
    PER_SLOW,
    PER_SUSPECT,
    PER_UNKNOWN,
    PROMPT_MS,
    NoSlotError,
    Slots,
)


async def hold(slots: Slots, stack: AsyncExitStack, client_id: str, times: int) -> None:
    for _ in range(times):
        await stack.enter_async_context(slots.of(client_id))


def slots_of(total: int, *prompt: str) -> Slots:
    """Slots, with applications that have answered promptly."""
    slots = Slots(total)
    for each in prompt:
        slots.report(each, answered=True)
    return slots


async def most_granted(slots: Slots, client_id: str, *, lane: Lane = "urgent") -> int:
    """How many slots an application can have at once now. Asked with `impatient`."""
    async with AsyncExitStack() as held:
        for count in range(1000):
            try:
                await held.enter_async_context(slots.of(client_id, lane=lane))
            except NoSlotError:
                return count
    raise AssertionError("no bound")


async def granted(slots: Slots, client_id: str, *, lane: Lane = "urgent") -> bool:
    """Whether there is a slot now. Asked with `impatient`."""
    try:
        async with slots.of(client_id, lane=lane):
            return True
    except NoSlotError:
        return False


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a slot but for the loop to come round."""
    monkeypatch.setattr(slots_module, "PATIENCE_S", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_one_application_has_its_share_and_no_more() -> None:
    slots = slots_of(1000, "crm")
    async with AsyncExitStack() as stack:
        await hold(slots, stack, "crm", PER_CLIENT)
        assert not await granted(slots, "crm")
        assert await granted(slots, "mail")
    assert await granted(slots, "crm")


@pytest.mark.usefixtures("impatient")
async def test_all_together_have_no_more_than_the_total() -> None:
    slots = slots_of(3, "crm", "mail", "wiki", "chat")
    async with AsyncExitStack() as stack:
        for client_id in ("crm", "mail", "wiki"):
            await hold(slots, stack, client_id, 1)
        assert not await granted(slots, "chat")
        assert not await granted(slots, "crm")
    assert await granted(slots, "chat")


async def test_a_slot_that_is_let_go_is_the_next_ones() -> None:
    slots = Slots(1)
    order: list[str] = []

    async def use(name: str) -> None:
        async with slots.of(name):
            order.append(name)

    async with slots.of("crm"):
        waiting = [asyncio.create_task(use(name)) for name in ("mail", "wiki", "mail")]
        await asyncio.sleep(0)
        assert order == []
    await asyncio.gather(*waiting)

    assert order == ["mail", "wiki", "mail"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answered", "duration_ms", "most"),
    [(None, 0, PER_UNKNOWN), (True, PROMPT_MS, PER_CLIENT), (True, PROMPT_MS + 1, PER_SLOW), (False, 0, PER_SUSPECT)],
    ids=["unknown", "prompt", "slow", "suspect"],
)
async def test_an_application_has_as_many_slots_as_its_last_answer_has_earned(
    answered: bool | None, duration_ms: int, most: int
) -> None:
    slots = Slots(1000)
    if answered is not None:
        slots.report("crm", answered=answered, duration_ms=duration_ms)
    assert await most_granted(slots, "crm") == most


@pytest.mark.usefixtures("impatient")
async def test_an_application_that_takes_fewer_at_once_has_no_more() -> None:
    slots = slots_of(1000, "crm")
    async with slots.of("crm", limit=2), slots.of("crm", limit=2):
        with pytest.raises(NoSlotError):
            async with slots.of("crm", limit=2):
                pass


async def test_the_next_slot_is_for_whoever_has_fewest_and_not_for_whoever_came_first() -> None:
    slots = slots_of(3, "crm", "mail")
    order: list[str] = []

    async def use(name: str) -> None:
        async with slots.of(name):
            order.append(name)

    async with AsyncExitStack() as stack:
        await hold(slots, stack, "crm", 2)
        async with slots.of("wiki"):
            waiting = [asyncio.create_task(use(name)) for name in ("crm", "crm", "mail")]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
    assert order[0] == "mail"


@pytest.mark.usefixtures("impatient")
async def test_those_that_are_not_prompt_have_one_half_together() -> None:
    slots = slots_of(16, "crm")
    async with AsyncExitStack() as stack:
        for number in range(4):
            slots.report(f"silent-{number}", answered=False)
            await hold(slots, stack, f"silent-{number}", PER_SUSPECT)
        assert not await granted(slots, "nobody-knows")
        assert await most_granted(slots, "crm") == 8


@pytest.mark.usefixtures("impatient")
async def test_bulk_leaves_a_quarter_of_everything_to_urgent_ones() -> None:
    slots = slots_of(1000, "crm")
    async with AsyncExitStack() as stack:
        for _ in range(PER_CLIENT - PER_CLIENT // 4):
            await stack.enter_async_context(slots.of("crm", lane="bulk"))
        assert not await granted(slots, "crm", lane="bulk")
        assert await most_granted(slots, "crm") == PER_CLIENT // 4

    slots = slots_of(8, "a", "b")
    async with AsyncExitStack() as stack:
        for client_id in ("a", "b", "a", "b", "a", "b"):
            await stack.enter_async_context(slots.of(client_id, lane="bulk"))
        assert not await granted(slots, "a", lane="bulk")
        assert await most_granted(slots, "a") == 2


async def test_an_urgent_one_overtakes_the_bulk_that_waits() -> None:
    slots = slots_of(4, "crm")
    order: list[Lane] = []

    async def use(lane: Lane) -> None:
        async with slots.of("crm", lane=lane):
            order.append(lane)

    async with AsyncExitStack() as stack:
        await hold(slots, stack, "crm", 4)
        waiting = [asyncio.create_task(use(lane)) for lane in ("bulk", "bulk", "urgent")]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order == ["urgent", "bulk", "bulk"]


async def test_whoever_waits_for_one_that_nobody_answers_at_is_told_at_once() -> None:
    slots = Slots(1000)
    slots.report("crm", answered=False)
    async with AsyncExitStack() as stack:
        await hold(slots, stack, "crm", PER_SUSPECT)
        waiting = [asyncio.create_task(granted(slots, "crm")) for _ in range(MAX_WAITING_HESITANT)]
        await asyncio.sleep(0)
        slots.bounce("crm", "circuit_open")
        async with asyncio.timeout(1):
            assert not any(await asyncio.gather(*waiting))
    assert slots._clients == {}


@pytest.mark.usefixtures("impatient")
async def test_who_waits_for_a_busy_application_holds_nothing_that_others_could_use() -> None:
    slots = slots_of(PER_CLIENT + 1, "crm", "mail")
    async with AsyncExitStack() as stack:
        await hold(slots, stack, "crm", PER_CLIENT)
        waiting = [asyncio.create_task(granted(slots, "crm")) for _ in range(10)]
        await asyncio.sleep(0)
        assert await granted(slots, "mail")
        assert not any(await asyncio.gather(*waiting))


@pytest.mark.usefixtures("impatient")
async def test_who_waits_in_vain_for_a_slot_of_all_gives_its_own_back() -> None:
    slots = Slots(1)
    async with slots.of("crm"):
        assert not any(await asyncio.gather(*(granted(slots, "mail") for _ in range(PER_CLIENT))))
    async with AsyncExitStack() as stack:
        await hold(slots, stack, "mail", 1)
    assert slots._clients == {}


async def test_beyond_so_many_waiting_nobody_waits() -> None:
    slots = slots_of(1000, "crm")
    async with AsyncExitStack() as stack:
        await hold(slots, stack, "crm", PER_CLIENT)
        waiting = [asyncio.create_task(granted(slots, "crm")) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        async with asyncio.timeout(1):  # PATIENCE_S is longer: this one is not let wait at all
            assert not await granted(slots, "crm")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert all(task.cancelled() for task in waiting)


@pytest.mark.parametrize(
    ("reported", "window"),
    [
        (None, PER_UNKNOWN),
        ({"answered": False}, PER_SUSPECT),
        ({"answered": True, "duration_ms": PROMPT_MS + 1}, PER_SLOW),
    ],
    ids=["unknown", "does not answer", "answers slowly"],
)
async def test_few_wait_for_one_that_is_not_prompt(reported: dict[str, Any] | None, window: int) -> None:
    """One that answers after seconds, while revocations keep coming, would fill the memory all others wait for."""
    slots = Slots(1000)
    if reported is not None:
        slots.report("crm", **reported)
    async with AsyncExitStack() as stack:
        await hold(slots, stack, "crm", window)
        waiting = [asyncio.create_task(granted(slots, "crm")) for _ in range(MAX_WAITING_HESITANT)]
        await asyncio.sleep(0)
        async with asyncio.timeout(1):  # PATIENCE_S is longer: this one is not let wait at all
            assert not await granted(slots, "crm")
    assert all(await asyncio.gather(*waiting))


@pytest.mark.usefixtures("impatient")
async def test_however_an_attempt_ends_its_slots_are_free_again() -> None:
    slots = Slots(1)
    with pytest.raises(ZeroDivisionError):
        async with slots.of("crm"):
            raise ZeroDivisionError
    with pytest.raises(TimeoutError):  # the attempt's own, not taken for ours
        async with slots.of("crm"):
            raise TimeoutError
    async with slots.of("crm"):
        waiting = asyncio.create_task(granted(slots, "mail"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert await granted(slots, "mail")
    assert slots._clients == {}


async def test_many_at_once_never_exceed_either_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "PER_CLIENT", 3)
    slots = slots_of(5, "app-0", "app-1")
    under_way: list[str] = []
    most_of_all = most_of_one = 0

    async def use(client_id: str) -> None:
        nonlocal most_of_all, most_of_one
        async with slots.of(client_id):
            under_way.append(client_id)
            most_of_all = max(most_of_all, len(under_way))
            most_of_one = max(most_of_one, under_way.count(client_id))
            await asyncio.sleep(0)
            under_way.remove(client_id)

    await asyncio.gather(*(use(f"app-{n % 2}") for n in range(100)))

    assert (most_of_all, most_of_one) == (5, 3)
    assert slots._clients == {}
