"""STEP 4. A revocation is in force already; here it is worked off.

1. complete     cut off what a crash left undone
2. snapshot     who may hold a session, and how many sessions and tokens are ended: before anything is deleted, for what
                is deleted cannot be told
3. plan         write that down, once, one delivery per application concerned
4. forget       delete the dead tokens
5. tell         the first attempts, at once and all together (`workers.notify`)

Every step finds out what is left to do, so the whole may run any number of times.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.accept import cut_off, tell_recorded
from service.domain.clock import Clock
from service.domain.delivery import OPEN, Delivery
from service.domain.delivery_plan import plan_deliveries
from service.domain.revocation import Revocation, SessionsBegunBy
from service.store.audit import Trail
from service.store.audit_outcomes import take_back_outcomes, tell_outcomes
from service.store.backlogs import Backlogs
from service.store.client_health import Addressees, ClientHealths
from service.store.covered import Covered, Snapshot
from service.store.deliveries import Deliveries
from service.store.people import People
from service.store.revocations import Revocations
from service.store.schedule import Schedule
from service.store.statistics import Statistics
from service.telemetry import get_logger
from workers.notify import LEASE_MS, Notifier

log = get_logger(__name__)

MISSING_MS: Final = 600_000
"""How long a due entry without a record is kept, in milliseconds: its record may be about to be written."""

LOOK_AGAIN_MS: Final = 60_000
"""When such an entry is looked at again, in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leased:
    """Deliveries in our hands until a moment, whom they are for, and when what they were planned by was read."""

    deliveries: Sequence[Delivery]
    addressees: Addressees
    until_ms: int
    read_ms: int


