"""The two lanes: who is in which, and that each has jobs, queues and retries of its own."""

import asyncio
import json
from pathlib import Path

import pytest

from service.domain.revocation import BULK_AFTER, BULK_WINDOW_MS
from service.jobs import BULK_QUEUE, QUEUE, QUEUES
from service.store import keyspace
from tests.support.house import House, open_house
from tests.support.strangers import answer, say_and_hold, stranger
from workers import notify
from workers.worker import MAX_BULK_JOBS, MAX_JOBS


async def jobs_on(house: House, queue: str) -> list[list[object]]:
    """What the jobs on a queue carry."""
    redis = house.resources.queue_redis
    names = [name.decode() for name in await redis.zrange(queue, 0, -1)]
    return [json.loads(await redis.get(f"arq:job:{name}") or b"{}")["a"] for name in names]


async def test_further_ones_of_the_same_initiator_are_bulk_and_others_stay_urgent(house: House) -> None:
    rids = [await house.revoke(f"person-{number}") for number in range(BULK_AFTER + 2)]
    assert {(await house.receipt(rid)).lane for rid in rids[:BULK_AFTER]} == {"urgent"}
    assert {(await house.receipt(rid)).lane for rid in rids[BULK_AFTER:]} == {"bulk"}
    assert len(await jobs_on(house, QUEUE)) == BULK_AFTER
    assert await jobs_on(house, BULK_QUEUE) == [[rid] for rid in rids[BULK_AFTER:]]

    session = await house.sign_in("ada", "crm")
    assert (await house.receipt(await house.revoke("ada", session_id=session))).lane == "urgent"


async def test_after_a_minute_they_are_urgent_again(house: House) -> None:
    for number in range(BULK_AFTER):
        await house.revoke(f"person-{number}")
    house.clock.advance(BULK_WINDOW_MS / 1000)
    assert (await house.receipt(await house.revoke("ada"))).lane == "urgent"


async def test_the_operators_word_counts_and_makes_nothing_else_bulk(house: House) -> None:
    for number in range(BULK_AFTER + 1):
        assert (await house.receipt(await house.revoke(f"person-{number}", lane="bulk"))).lane == "bulk"
    assert (await house.receipt(await house.revoke("ada"))).lane == "urgent"
    for number in range(BULK_AFTER):
        await house.revoke(f"person-{number}")
    assert (await house.receipt(await house.revoke("ada", lane="urgent"))).lane == "urgent"


async def test_a_repeat_is_in_the_lane_of_the_first(house: House) -> None:
    request = house.request("ada")
    await house.resources.sink.accept(request)
    for number in range(BULK_AFTER):
        await house.revoke(f"person-{number}")
    await house.resources.sink.accept(request)
    assert (await house.receipt(request.revocation_id)).lane == "urgent"


async def test_one_that_a_crash_left_without_a_lane_is_urgent(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    assert await house.resources.record.run("HEXISTS", keyspace.revocation(rid), "lane") == 0
    assert (await house.receipt(rid)).lane == "urgent"
    assert await house.resources.revocations.lanes([rid, "rev_unknown"]) == {
        rid: ("urgent", False),
        "rev_unknown": ("urgent", False),
    }


async def test_the_sweeper_and_retries_keep_to_the_lane(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada", lane="bulk")
        await house.resources.queue_redis.delete(BULK_QUEUE, *(await house.resources.queue_redis.keys("arq:*")))
        house.clock.advance(10)
        await house.worker.sweeper.sweep()
        assert (await jobs_on(house, QUEUE), await jobs_on(house, BULK_QUEUE)) == ([], [[rid]])

        await house.run_queue()
        delivery = await house.delivery(rid)
        assert delivery.state == "retrying"
        house.clock.advance(10)
        await house.worker.sweeper.sweep()
        assert (await jobs_on(house, QUEUE), await jobs_on(house, BULK_QUEUE)) == ([], [[[delivery.delivery_id]]])


async def test_bulk_attempts_that_fill_their_share_of_memory_hold_up_no_urgent_job(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "MAX_RUNNING", 1)
    async with stranger(say_and_hold(b"")) as hanging, stranger(answer()) as quick:
        await house.application("slow", hanging.url())
        await house.application("crm", quick.url())
        await house.sign_in("ada", "slow")
        await house.sign_in("bob", "slow")
        await house.begin_to_work_off(await house.revoke("ada", lane="bulk"))
        await hanging.seen(1)
        waiting = asyncio.create_task(house.begin_to_work_off(await house.revoke("bob", lane="bulk")))
        await house.sign_in("cem", "crm")
        rid = await house.revoke("cem")
        await house.begin_to_work_off(rid)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert (await house.delivery(rid)).state == "delivered"


def test_each_lane_has_a_runner_of_its_own_and_bulk_the_smaller() -> None:
    assert set(QUEUES.values()) == {QUEUE, BULK_QUEUE}
    assert len(set(QUEUES.values())) == 2
    assert MAX_BULK_JOBS < MAX_JOBS


async def test_runners_take_from_their_own_queue(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path) as house:
        for lane, queue in QUEUES.items():
            runner = house.worker.create_arq_worker(burst=True, lane=lane)
            assert runner.queue_name == queue
            assert queue in runner.health_check_key
