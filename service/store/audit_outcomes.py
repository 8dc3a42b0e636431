"""What the audit trail is told of deliveries: how each ended."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from service.domain.audit import Event, Fact
from service.domain.delivery import Delivery, State
from service.domain.revocation import Revocation
from service.errors import Unavailable
from service.store.audit import Trail
from service.store.deliveries import Deliveries
from service.store.pseudonyms import Pseudonym
from service.telemetry import get_logger

log = get_logger(__name__)

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


async def take_back_outcomes(
    trail: Trail, deliveries: Deliveries, ended: Sequence[tuple[Revocation, Delivery]]
) -> None:
    """Tell of those that were told to have ended, and which the record says otherwise of: somebody else had changed them when
    they were to be written. Never raises: what was recorded beside them is, whether this can be said or not.

    Of one that was delivered it stays true that its application was told.
    """
    try:
        await _take_back(trail, deliveries, ended)
    except Unavailable as error:
        log.warning("audit.not_taken_back", outcomes=len(ended), error=str(error))


async def _take_back(trail: Trail, deliveries: Deliveries, ended: Sequence[tuple[Revocation, Delivery]]) -> None:
    told = [each for each in ended if each[1].state != "delivered"]
    rows = {
        row.delivery_id: (row.state, row.reason)
        for rid in dict.fromkeys(revocation.revocation_id for revocation, _ in told)
        for row in await deliveries.of_revocation(rid)
    }
    wrong = [each for each in told if rows.get(each[1].delivery_id) != (each[1].state, each[1].reason)]
    if wrong:
        names = await trail.pseudonyms.of_all(list(dict.fromkeys(delivery.user_id for _, delivery in wrong)))
        facts = [_fact(revocation, delivery, names) for revocation, delivery in wrong]
        await trail.append([replace(each, event="delivery.not_ended") for each in facts])


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
