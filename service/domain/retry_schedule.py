"""When a delivery that did not succeed is tried again, and when it is given up: what an operator may decide of it."""

from dataclasses import dataclass
from typing import Final

FIRST_STEP_S: Final = 1.0
"""Pause after the first attempt, in seconds, before jitter: most failures are a restart or a moment's overload."""

LONGEST_STEP_S: Final = 3600.0
"""Longest pause, in seconds, before jitter: an application that is back is told within the hour."""

WINDOW_S: Final = 24 * 3600.0
"""How long is tried, in seconds from the first attempt. What is due later is not tried: the delivery is dead."""

LEAST_SHARE: Final = 0.5
"""Jitter: the least part of a step that is waited. Deliveries that failed together do not come back together."""

MAX_RETRY_AFTER_S: Final = 3600.0
"""Longest `Retry-After` that is honoured, in seconds: an application must not put its own logouts off for days."""

_MOST_DOUBLINGS: Final = 60
"""No step is doubled more often: the longest a setting allows is reached long before, and a count is never an exponent
unbounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySchedule:
    """Steps that double from the first to the longest, within a window."""

    first_step_s: float = FIRST_STEP_S
    longest_step_s: float = LONGEST_STEP_S
    window_s: float = WINDOW_S

    def step_s(self, attempt_count: int) -> float:
        """The pause after so many attempts, in seconds, before jitter."""
        doublings = min(max(attempt_count - 1, 0), _MOST_DOUBLINGS)
        return min(self.first_step_s * 2.0**doublings, self.longest_step_s)

    @property
    def steps_s(self) -> tuple[float, ...]:
        """The pauses that grow, in seconds, up to the longest, which is the last here and repeated from then on. Those that no
        window has room for are left out."""
        steps: list[float] = []
        while not steps or (steps[-1] < self.longest_step_s and sum(steps) < self.window_s):
            steps.append(self.step_s(len(steps) + 1))
        if len(steps) > 1 and sum(steps) > self.window_s:
            steps.pop()
        return tuple(steps)

    @property
    def fewest_attempts(self) -> int:
        """Attempts before a delivery is given up when each fails at once and every whole step is waited. With jitter there are
        up to about twice as many."""
        steps = self.steps_s
        left_s = self.window_s - sum(steps)
        more = int(left_s // self.longest_step_s) if steps[-1] >= self.longest_step_s else 0
        return 1 + len(steps) + more
