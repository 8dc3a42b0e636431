"""A crash between record and cut-off, completed by a worker; then whoever asked, never answered, asks again."""

import asyncio
from contextlib import suppress

import pytest

from service.accept import LOOK_AFTER_MS
from service.errors import Unavailable
from tests.support.breaks import redis_away
from tests.support.house import House
from tests.support.pauses import paused

CALLS_OF_A_DOOR = 8
"""Calls to the record of one request at a door, at most."""

CALLS_OF_A_WORKER = 12
"""Calls to the record of a worker that completes it, more than it takes."""


async def test_a_repeat_after_a_late_completion_holds_from_its_own_answer(house: House) -> None:
    request = house.request("ada")
    rid = await house.record_only(request)
    house.clock.advance(LOOK_AFTER_MS / 1000)
    between = await house.sign_in("ada")
    await house.work_off(rid)
    assert (await house.receipt(rid)).late
    # The worker completed it for what had begun when it was recorded.
    assert await house.session_honoured(between)

    answered = await house.resources.sink.accept(request)

    assert not await house.session_honoured(between)
    assert answered.revocation_id != rid
    newer = await house.sign_in("ada")
    again = await house.resources.sink.accept(request)
    assert (again.revocation_id, again.repeated) == (answered.revocation_id, True)
    assert await house.session_honoured(newer)


async def test_a_door_that_a_worker_overtook_does_not_answer_for_less_than_it_says(house: House) -> None:
    request = house.request("ada")
    rid = await house.record_only(request)
    house.clock.advance(LOOK_AFTER_MS / 1000)
    between = await house.sign_in("ada")
    recorded = await house.receipt(rid)

    async def late(*_given: object, **_named: object) -> object:
        await house.work_off(rid)
        return recorded

    record = house.resources.revocations.record
    try:
        # The door's own process stood still between its two steps, so long that the sweeper came by.
        house.resources.revocations.record = late  # type: ignore[method-assign,assignment]
        door = asyncio.create_task(house.resources.sink.accept(request))
        await asyncio.sleep(0)
        house.resources.revocations.record = record  # type: ignore[method-assign]
        answered = await door
    finally:
        house.resources.revocations.record = record  # type: ignore[method-assign]
    assert answered.revocation_id != rid
    assert not await house.session_honoured(between)


@pytest.mark.parametrize("died_at", range(2, CALLS_OF_A_WORKER + 1))
@pytest.mark.parametrize("at", range(2, CALLS_OF_A_DOOR + 1))
async def test_however_far_a_worker_got_that_overtook_a_door_its_answer_holds_from_then_on(
    house: House, at: int, died_at: int
) -> None:
    """The door's process stands still at one of its steps; a worker completes it late meanwhile and dies at one of its own."""
    request = house.request("ada")
    old = await house.sign_in("ada")
    meant: list[str] = []

    async def overtake() -> None:
        house.clock.advance(LOOK_AFTER_MS / 1000)
        between = await house.sign_in("ada")
        if await house.session_honoured(old):
            # Nothing has ended anything yet: what is answered after this ends both.
            meant.append(between)
        with redis_away(at=died_at, moment="before"), suppress(Unavailable):
            await house.worker.revoker.revoke(request.revocation_id)

    with paused(at=at) as pause:
        answered = await pause.around(house.resources.sink.accept(request), overtake)
    assert not any([await house.session_honoured(each) for each in (old, *meant)])

    # What was answered is answered so again, and ends nothing begun since.
    newer = await house.sign_in("ada")
    again = await house.resources.sink.accept(request)
    assert (again.revocation_id, again.repeated) == (answered.revocation_id, True)
    assert await house.session_honoured(newer)
    house.clock.advance(600)
    await house.sweep()
    assert await house.session_honoured(newer)
    assert (await house.resources.sink.accept(request)).repeated
    assert await house.session_honoured(newer)


@pytest.mark.parametrize("at", range(1, CALLS_OF_A_WORKER + 1))
async def test_a_worker_that_a_door_overtook_does_not_take_what_was_answered_for_unanswered(
    house: House, at: int
) -> None:
    """Or else its repeat would be a revocation of its own, and end what has begun since (law 5)."""
    request = house.request("ada")
    rid = await house.record_only(request)
    house.clock.advance(LOOK_AFTER_MS / 1000)
    answered, newer = [], []

    async def overtake() -> None:
        answered.append(await house.resources.sink.accept(request))
        newer.append(await house.sign_in("ada"))

    with paused(at=at) as pause:
        await pause.around(house.worker.revoker.revoke(rid), overtake)
    again = await house.resources.sink.accept(request)
    assert (again.revocation_id, again.repeated) == (answered[0].revocation_id, True)
    assert await house.session_honoured(newer[0])
