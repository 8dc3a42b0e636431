"""Deliveries that were given up, made without waiting for anybody: planned, leased and settled in the record."""

from dataclasses import replace

from service.domain.delivery import Attempt, Delivery
from service.domain.identifiers import delivery_id_for
from service.resources import Resources
from service.store.deliveries import Settlement


async def let_die(resources: Resources, revocation_id: str, client_id: str) -> str:
    """What this accepted revocation owes to one application is given up; the delivery's id."""
    now_ms = resources.clock.now_ms()
    revocation = await resources.revocations.get(revocation_id)
    assert revocation is not None
    (user_id,) = revocation.user_ids
    owed = Delivery(
        delivery_id=delivery_id_for(revocation_id, user_id, client_id, user_id, None),
        user_id=user_id,
        client_id=client_id,
        sub=user_id,
        sid=None,
    )
    first = await resources.revocations.plan(
        revocation,
        [owed],
        sessions_ended=1,
        refresh_tokens_revoked=0,
        now_ms=now_ms,
        lease_until_ms=now_ms + 20_000,
    )
    assert first, "it was planned before"
    attempt = Attempt(at_ms=now_ms, duration_ms=7, status=400, error="rejected")
    dead = replace(owed, state="dead", reason="rejected", attempts=(attempt,), attempt_count=1)
    settled = await resources.deliveries.settle(
        [Settlement(delivery=dead, lease_until_ms=now_ms + 20_000)], now_ms=now_ms
    )
    await resources.schedule.settle(finished=[revocation_id], done=[owed.delivery_id], due={})
    assert settled == ["incomplete"]
    return owed.delivery_id
