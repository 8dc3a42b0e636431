"""Deliveries tried anew, as Redis knows them.

Order makes it safe: the due entry first, then the record, then the list of dead letters. And `logoutd:redelivered` names each
revocation until a worker has seen it finished: one that has just closed it may be late with its hints, and take the entries
of the redelivery along with those of the first death (`workers.redelivered`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.domain.delivery import OPEN, Delivery
from service.domain.identifiers import revocation_id_of
from service.domain.redelivery import Held
from service.domain.revocation import Revocation, SessionsBegunBy
from service.store import keyspace, person_keys
from service.store.codec import from_json, to_json
from service.store.covered import partial_cut
from service.store.dead_letters import DeadLetters
from service.store.people import is_prompt
from service.store.record import Command, Record, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A delivery as it was read, to the letter: whoever changes it says what it was."""

    delivery: Delivery
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A delivery as it was read, and as it is tried anew with the rows that take its place, if any."""

    before: Stored
    after: tuple[Delivery, ...]


class Redeliveries:
    """Writes what is tried anew."""

    def __init__(self, record: Record, *, dead_letters: DeadLetters) -> None:
        self._record = record
        self._dead_letters = dead_letters

    async def read(self, delivery_ids: Sequence[str]) -> dict[str, Stored]:
        """Those of these deliveries that there are, by their ids."""
        found = await self._record.pipeline(
            [("HGET", keyspace.deliveries(revocation_id_of(each)), each) for each in delivery_ids]
        )
        return {
            name: Stored(delivery=from_json(Delivery, text), text=text)
            for name, text in zip(delivery_ids, found, strict=True)
            if text is not None
        }

    async def held(
        self, asked: Sequence[tuple[Revocation, str, Sequence[str]]], *, now_ms: int
    ) -> list[tuple[Held, ...]]:
        """For each revocation and person: what these applications hold of the person now."""
        answers = await self._record.pipeline(
            [
                Script(
                    "survey_participation",
                    [
                        person_keys.participation(user_id),
                        person_keys.cutoffs(user_id),
                        person_keys.logout_cutoffs(user_id),
                        person_keys.participation_lost(user_id),
                    ],
                    [
                        *(revocation.revocation_id, now_ms, revocation.accepted_at_ms, revocation.session_id or ""),
                        *(_cut(revocation), *client_ids),
                    ],
                )
                for revocation, user_id, client_ids in asked
            ]
        )
        # Redis writes an empty Lua table as {}, a filled one as a list; either is gone through the same way.
        return [tuple(Held(**each) for each in json.loads(answer)) for answer in answers]

    async def write(
        self, changes: Sequence[tuple[Revocation, Change]], *, now_ms: int
    ) -> list[Literal["redelivered", "changed", "missing"]]:
        """Write these down, each by itself: what became of each."""
        if not changes:
            return []
        opened = [each.delivery_id for _, change in changes for each in change.after if each.state in OPEN]
        rids = sorted({revocation.revocation_id for revocation, _ in changes})
        calls: list[Command | Script] = [
            ("ZADD", keyspace.DUE, *(part for each in opened for part in (now_ms, each))),
            ("ZADD", keyspace.OPEN, *(part for each in rids for part in (now_ms, each))),
            ("ZADD", keyspace.REDELIVERED, *(part for each in rids for part in (now_ms, each))),
        ]
        calls += [
            Script(
                "redeliver",
                [keyspace.revocation(rid), keyspace.deliveries(rid), keyspace.leases(rid)],
                [now_ms, *_rows(change)],
            )
            for revocation, change in changes
            for rid in [revocation.revocation_id]
        ]
        _, _, _, *outcomes = await self._record.pipeline(calls)
        before = [
            change.before.delivery for (_, change), each in zip(changes, outcomes, strict=True) if each == "redelivered"
        ]
        await self._dead_letters.drop((each, each.dead_at_ms) for each in before if each.dead_at_ms is not None)
        return outcomes

    async def unsettled(self, *, before_ms: int, offset: int, limit: int) -> tuple[str, ...]:
        """Revocations with redeliveries from before a moment that nobody has seen finished since, from the `offset`-th on."""
        ids = await self._record.run("ZRANGEBYSCORE", keyspace.REDELIVERED, "-inf", before_ms, "LIMIT", offset, limit)
        return tuple(ids)

    async def settled(self, revocation_id: str, *, before_ms: int) -> None:
        """Nobody needs to look at a revocation any more for what was redelivered by then."""
        await self._record.script("drop_up_to", [keyspace.REDELIVERED], [before_ms, revocation_id])

    async def reopen(self, revocation_id: str, *, now_ms: int) -> None:
        """Have an unfinished revocation on the list of those, unless it is."""
        await self._record.run("ZADD", keyspace.OPEN, "NX", now_ms, revocation_id)


def _rows(change: Change) -> list[str]:
    before = change.before
    return [
        part
        for each in change.after
        for known in [each.delivery_id == before.delivery.delivery_id]
        for part in (each.delivery_id, before.text if known else "", to_json(each))
    ]


def _cut(revocation: Revocation) -> str:
    scope = revocation.scope
    if not isinstance(scope, SessionsBegunBy):
        return ""
    return partial_cut(scope, prompt=is_prompt(scope, revocation.accepted_at_ms))
