"""Revocations as Redis knows them: recorded before anything acts on them, kept after everything has."""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from service.domain.delivery import OPEN, Delivery
from service.domain.revocation import (
    BULK_AFTER,
    BULK_WINDOW_MS,
    Lane,
    Revocation,
    RevocationRequest,
    Scope,
)
from service.store import keyspace, person_keys
from service.store.codec import read_json, to_json
from service.store.durability import Durability
from service.store.pages import Mark, page_of
from service.store.record import Command, Record, Script

_SCOPE: Final[TypeAdapter[Scope]] = TypeAdapter(Annotated[Scope, Field(discriminator="kind")])


class Revocations:
    """Every revocation. `receipt_ms`: how long its receipt is kept."""

    def __init__(self, record: Record, *, durability: Durability, receipt_ms: int) -> None:
        self._record = record
        self._durability = durability
        self._receipt_ms = receipt_ms

    async def record(self, request: RevocationRequest, *, now_ms: int, look_at_ms: int) -> Revocation:
        """Record a revocation, or find it recorded. `look_at_ms`: when a sweeper must look at it if no job has.

        The due entry comes first: whatever is recorded is found again, also after a crash at any point from here.
        """
        rid = request.revocation_id
        facts = {
            "connection_id": request.connection_id,
            "user_ids": json.dumps(request.user_ids),
            "initiator": request.initiator,
            "reason": request.reason,
            "lane": request.lane,
            "scope": _SCOPE.dump_json(request.scope).decode(),
            "state": "accepted",
            "accepted_at_ms": str(now_ms),
        }
        written = json.dumps({name: value for name, value in facts.items() if value is not None})
        of_connection = keyspace.revocations_of_connection(request.connection_id)
        recent = keyspace.recent(request.connection_id, request.initiator)
        # What was said to be bulk makes nothing else bulk.
        counted: list[Command | Script] = [("ZADD", recent, "NX", now_ms, rid)] if request.lane is None else []
        first_look, *_, lately, flat = await self._record.pipeline(
            [
                ("ZADD", keyspace.DUE, "NX", look_at_ms, rid),
                ("ZADD", keyspace.OPEN, "NX", now_ms, rid),
                ("ZADD", keyspace.REVOCATIONS, "NX", now_ms, rid),
                ("ZADD", of_connection, "NX", now_ms, rid),
                # Sessions outlive their connection, and so do their revocations: of a removed one nobody prunes the list.
                ("PEXPIREAT", of_connection, now_ms + self._receipt_ms),
                *counted,
                ("PEXPIREAT", recent, now_ms + BULK_WINDOW_MS),
                ("ZREMRANGEBYSCORE", recent, "-inf", now_ms - BULK_WINDOW_MS),
                ("ZCARD", recent),
                Script("record_revocation", [keyspace.revocation(rid)], [written]),
            ]
        )
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        # Not recorded yet: `mark_revoked` does that. What a crash leaves without a lane is urgent.
        recorded = _revocation(rid, {"lane": "bulk" if lately > BULK_AFTER else "urgent", **found})
        if recorded.state in {"completed", "incomplete"}:
            # A repeat of one that is finished must not leave it on the list of open ones. What it ended is perhaps still to be
            # forgotten: then it was in the due index before, and stays there.
            if first_look:
                await self.close(rid)
            else:
                await self._record.run("ZREM", keyspace.OPEN, rid)
        return recorded

    async def mark_late(self, revocation_id: str) -> bool:
        """Note that it is completed after a crash, for what had begun when it was recorded, and that nobody was answered; False
        when it is in force already. Comes before its cut-off: whoever answers for less than it says would find out."""
        return bool(await self._record.script("mark_late", [keyspace.revocation(revocation_id)], []))

    async def mark_revoked(self, revocation_id: str, *, at_ms: int, lane: Lane = "urgent") -> bool:
        """Note from when nothing it covers is honoured, and its lane, unless that was noted before; whether a worker had begun by
        then to complete it late (`mark_late`)."""
        key = keyspace.revocation(revocation_id)
        # In this order: a worker that comes between finds it in force.
        *_, late = await self._record.pipeline(
            [("HSETNX", key, "revoked_at_ms", at_ms), ("HSETNX", key, "lane", lane), ("HGET", key, "late")]
        )
        return late is not None

    async def wait_until_durable(self, revocation_id: str) -> None:
        """Return once a revocation in force is where the settings want it: on disk, on replicas. Raises Unavailable when it
        does not get there in time. Everything that put it into force was written before `revoked_at_ms`, so goes with it."""
        await self._durability.reached(keyspace.revocation(revocation_id), "revoked_at_ms")

    async def plan(
        self,
        revocation: Revocation,
        deliveries: Sequence[Delivery],
        *,
        sessions_ended: int,
        refresh_tokens_revoked: int,
        now_ms: int,
        lease_until_ms: int,
    ) -> bool:
        """Write down, once, what was ended and what is owed to whom. True when this was the first plan: then what is
        open is in the caller's hands until `lease_until_ms`. False when there was one: that one holds.

        The due entries come first: at no moment is a delivery in no index.
        """
        rid = revocation.revocation_id
        written = [part for each in deliveries for part in (each.delivery_id, to_json(each))]
        still_open = [each.delivery_id for each in deliveries if each.state in OPEN]
        calls: list[Command | Script] = [
            Script(
                "plan_deliveries",
                [keyspace.revocation(rid), keyspace.deliveries(rid), keyspace.leases(rid)],
                [
                    now_ms,
                    now_ms + self._receipt_ms,
                    sessions_ended,
                    refresh_tokens_revoked,
                    len(still_open),
                    lease_until_ms,
                    *still_open,
                    *written,
                ],
            )
        ]
        if still_open:
            due = [part for each in still_open for part in (lease_until_ms, each)]
            calls.insert(0, ("ZADD", keyspace.DUE, "NX", *due))
        *_, first = await self._record.pipeline(calls)
        return bool(first)

    async def close(self, revocation_id: str) -> None:
        """Nothing more is to be done for it."""
        await self._record.pipeline([("ZREM", keyspace.OPEN, revocation_id), ("ZREM", keyspace.DUE, revocation_id)])

    async def get(self, revocation_id: str) -> Revocation | None:
        """One revocation, or None."""
        facts = await self._record.run("HGETALL", keyspace.revocation(revocation_id))
        return _revocation(revocation_id, facts) if facts else None

    async def get_many(self, revocation_ids: Iterable[str]) -> dict[str, Revocation]:
        """Those of these revocations that there are."""
        wanted = sorted(set(revocation_ids))
        found = await self._record.pipeline([("HGETALL", keyspace.revocation(each)) for each in wanted])
        return {rid: _revocation(rid, facts) for rid, facts in zip(wanted, found, strict=True) if facts}

    async def lanes(self, revocation_ids: Sequence[str]) -> dict[str, tuple[Lane, bool]]:
        """In which lane each of these is, and whether it has been planned."""
        found = await self._record.pipeline(
            [("HMGET", keyspace.revocation(each), "lane", "state") for each in revocation_ids]
        )
        return {
            name: (_lane(lane), state not in {None, "accepted"})
            for name, (lane, state) in zip(revocation_ids, found, strict=True)
        }

    async def page(
        self, *, connection_id: str | None, user_id: str | None, state: str | None, after: Mark | None, limit: int
    ) -> tuple[tuple[Revocation, ...], Mark | None]:
        """Revocations from the newest on, of a person or a connection or all, and where the next page begins.

        `limit` list entries are read; those another filter drops leave the page shorter, never a reader waiting.
        """
        key = keyspace.REVOCATIONS
        if user_id is not None:
            key = person_keys.revocations(user_id)
        elif connection_id is not None:
            key = keyspace.revocations_of_connection(connection_id)
        ids, following = await page_of(self._record, key, after=after, limit=limit, newest_first=True)
        found = await self._record.pipeline([("HGETALL", keyspace.revocation(each)) for each in ids])
        every = [_revocation(rid, facts) for rid, facts in zip(ids, found, strict=True) if facts]
        kept = [each for each in every if state in {None, each.state} and connection_id in {None, each.connection_id}]
        return tuple(kept), following

    async def forget_old(self, *, now_ms: int) -> None:
        """Drop list entries whose receipts have expired. The list of a removed connection goes all at once, by its expiry."""
        oldest = now_ms - self._receipt_ms
        names = await self._record.run("ZRANGE", keyspace.CONNECTIONS, 0, -1)
        commands: list[Command | Script] = [("ZREMRANGEBYSCORE", keyspace.REVOCATIONS, "-inf", oldest)]
        commands += [("ZREMRANGEBYSCORE", keyspace.revocations_of_connection(each), "-inf", oldest) for each in names]
        await self._record.pipeline(commands)


def _lane(noted: str | None) -> Lane:
    return "bulk" if noted == "bulk" else "urgent"


def _revocation(revocation_id: str, facts: dict[str, Any]) -> Revocation:
    def moment(name: str) -> int | None:
        return int(facts[name]) if name in facts else None

    return Revocation(
        revocation_id=revocation_id,
        connection_id=facts["connection_id"],
        user_ids=tuple(json.loads(facts["user_ids"])),
        initiator=facts["initiator"],
        reason=facts.get("reason"),
        scope=read_json(_SCOPE, facts["scope"], of="Scope"),
        state=facts["state"],
        accepted_at_ms=int(facts["accepted_at_ms"]),
        revoked_at_ms=moment("revoked_at_ms"),
        completed_at_ms=moment("completed_at_ms"),
        redelivered_at_ms=moment("redelivered_at_ms"),
        lane=_lane(facts.get("lane")),
        late=facts.get("late") == "1",
        sessions_ended=int(facts.get("sessions_ended", 0)),
        refresh_tokens_revoked=int(facts.get("refresh_tokens_revoked", 0)),
    )
