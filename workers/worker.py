"""The worker process put together: jobs, sweeper, heartbeat. Twin of `service.app`.

arq runs the jobs; everything it does badly is done here instead. Its worker ends when Redis goes away: it is started
again. It forgets jobs: the sweeper remembers. It has no idea of a job that must not be lost: none is.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

import structlog
from arq.worker import Worker, func
from redis.exceptions import RedisError

from service import jobs
from service.errors import Unavailable
from service.resources import Resources
from service.store.heartbeats import INTERVAL_S as HEARTBEAT_S
from service.telemetry import get_logger
from workers.ledger import Ledger
from workers.notify import Notifier
from workers.revoke import Revoker
from workers.slots import Slots
from workers.sweep import BATCH, Sweeper
from workers.verify import Verifier

log = get_logger(__name__)

POLL_S: Final = 0.01
"""Pause between two looks at the queue, in seconds: most of the time from a 204 to an application's logout is this."""

MAX_JOBS: Final = 64
"""Jobs at once in one process; each is a revocation or a batch of retries, and ends within a quarter of a second."""

QUEUE_READ_LIMIT: Final = 2000
"""Queue entries arq looks at per poll. Running jobs stay at its head, so this must be well above the jobs of the whole
fleet, or workers would stand idle: enough for thirty."""

JOB_TIMEOUT_S: Final = 15
"""Longest job, in seconds. arq waits this long and ten more before it runs the job of a killed worker again."""

SWEEP_S: Final = 0.2
"""Pause between two sweeps that found nothing much, in seconds: how late a retry may be."""

TIDY_S: Final = 600.0
"""Pause between two tidyings, in seconds."""

LONGEST_PAUSE_S: Final = 5.0
"""Longest pause before trying again what failed because Redis was away, in seconds."""

CANCEL_AGAIN_S: Final = 0.1
"""Pause between two requests to a background task to end, in seconds."""

CLAIM_S: Final = 5.0
"""Longest wait for a job that was just being taken when the worker was told to stop, in seconds: longer than Redis may take to
answer. Nothing may be sent once all else is put away."""

GRACE_S: Final = 12.0
"""How long jobs and attempts under way may take after SIGTERM, in seconds: an attempt has five."""


def worker_name() -> str:
    """This process's name among the workers: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


class _Worker(Worker):
    """arq's worker. It shields a job's last write from cancellation, and nobody is left to hear of it when that fails: a Redis
    that goes away would be told as a fault of ours."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.claiming = asyncio.Lock()
        """Held while a job is being taken. Whoever has it after `allow_pick_jobs` was taken back knows that none will be."""

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        # One at a time, as arq does it too: a look at the queue may bring hundreds, and we may be told to stop at the first.
        for each in job_ids:
            async with self.claiming:
                if not self.allow_pick_jobs:
                    return
                await super().start_jobs([each])

    async def finish_job(self, *args: Any, **kwargs: Any) -> None:
        await _unless_redis_is_away(super().finish_job(*args, **kwargs))

    async def finish_failed_job(self, *args: Any, **kwargs: Any) -> None:
        await _unless_redis_is_away(super().finish_failed_job(*args, **kwargs))


