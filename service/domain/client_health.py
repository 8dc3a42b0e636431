"""Whether an application can be told now: what an operator decided, and what its last answers were.

Three things can hold its deliveries back, the first that holds is named:

- *paused*: an operator's word. Nothing is sent and nothing is given up until they say otherwise.
- *suspended*: days of failure without one answer. As below, with an hour between two probes, until it answers or an operator
  resumes it.
- an open *circuit breaker*: failures in a row. One delivery at a time finds out whether it is back, after a pause that grows.

And for as long as an application asks for with `Retry-After`, it rests: one delivery was told so, and the others need not ask.

What counts as a failure is that nothing listens: no connection, no answer in time, or a 5xx. A 4xx or a redirect is an
answer. It refuses one token, which is that delivery's end and says nothing of the next; counted as failures, five sign-outs
that an application dislikes would hold up everybody's.
"""

from dataclasses import dataclass
from typing import Final, Literal

OPENS_AFTER: Final = 5
"""Failures in a row that open the breaker: more than a restart's worth of bad luck with one connection, few enough that a dead
application is left alone within seconds."""

FIRST_PROBE_MS: Final = 2_000
"""Pause between the failure that opened the breaker and the first probe, in milliseconds; each failed probe doubles it."""

LONGEST_PROBE_MS: Final = 300_000
"""Longest pause between two probes, in milliseconds: an application that is back is found within five minutes."""

SUSPENDED_PROBE_MS: Final = 3_600_000
"""Pause between two probes of a suspended application, in milliseconds."""

LONGEST_REST_MS: Final = 300_000
"""Longest time an application rests because it answered with `Retry-After`, in milliseconds: one answer speaks for everybody who
is to be signed out there. The delivery that had it waits for longer, where longer was asked for."""

UNINTERRUPTED_MS: Final = 24 * 3_600_000
"""Longest silence between two failures that still counts as one failing, in milliseconds. Who was not asked for longer than
this was not found failing all the while."""

State = Literal["active", "paused", "suspended"]
Breaker = Literal["closed", "open", "half_open"]

HoldReason = Literal["paused", "suspended", "circuit_open", "rate_limited", "busy"]
"""Why an open delivery waits: the three above; its application's own rate or number at once is used up, or it asked for a rest;
or it has more under way than a share of our slots."""

HOLD_REASONS: Final[frozenset[str]] = frozenset({"paused", "suspended", "circuit_open", "rate_limited", "busy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHealth:
    """What the whole fleet knows of one application; without any of it, all is well."""

    paused_at_ms: int | None = None
    pause_reason: str | None = None
    resumed_at_ms: int | None = None
    """When it was last resumed: a delivery's time to be tried counts from here at the earliest."""
    suspended_at_ms: int | None = None
    failures: int = 0
    """Failures since the last answer."""
    failing_since_ms: int | None = None
    opened_at_ms: int | None = None
    next_probe_at_ms: int | None = None
    probing_until_ms: int | None = None
    """Until when a probe is believed to be under way."""
    rest_until_ms: int | None = None
    """Until when it has asked to be left alone (`Retry-After`, RFC 9110 section 10.2.3)."""
    waiting: bool = False
    """Whether deliveries wait in its backlog."""
    crowded: bool = False
    """Whether some were put back into it, for want of a slot, since the last release."""
    released: int = 0
    """How many the last look let go."""

    @property
    def state(self) -> State:
        """The word for it."""
        if self.paused_at_ms is not None:
            return "paused"
        return "active" if self.suspended_at_ms is None else "suspended"

    @property
    def answers(self) -> bool:
        """Whether the last that is known of it is an answer, and no rest: then another answer changes nothing."""
        return self.failures == 0 and self.opened_at_ms is None and self.rest_until_ms is None

    def breaker(self, now_ms: int) -> Breaker:
        """Where the circuit breaker stands. Half open: the next delivery is a probe, or one is under way."""
        if self.opened_at_ms is None:
            return "closed"
        return "open" if now_ms < (self.next_probe_at_ms or 0) else "half_open"

    def held(self, now_ms: int) -> HoldReason | None:
        """Why nothing at all may be sent now; None also while a probe may."""
        if self.paused_at_ms is not None:
            return "paused"
        if now_ms >= self.free_at_ms:
            return None
        return self.blocked_by or "rate_limited"

    def next_try_at_ms(self, now_ms: int) -> int | None:
        """When something will be sent again; None when it may be now, and the breaker is closed."""
        rest_until_ms = self.rest_until_ms or 0
        if self.opened_at_ms is not None:
            return max(self.next_probe_at_ms or 0, rest_until_ms)
        return rest_until_ms if rest_until_ms > now_ms else None

    @property
    def free_at_ms(self) -> int:
        """When something may be sent again, if only a probe, as long as nobody pauses it."""
        return max(self.probe_at_ms, self.rest_until_ms or 0)

    @property
    def probe_at_ms(self) -> int:
        """When the next probe may begin; 0 when the breaker is closed."""
        return 0 if self.opened_at_ms is None else max(self.next_probe_at_ms or 0, self.probing_until_ms or 0)

    @property
    def blocked_by(self) -> HoldReason | None:
        """Why all but a probe wait."""
        if self.paused_at_ms is not None:
            return "paused"
        if self.opened_at_ms is None:
            return None
        return "circuit_open" if self.suspended_at_ms is None else "suspended"

    def why_waiting(self, noted: str | None) -> str | None:
        """Why an open delivery waits now, of which was noted why it last had to: what was lifted since is not said any more."""
        if self.blocked_by is not None:
            return self.blocked_by
        return "busy" if noted in {"paused", "suspended", "circuit_open"} else noted

    def gives_up_at_ms(self, *, since_ms: int, accepted_at_ms: int, window_ms: int, receipt_ms: int) -> int:
        """When a delivery is given up that has been tried, or waited for a first try, since a moment.

        A pause stops the clock: it begins anew when the application is resumed. What is not resumed at all ends with the time
        receipts are kept.
        """
        latest_ms = accepted_at_ms + receipt_ms
        if self.paused_at_ms is not None:
            return latest_ms
        return min(max(since_ms, self.resumed_at_ms or 0) + window_ms, latest_ms)
