"""When a delivery that did not succeed is tried again, and when it is given up."""

import math
from collections.abc import Callable
from typing import Final

from service.domain.retry_schedule import LEAST_SHARE, RetrySchedule

DEFAULT: Final = RetrySchedule()
"""The schedule where no settings say another."""


def next_attempt_ms(
    *,
    attempt_count: int,
    first_attempt_ms: int,
    now_ms: int,
    retry_after_s: float | None,
    random: Callable[[], float],
    schedule: RetrySchedule = DEFAULT,
) -> int | None:
    """When to try again, in milliseconds since the epoch, after `attempt_count` attempts of which the last just failed.

    Between half and the whole of a step is waited, by `random` (a number from 0 up to 1), but never less than
    `retry_after_s` where the application asked for that. None: that would be later than the schedule's window after the
    first attempt, and nothing more is tried.
    """
    step_s = schedule.step_s(attempt_count)
    pause_s = max(step_s * (LEAST_SHARE + (1 - LEAST_SHARE) * random()), retry_after_s or 0.0)
    due_ms = now_ms + math.ceil(pause_s * 1000)
    return due_ms if due_ms <= first_attempt_ms + int(schedule.window_s * 1000) else None