class WorkerProcess:
    """Everything one worker process runs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._arq: _Worker | None = None
        self._stopping = False
        self.notifier = Notifier(
            issuer=resources.settings.token_issuer,
            clock=resources.clock,
            key_ring=resources.key_ring,
            outbound=resources.outbound,
            applications=resources.applications,
            deliveries=resources.deliveries,
            schedule=resources.schedule,
            ledger=Ledger(
                clock=resources.clock,
                deliveries=resources.deliveries,
                schedule=resources.schedule,
                statistics=resources.statistics,
                covered=resources.covered,
            ),
            slots=Slots(resources.settings.max_concurrent_deliveries),
        )
        self.revoker = Revoker(
            clock=resources.clock,
            applications=resources.applications,
            people=resources.people,
            covered=resources.covered,
            revocations=resources.revocations,
            deliveries=resources.deliveries,
            schedule=resources.schedule,
            statistics=resources.statistics,
            notifier=self.notifier,
        )
        self.verifier = Verifier(
            clock=resources.clock,
            connections=resources.connections,
            kept_tokens=resources.kept_tokens,
            issuer_keys=resources.issuer_keys,
            logouts=resources.logouts,
        )
        self.sweeper = Sweeper(
            clock=resources.clock,
            queue=resources.queue,
            revocations=resources.revocations,
            schedule=resources.schedule,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is under way."""
        background = [
            asyncio.create_task(self._repeat(self._sweep_once, SWEEP_S)),
            asyncio.create_task(self._repeat(self.sweeper.tidy, TIDY_S)),
            asyncio.create_task(self._repeat(self._beat, HEARTBEAT_S)),
            asyncio.create_task(self._consume()),
        ]
        log.info("worker.started", worker=worker_name())
        await stop.wait()
        log.info("worker.stopping", worker=worker_name())
        self._stopping = True
        await self._finish_jobs()
        await self.notifier.drain(GRACE_S)
        await _end(background)
        # Only now is there nobody left who could ask for a signature.
        self.notifier.close()
        try:
            await self._resources.heartbeats.stop(worker_name())
        except Unavailable as error:
            log.warning("worker.heartbeat_left", error=str(error))
        log.info("worker.stopped", worker=worker_name())

    def create_arq_worker(self, *, burst: bool = False) -> "_Worker":
        """arq's part: it takes jobs off the queue. `burst`: ends when the queue is empty."""
        return _Worker(
            functions=[
                func(_guarded(self._revoke), name=jobs.REVOKE),
                func(_guarded(self._notify), name=jobs.NOTIFY),
                func(_guarded(self.verifier.verify), name=jobs.VERIFY),
            ],
            queue_name=jobs.QUEUE,
            redis_pool=self._resources.queue_redis,
            burst=burst,
            handle_signals=False,
            max_jobs=MAX_JOBS,
            job_timeout=JOB_TIMEOUT_S,
            keep_result=0,
            poll_delay=POLL_S,
            queue_read_limit=QUEUE_READ_LIMIT,
            # A job cancelled by a rolling restart has used up a try; only the record says when work is done.
            max_tries=1_000_000,
            health_check_interval=HEARTBEAT_S,
            health_check_key=f"{jobs.QUEUE}:health:{worker_name()}",
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

    async def _consume(self) -> None:
        """Keep arq's worker running. It ends whenever Redis does not answer, and at what it cannot read; nothing would be
        told any more if it stayed so, while everything else of this process looked healthy."""
        pause = 0.1
        while not self._stopping:
            self._arq = self.create_arq_worker()
            started = asyncio.get_running_loop().time()
            try:
                await self._arq.async_run()
            except Exception as error:  # whatever it was: it is begun again
                expected = isinstance(error, RedisError | OSError)
                log.warning("worker.queue_lost", error=type(error).__name__, exc_info=not expected)
                for task in self._arq.tasks.values():
                    task.cancel()
                await asyncio.gather(*self._arq.tasks.values(), return_exceptions=True)
            lasted = asyncio.get_running_loop().time() - started
            pause = 0.1 if lasted > LONGEST_PAUSE_S else min(pause * 2, LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def _finish_jobs(self) -> None:
        if self._arq is None:
            return
        self._arq.allow_pick_jobs = False
        # A job that is being taken is taken; none after it.
        taken = asyncio.create_task(self._arq.claiming.acquire())
        await asyncio.wait([taken], timeout=CLAIM_S)
        taken.cancel()
        if self._arq.tasks:
            _, late = await asyncio.wait(list(self._arq.tasks.values()), timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _sweep_once(self) -> None:
        full = True
        while full:
            full = await self.sweeper.sweep() == BATCH

    async def _beat(self) -> None:
        await self._resources.heartbeats.beat(worker_name(), now_ms=self._resources.clock.now_ms())

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


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until it has been heard.

    Once is not enough: redis-py sends through `asyncio.wait_for`, which before Python 3.12 returns a result that is just
    ready and forgets that it was cancelled. The loop around it would then go on for ever, and so would this process.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _unless_redis_is_away(write: Coroutine[Any, Any, None]) -> None:
    try:
        await write
    except (RedisError, OSError) as error:
        # The queue still has the job: it is run again, and finds nothing to do.
        log.warning("job.end_not_queued", error=type(error).__name__)


def _guarded(work: Callable[..., Awaitable[None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """A job always ends well for arq, which would otherwise give up on it for good; the due index tries it again."""

    async def job(_context: dict[str, Any], *args: Any) -> None:
        structlog.contextvars.clear_contextvars()
        try:
            await work(*args)
        except Unavailable as error:
            log.warning("job.record_lost", error=str(error))
        except Exception:  # as above: no exception may reach arq
            log.exception("job.fault")

    return job
