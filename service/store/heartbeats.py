"""Which workers are alive: each says so every few seconds."""

from typing import Final

from service.store import keyspace
from service.store.record import Record

INTERVAL_S: Final = 3.0
"""Seconds between two heartbeats of a worker."""

FRESH_MS: Final = 15_000
"""How long a heartbeat counts, in milliseconds: a worker may miss four before it is taken for dead."""

FORGOTTEN_MS: Final = 3_600_000
"""When a silent worker's name is dropped, in milliseconds: names come and go with every restart."""


class Heartbeats:
    """Worker names by the time they were last heard of."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def beat(self, worker: str, *, now_ms: int) -> None:
        """This worker is alive."""
        await self._record.pipeline(
            [
                ("ZADD", keyspace.WORKERS, now_ms, worker),
                ("ZREMRANGEBYSCORE", keyspace.WORKERS, "-inf", now_ms - FORGOTTEN_MS),
            ]
        )

    async def stop(self, worker: str) -> None:
        """This worker has stopped of its own accord."""
        await self._record.run("ZREM", keyspace.WORKERS, worker)

    async def alive(self, *, now_ms: int) -> tuple[str, ...]:
        """The workers heard of lately."""
        names = await self._record.run("ZRANGEBYSCORE", keyspace.WORKERS, now_ms - FRESH_MS, "+inf")
        return tuple(names)
