"""What was recorded is never forgotten: due retries, lost jobs and half-finished work are put back on the queue."""

from collections import defaultdict
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from service.domain.clock import Clock
from service.domain.identifiers import KEPT, revocation_id_of
from service.domain.revocation import Lane
from service.errors import Unavailable, WrongRecord
from service.jobs import TICKET_MS, Queue
from service.store.backlogs import ENTRY, Backlogs
from service.store.revocations import Revocations
from service.store.schedule import Schedule
from service.telemetry import get_logger
from workers.release import Releaser

log = get_logger(__name__)

BATCH: Final = 200
"""Entries taken at once."""

HIDDEN_MS: Final = 20_000
"""How long a taken entry is left to the job queued for it, in milliseconds; then it comes up again. The queue may be deleted, and
whoever has the job may die."""

if TICKET_MS > HIDDEN_MS:
    raise RuntimeError("what comes up again must be queued again, whatever became of the job before")

MOST_FAILED: Final = 3
"""After how many jobs in a row that the queue did not take it is left alone; each may have been waited for."""

AGAIN_MS: Final = 1000
"""When what could not be queued is tried again, in milliseconds."""

HEAL_AFTER_MS: Final = 600_000
"""Age at which an unfinished revocation is looked at whatever the due index says, in milliseconds."""

HEAL_APART_MS: Final = 5
"""How far apart those are looked at, in milliseconds. They may be many thousands, all for one application that is down or paused:
what falls due meanwhile has its turn between them."""


@dataclass(kw_only=True)
class Sweeper:
    """What sweeping takes."""

    clock: Clock
    queue: Queue
    revocations: Revocations
    schedule: Schedule
    backlogs: Backlogs
    releaser: Releaser
    _in_hand: set[str] = field(default_factory=set)
    """Entries that were taken, and that the queue does not have yet."""
    _again_at_ms: int = 0
    """Until when nothing is taken, because the queue could not be reached."""

    async def sweep(self) -> int:
        """Queue what is overdue; how many entries that was.

        What could not be queued does not stay hidden: it comes up again as soon as the record and the queue can be reached."""
        now_ms = self.clock.now_ms()
        if now_ms < self._again_at_ms:
            return 0
        await self.schedule.look_at_sooner(self._in_hand, at_ms=now_ms)
        self._in_hand.clear()
        hidden_until_ms = now_ms + HIDDEN_MS
        due = await self.schedule.claim(now_ms=now_ms, hidden_until_ms=hidden_until_ms, limit=BATCH)
        if due:
            log.debug("sweep.due", entries=due)
        self._in_hand.update(due)
        try:
            await self._see_to(due, now_ms=now_ms, hidden_until_ms=hidden_until_ms)
        except Unavailable:
            raise
        except Exception:
            # A fault of ours. Brought up again at once, these would meet it for ever, and keep everything else from its turn.
            self._in_hand.clear()
            raise
        return len(due)

    async def _see_to(self, due: Sequence[str], *, now_ms: int, hidden_until_ms: int) -> None:
        deliveries: dict[str, list[str]] = defaultdict(list)
        revocations: list[str] = []
        backlogs: list[str] = []
        kept: list[str] = []
        unknown: list[str] = []
        for each in due:
            if each.startswith(ENTRY):
                backlogs.append(each)
                continue
            if each.startswith("rev_"):
                revocations.append(each)
                continue
            if each.startswith(KEPT):
                kept.append(each)
                continue
            try:
                deliveries[revocation_id_of(each)].append(each)
            except ValueError:
                unknown.append(each)
        # First what the record alone decides: each hint may take long where the queue does not answer, and meanwhile these
        # entries would come up for another sweeper.
        await self.releaser.look([each.removeprefix(ENTRY) for each in backlogs], hidden_until_ms=hidden_until_ms)
        if unknown:
            # Nothing of ours: left in, it would come up for ever and take the rest of its batch with it.
            log.warning("sweep.unknown_entries", count=len(unknown))
            await self.schedule.done(unknown)
        self._in_hand.difference_update(backlogs, unknown)
        lanes = await self._lanes([*revocations, *deliveries])
        if not await self._queue(self._hints(revocations, deliveries, kept, lanes, now_ms)):
            # What was not taken is in hand still.
            self._again_at_ms = now_ms + AGAIN_MS
            return
        # What alone was not taken, or cannot be read, stays hidden: it must not come up again and again in front of all others.
        self._in_hand.clear()

    async def _lanes(self, revocation_ids: Sequence[str]) -> Mapping[str, tuple[Lane, bool]]:
        """Of these, but for those that nobody can read: no other may wait for them."""
        try:
            return await self.revocations.lanes(revocation_ids)
        except WrongRecord:
            if len(revocation_ids) == 1:
                log.error("sweep.unreadable", revocation_id=revocation_ids[0])  # noqa: TRY400 - there is no more to say
                return {}
        found: dict[str, tuple[Lane, bool]] = {}
        for each in revocation_ids:
            found |= await self._lanes([each])
        return found

    async def _queue(self, hints: Iterable[tuple[Sequence[str], Awaitable[bool]]]) -> bool:
        """Queue these, as far as it is possible. Whether the queue can be reached."""
        taken = failed = 0
        for entries, hint in hints:
            if await hint:
                self._in_hand.difference_update(entries)
                taken, failed = taken + 1, 0
                continue
            failed += 1
            if failed == MOST_FAILED:
                # Nor would it take the others, and each would be waited for.
                return False
        return taken > 0 or failed == 0

    def _hints(
        self,
        revocations: Sequence[str],
        deliveries: Mapping[str, Sequence[str]],
        kept: Sequence[str],
        lanes: Mapping[str, tuple[Lane, bool]],
        now_ms: int,
    ) -> Iterator[tuple[Sequence[str], Awaitable[bool]]]:
        """What is to be queued, and which entries it is for."""
        for each in filter(lanes.__contains__, revocations):
            lane, planned = lanes[each]
            # Its deliveries have entries of their own. Who looks whether all have, of thousands at once, keeps nobody waiting.
            yield [each], self.queue.revoke(each, now_ms=now_ms, lane="bulk" if planned else lane)
        for revocation_id in filter(lanes.__contains__, deliveries):
            lane, _ = lanes[revocation_id]
            delivery_ids = deliveries[revocation_id]
            yield delivery_ids, self.queue.notify(revocation_id, delivery_ids, now_ms=now_ms, lane=lane)
        for each in kept:
            yield [each], self.queue.verify(each, now_ms=now_ms)

    async def tidy(self) -> None:
        """Drop list entries of expired receipts, and look again at what has been unfinished for long.

        Such a revocation is in the due index already, by itself or by its deliveries; this costs little and holds even
        if somebody deleted that index.
        """
        now_ms = self.clock.now_ms()
        await self.revocations.forget_old(now_ms=now_ms)
        await self.backlogs.heal(at_ms=now_ms)
        offset, found = 0, BATCH
        while found == BATCH:
            stale = await self.schedule.open_since(before_ms=now_ms - HEAL_AFTER_MS, offset=offset, limit=BATCH)
            at_ms = now_ms + offset * HEAL_APART_MS
            await self.schedule.look_at_if_absent(stale, at_ms=at_ms, apart_ms=HEAL_APART_MS)
            found = len(stale)
            offset += found
