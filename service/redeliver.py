"""Trying anew what had been given up: one delivery, what is dead of a revocation, what is dead of an application.

Asked twice, also by two operators at the same moment, it is done once: whoever changes a delivery says what it was.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from service.domain.clock import Clock
from service.domain.delivery import OPEN, Delivery
from service.domain.identifiers import revocation_id_of
from service.domain.redelivery import WHY, Held, Refusal, plan_redelivery
from service.domain.revocation import Revocation
from service.errors import Conflict, NotFound
from service.jobs import Queue
from service.store.applications import Applications
from service.store.audit import Trail
from service.store.audit_outcomes import take_back_outcomes, tell_outcomes
from service.store.dead_letters import DeadLetters
from service.store.deliveries import Deliveries
from service.store.pages import Mark
from service.store.redeliveries import Change, Redeliveries, Stored
from service.store.revocations import Revocations
from service.telemetry import get_logger

log = get_logger(__name__)

BATCH: Final = 100
"""Most dead letters one call looks at: some tenths of a second, with the lock of no script held for long."""

TRIES: Final = 3
"""Times a delivery is looked at again that others have changed meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivered:
    """What came of it."""

    opened: tuple[Delivery, ...] = ()
    """What is tried now: the deliveries themselves, or the rows that take their places."""
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    """By delivery_id, why the others are not."""
    redelivered: int = 0
    """How many deliveries are tried anew, rows that took their places not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeliverer:
    """What redelivering takes."""

    applications: Applications
    revocations: Revocations
    deliveries: Deliveries
    dead_letters: DeadLetters
    redeliveries: Redeliveries
    queue: Queue
    clock: Clock
    trail: Trail

    async def one(self, delivery_id: str, *, force: bool = False) -> Redelivered:
        """Try one dead delivery anew; with `force` also one that was delivered or skipped. Raises NotFound, Conflict."""
        try:
            rid = revocation_id_of(delivery_id)
        except ValueError:
            raise NotFound("there is no such delivery") from None
        result = await self._redeliver([delivery_id], force=force)
        if delivery_id in result.refused:
            raise Conflict(WHY[result.refused[delivery_id]])
        if not result.redelivered:
            raise NotFound("there is no such delivery")
        await self._hint(rid, result)
        return result

    async def of_revocation(self, revocation_id: str) -> Redelivered:
        """Try every dead delivery of a revocation anew. Raises NotFound, and Conflict when there is none that can be."""
        if await self.revocations.get(revocation_id) is None:
            raise NotFound("there is no such revocation")
        every = await self.deliveries.of_revocation(revocation_id)
        dead = [each.delivery_id for each in every if each.state == "dead"]
        if not dead:
            raise Conflict("none of its deliveries is dead")
        results = [await self._redeliver(dead[start : start + BATCH]) for start in range(0, len(dead), BATCH)]
        result = Redelivered(
            opened=tuple(delivery for each in results for delivery in each.opened),
            refused={name: why for each in results for name, why in each.refused.items()},
            redelivered=sum(each.redelivered for each in results),
        )
        if not result.redelivered:
            reasons = Counter(result.refused.values())
            raise Conflict("; ".join(f"{count} of {len(dead)}: {WHY[why]}" for why, count in sorted(reasons.items())))
        await self._hint(revocation_id, result)
        return result

    async def of_client(
        self, client_id: str, *, since_ms: int, after: Mark | None = None
    ) -> tuple[Redelivered, Mark | None]:
        """Try an application's dead letters since a moment anew, BATCH of them from the one that died last on, and where the
        next call goes on. What dies again meanwhile is before that place, and no call of the same walk meets it twice.

        The sweeper takes them up by the due index: so many are no job's.
        """
        letters, following = await self.dead_letters.page(
            client_id=client_id, since_ms=since_ms, after=after, limit=BATCH, now_ms=self.clock.now_ms()
        )
        return await self._redeliver([each.delivery.delivery_id for each in letters]), following

    async def _redeliver(self, delivery_ids: Sequence[str], *, force: bool = False) -> Redelivered:
        """Those that there are."""
        now_ms = self.clock.now_ms()
        opened: list[Delivery] = []
        refused: dict[str, Refusal] = {}
        redelivered: set[str] = set()
        left = list(delivery_ids)
        for _ in range(TRIES):
            changes = await self._plan(left, refused, now_ms=now_ms, force=force)
            # First, as with every outcome; a row that is tried for each session in its place ends with that.
            await tell_outcomes(self.trail, _ended(changes))
            outcomes = await self.redeliveries.write(changes, now_ms=now_ms)
            left = []
            for (revocation, change), outcome in zip(changes, outcomes, strict=True):
                delivery_id = change.before.delivery.delivery_id
                if outcome == "changed":
                    left.append(delivery_id)
                elif outcome == "redelivered":
                    redelivered.add(delivery_id)
                    opened += [each for each in change.after if each.state in OPEN]
                    _tell(revocation, change)
            others = [each for each, outcome in zip(changes, outcomes, strict=True) if outcome != "redelivered"]
            await take_back_outcomes(self.trail, self.deliveries, _ended(others))
            if not left:
                break
        refused.update(dict.fromkeys(left, "changed"))
        return Redelivered(opened=tuple(opened), refused=refused, redelivered=len(redelivered))

    async def _plan(
        self, delivery_ids: Sequence[str], refused: dict[str, Refusal], *, now_ms: int, force: bool
    ) -> list[tuple[Revocation, Change]]:
        """What is to be written; those that are not to be tried anew are added to `refused`."""
        stored = await self.redeliveries.read(delivery_ids)
        revocations = await self.revocations.get_many({revocation_id_of(each) for each in stored})
        applications = await self.applications.get_many({each.delivery.client_id for each in stored.values()})
        held = await self._held(list(stored.values()), revocations, now_ms=now_ms)
        changes = []
        for delivery_id, each in stored.items():
            revocation = revocations.get(revocation_id_of(delivery_id))
            if revocation is None:
                continue
            planned = plan_redelivery(
                each.delivery,
                application=applications.get(each.delivery.client_id),
                held=held[revocation.revocation_id, each.delivery.user_id],
                now_ms=now_ms,
                force=force,
            )
            if isinstance(planned, str):
                refused[delivery_id] = planned
            else:
                changes.append((revocation, Change(before=each, after=planned)))
        return changes

    async def _held(
        self, stored: Sequence[Stored], revocations: Mapping[str, Revocation], *, now_ms: int
    ) -> dict[tuple[str, str], tuple[Held, ...]]:
        clients: dict[tuple[str, str], set[str]] = defaultdict(set)
        for each in stored:
            rid = revocation_id_of(each.delivery.delivery_id)
            if rid in revocations:
                clients[rid, each.delivery.user_id].add(each.delivery.client_id)
        asked = [(revocations[rid], user_id, sorted(names)) for (rid, user_id), names in clients.items()]
        return dict(zip(clients, await self.redeliveries.held(asked, now_ms=now_ms), strict=True))

    async def _hint(self, revocation_id: str, result: Redelivered) -> None:
        if result.opened:
            names = [each.delivery_id for each in result.opened]
            await self.queue.notify(revocation_id, names, now_ms=self.clock.now_ms())


def _ended(changes: Sequence[tuple[Revocation, Change]]) -> list[tuple[Revocation, Delivery]]:
    return [(revocation, each) for revocation, change in changes for each in change.after if each.state not in OPEN]


def _tell(revocation: Revocation, change: Change) -> None:
    before = change.before.delivery
    log.info(
        "delivery.redelivered",
        revocation_id=revocation.revocation_id,
        delivery_id=before.delivery_id,
        client_id=before.client_id,
        was=before.state,
        reason=before.reason,
        attempts=before.total_attempt_count,
        opened=sum(each.state in OPEN for each in change.after),
    )
