"""STEP 3. The only sink: record a revocation, make it true, have the applications told.

Every door, the management API and the shell end here. The order is the promise:

0. count     how many people the connection has signed out; too many, and it is held (`service.store.blast_radius`)
1. record    from here on it survives any crash (law 2)
2. cut off   one atomic O(1) step per person; nothing they hold is honoured after it (law 1). The audit trail's entry is
             written meanwhile
3. enqueue   a hint; if it is lost, the sweeper finds the record
4. wait      for the disk or the replicas, where the settings ask for it; without that, Redis' own word is enough

Success may be answered once 1, 2 and 4 are done, so whatever was answered has its entry. A crash between them leaves a record
nobody was promised anything about; the sweeper completes it, which errs on the side of signing out.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from service.domain.audit import Fact
from service.domain.clock import Clock
from service.domain.identifiers import revocation_id_for
from service.domain.revocation import (
    Everything,
    Initiator,
    OneSession,
    Revocation,
    RevocationRequest,
    SessionsBegunBy,
    TokenFamily,
)
from service.errors import Held
from service.jobs import Queue
from service.store.audit import Trail, about_people
from service.store.blast_radius import BlastRadius
from service.store.people import People
from service.store.revocations import Revocations
from service.telemetry import Numbers, get_logger

log = get_logger(__name__)

LOOK_AFTER_MS: Final = 3_000
"""How long the sweeper leaves a fresh revocation to the job that was queued for it, in milliseconds."""


HELD_RETRY_AFTER_S: Final = 60
"""When an identity provider whose requests are held may ask again, in seconds: a person has to look first."""

FROM_IDENTITY_PROVIDERS: Final[frozenset[Initiator]] = frozenset(
    {"global_token_revocation", "backchannel_logout", "okta_event_hook"}
)
"""Whose revocations are counted and held. What operators and applications end by themselves never is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A revocation in force. `repeated`: this very request had been accepted before, and nothing was done again."""

    revocation_id: str
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """What accepting takes."""

    trail: Trail
    revocations: Revocations
    people: People
    blast_radius: BlastRadius
    queue: Queue
    clock: Clock
    numbers: Numbers

    async def accept(self, request: RevocationRequest) -> Accepted:
        """Put a verified request into force. Raises Unavailable when Redis cannot be reached, or does not get it to disk or
        replicas in time: then nothing is promised, though it may be in force; and Held when the connection's identity provider
        asks for too many people.

        The same request again (the same `revocation_id`) has the same answer and no second effect (law 5).
        """
        if self.blast_radius.is_on and request.initiator in FROM_IDENTITY_PROVIDERS:
            await self._count(request)
        return await self._put_into_force(request)

    async def accept_released(self, request: RevocationRequest) -> Accepted:
        """Put into force what was held: an operator says so."""
        return await self._put_into_force(request)

    async def _count(self, request: RevocationRequest) -> None:
        """Raise Held when the connection is held, or is from now on."""
        now_ms = self.clock.now_ms()
        held = Fact(
            event="connection.held",
            connection_id=request.connection_id,
            initiator=request.initiator,
            people_total=len(request.user_ids),
        )
        verdict = await self.blast_radius.count(request, now_ms=now_ms, tell=lambda: self.trail.append([held]))
        if verdict == "passed":
            return
        named = {"connection_id": request.connection_id, "initiator": request.initiator}
        if verdict == "began":
            log.error("connection.held", **named, people=len(request.user_ids))
        found = await self.revocations.get(request.revocation_id)
        if found is not None and found.revoked_at_ms is not None:
            # What was answered with success before is so again, held or not.
            return
        kept = await self.blast_radius.keep(request, now_ms=now_ms)
        log.warning("revocation.held", **named, people=len(request.user_ids), kept=kept)
        raise Held(
            "this connection has asked to sign out more people than it may: held until an operator releases it",
            retry_after=HELD_RETRY_AFTER_S,
            kept=kept,
        )

    async def _put_into_force(self, request: RevocationRequest) -> Accepted:
        accepted = await self._record_and_cut_off(request)
        await self.revocations.wait_until_durable(accepted.revocation_id)
        return accepted

    async def _record_and_cut_off(self, request: RevocationRequest) -> Accepted:
        rid = request.revocation_id
        structlog.contextvars.bind_contextvars(revocation_id=rid)
        now_ms = self.clock.now_ms()
        recorded, names = await asyncio.gather(
            self.revocations.record(request, now_ms=now_ms, look_at_ms=now_ms + LOOK_AFTER_MS),
            self.trail.pseudonyms.of_people(request.user_ids),
        )
        if recorded.late:
            return await self._again(request)
        if recorded.revoked_at_ms is not None:
            log.info("revocation.repeated", connection_id=request.connection_id, initiator=request.initiator)
            await self.trail.append_bounded(
                Fact(
                    event="revocation.repeated",
                    connection_id=request.connection_id,
                    revocation_id=rid,
                    initiator=request.initiator,
                )
            )
            return Accepted(revocation_id=rid, repeated=True)

        await asyncio.gather(cut_off(self.people, recorded, now_ms=now_ms), tell_recorded(self.trail, recorded, names))
        revoked_at_ms = self.clock.now_ms()
        overtaken, _ = await asyncio.gather(
            self.revocations.mark_revoked(rid, at_ms=revoked_at_ms, lane=recorded.lane),
            self.queue.revoke(rid, lane=recorded.lane),
        )
        if overtaken:
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
        """A worker completed it before anybody was answered, or began to, for what had begun when it was recorded. What is
        answered now must hold from now: as a revocation of its own, under a name of its own, so that a repeat finds it."""
        return await self._record_and_cut_off(
            replace(request, revocation_id=revocation_id_for(request.revocation_id, "again"))
        )


async def tell_recorded(trail: Trail, revocation: Revocation, names: Mapping[str, str], *, late: bool = False) -> None:
    """Tell the audit trail of a recorded revocation. `names`: the people's pseudonyms; `late`: after a crash. Raises
    Unavailable: then it must not be marked as revoked, so that whoever comes next tells it."""
    fact = Fact(
        event="revocation.recorded",
        connection_id=revocation.connection_id,
        revocation_id=revocation.revocation_id,
        initiator=revocation.initiator,
        scope=revocation.scope.kind,
        late=late or None,
    )
    await trail.append(list(about_people(fact, names, total=len(revocation.user_ids))))


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
            for user_id in revocation.user_ids:
                await people.families.end(
                    user_id, session_id, family_id, rid, now_ms=now_ms, accepted_at_ms=accepted_at_ms
                )
