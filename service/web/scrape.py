"""What /metrics says, made once a second however often it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from service.domain.clock import Clock

KEPT_S: Final = 1.0
"""How long what was told is told again, in seconds. Each making asks Redis ten things, and whoever asks is answered, however many
requests are under way. Prometheus asks every ten seconds or more."""


class Scrape:
    """The answer last made. Whoever asks while one is being made has that one."""

    def __init__(self, clock: Clock, *, kept_s: float = KEPT_S) -> None:
        self._clock = clock
        self._kept_ms = kept_s * 1000
        self._made: bytes | None = None
        self._made_at_ms = 0
        self._making = asyncio.Lock()

    async def read(self, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """What is told now: what `make` has made at most KEPT_S ago."""
        async with self._making:
            age_ms = self._clock.now_ms() - self._made_at_ms
            # A clock that was set back makes it anew.
            if self._made is None or not 0 <= age_ms < self._kept_ms:
                self._made = await make()
                self._made_at_ms = self._clock.now_ms()
            return self._made
