"""Turns: how many logout tokens one application takes at once, and how many a second, kept for the whole fleet.

Only applications that ask for it (`delivery_max_concurrent`, `delivery_rate_per_second`) cost anything here.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

from service.domain.application import Application
from service.store import keyspace
from service.store.record import Record

TURN_PATIENCE_MS: Final = 2_000
"""How long an attempt may wait for its turn, in milliseconds; what would wait longer waits in the backlog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of asking: it is `taken`, to be used after `wait_ms`; or there is none now."""

    verdict: Literal["taken", "busy", "rate_limited"]
    wait_ms: int


class Turns:
    """Every application's."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def take(self, application: Application, attempt: str, *, now_ms: int, lease_until_ms: int) -> Turn:
        """Ask for a turn. One that is not given back is free again at `lease_until_ms`."""
        rate = application.delivery_rate_per_second
        verdict, wait_ms = await self._record.script(
            "take_turn",
            [keyspace.turns(application.client_id), keyspace.pace(application.client_id)],
            [
                attempt,
                now_ms,
                lease_until_ms,
                application.delivery_max_concurrent or 0,
                # In microseconds: in whole milliseconds 700 a second would be 500.
                0 if rate is None else math.ceil(1_000_000 / rate),
                TURN_PATIENCE_MS,
            ],
        )
        return Turn(verdict=verdict, wait_ms=wait_ms)

    async def give_back(self, application: Application, attempt: str) -> None:
        """It is over."""
        if application.delivery_max_concurrent is not None:
            await self._record.run("ZREM", keyspace.turns(application.client_id), attempt)
