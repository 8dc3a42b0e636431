"""Whether a delivery may be sent now, where it waits if not, and what an attempt says of its application to the whole fleet."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from service.domain.audit import Event, Fact
from service.domain.client_health import FIRST_PROBE_MS, LONGEST_REST_MS, HoldReason
from service.domain.clock import Clock
from service.domain.delivery import Delivery
from service.domain.retry_schedule import RetrySchedule
from service.domain.revocation import Revocation
from service.errors import Unavailable
from service.store.audit import Trail
from service.store.client_health import Addressee, Change, ClientHealths, Report
from service.telemetry import get_logger
from workers.ledger import Held
from workers.outbound import Outcome
from workers.release import LONGEST_LOOK_MS, LOOK_MS
from workers.slots import NoSlotError, Slots
from workers.sparing import FRESH_MS
from workers.turns import NoTurnError, has_limits

log = get_logger(__name__)

OUR_OWN: Final = frozenset({"no_signing_key", "internal_error"})
"""Errors that are no application's doing."""

BE_PATIENT: Final = frozenset({408, 425, 429})
"""Answers that neither speak against an application nor show that it takes logout tokens again."""

ASKS_TO_REST: Final = frozenset({429, 503})
"""Answers whose `Retry-After` is the whole application's (RFC 6585 section 4, RFC 9110 section 15.6.4)."""


class TooLateError(Exception):
    """So little of its lease is left that another worker may have it before this one has ended. Nothing was sent."""


class HeldBackError(Exception):
    """Its application is not to be told any more, for now. Nothing was sent."""

    def __init__(self, held: Held) -> None:
        super().__init__(held.reason)
        self.held = held


