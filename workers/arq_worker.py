"""arq's worker and its jobs, made not to mind what arq minds: a Redis that goes away, and a job that fails."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from arq.constants import in_progress_key_prefix
from arq.worker import Worker
from redis.exceptions import RedisError

from service.errors import Unavailable
from service.telemetry import get_logger

log = get_logger(__name__)


class ArqWorker(Worker):
    """arq's worker. It shields a job's last write from cancellation, and nobody is left to hear of it when that fails: a Redis
    that goes away would be told as a fault of ours."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.claiming = asyncio.Lock()
        """Held while a job is being taken. Whoever has it after `allow_pick_jobs` was taken back knows that none will be."""
        self.taken: set[str] = set()
        """Jobs this has in hand, which arq keeps everybody from running meanwhile; for long, where it ends with one in hand.
        Whoever goes on in its place is given them, and runs at once what nobody runs any more."""

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Take these jobs, none after it was said that no more are to be."""
        names = [each.decode() for each in job_ids]
        # What is no longer on the queue has been done by another.
        self.taken &= {*names, *self.tasks}
        # One at a time, as arq does it too: a look at the queue may bring hundreds, and we may be told to stop at the first.
        for job_id in names:
            if job_id in self.tasks:
                continue
            async with self.claiming:
                if not self.allow_pick_jobs or self.job_counter >= self.max_jobs:
                    return
                if job_id in self.taken:
                    # Its end could not be written, or it was dropped: nobody runs it any more.
                    await self.pool.delete(f"{in_progress_key_prefix}{job_id}")
                self.taken.add(job_id)
                await super().start_jobs([job_id.encode()])
                if job_id not in self.tasks:  # another has it
                    self.taken.discard(job_id)

    async def finish_job(self, job_id: str, *args: Any, **kwargs: Any) -> None:
        """Take a job off the queue."""
        await self._finish(job_id, super().finish_job(job_id, *args, **kwargs))

    async def finish_failed_job(self, job_id: str, *args: Any, **kwargs: Any) -> None:
        """Likewise."""
        await self._finish(job_id, super().finish_failed_job(job_id, *args, **kwargs))

    async def _finish(self, job_id: str, write: Coroutine[Any, Any, None]) -> None:
        try:
            await write
        except (RedisError, OSError) as error:
            # The queue still has the job: it is run again, and finds nothing to do.
            log.warning("job.end_not_queued", error=type(error).__name__)
        else:
            self.taken.discard(job_id)


def guarded(work: Callable[..., Awaitable[None]]) -> Callable[..., Coroutine[Any, Any, None]]:
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
