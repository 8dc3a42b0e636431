"""The due index: who must be looked at, and when. Every id of recorded work is in it until the work is done.

An entry is a promise to look, no more: looking at something finished costs one read and removes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.store import keyspace
from service.store.record import Command, Record, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much is undone, and since when."""

    open_revocations: int
    due_entries: int
    oldest_open_ms: int | None
    """When the oldest unfinished revocation was accepted."""
    most_overdue_ms: int | None
    """When the entry that waits longest should have been looked at."""


class Schedule:
    """Revocation and delivery ids by the time somebody must look at them."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def look_at(self, ids: Iterable[str], *, at_ms: int) -> None:
        """Have these looked at then, and not before."""
        pairs = [part for each in ids for part in (at_ms, each)]
        if pairs:
            await self._record.run("ZADD", keyspace.DUE, *pairs)

    async def done(self, ids: Sequence[str]) -> None:
        """Nobody needs to look at these again."""
        if ids:
            await self._record.run("ZREM", keyspace.DUE, *ids)

    async def settle(
        self, *, finished: Sequence[str], done: Sequence[str], due: Mapping[str, int], held: Sequence[Script] = ()
    ) -> None:
        """After attempts, in one round trip: revocations that are finished, deliveries nobody needs to look at again, when
        others are due, and those that move to a backlog (`Backlogs.holding`)."""
        calls: list[Command | Script] = []
        if finished:
            # Their own entries stay: what they ended is perhaps still to be forgotten, and whoever does that takes them off.
            calls.append(("ZREM", keyspace.OPEN, *finished))
        if done:
            calls.append(("ZREM", keyspace.DUE, *done))
        if due:
            calls.append(("ZADD", keyspace.DUE, *(part for name, at_ms in due.items() for part in (at_ms, name))))
        await self._record.pipeline([*calls, *held])

    async def claim(self, *, now_ms: int, hidden_until_ms: int, limit: int) -> tuple[str, ...]:
        """Take what is overdue; whatever is not done or rescheduled by `hidden_until_ms` comes up again."""
        ids = await self._record.script("claim_due", [keyspace.DUE], [now_ms, hidden_until_ms, limit])
        return tuple(ids)

    async def look_at_sooner(self, ids: Iterable[str], *, at_ms: int) -> None:
        """Have those of these that are still in the index looked at then, where that is sooner than they would be."""
        pairs = [part for each in ids for part in (at_ms, each)]
        if pairs:
            await self._record.run("ZADD", keyspace.DUE, "XX", "LT", *pairs)

    async def look_at_if_absent(self, ids: Iterable[str], *, at_ms: int, apart_ms: int = 0) -> None:
        """Have these looked at then, each so much later than the one before, unless they are in the index already."""
        pairs = [part for place, each in enumerate(ids) for part in (at_ms + place * apart_ms, each)]
        if pairs:
            await self._record.run("ZADD", keyspace.DUE, "NX", *pairs)

    async def open_since(self, *, before_ms: int, offset: int, limit: int) -> tuple[str, ...]:
        """Unfinished revocations accepted before a moment, the oldest first, from the `offset`-th on."""
        ids = await self._record.run("ZRANGEBYSCORE", keyspace.OPEN, "-inf", before_ms, "LIMIT", offset, limit)
        return tuple(ids)

    async def has(self, name: str) -> bool:
        """Whether somebody is still to look at this one."""
        return await self._record.run("ZSCORE", keyspace.DUE, name) is not None

    async def opened_at(self, revocation_id: str) -> int | None:
        """When an unfinished revocation was accepted; None when it is not on the list."""
        score = await self._record.run("ZSCORE", keyspace.OPEN, revocation_id)
        return None if score is None else int(float(score))

    async def backlog(self) -> Backlog:
        """How much is undone, and since when."""
        open_count, due_count, oldest, due = await self._record.pipeline(
            [
                ("ZCARD", keyspace.OPEN),
                ("ZCARD", keyspace.DUE),
                ("ZRANGE", keyspace.OPEN, 0, 0, "WITHSCORES"),
                ("ZRANGE", keyspace.DUE, 0, 0, "WITHSCORES"),
            ]
        )
        return Backlog(
            open_revocations=open_count,
            due_entries=due_count,
            oldest_open_ms=_score(oldest),
            most_overdue_ms=_score(due),
        )


def _score(first: list[object]) -> int | None:
    return int(float(str(first[1]))) if first else None
