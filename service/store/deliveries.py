"""Deliveries as Redis knows them: each in one worker's hands at a time, each attempt written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.domain.delivery import OPEN, Delivery
from service.domain.identifiers import revocation_id_of
from service.domain.revocation import State
from service.store import keyspace
from service.store.codec import from_json, to_json
from service.store.record import Record, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A delivery after an attempt, and the lease it was attempted under."""

    delivery: Delivery
    lease_until_ms: int


class Deliveries:
    """What every revocation owes. `receipt_ms`: how long that is kept."""

    def __init__(self, record: Record, *, receipt_ms: int) -> None:
        self._record = record
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
        it, or `lost` where the lease had run out and another has it."""
        answers: list[State | Literal["lost"]] = await self._record.pipeline(
            [
                Script(
                    "settle_delivery",
                    [keyspace.revocation(rid), keyspace.deliveries(rid), keyspace.leases(rid)],
                    [
                        each.delivery.delivery_id,
                        each.lease_until_ms,
                        to_json(each.delivery),
                        "0" if each.delivery.state in OPEN else "1",
                        "1" if each.delivery.state == "dead" else "0",
                        now_ms,
                        now_ms + self._receipt_ms,
                    ],
                )
                for each in settlements
                for rid in [revocation_id_of(each.delivery.delivery_id)]
            ]
        )
        return answers
