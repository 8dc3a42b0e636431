"""One time for all processes: Redis'. What one of them writes and another compares, leases and due times above all, must not
depend on whose clock is right."""

import asyncio
import time
from typing import Final

from service.domain.clock import Clock
from service.errors import Unavailable
from service.store.record import CALL_TIMEOUT_S, Record
from service.telemetry import get_logger

log = get_logger(__name__)

INTERVAL_S: Final = 10.0
"""Pause between two looks at Redis' clock, in seconds: in that time two honest clocks drift apart by a millisecond."""

AGAIN_S: Final = 1.0
"""Pause before the next look after one that failed, in seconds."""

LOOKS: Final = 3
"""How often a reading asks: the shortest of the round trips says most."""

LONGEST_TRIP_S: Final = 0.5
"""Longest round trip that counts but for the first, in seconds: what it says may be wrong by half of that."""

REMARKABLE_MS: Final = 2_000
"""How far Redis' clock and this machine's may differ without a word, in milliseconds."""


class FleetClock:
    """Redis' clock, read again and again and carried on in between by a clock of this machine that nobody sets.

    Until it has been read there is no time: whoever asks needs Redis anyway, and what is dated by this machine instead may be
    dated hours away from all the rest.
    """

    def __init__(self, record: Record, clock: Clock) -> None:
        self._record = record
        self._clock = clock
        self._ahead_ms: float | None = None
        """What to add to the monotonic clock."""
        self._remarked = False

    def now_ms(self) -> int:
        """Milliseconds since the epoch. Raises Unavailable until the first reading, as while Redis is away from the start on."""
        if self._ahead_ms is None:
            raise Unavailable("the record's clock has not been read yet")
        return int(time.monotonic() * 1000 + self._ahead_ms)

    async def start(self) -> None:
        """Read Redis' clock before anything is dated. Where Redis is away a process starts all the same, and has no time until
        `follow` has found it."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await self.read()
        except (Unavailable, TimeoutError) as error:
            log.warning("clock.not_read", error=str(error))

    async def follow(self) -> None:
        """Read Redis' clock now and every INTERVAL_S, until cancelled."""
        while True:
            try:
                good = await self.read()
            except Unavailable:  # whoever needs Redis says so; the last reading goes on
                good = False
            await asyncio.sleep(INTERVAL_S if good else AGAIN_S)

    async def read(self) -> bool:
        """Read Redis' clock; False when that took too long to be of use, unless it is the first time. Raises Unavailable, also
        when what answers is a replica: so a process that only reads finds out within INTERVAL_S, and connects anew.

        A reading moves the clock no further than it proves it wrong. Redis answered somewhere within the round trip; a
        clock that already was within it stays, or each busy moment would set it a little forth or back.
        """
        trips = [await self._look() for _ in range(LOOKS)]
        earliest_ms, latest_ms = min(trips, key=lambda trip: trip[1] - trip[0])
        of_use = latest_ms - earliest_ms <= LONGEST_TRIP_S * 1000
        if self._ahead_ms is None:
            # However long it took: it is at most half of that away from the others, and the next one mends it.
            self._ahead_ms = (earliest_ms + latest_ms) / 2
        if not of_use:
            return False
        self._ahead_ms = min(max(self._ahead_ms, earliest_ms), latest_ms)
        apart_ms = abs(self.now_ms() - self._clock.now_ms())
        if apart_ms > REMARKABLE_MS and not self._remarked:
            log.warning("clock.apart", apart_ms=apart_ms)
        self._remarked = apart_ms > REMARKABLE_MS
        return True

    async def _look(self) -> tuple[float, float]:
        """Between which two numbers of milliseconds Redis' clock is ahead of the monotonic one."""
        before = time.monotonic()
        seconds, microseconds = await self._record.ask(("TIME",))
        after = time.monotonic()
        redis_ms = int(seconds) * 1000 + int(microseconds) / 1000
        return redis_ms - after * 1000, redis_ms - before * 1000
