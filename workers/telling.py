"""The log's word on what became of a delivery."""

from service.telemetry import get_logger
from workers.ledger import Entry

log = get_logger(__name__)


def tell_attempt(entry: Entry, *, recorded: bool, now_ms: int) -> None:
    """One rich line per attempt: everything a person would ask for."""
    after, accepted_at_ms = entry.after, entry.revocation.accepted_at_ms
    named = {
        "revocation_id": entry.revocation.revocation_id,
        "delivery_id": after.delivery_id,
        "client_id": after.client_id,
    }
    if not entry.attempted:
        event = "delivery.skipped" if entry.closed else "delivery.held"
        log.info(event, **named, reason=after.reason)
        return
    latest, due_ms = after.attempts[-1], after.next_attempt_at_ms
    log.info(
        "delivery.attempted",
        **named,
        attempt=after.attempt_count,
        state=after.state,
        reason=after.reason,
        status=latest.status,
        error=latest.error,
        duration_ms=latest.duration_ms,
        since_accepted_ms=latest.at_ms + latest.duration_ms - accepted_at_ms,
        next_attempt_in_ms=None if due_ms is None else due_ms - now_ms,
        recorded=recorded,
    )
