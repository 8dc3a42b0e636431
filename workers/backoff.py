"""When a delivery that did not succeed is tried again, and when it is given up."""

import math
from collections.abc import Callable
from typing import Final

FIRST_STEP_S: Final = 1.0
"""Pause after the first attempt, in seconds, before jitter: most failures are a restart or a moment's overload."""

LONGEST_STEP_S: Final = 3600.0
"""Longest pause, in seconds, before jitter: an application that is back is told within the hour."""

WINDOW_S: Final = 24 * 3600.0
"""How long is tried, in seconds from the first attempt. What is due later is not tried: the delivery is dead."""

LEAST_SHARE: Final = 0.5
"""Jitter: the least part of a step that is waited. Deliveries that failed together do not come back together."""

_LAST_DOUBLING: Final = 12
"""From here on the step is LONGEST_STEP_S (2**12 s is more than an hour): a count is never an exponent unbounded."""


def next_attempt_ms(
    *,
    attempt_count: int,
    first_attempt_ms: int,
    now_ms: int,
    retry_after_s: float | None,
    random: Callable[[], float],
) -> int | None:
    """When to try again, in milliseconds since the epoch, after `attempt_count` attempts of which the last just failed.

    Steps double from FIRST_STEP_S to LONGEST_STEP_S; between half and the whole of a step is waited, by `random` (a
    number from 0 up to 1), but never less than `retry_after_s` where the application asked for that. None: that would
    be later than WINDOW_S after the first attempt, and nothing more is tried.
    """
    doublings = min(max(attempt_count - 1, 0), _LAST_DOUBLING)
    step_s = min(FIRST_STEP_S * 2**doublings, LONGEST_STEP_S)
    pause_s = max(step_s * (LEAST_SHARE + (1 - LEAST_SHARE) * random()), retry_after_s or 0.0)
    due_ms = now_ms + math.ceil(pause_s * 1000)
    return due_ms if due_ms <= first_attempt_ms + int(WINDOW_S * 1000) else None
