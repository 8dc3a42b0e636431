"""The contract with the workers: what jobs there are, what each carries, and how.

A job is a hint that there is work, never the work itself: it carries ids, and what they name is in the record. A job
lost, doubled or late changes nothing but the time; the sweeper finds the same work in the due index. That is also why a
job may be replaced by another runner's: everything arq is asked to do is in this file.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from redis.exceptions import RedisError

from service.domain.identifiers import fingerprint, revocation_id_of
from service.domain.revocation import Lane
from service.telemetry import Numbers, get_logger

log = get_logger(__name__)

QUEUE: Final = "logoutd:queue"
"""The queue's key. arq's own keys beside it begin with `arq:` and live at most a day."""

BULK_QUEUE: Final = f"{QUEUE}-bulk"
"""The other lane's. Each has a runner of its own in every worker: urgent jobs never stand behind bulk ones."""

QUEUES: Final[Mapping[Lane, str]] = {"urgent": QUEUE, "bulk": BULK_QUEUE}
"""The queue of each lane."""

REVOKE: Final = "revoke"
"""Carries a revocation_id: plan its deliveries, tidy up, tell the applications."""

NOTIFY: Final = "notify"
"""Carries delivery_ids of one revocation: try those again that are due."""

VERIFY: Final = "verify"
"""Carries a kept_id: try again to verify a logout token that could not be verified when it came."""

EXPIRES_MS: Final = 3_600_000
"""How long a queued job is worth running, in milliseconds: the sweeper has long since seen to its work by then."""


HINT_TIMEOUT_S: Final = 0.5
"""Longest time queueing a job may take, in seconds."""

TICKET_MS: Final = 20_000
"""How long a hint that waits in the queue stands for its repeats, in milliseconds. arq takes a job id once while it has it, so
what waits for long has one more hint each time its entry comes up, and no more; one that finds its work done costs two reads. No
longer than an entry stays hidden (`workers.sweep.HIDDEN_MS`): arq also has a
job that nobody runs any more, for longer than that, and it must not stand in the way of the next hint."""


AHEAD_OF_TIME: Final = timedelta(minutes=10)
"""How long before its time a job is queued for. arq compares the queuer's clock with the worker's: without this, a worker whose
clock is behind would leave each job lying for as long as it is. Jobs keep their order."""


def serialize(job: dict[str, Any]) -> bytes:
    """JSON, so that nobody who can write to Redis can run code here (arq's default is pickle)."""
    return json.dumps(job, separators=(",", ":"), default=str).encode()


def deserialize(raw: bytes) -> dict[str, Any]:
    """The job `serialize` wrote."""
    job: dict[str, Any] = json.loads(raw)
    return job


def revocation_of(delivery_ids: Sequence[str]) -> str:
    """The revocation all of a job's deliveries belong to."""
    return revocation_id_of(delivery_ids[0])


class Queue:
    """Puts jobs on the queue."""

    def __init__(self, redis: ArqRedis, numbers: Numbers) -> None:
        self._redis = redis
        self._numbers = numbers

    async def revoke(self, revocation_id: str, *, now_ms: int = 0, lane: Lane = "urgent") -> bool:
        """Have a worker look at a revocation; whether the queue has it now. `now_ms`, of a sweeper's hint, tells it from earlier
        ones."""
        return await self._hint(REVOKE, f"{revocation_id}:{now_ms // TICKET_MS}", revocation_id, lane=lane)

    async def notify(
        self, revocation_id: str, delivery_ids: Sequence[str], *, now_ms: int, lane: Lane = "urgent"
    ) -> bool:
        """Have a worker look at deliveries of one revocation; whether the queue has it now."""
        names = fingerprint(*sorted(delivery_ids))[:16]
        return await self._hint(NOTIFY, f"{revocation_id}:{names}:{now_ms // TICKET_MS}", list(delivery_ids), lane=lane)

    async def verify(self, kept_id: str, *, now_ms: int) -> bool:
        """Have a worker look at a kept logout token; whether the queue has it now."""
        return await self._hint(VERIFY, f"{kept_id}:{now_ms // TICKET_MS}", kept_id)

    async def oldest_age_s(self, lane: Lane) -> float:
        """How long the job of a lane that waits longest has waited, in seconds, by the clock that arq queues by; 0 when none
        waits, or the queue does not tell."""
        try:
            async with asyncio.timeout(HINT_TIMEOUT_S):
                first = await self._redis.zrange(QUEUES[lane], 0, 0, withscores=True)
        except (RedisError, OSError):
            return 0.0
        if not first:
            return 0.0
        score: float = first[0][1]
        return max(0.0, (timestamp_ms() - score) / 1000 - AHEAD_OF_TIME.total_seconds())

    async def _hint(self, job: str, job_id: str, *args: object, lane: Lane = "urgent") -> bool:
        try:
            # A queue that does not answer must not keep a caller waiting for what is true already.
            async with asyncio.timeout(HINT_TIMEOUT_S):
                await self._redis.enqueue_job(
                    job,
                    *args,
                    _job_id=job_id,
                    _queue_name=QUEUES[lane],
                    _defer_until=datetime.now(UTC) - AHEAD_OF_TIME,
                    _expires=timedelta(milliseconds=EXPIRES_MS),
                )
        except (RedisError, OSError) as error:
            # The work is recorded; the sweeper brings it up again. Failing here would refuse what is already true.
            self._numbers.enqueue_failures.inc()
            log.warning("job.not_queued", job=job, job_id=job_id, error=type(error).__name__)
            return False
        return True
