"""A worker told to stop while it looked at a long queue went on taking jobs: their attempts began when nothing could sign."""

import asyncio

from tests.support.house import House

TURNS = 50
"""Turns of the event loop in which it would be done if it did not wait."""


async def test_a_worker_that_is_to_stop_takes_no_further_job(house: House) -> None:
    await house.sign_in()
    await house.revoke("ada")
    queue = house.worker.create_arq_worker()
    (job_id,) = await house.resources.queue_redis.zrange("logoutd:queue", 0, -1)
    queue.allow_pick_jobs = False
    await queue.start_jobs([job_id])
    assert queue.tasks == {}

    queue.allow_pick_jobs = True
    await queue.start_jobs([job_id])
    assert len(queue.tasks) == 1
    await asyncio.gather(*queue.tasks.values())


async def test_a_job_that_is_just_being_taken_is_waited_for(house: House) -> None:
    queue = house.worker.create_arq_worker()
    house.worker._arq["urgent"] = queue
    async with queue.claiming:
        finishing = asyncio.create_task(house.worker._finish_jobs())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert not finishing.done()
    await finishing
