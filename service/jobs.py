"""The contract with the workers: what jobs there are, what each carries, and how.

A job is a hint that there is work, never the work itself: it carries ids, and what they name is in the record. A job
lost, doubled or late changes nothing but the time; the sweeper finds the same work in the due index. That is also why a
job may be replaced by another runner's: everything arq is asked to do is in this file.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from service.domain.identifiers import revocation_id_of
from service.telemetry import Numbers, get_logger

log = get_logger(__name__)

QUEUE: Final = "logoutd:queue"
"""The queue's key. arq's own keys beside it begin with `arq:` and live at most a day."""

REVOKE: Final = "revoke"
"""Carries a revocation_id: plan its deliveries, tidy up, tell the applications."""

NOTIFY: Final = "notify"
"""Carries delivery_ids of one revocation: try those again that are due."""

EXPIRES_MS: Final = 3_600_000
"""How long a queued job is worth running, in milliseconds: the sweeper has long since seen to its work by then."""


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

    async def revoke(self, revocation_id: str, *, ticket: int = 0) -> None:
        """Have a worker look at a revocation. `ticket` tells one hint from the next: arq takes each job id only once
        while it remembers it."""
        await self._hint(REVOKE, f"{revocation_id}:{ticket}", revocation_id)

    async def notify(self, revocation_id: str, delivery_ids: Sequence[str], *, ticket: int) -> None:
        """Have a worker look at deliveries of one revocation."""
        await self._hint(NOTIFY, f"{revocation_id}:notify:{ticket}", list(delivery_ids))

    async def _hint(self, job: str, job_id: str, *args: object) -> None:
        try:
            await self._redis.enqueue_job(job, *args, _job_id=job_id)
        except (RedisError, OSError) as error:
            # The work is recorded; the sweeper brings it up again. Failing here would refuse what is already true.
            self._numbers.enqueue_failures.inc()
            log.warning("job.not_queued", job=job, job_id=job_id, error=type(error).__name__)
