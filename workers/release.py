"""Looking at backlogs: what may go back to the due index, and when to look again.

One look lets go what an application can take: all it is owed when it has been removed, one delivery when it is to be found out
whether it is back, and otherwise as many as it has had slots for, more each time until some come back. Of an application that
cannot be told only what is past its time goes, to be given up; a bounded number at a time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.domain.client_health import ClientHealth
from service.domain.clock import Clock
from service.domain.retry_schedule import RetrySchedule
from service.errors import Unavailable, WrongRecord
from service.store.backlogs import Backlogs, Release, Waiting
from service.store.client_health import Addressee, ClientHealths
from service.store.codec import UnreadableError
from service.telemetry import get_logger

log = get_logger(__name__)

FIRST_RELEASE: Final = 16
"""How many the first look lets go; each look after it twice as many, or half when some came back for want of a slot."""

LEAST_RELEASE: Final = 4
"""The fewest a look lets go, of an application that can be told."""

MOST_RELEASE: Final = 512
"""The most a look lets go: with LOOK_MS a thousand a second, more than one application has been seen to take."""

LOOK_MS: Final = 500
"""Pause between two looks at a backlog that can be let go, in milliseconds."""

PROBE_LOOK_MS: Final = 10_000
"""When to look again after a probe was let go, in milliseconds, should nothing be heard of it: its report moves this."""

LONGEST_LOOK_MS: Final = 3_600_000
"""Longest pause between two looks, in milliseconds: how late after its time a delivery may be given up."""


@dataclass(frozen=True, kw_only=True)
class Releaser:
    """What looking at backlogs takes. `receipt_ms`: how long a delivery may wait in all, however long its application pauses."""

    clock: Clock
    client_healths: ClientHealths
    backlogs: Backlogs
    retry_schedule: RetrySchedule
    receipt_ms: int

    async def look(self, client_ids: Sequence[str], *, hidden_until_ms: int) -> None:
        """Let go what may go of each, and plan the next look. `hidden_until_ms`: until when no one else looks at them.

        Where one of them is a fault of ours, the others are looked at one by one.
        """
        if not client_ids:
            return
        try:
            await self._look(client_ids, hidden_until_ms=hidden_until_ms)
        except Exception as error:  # such as a record nobody can read: no other application may wait for it
            if isinstance(error, Unavailable) and not isinstance(error, WrongRecord):
                raise
            if len(client_ids) == 1:
                # The class alone: what cannot be read may be repeated in the error.
                log.error("backlog.fault", client_id=client_ids[0], error=type(error).__name__)  # noqa: TRY400
                return
            for each in client_ids:
                await self.look([each], hidden_until_ms=hidden_until_ms)

    async def _look(self, client_ids: Sequence[str], *, hidden_until_ms: int) -> None:
        now_ms = self.clock.now_ms()
        addressees = await self.client_healths.addressees(client_ids)
        if addressees.unreadable:
            raise UnreadableError("an application")
        found = addressees.known
        heads = await self.backlogs.heads({each: _allowance(found.get(each), now_ms) for each in client_ids})
        late = await self.backlogs.older_than(
            {
                name: self._latest_ms(each.health, now_ms)
                for name, each in found.items()
                if each.health.blocked_by is not None
            },
            limit=MOST_RELEASE,
        )
        await self.backlogs.release(
            [_decide(each, found.get(each), heads[each], late.get(each, ()), now_ms) for each in client_ids],
            hidden_until_ms=hidden_until_ms,
            due_at_ms=now_ms,
        )

    def _latest_ms(self, health: ClientHealth, now_ms: int) -> int:
        """What has waited since before this is past its time (`ClientHealth.gives_up_at_ms`)."""
        window_ms = int(self.retry_schedule.window_s * 1000)
        stopped = health.paused_at_ms is not None or (health.resumed_at_ms or 0) > now_ms - window_ms
        return now_ms - (self.receipt_ms if stopped else window_ms)


def _allowance(addressee: Addressee | None, now_ms: int) -> int:
    """How many may go now because they can be told, or never will be."""
    if addressee is None or addressee.application.backchannel_logout_uri is None:
        return MOST_RELEASE
    health = addressee.health
    if health.held(now_ms) is not None:
        return 0
    if health.breaker(now_ms) != "closed":
        return 1
    most = MOST_RELEASE
    rate = addressee.application.delivery_rate_per_second
    if rate is not None:
        most = math.ceil(rate * LOOK_MS / 1000)
    if health.released == 0:
        return min(FIRST_RELEASE, most)
    return min(max(LEAST_RELEASE, health.released // 2) if health.crowded else health.released * 2, most)


def _decide(
    client_id: str, addressee: Addressee | None, head: Sequence[Waiting], late: Sequence[Waiting], now_ms: int
) -> Release:
    going = [*head, *late]
    return Release(
        client_id=client_id,
        delivery_ids=[each.delivery_id for each in going],
        next_look_ms=_next_look_ms(addressee, now_ms, unfinished=len(late) >= MOST_RELEASE),
        # A probe says nothing of how many it can take.
        released=0 if addressee is None or addressee.health.blocked_by else len(head),
    )


def _next_look_ms(addressee: Addressee | None, now_ms: int, *, unfinished: bool) -> int:
    if addressee is None or addressee.application.backchannel_logout_uri is None or unfinished:
        return now_ms + LOOK_MS
    health, rate = addressee.health, addressee.application.delivery_rate_per_second
    match health.held(now_ms):
        case "paused":
            return now_ms + LONGEST_LOOK_MS
        case None:
            pause_ms = LOOK_MS if health.breaker(now_ms) == "closed" else PROBE_LOOK_MS
            return now_ms + max(pause_ms, 0 if rate is None else math.ceil(1000 / rate))
        case _:
            return min(health.free_at_ms, now_ms + LONGEST_LOOK_MS)
