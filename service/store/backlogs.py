"""Backlogs: an application's deliveries that cannot be sent now, out of everybody's way.

The due index has one entry for each backlog, and the sweeper that meets it lets go what may go. A delivery moves between the
two in one script, so that it is in one of them at every moment, and a backlog that holds anything has its entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.store import keyspace
from service.store.record import Command, Record, Script

ENTRY: Final = "backlog:"
"""What a backlog's entry in the due index begins with; the client_id follows."""

BULK_OFFSET_MS: Final = 10**15
"""What is added to the score of a bulk delivery, in milliseconds: every urgent one, however young, comes before it. Both are
whole numbers that a score holds exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One delivery that waits. `since_ms`: when it was first tried, or first had to wait; by that it is in order."""

    delivery_id: str
    since_ms: int
    bulk: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Deliveries of one application to be moved to its backlog, and when to look at that at the latest."""

    client_id: str
    waiting: Sequence[Waiting]
    look_at_ms: int
    look_if_free_ms: int | None = None
    """The same where the application may be told again by the time they are moved; None: no sooner for that."""
    crowded: bool
    """Whether it is for want of a slot: then fewer are let go next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a look at a backlog decided."""

    client_id: str
    delivery_ids: Sequence[str]
    next_look_ms: int
    """When to look again if anything is left."""
    released: int
    """How many it was allowed to let go."""


def entry_of(client_id: str) -> str:
    """A backlog's entry in the due index."""
    return f"{ENTRY}{client_id}"


class Backlogs:
    """Every application's."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def holding(self, hold: Hold) -> Script:
        """The call that moves deliveries from the due index to a backlog, for a pipeline."""
        scored = [part for each in hold.waiting for part in (_score(each), each.delivery_id)]
        return Script(
            "hold_deliveries",
            _keys(hold.client_id),
            [
                hold.client_id,
                entry_of(hold.client_id),
                hold.look_at_ms,
                "" if hold.look_if_free_ms is None else hold.look_if_free_ms,
                "1" if hold.crowded else "0",
                *scored,
            ],
        )

    async def heads(self, counts: Mapping[str, int]) -> dict[str, tuple[Waiting, ...]]:
        """What comes first for each application, so many of each."""
        found = await self._record.pipeline(
            [
                ("ZRANGEBYSCORE", keyspace.backlog(name), "-inf", "+inf", "WITHSCORES", "LIMIT", 0, count)
                for name, count in counts.items()
            ]
        )
        return {name: _waiting(flat) for name, flat in zip(counts, found, strict=True)}

    async def older_than(self, before_ms: Mapping[str, int], *, limit: int) -> dict[str, tuple[Waiting, ...]]:
        """What has waited for each application since before a moment, at most `limit` of each lane."""
        calls: list[Command | Script] = []
        for name, latest_ms in before_ms.items():
            for offset_ms in (0, BULK_OFFSET_MS):
                between = (offset_ms, offset_ms + latest_ms)
                calls.append(("ZRANGEBYSCORE", keyspace.backlog(name), *between, "WITHSCORES", "LIMIT", 0, limit))
        found = await self._record.pipeline(calls)
        return {
            name: (*_waiting(urgent), *_waiting(bulk))
            for name, urgent, bulk in zip(before_ms, found[::2], found[1::2], strict=True)
        }

    async def release(self, releases: Sequence[Release], *, hidden_until_ms: int, due_at_ms: int) -> None:
        """Let deliveries go, all in one round trip. `hidden_until_ms`: until when these looks hide their entries."""
        await self._record.pipeline(
            [
                Script(
                    "release_deliveries",
                    _keys(each.client_id),
                    [
                        each.client_id,
                        entry_of(each.client_id),
                        hidden_until_ms,
                        each.next_look_ms,
                        due_at_ms,
                        each.released,
                        *each.delivery_ids,
                    ],
                )
                for each in releases
            ]
        )

    async def restore(self, owed: Mapping[str, Sequence[str]], *, at_ms: int) -> tuple[str, ...]:
        """Have open deliveries, by application, looked at unless they are in the due index or in a backlog. Those that do not
        wait in a backlog."""
        found = await self._record.pipeline(
            [
                Script(
                    "restore_deliveries",
                    [keyspace.DUE, keyspace.backlog(client_id)],
                    [entry_of(client_id), at_ms, *delivery_ids],
                )
                for client_id, delivery_ids in owed.items()
            ]
        )
        return tuple(name for free in found for name in free)

    async def heal(self, *, at_ms: int) -> None:
        """Have every backlog looked at that has no entry in the due index: somebody has deleted that."""
        names: list[str] = await self._record.run("ZRANGE", keyspace.BACKLOGS, 0, -1)
        calls: list[Command | Script] = [
            Script("restore_deliveries", [keyspace.DUE, keyspace.backlog(each)], [entry_of(each), at_ms])
            for each in names
        ]
        await self._record.pipeline(calls)

    async def counts(self, client_ids: Sequence[str]) -> dict[str, int]:
        """How many wait for each of these."""
        found = await self._record.pipeline([("ZCARD", keyspace.backlog(each)) for each in client_ids])
        return dict(zip(client_ids, found, strict=True))

    async def total(self) -> int:
        """How many wait for all applications together."""
        flat = await self._record.run("ZRANGE", keyspace.BACKLOGS, 0, -1, "WITHSCORES")
        return sum(int(float(each)) for each in flat[1::2])


def _keys(client_id: str) -> list[str]:
    return [keyspace.DUE, keyspace.backlog(client_id), keyspace.BACKLOGS, keyspace.client_health(client_id)]


def _score(waiting: Waiting) -> int:
    return waiting.since_ms + (BULK_OFFSET_MS if waiting.bulk else 0)


def _waiting(flat: Sequence[str]) -> tuple[Waiting, ...]:
    scored = [(name, int(float(score))) for name, score in zip(flat[::2], flat[1::2], strict=True)]
    return tuple(
        Waiting(delivery_id=name, since_ms=score % BULK_OFFSET_MS, bulk=score >= BULK_OFFSET_MS)
        for name, score in scored
    )