NOT_SENT: Final = (NoSlotError, NoTurnError, TooLateError, HeldBackError)
"""Why what was admitted is not sent after all."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """One per worker process. `receipt_ms`: how long a delivery may wait in all, however long its application is paused."""

    clock: Clock
    client_healths: ClientHealths
    slots: Slots
    retry_schedule: RetrySchedule
    receipt_ms: int
    trail: Trail

    async def blocked(self, addressee: Addressee, attempt: str, lease_until_ms: int) -> Held | None:
        """Why this may not be sent now, if it may not. Where one delivery may find out whether the application is back, this
        is the one unless another was first."""
        now_ms = self.clock.now_ms()
        health = addressee.health
        reason = health.held(now_ms)
        if reason is None and health.breaker(now_ms) != "closed":
            client_id = addressee.application.client_id
            first = await self.client_healths.take_probe(
                client_id, attempt, now_ms=now_ms, probing_until_ms=lease_until_ms
            )
            reason = None if first else health.blocked_by
        return None if reason is None else self._kept_back(addressee, reason)

    async def look_again(self, addressee: Addressee, *, read_ms: int) -> None:
        """Return when it may still be sent, after its wait for a slot and a turn. `read_ms`: when its application was read; what
        is younger than FRESH_MS stands. Raises HeldBackError, Unavailable."""
        now_ms = self.clock.now_ms()
        if now_ms - read_ms < FRESH_MS:
            return
        health = await self.client_healths.get(addressee.application.client_id)
        if addressee.health.opened_at_ms is not None:
            # A probe is not kept back by what it is to find out.
            health = replace(health, opened_at_ms=None)
        reason = health.held(now_ms) or health.blocked_by
        if reason is not None:
            raise HeldBackError(self._kept_back(replace(addressee, health=health), reason))

    async def give_back_probe(self, addressee: Addressee, attempt: str, *, look_at_ms: int) -> None:
        """Nothing was sent after all: where it was to find out whether the application is back, another may, from a moment on.
        Raises Unavailable."""
        # Nothing but a probe comes this far while the breaker is not closed.
        if addressee.health.opened_at_ms is not None:
            client_id = addressee.application.client_id
            await self.client_healths.give_back_probe(client_id, attempt, look_at_ms=look_at_ms)

    def not_sent(self, error: NoSlotError | NoTurnError | TooLateError | HeldBackError) -> Held:
        """Why it was not, after all, and when to look again."""
        now_ms = self.clock.now_ms()
        match error:
            case HeldBackError():
                return error.held
            case NoTurnError():
                return Held(reason=error.reason, look_at_ms=now_ms + max(LOOK_MS, error.wait_ms), crowded=True)
            case NoSlotError() if error.bounced is not None:
                return Held(reason=error.bounced, look_at_ms=now_ms + FIRST_PROBE_MS)
            case NoSlotError():
                return Held(reason="busy", look_at_ms=now_ms + LOOK_MS, crowded=True)
            case TooLateError():
                # Our own doing: it says nothing of how much the application can take.
                return Held(reason="busy", look_at_ms=now_ms + LOOK_MS)

    def behind_others(self, delivery: Delivery, addressee: Addressee) -> Held | None:
        """Where an application limits what it takes and deliveries wait for it, a new one stands behind them: it would take
        their turn."""
        application = addressee.application
        if delivery.held_since_ms is not None or not addressee.health.waiting or not has_limits(application):
            return None
        reason: HoldReason = "busy" if application.delivery_rate_per_second is None else "rate_limited"
        return Held(reason=reason, look_at_ms=self.clock.now_ms() + LOOK_MS)

    def _kept_back(self, addressee: Addressee, reason: HoldReason) -> Held:
        """For as long as what is known of its application lasts."""
        now_ms = self.clock.now_ms()
        soon_ms = now_ms + LOOK_MS
        # Where another's probe was taken a moment ago, its report moves this.
        look_at_ms = now_ms + LONGEST_LOOK_MS if reason == "paused" else max(addressee.health.free_at_ms, soon_ms)
        return Held(reason=reason, look_at_ms=look_at_ms, look_if_free_ms=soon_ms)

    def hold(
        self, delivery: Delivery, addressee: Addressee, revocation: Revocation, held: Held
    ) -> tuple[Delivery, Held | None]:
        """The delivery put into its application's backlog, or given up because it has waited for too long."""
        now_ms = self.clock.now_ms()
        waits = replace(
            delivery, reason=held.reason, held_since_ms=delivery.held_since_ms or now_ms, next_attempt_at_ms=None
        )
        gives_up_at_ms = addressee.health.gives_up_at_ms(
            since_ms=waits.since_ms or now_ms,
            accepted_at_ms=delivery.owed_since_ms(revocation.accepted_at_ms),
            window_ms=int(self.retry_schedule.window_s * 1000),
            receipt_ms=self.receipt_ms,
        )
        if now_ms > gives_up_at_ms:
            return replace(waits, state="dead", reason="gave_up", held_since_ms=None), None
        return waits, held

    def heed(self, client_id: str, outcome: Outcome) -> None:
        """Let nobody who waits for a slot have this attempt's, where the application asks to be left alone."""
        if asks_to_rest_until_ms(outcome, self.clock.now_ms()) is not None:
            self.slots.bounce(client_id, "rate_limited")

    async def report(self, addressee: Addressee, outcome: Outcome, attempt: str) -> None:
        """Tell the fleet what this attempt says of the application, where that is news."""
        now_ms = self.clock.now_ms()
        answered, rest_until_ms = answers(outcome), asks_to_rest_until_ms(outcome, now_ms)
        health = addressee.health
        if rest_until_ms is None and (health.opened_at_ms is None if answered is None else answered and health.answers):
            return
        client_id = addressee.application.client_id
        report = Report(client_id=client_id, attempt=attempt, answered=answered, rest_until_ms=rest_until_ms)
        try:
            (change,) = await self.client_healths.report([report], now_ms=now_ms)
        except Unavailable as error:
            # What became of the delivery is worth more: unrecorded, whoever took its token would be sent another.
            log.warning("client.not_reported", client_id=client_id, error=str(error))
            return
        if change in {"opened", "suspended", "probed"}:
            self.slots.bounce(client_id, "circuit_open")
        told = _CHANGES.get(change)
        is_back = change == "closed" and addressee.health.suspended_at_ms is not None
        if change == "suspended" or is_back:
            event: Event = "client.recovered" if is_back else "client.suspended"
            fact = Fact(event=event, client_id=client_id, reason=outcome.error, status=outcome.status)
            # The outcome is worth more here too: the trail's own line in the log says what it lacks.
            with contextlib.suppress(Unavailable):
                await self.trail.append([fact])
        if told is not None:
            (log.warning if change == "suspended" else log.info)(told, client_id=client_id, error=outcome.error)


_CHANGES: Final[Mapping[Change, str]] = {
    "opened": "client.circuit_opened",
    "closed": "client.circuit_closed",
    "suspended": "client.suspended",
}


def answers(outcome: Outcome) -> bool | None:
    """Whether an attempt found somebody there (`service.domain.client_health`); None where it tells nothing of that: faults
    of ours, and an application that asks for patience."""
    if outcome.error in OUR_OWN or outcome.status in BE_PATIENT:
        return None
    return outcome.status is not None and outcome.status < 500


def asks_to_rest_until_ms(outcome: Outcome, now_ms: int) -> int | None:
    """Until when the application asks that nobody's logout tokens are sent; at most LONGEST_REST_MS from now."""
    if outcome.status not in ASKS_TO_REST or not outcome.retry_after_s:
        return None
    return now_ms + min(math.ceil(outcome.retry_after_s * 1000), LONGEST_REST_MS)