@dataclass(frozen=True, kw_only=True)
class Revoker:
    """What working a revocation off takes."""

    clock: Clock
    client_healths: ClientHealths
    backlogs: Backlogs
    people: People
    covered: Covered
    revocations: Revocations
    deliveries: Deliveries
    schedule: Schedule
    statistics: Statistics
    trail: Trail
    notifier: Notifier

    async def revoke(self, revocation_id: str) -> None:
        """Work one revocation off, as far as it can be now."""
        revocation = await self.revocations.get(revocation_id)
        if revocation is None:
            await self._set_aside(revocation_id)
            return
        finished = revocation.state in {"completed", "incomplete"}
        if finished and not await self.schedule.has(revocation_id):
            # It was seen to by another job of it.
            return
        if finished:
            # A crash may have come between the last death and the list of dead letters.
            await self.deliveries.relist(await self.deliveries.of_revocation(revocation_id))
        if revocation.revoked_at_ms is None:
            await self._complete(revocation)
        read_ms = self.clock.now_ms()
        snapshots = await self._snapshot(revocation)
        if finished:
            # A crash may have come after the last application was told and before what was ended was forgotten.
            await self._forget(revocation, snapshots)
            await self.revocations.close(revocation_id)
            return
        # Only once the plan is written may anything go: what it counts could not be counted again.
        leased = await self._plan(revocation, snapshots, read_ms=read_ms)
        still_open, _ = await asyncio.gather(self._tell(revocation, leased), self._forget(revocation, snapshots))
        if still_open:
            # The deliveries have entries of their own; this one's work is done.
            await self.schedule.done([revocation_id])
        else:
            await self.revocations.close(revocation_id)

    async def _complete(self, revocation: Revocation) -> None:
        now_ms = self.clock.now_ms()
        if not await self.revocations.mark_late(revocation.revocation_id):
            # Its door has come to it meanwhile.
            return
        log.warning("revocation.completed_late", revocation_id=revocation.revocation_id)
        names = await self.trail.pseudonyms.of_people(revocation.user_ids)
        await tell_recorded(self.trail, revocation, names, late=True)
        await cut_off(self.people, revocation, now_ms=now_ms, late=True)
        await self.revocations.mark_revoked(revocation.revocation_id, at_ms=now_ms)

    async def _snapshot(self, revocation: Revocation) -> dict[str, Snapshot]:
        """Step 2. Of a family of tokens nothing is left to forget and nobody is to be told: its end counted what it ended."""
        rid, family_id = revocation.revocation_id, revocation.family_id
        if family_id is None:
            return await self.covered.snapshot(
                revocation.user_ids, rid, now_ms=revocation.accepted_at_ms, scope=revocation.scope
            )
        counts = {each: await self.people.families.tokens_ended(each, family_id, rid) for each in revocation.user_ids}
        return {each: Snapshot(sessions=(), targets=(), tokens_ended=count) for each, count in counts.items()}

    async def _plan(self, revocation: Revocation, snapshots: Mapping[str, Snapshot], *, read_ms: int) -> _Leased | None:
        """Step 3. What this plan put into our hands; None when there was a plan before."""
        if revocation.state != "accepted":
            return None
        wanted = {target.client_id for snapshot in snapshots.values() for target in snapshot.targets}
        addressees = await self.client_healths.addressees(wanted)
        applications = {name: each.application for name, each in addressees.known.items()}
        planned = [
            delivery
            for user_id, snapshot in snapshots.items()
            for delivery in plan_deliveries(
                revocation, user_id, snapshot.targets, applications, unreadable=addressees.unreadable
            )
        ]
        lease_until_ms = self.clock.now_ms() + LEASE_MS
        if not await self._write_plan(revocation, snapshots, planned, lease_until_ms=lease_until_ms):
            return None
        still_open = [each for each in planned if each.state in OPEN]
        return _Leased(deliveries=still_open, addressees=addressees, until_ms=lease_until_ms, read_ms=read_ms)

    async def _tell(self, revocation: Revocation, leased: _Leased | None) -> bool:
        """Step 5. Whether anything is (or was, a moment ago) still to be told."""
        if leased is not None:
            await self.notifier.attempt(
                revocation,
                leased.deliveries,
                leased.addressees,
                lease_until_ms=leased.until_ms,
                planned_ms=leased.read_ms,
            )
            return bool(leased.deliveries)
        # Planned before, by a worker that may be at it or may be gone: its deliveries go on by their own entries.
        stored = await self.deliveries.of_revocation(revocation.revocation_id)
        still_open = [each for each in stored if each.state in OPEN]
        owed: dict[str, list[str]] = defaultdict(list)
        for each in still_open:
            owed[each.client_id].append(each.delivery_id)
        # What waits in a backlog has its turn there, however often its revocation is looked at.
        free = await self.backlogs.restore(owed, at_ms=self.clock.now_ms())
        if free:
            await self.notifier.take(revocation, free)
        return bool(still_open)

    async def _write_plan(
        self,
        revocation: Revocation,
        snapshots: Mapping[str, Snapshot],
        planned: Sequence[Delivery],
        *,
        lease_until_ms: int,
    ) -> bool:
        sessions = [each for snapshot in snapshots.values() for each in snapshot.sessions]
        sessions_ended = sum(each.active for each in sessions)
        refresh_tokens_revoked = sum(each.live_tokens for each in sessions)
        refresh_tokens_revoked += sum(each.tokens_ended for each in snapshots.values())
        ended = [(revocation, each) for each in planned if each.state not in OPEN]
        await tell_outcomes(self.trail, ended)
        first = await self.revocations.plan(
            revocation,
            planned,
            sessions_ended=sessions_ended,
            refresh_tokens_revoked=refresh_tokens_revoked,
            now_ms=self.clock.now_ms(),
            lease_until_ms=lease_until_ms,
        )
        if not first:
            await take_back_outcomes(self.trail, self.deliveries, ended)
        else:
            skipped = [each.state for each in planned if each.state not in OPEN]
            await self.statistics.count(deliveries=skipped, attempts=[], told_s=[])
            log.info(
                "revocation.planned",
                revocation_id=revocation.revocation_id,
                deliveries=len(planned),
                skipped=len(skipped),
                sessions_ended=sessions_ended,
                refresh_tokens_revoked=refresh_tokens_revoked,
            )
        return first

    async def _forget(self, revocation: Revocation, snapshots: Mapping[str, Snapshot]) -> None:
        ended_at_ms = revocation.revoked_at_ms or revocation.accepted_at_ms
        for user_id, snapshot in snapshots.items():
            await self.covered.forget(user_id, revocation.revocation_id, snapshot.sessions, ended_at_ms=ended_at_ms)
        if isinstance(revocation.scope, SessionsBegunBy):
            await self.covered.let_go(list(snapshots), revocation.revocation_id)

    async def _set_aside(self, revocation_id: str) -> None:
        """A due entry without a record: it was about to be written when its process died, or its receipt has expired."""
        opened_ms = await self.schedule.opened_at(revocation_id)
        now_ms = self.clock.now_ms()
        if opened_ms is not None and now_ms - opened_ms < MISSING_MS:
            await self.schedule.look_at([revocation_id], at_ms=now_ms + LOOK_AGAIN_MS)
        else:
            await self.revocations.close(revocation_id)
