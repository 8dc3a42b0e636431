"""What the audit trail is told of deliveries: how each ended."""

from collections.abc import Mapping, Sequence
from typing import Final

from service.domain.audit import Event, Fact
from service.domain.delivery import Delivery, State
from service.domain.revocation import Revocation
from service.store.audit import Trail
from service.store.pseudonyms import Pseudonym

_EVENTS: Final[Mapping[State, Event]] = {
    "delivered": "delivery.delivered",
    "dead": "delivery.dead",
    "skipped": "delivery.skipped",
}


async def tell_outcomes(trail: Trail, ended: Sequence[tuple[Revocation, Delivery]]) -> None:
    """Tell of deliveries that have ended, before they are recorded as such. Raises Unavailable: then they must not be."""
    if not ended:
        return
    names = await trail.pseudonyms.of_all(list(dict.fromkeys(delivery.user_id for _, delivery in ended)))
    await trail.append([_fact(revocation, delivery, names) for revocation, delivery in ended])


def _fact(revocation: Revocation, delivery: Delivery, names: Mapping[str, Pseudonym]) -> Fact:
    name = names.get(delivery.user_id)
    return Fact(
        event=_EVENTS[delivery.state],
        connection_id=revocation.connection_id,
        people=() if name is None else (name.person,),
        revocation_id=revocation.revocation_id,
        delivery=None if name is None else name.delivery(delivery.delivery_id),
        client_id=delivery.client_id,
        reason=delivery.reason,
        status=delivery.attempts[-1].status if delivery.attempts else None,
        attempts=delivery.attempt_count,
    )
