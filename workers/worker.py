"""The worker process as it runs: jobs, sweeper, heartbeat. Twin of `service.app`; its parts are put together in `workers.wiring`.

arq runs the jobs; everything it does badly is done here instead. Its worker ends when Redis goes away: it is started
again. It forgets jobs: the sweeper remembers. It has no idea of a job that must not be lost: none is.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from arq.worker import func
from redis.exceptions import RedisError

from service import jobs
from service.domain.revocation import Lane
from service.errors import Unavailable
from service.resources import Resources, end_tasks
from service.store.heartbeats import INTERVAL_S as HEARTBEAT_S
from service.store.record import CALL_TIMEOUT_S
from service.telemetry import get_logger
from workers import wiring
from workers.arq_worker import ArqWorker, guarded
from workers.ledger import FINISH_S
from workers.sweep import BATCH

log = get_logger(__name__)

POLL_S: Final = 0.01
"""Pause between two looks at the queue, in seconds: most of the time from a 204 to an application's logout is this."""

BULK_POLL_S: Final = 0.05
"""The same between two looks at the bulk queue, in seconds: nobody waits for one of thousands."""

MAX_JOBS: Final = 64
"""Urgent jobs at once in one process; each is a revocation or a batch of retries, and ends within a quarter of a second."""

MAX_BULK_JOBS: Final = 32
"""Bulk jobs at once, besides: enough to keep the applications busy, too few to keep this process from anything else."""

QUEUE_READ_LIMIT: Final = 2000
"""Queue entries arq looks at per poll. Running jobs stay at its head, so this must be well above the jobs of the whole
fleet, or workers would stand idle: enough for thirty."""

JOB_TIMEOUT_S: Final = 15
"""Longest job, in seconds. arq waits this long and ten more before it runs the job of a killed worker again."""

SWEEP_S: Final = 0.2
"""Pause between two sweeps that found nothing much, in seconds: how late a retry may be."""

TIDY_S: Final = 600.0
"""Pause between two tidyings, in seconds."""

KEEP_TRAIL_S: Final = 15.0
"""Pause between two looks at the audit trail, in seconds: whichever worker finds the latest seal a minute old sets the next."""

LONGEST_PAUSE_S: Final = 5.0
"""Longest pause before trying again what failed because Redis was away, in seconds."""

CLAIM_S: Final = 5.0
"""Longest wait for a job that was just being taken when the worker was told to stop, in seconds: longer than Redis may take to
answer. Nothing may be sent once all else is put away."""

GRACE_S: Final = 12.0
"""How long jobs and attempts under way may take after SIGTERM, in seconds: an attempt has five."""

LONGEST_STOP_S: Final = CLAIM_S + 2 * GRACE_S + FINISH_S + CALL_TIMEOUT_S
"""Longest a worker takes to stop, in seconds, with a Redis and applications that do not answer: a job being taken, jobs,
attempts, what came of them, its heartbeat. The grace periods of `deploy/` are longer."""


