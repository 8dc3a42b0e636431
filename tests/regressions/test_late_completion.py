"""A crash between record and cut-off, completed by a worker; then whoever asked, never answered, asks again."""

import asyncio

from service.accept import LOOK_AFTER_MS
from tests.support.house import House


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
