"""What a delivery is after an attempt: told, refused, given up, or to be tried again, and when."""

import random
from dataclasses import replace

from service.domain.delivery import MAX_ATTEMPTS_SHOWN, Attempt, Delivery
from service.domain.retry_schedule import RetrySchedule
from service.store.client_health import Addressee
from workers.backoff import next_attempt_ms
from workers.outbound import Outcome


def after_attempt(
    delivery: Delivery,
    addressee: Addressee,
    outcome: Outcome,
    at_ms: int,
    *,
    now_ms: int,
    schedule: RetrySchedule,
) -> Delivery:
    """The delivery with its attempt of this moment, and what follows from how that came out."""
    attempt = Attempt(at_ms=at_ms, duration_ms=outcome.duration_ms, status=outcome.status, error=outcome.error)
    tried = replace(
        delivery,
        attempts=(*delivery.attempts, attempt)[-MAX_ATTEMPTS_SHOWN:],
        attempt_count=delivery.attempt_count + 1,
        first_attempt_at_ms=delivery.first_attempt_at_ms or at_ms,
        next_attempt_at_ms=None,
    )
    if outcome.verdict == "delivered":
        return replace(tried, state="delivered", reason=None, held_since_ms=None)
    if outcome.verdict == "rejected":
        return replace(tried, state="dead", reason=outcome.error, held_since_ms=None)
    due_ms = next_attempt_ms(
        attempt_count=tried.attempt_count,
        # A pause stops the clock.
        first_attempt_ms=max(tried.since_ms or at_ms, addressee.health.resumed_at_ms or 0),
        now_ms=now_ms,
        retry_after_s=outcome.retry_after_s,
        random=random.random,
        schedule=schedule,
    )
    if due_ms is None:
        return replace(tried, state="dead", reason="gave_up", held_since_ms=None)
    return replace(tried, state="retrying", reason=None, next_attempt_at_ms=due_ms)
