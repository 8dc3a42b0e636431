"""Waiting for a turn of an application that takes only so many at once, or so many a second, from the whole fleet."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from service.domain.application import Application
from service.domain.client_health import HoldReason
from service.domain.clock import Clock
from service.errors import Unavailable
from service.store.turns import TURN_PATIENCE_MS, Turns
from service.telemetry import get_logger
from workers.slots import PER_CLIENT

log = get_logger(__name__)

ASK_AGAIN_S: Final = 0.05
"""Pause between two questions whether a turn of another process has come back, in seconds."""


class NoTurnError(Exception):
    """The application's own limit is used up. Nothing was sent."""

    def __init__(self, reason: HoldReason, wait_ms: int) -> None:
        super().__init__(reason)
        self.reason: HoldReason = reason
        self.wait_ms = wait_ms


def has_limits(application: Application) -> bool:
    """Whether it takes less than we would send."""
    return application.delivery_max_concurrent is not None or application.delivery_rate_per_second is not None


def slots_for(application: Application) -> int:
    """How many slots of one process are worth holding for it: no more than could have turns before their patience ends."""
    limit = PER_CLIENT
    if application.delivery_max_concurrent is not None:
        limit = min(limit, application.delivery_max_concurrent)
    if application.delivery_rate_per_second is not None:
        limit = min(limit, math.ceil(application.delivery_rate_per_second * TURN_PATIENCE_MS / 1000) + 1)
    return limit


@dataclass(frozen=True, kw_only=True)
class TurnTaker:
    """One per worker process."""

    clock: Clock
    turns: Turns

    @asynccontextmanager
    async def of(self, application: Application, attempt: str, *, lease_until_ms: int) -> AsyncGenerator[None]:
        """Hold a turn of an application; at once and without asking where it has no limits. Raises NoTurnError, Unavailable."""
        if not has_limits(application):
            yield
            return
        await self._take(application, attempt, lease_until_ms)
        try:
            yield
        finally:
            try:
                await self.turns.give_back(application, attempt)
            except Unavailable as error:
                # It comes back by itself when the lease ends.
                log.warning("turn.not_given_back", client_id=application.client_id, error=str(error))

    async def _take(self, application: Application, attempt: str, lease_until_ms: int) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + TURN_PATIENCE_MS / 1000
        while True:
            turn = await self.turns.take(
                application, attempt, now_ms=self.clock.now_ms(), lease_until_ms=lease_until_ms
            )
            if turn.verdict == "taken":
                await asyncio.sleep(turn.wait_ms / 1000)
                return
            if turn.verdict == "rate_limited" or loop.time() >= ends:
                raise NoTurnError(turn.verdict, turn.wait_ms)
            await asyncio.sleep(ASK_AGAIN_S)
