"""A clock that stands until it is turned."""

from typing import Final

START_MS: Final = 1_800_000_000_000
"""Where a HandClock begins, in milliseconds since the epoch: a round number in January 2027."""


class HandClock:
    """Time for tests that decide themselves when it passes."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._now_ms

    @property
    def now_s(self) -> int:
        """Whole seconds since the epoch, as JWTs count them."""
        return self._now_ms // 1000

    def advance(self, seconds: float) -> None:
        """Let time pass; back when negative."""
        self._now_ms += round(seconds * 1000)
