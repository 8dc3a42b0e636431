"""Deliveries as Redis knows them: each in one worker's hands at a time, each attempt written down."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.domain.delivery import OPEN, Delivery
from service.domain.identifiers import revocation_id_of
from service.domain.revocation import State
from service.store import keyspace
from service.store.codec import from_json, to_json
from service.store.dead_letters import DeadLetters
from service.store.record import Record, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A delivery after an attempt, and the lease it was attempted under."""

    delivery: Delivery
    lease_until_ms: int
    added: tuple[Delivery, ...] = ()
    """The rows that take its place, where it was closed for that."""


class Deliveries:
    """What every revocation owes. `receipt_ms`: how long that is kept."""

    def __init__(self, record: Record, *, receipt_ms: int, dead_letters: DeadLetters) -> None:
        self._record = record
        self._dead_letters = dead_letters
        self._receipt_ms = receipt_ms

    async def of_revocation(self, revocation_id: str) -> tuple[Delivery, ...]:
        """All of one revocation's, in a stable order."""
        found = await self._record.run("HGETALL", keyspace.deliveries(revocation_id))
        every = [from_json(Delivery, raw) for raw in found.values()]
        return tuple(sorted(every, key=lambda each: (each.client_id, each.sid or "", each.delivery_id)))

    async def claim(
        self, revocation_id: str, delivery_ids: Sequence[str] = (), *, now_ms: int, lease_until_ms: int
    ) -> tuple[Delivery, ...]:
        """Take in hand those that are open, due and in nobody's hands; all of the revocation's when none are named."""
        raw = await self._record.script(
            "claim_deliveries",
            [keyspace.deliveries(revocation_id), keyspace.leases(revocation_id)],
            [now_ms, lease_until_ms, *delivery_ids],
        )
        return tuple(from_json(Delivery, each) for each in raw)

    async def settle(self, settlements: Sequence[Settlement], *, now_ms: int) -> list[State | Literal["lost"]]:
        """Write down what came of attempts and let go, all in one round trip; the state of each one's revocation after
        it, or `lost` where the lease had run out and another has it. Those that have died are dead letters then."""
        outcomes = [[_dated(row, now_ms) for row in (each.delivery, *each.added)] for each in settlements]
        answers: list[State | Literal["lost"]] = await self._record.pipeline(
            [
                Script(
                    "settle_delivery",
                    [keyspace.revocation(rid), keyspace.deliveries(rid), keyspace.leases(rid)],
                    [
                        each.delivery.delivery_id,
                        each.lease_until_ms,
                        to_json(after[0]),
                        "0" if each.delivery.state in OPEN else "1",
                        "1" if each.delivery.state == "dead" else "0",
                        now_ms,
                        now_ms + self._receipt_ms,
                        *(part for row in after[1:] for part in (row.delivery_id, to_json(row))),
                    ],
                )
                for each, after in zip(settlements, outcomes, strict=True)
                for rid in [revocation_id_of(each.delivery.delivery_id)]
            ]
        )
        await self._dead_letters.add(
            row for after, answer in zip(outcomes, answers, strict=True) if answer != "lost" for row in after
        )
        return answers

    async def relist(self, deliveries: Iterable[Delivery]) -> None:
        """Enter those of these that are dead with the dead letters: a crash may have come between their record and that."""
        await self._dead_letters.add(deliveries)


def _dated(delivery: Delivery, now_ms: int) -> Delivery:
    """A delivery that has died, with the moment. Later than its redelivery, whatever this machine's clock says: an entry of a
    death before that must not be taken for one of this."""
    if delivery.state != "dead":
        return delivery
    redelivered_ms = delivery.redelivered_at_ms[-1] if delivery.redelivered_at_ms else 0
    return replace(delivery, dead_at_ms=max(now_ms, redelivered_ms + 1))
