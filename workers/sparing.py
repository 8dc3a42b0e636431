"""Looking, just before a logout token is sent, at what it would end besides what was meant (law 5).

It is read at the last moment: while a delivery waits for its time, its slot or its turn, people sign in again.
"""

from dataclasses import dataclass
from typing import Final

from service.domain.clock import Clock
from service.domain.delivery import Delivery
from service.domain.redelivery import spare_newer
from service.domain.revocation import Revocation
from service.store.redeliveries import Redeliveries

FRESH_MS: Final = 500
"""How long what was read of a person's sessions, and of an application, stands, in milliseconds: most deliveries are sent within
this of their plan, and cost nothing more. A sign-in within it meets the logout token on its way, as it may with any."""


class SparedError(Exception):
    """It must not be sent as it is, or not at all. `added`: the rows that take its place."""

    def __init__(self, after: Delivery, added: tuple[Delivery, ...]) -> None:
        super().__init__(after.reason)
        self.after = after
        self.added = added


@dataclass(kw_only=True)
class Sparing:
    """One per attempt. `read_ms`: when what its token would end was last read."""

    clock: Clock
    redeliveries: Redeliveries
    revocation: Revocation
    delivery: Delivery
    read_ms: int

    async def look(self) -> None:
        """Return when it may be sent as it is. Raises SparedError, Unavailable."""
        now_ms = self.clock.now_ms()
        if now_ms - self.read_ms < FRESH_MS:
            return
        asked = (self.revocation, self.delivery.user_id, [self.delivery.client_id])
        (held,) = await self.redeliveries.held([asked], now_ms=now_ms)
        self.read_ms = now_ms
        after, *added = spare_newer(self.delivery, held)
        if after is not self.delivery:
            raise SparedError(after, tuple(added))


def read_ms(delivery: Delivery, revocation: Revocation, planned_ms: int | None) -> int:
    """When it was last read what a delivery's token would end. `planned_ms`: when what it was planned by was read, if this is
    the plan's own attempt.

    A plan names one by `sub` alone where the application held nothing else. By which `sid`s it knows what is newer, no plan
    looks at: nothing was when the revocation came into force. What is redelivered has left all that behind.
    """
    if planned_ms is not None and delivery.sid is None:
        return planned_ms
    return 0 if delivery.redelivered_at_ms else revocation.accepted_at_ms
