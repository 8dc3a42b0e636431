"""STEP 3. The only sink: record a revocation, make it true, have the applications told.

Every door, the management API and the shell end here. The order is the promise:

1. record    from here on it survives any crash (law 2)
2. cut off   one atomic O(1) step per person; nothing they hold is honoured after it (law 1)
3. enqueue   a hint; if it is lost, the sweeper finds the record

Success may be answered once 1 and 2 are done. A crash between them leaves a record nobody was promised anything about;
the sweeper completes it, which errs on the side of signing out.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import structlog

from service.domain.clock import Clock
from service.domain.identifiers import revocation_id_for
from service.domain.revocation import (
    Everything,
    OneSession,
    Revocation,
    RevocationRequest,
    SessionsBegunBy,
    TokenFamily,
)
from service.jobs import Queue
from service.store.people import People
from service.store.revocations import Revocations
from service.telemetry import Numbers, get_logger

log = get_logger(__name__)

LOOK_AFTER_MS: Final = 3_000
"""How long the sweeper leaves a fresh revocation to the job that was queued for it, in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A revocation in force. `repeated`: this very request had been accepted before, and nothing was done again."""

    revocation_id: str
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """What accepting takes."""

    revocations: Revocations
    people: People
    queue: Queue
    clock: Clock
    numbers: Numbers

    async def accept(self, request: RevocationRequest) -> Accepted:
        """Put a verified request into force. Raises Unavailable when Redis cannot be reached: then nothing is promised.

        The same request again (the same `revocation_id`) has the same answer and no second effect (law 5).
        """
        rid = request.revocation_id
        structlog.contextvars.bind_contextvars(revocation_id=rid)
        now_ms = self.clock.now_ms()
        recorded = await self.revocations.record(request, now_ms=now_ms, look_at_ms=now_ms + LOOK_AFTER_MS)
        if recorded.late:
            return await self._again(request)
        if recorded.revoked_at_ms is not None:
            log.info("revocation.repeated", connection_id=request.connection_id, initiator=request.initiator)
            return Accepted(revocation_id=rid, repeated=True)

        await cut_off(self.people, recorded, now_ms=now_ms)
        revoked_at_ms = self.clock.now_ms()
        noted, _ = await asyncio.gather(
            self.revocations.mark_revoked(rid, at_ms=revoked_at_ms, lane=recorded.lane),
            self.queue.revoke(rid, lane=recorded.lane),
        )
        if not noted:
            found = await self.revocations.get(rid)
            if found is not None and found.late:
                return await self._again(request)
        self.numbers.revoked_seconds.observe((revoked_at_ms - recorded.accepted_at_ms) / 1000)
        log.info(
            "revocation.accepted",
            connection_id=request.connection_id,
            initiator=request.initiator,
            people=len(request.user_ids),
            scope=request.scope.kind,
            lane=recorded.lane,
            revoked_in_ms=revoked_at_ms - recorded.accepted_at_ms,
        )
        return Accepted(revocation_id=rid, repeated=False)

    async def _again(self, request: RevocationRequest) -> Accepted:
        """A worker completed it before anybody was answered, for what had begun when it was recorded. What is answered now
        must hold from now: as a revocation of its own, under a name of its own, so that a repeat finds it."""
        return await self.accept(replace(request, revocation_id=revocation_id_for(request.revocation_id, "again")))


async def cut_off(people: People, revocation: Revocation, *, now_ms: int, late: bool = False) -> None:
    """End what a recorded revocation covers. `late`: after a crash."""
    rid, accepted_at_ms = revocation.revocation_id, revocation.accepted_at_ms
    match revocation.scope:
        case Everything():
            await people.cut_off(revocation.user_ids, rid, now_ms=now_ms, accepted_at_ms=accepted_at_ms, late=late)
        case OneSession(session_id=session_id):
            for user_id in revocation.user_ids:
                await people.end_session(user_id, session_id, rid, now_ms=now_ms, accepted_at_ms=accepted_at_ms)
        case SessionsBegunBy() as scope:
            await people.cut_off_begun_by(
                revocation.user_ids, scope, rid, now_ms=now_ms, accepted_at_ms=accepted_at_ms, late=late
            )
        case TokenFamily(session_id=session_id, family_id=family_id):
            reused = revocation.initiator == "refresh_token_reuse"
            for user_id in revocation.user_ids:
                await people.families.end(
                    user_id, session_id, family_id, rid, now_ms=now_ms, accepted_at_ms=accepted_at_ms, reused=reused
                )
