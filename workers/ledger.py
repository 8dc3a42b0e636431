"""Writing down what came of attempts, many at a time: whatever has ended while one write was under way goes into the next.

The record comes first, then the hints that follow from it. A crash between leaves an entry too many in the due index,
never one too few.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from service.domain.client_health import HoldReason
from service.domain.clock import Clock
from service.domain.delivery import OPEN, Attempt, Delivery
from service.domain.revocation import Revocation, SessionsBegunBy, State
from service.errors import WrongRecord
from service.resources import end_tasks
from service.store.audit import Trail
from service.store.audit_outcomes import take_back_outcomes, tell_outcomes
from service.store.backlogs import Backlogs, Hold, Waiting
from service.store.covered import Covered, Told
from service.store.deliveries import Deliveries, Settlement
from service.store.people import is_prompt
from service.store.schedule import Schedule
from service.store.statistics import Statistics
from service.telemetry import get_logger

log = get_logger(__name__)

MAX_BATCH: Final = 500
"""Most outcomes in one write."""

FINISH_S: Final = 5.0
"""How long what was handed in may take to be written once no more is attempted, in seconds: longer than a Redis that answers
takes for thousands, and one of the waits that a worker's grace period has to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Why a delivery goes to its application's backlog, and when to look at that at the latest."""

    reason: HoldReason
    look_at_ms: int
    look_if_free_ms: int | None = None
    """When to look where its application may be told again by the time this is written: it was read a while ago."""
    crowded: bool = False
    """Whether it was let go from its backlog, or would have been, and found no place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A delivery before and after one attempt, under the lease it was attempted with."""

    revocation: Revocation
    before: Delivery
    after: Delivery
    lease_until_ms: int
    held: Held | None = None
    added: tuple[Delivery, ...] = ()
    """The rows that take its place, where it was closed for that."""

    @property
    def attempted(self) -> bool:
        """Whether something was sent; else it was held, skipped or given up."""
        return self.after.attempt_count > self.before.attempt_count

    @property
    def closed(self) -> bool:
        """Whether nothing more will be tried."""
        return self.after.state not in OPEN

    @property
    def ended(self) -> list[Delivery]:
        """What nothing more will be tried of, rows in its place included."""
        return [each for each in (self.after, *self.added) if each.state not in OPEN]


class Ledger:
    """One per worker process."""

    def __init__(
        self,
        *,
        clock: Clock,
        deliveries: Deliveries,
        backlogs: Backlogs,
        schedule: Schedule,
        statistics: Statistics,
        covered: Covered,
        trail: Trail,
    ) -> None:
        self._clock = clock
        self._deliveries = deliveries
        self._backlogs = backlogs
        self._schedule = schedule
        self._statistics = statistics
        self._covered = covered
        self._trail = trail
        self._waiting: list[tuple[Entry, asyncio.Future[bool]]] = []
        self._writing: list[tuple[Entry, asyncio.Future[bool]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, entry: Entry) -> bool:
        """Write one outcome down. False when its lease had been lost: another attempt counts. Raises Unavailable."""
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await written

    async def finish(self) -> None:
        """Wait until what was handed in has been written down, or could not be: also what nobody waits for any more. The record
        must stay open until then, or a write would open a connection of its own that nobody closes.

        At most FINISH_S: with a Redis that does not answer each write takes seconds, and whoever stops us kills us in the end.
        What is left then is attempted again when its leases run out, as after a kill.
        """
        if self._writer is None:
            return
        await asyncio.wait([self._writer], timeout=FINISH_S)
        if self._writer.done():
            return
        left = [*self._writing, *self._waiting]
        self._waiting = []
        await end_tasks([self._writer])
        log.warning("ledger.not_finished", outcomes=len(left), after_s=FINISH_S)
        for _, written in left:
            written.cancel()

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            self._writing = batch
            await self._write_batch(batch)

    async def _write_batch(self, batch: Sequence[tuple[Entry, asyncio.Future[bool]]]) -> None:
        try:
            kept = await self._write([entry for entry, _ in batch])
        except Exception as error:  # each caller is to learn of it, whatever it is  # noqa: BLE001
            if isinstance(error, WrongRecord) and len(batch) > 1:
                # Of one of them. What was written of the others is written again, and stays what it is.
                for each in batch:
                    await self._write_batch([each])
                return
            for _, written in batch:
                if not written.done():
                    written.set_exception(error)
            return
        for (_, written), state in zip(batch, kept, strict=True):
            if not written.done():
                written.set_result(state != "lost")

    async def _write(self, entries: Sequence[Entry]) -> list[State | Literal["lost"]]:
        now_ms = self._clock.now_ms()
        # First: an outcome told twice, when a crash comes between, is better than one never told.
        await tell_outcomes(self._trail, [(each.revocation, row) for each in entries for row in each.ended])
        # Before the record, and not before these leases have ended: whoever looked at them sooner would not find them yet.
        await self._schedule.look_at(
            (row.delivery_id for each in entries for row in each.added),
            at_ms=max(each.lease_until_ms for each in entries),
        )
        states = await self._deliveries.settle(
            [Settlement(delivery=each.after, lease_until_ms=each.lease_until_ms, added=each.added) for each in entries],
            now_ms=now_ms,
        )
        kept = [each for each, state in zip(entries, states, strict=True) if state != "lost"]
        finished = {
            each.revocation.revocation_id: each.revocation
            for each, state in zip(entries, states, strict=True)
            if each.closed and state in {"completed", "incomplete"}
        }
        await self._schedule.settle(
            finished=list(finished),
            done=[row.delivery_id for each in kept for row in each.ended],
            due={
                each.after.delivery_id: each.after.next_attempt_at_ms
                for each in kept
                if not each.closed and each.after.next_attempt_at_ms is not None
            }
            | {row.delivery_id: now_ms for each in kept for row in each.added if row.state in OPEN},
            held=[self._backlogs.holding(each) for each in _holds(kept)],
        )
        await self._statistics.count(
            deliveries=[row.state for each in kept for row in each.ended],
            attempts=[_result(each.after.attempts[-1]) for each in kept if each.attempted],
            # What was redelivered has been counted before, and how long that took is the operator's.
            told_s=[
                (now_ms - each.accepted_at_ms) / 1000 for each in finished.values() if each.redelivered_at_ms is None
            ],
        )
        await self._covered.forget_participation(
            (_told(each) for each in kept if each.after.state == "delivered"), now_ms=now_ms
        )
        lost = [each for each, state in zip(entries, states, strict=True) if state == "lost"]
        await take_back_outcomes(
            self._trail, self._deliveries, [(each.revocation, row) for each in lost for row in each.ended]
        )
        return states


def _holds(entries: Sequence[Entry]) -> list[Hold]:
    """What goes to backlogs, by application."""
    by_client: dict[str, list[tuple[Entry, Held]]] = defaultdict(list)
    for each in entries:
        if each.held is not None:
            by_client[each.after.client_id].append((each, each.held))
    return [
        Hold(
            client_id=client_id,
            waiting=[
                Waiting(
                    delivery_id=entry.after.delivery_id,
                    since_ms=entry.after.since_ms or held.look_at_ms,
                    bulk=entry.revocation.lane == "bulk",
                )
                for entry, held in every
            ],
            look_at_ms=min(held.look_at_ms for _, held in every),
            look_if_free_ms=min(
                (held.look_if_free_ms for _, held in every if held.look_if_free_ms is not None), default=None
            ),
            crowded=any(held.crowded for _, held in every),
        )
        for client_id, every in by_client.items()
    ]


def _told(entry: Entry) -> Told:
    scope = entry.revocation.scope
    return Told(
        user_id=entry.after.user_id,
        revocation_id=entry.revocation.revocation_id,
        client_id=entry.after.client_id,
        sub=entry.after.sub,
        sid=entry.after.sid,
        session_id=entry.revocation.session_id,
        partly=scope if isinstance(scope, SessionsBegunBy) else None,
        prompt=isinstance(scope, SessionsBegunBy) and is_prompt(scope, entry.revocation.accepted_at_ms),
    )


def _result(attempt: Attempt) -> str:
    """An attempt as it is counted: few values, none of a stranger's choosing."""
    return f"{attempt.status // 100}xx" if attempt.status is not None else attempt.error or "error"