def worker_name() -> str:
    """This process's name among the workers: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


class WorkerProcess:
    """Everything one worker process runs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._arq: dict[Lane, ArqWorker] = {}
        self._stopping = False
        self._sweeping = asyncio.Lock()
        """Held while entries are taken off the due index and queued."""
        self.notifier = wiring.notifier(resources)
        self.revoker = wiring.revoker(resources, self.notifier)
        self.verifier = wiring.verifier(resources)
        self.sweeper = wiring.sweeper(resources)
        self.redelivered = wiring.redelivered(resources)
        self.keys_teller = wiring.keys_teller(resources)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is under way."""
        background = [
            asyncio.create_task(self._repeat(self._sweep_once, SWEEP_S)),
            asyncio.create_task(self._repeat(self.sweeper.tidy, TIDY_S)),
            asyncio.create_task(self._repeat(self._resources.erasures.forget_receipts, TIDY_S)),
            asyncio.create_task(self._repeat(self.redelivered.tidy, TIDY_S)),
            asyncio.create_task(self._repeat(self._beat, HEARTBEAT_S)),
            asyncio.create_task(self._repeat(self._resources.seals.keep, KEEP_TRAIL_S)),
            asyncio.create_task(self._repeat(self.keys_teller.tell, KEEP_TRAIL_S)),
            *(asyncio.create_task(self._consume(lane)) for lane in jobs.QUEUES),
        ]
        log.info("worker.started", worker=worker_name())
        await stop.wait()
        log.info("worker.stopping", worker=worker_name())
        self._stopping = True
        await self._finish_jobs()
        await self.notifier.drain(GRACE_S)
        await end_tasks(background)
        # Only now is there nobody left who could ask for a signature.
        self.notifier.close()
        try:
            await self._resources.heartbeats.stop(worker_name())
        except Unavailable as error:
            log.warning("worker.heartbeat_left", error=str(error))
        log.info("worker.stopped", worker=worker_name())

    def create_arq_worker(self, *, burst: bool = False, lane: Lane = "urgent") -> ArqWorker:
        """arq's part: it takes jobs off the queue of a lane. `burst`: ends when the queue is empty."""
        return ArqWorker(
            functions=[
                func(guarded(self._revoke), name=jobs.REVOKE),
                func(guarded(self._notify), name=jobs.NOTIFY),
                func(guarded(self.verifier.verify), name=jobs.VERIFY),
            ],
            queue_name=jobs.QUEUES[lane],
            redis_pool=self._resources.queue_redis,
            burst=burst,
            handle_signals=False,
            max_jobs=MAX_JOBS if lane == "urgent" else MAX_BULK_JOBS,
            job_timeout=JOB_TIMEOUT_S,
            keep_result=0,
            poll_delay=POLL_S if lane == "urgent" else BULK_POLL_S,
            queue_read_limit=QUEUE_READ_LIMIT,
            # A job cancelled by a rolling restart has used up a try; only the record says when work is done.
            max_tries=1_000_000,
            health_check_interval=HEARTBEAT_S,
            health_check_key=f"{jobs.QUEUES[lane]}:health:{worker_name()}",
            job_serializer=jobs.serialize,
            job_deserializer=jobs.deserialize,
            expires_extra_ms=jobs.EXPIRES_MS,
            log_results=False,
        )

    async def _revoke(self, revocation_id: str) -> None:
        structlog.contextvars.bind_contextvars(revocation_id=revocation_id)
        await self.revoker.revoke(revocation_id)

    async def _notify(self, delivery_ids: list[str]) -> None:
        revocation_id = jobs.revocation_of(delivery_ids)
        structlog.contextvars.bind_contextvars(revocation_id=revocation_id)
        revocation = await self._resources.revocations.get(revocation_id)
        if revocation is None:
            # The receipt has expired, and with it what it owed.
            await self._resources.schedule.done(delivery_ids)
            return
        await self.notifier.deliver(revocation, delivery_ids)

    async def _consume(self, lane: Lane) -> None:
        """Keep arq's worker running. It ends whenever Redis does not answer, and at what it cannot read; nothing would be
        told any more if it stayed so, while everything else of this process looked healthy."""
        pause = 0.1
        while not self._stopping:
            before = self._arq.get(lane)
            self._arq[lane] = arq = self.create_arq_worker(lane=lane)
            if before is not None:
                arq.taken = before.taken
            started = asyncio.get_running_loop().time()
            try:
                await arq.async_run()
            except Exception as error:  # whatever it was: it is begun again
                expected = isinstance(error, RedisError | OSError)
                log.warning("worker.queue_lost", error=type(error).__name__, exc_info=not expected)
                for task in arq.tasks.values():
                    task.cancel()
                await asyncio.gather(*arq.tasks.values(), return_exceptions=True)
            lasted = asyncio.get_running_loop().time() - started
            pause = 0.1 if lasted > LONGEST_PAUSE_S else min(pause * 2, LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def _finish_jobs(self) -> None:
        for each in self._arq.values():
            each.allow_pick_jobs = False
        # A job that is being taken is taken; none after it.
        claiming = [each.claiming for each in self._arq.values()]
        # So is what is being swept: entries that were taken and not queued would come up only when they are no longer hidden.
        taken = [asyncio.create_task(each.acquire()) for each in (*claiming, self._sweeping)]
        await asyncio.wait(taken, timeout=CLAIM_S)
        for waiting in taken:
            waiting.cancel()
        under_way = [task for each in self._arq.values() for task in each.tasks.values()]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=GRACE_S)
            for task in late:
                task.cancel()
            # Of those that are done too: nobody else hears any more of one that ended because Redis went away.
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _sweep_once(self) -> None:
        full = True
        async with self._sweeping:
            while full and not self._stopping:
                full = await self.sweeper.sweep() == BATCH

    async def _beat(self) -> None:
        await self._resources.heartbeats.beat(worker_name(), now_ms=self._resources.fleet_clock.now_ms())

    async def _repeat(self, act: Callable[[], Awaitable[object]], pause_s: float) -> None:
        """Do something again and again, more slowly while Redis is away."""
        pause = pause_s
        while not self._stopping:
            try:
                await act()
                pause = pause_s
            except Unavailable as error:
                pause = max(pause_s, min(pause * 2, LONGEST_PAUSE_S))
                log.warning("worker.record_lost", act=getattr(act, "__name__", "?"), error=str(error))
            except Exception:  # a fault must not end the loop that everything undone depends on
                log.exception("worker.fault", act=getattr(act, "__name__", "?"))
            await asyncio.sleep(pause)
