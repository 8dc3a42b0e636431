"""Slots: a slow application fills its own share, and nobody else waits for it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from workers import slots as slots_module
from workers.slots import MAX_WAITING, PER_CLIENT, NoSlotError, Slots


async def hold(slots: Slots, stack: AsyncExitStack, client_id: str, times: int) -> None:
    for _ in range(times):
        await stack.enter_async_context(slots.of(client_id))


async def granted(slots: Slots, client_id: str) -> bool:
    """Whether there is a slot now. Asked with `impatient`."""
    try:
        async with slots.of(client_id):
            return True
    except NoSlotError:
        return False


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a slot but for the loop to come round."""
    monkeypatch.setattr(slots_module, "PATIENCE_S", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_one_application_has_its_share_and_no_more() -> None:
    slots = Slots(1000)
    async with AsyncExitStack() as stack:
        await hold(slots, stack, "crm", PER_CLIENT)
        assert not await granted(slots, "crm")
        assert await granted(slots, "mail")
    assert await granted(slots, "crm")


@pytest.mark.usefixtures("impatient")
async def test_all_together_have_no_more_than_the_total() -> None:
    slots = Slots(3)
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
async def test_who_waits_for_a_busy_application_holds_nothing_that_others_could_use() -> None:
    slots = Slots(PER_CLIENT + 1)
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
    slots = Slots(1000)
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
    slots = Slots(5)
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
