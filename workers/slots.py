"""How many attempts run at once, in all and per application: a slow one fills its own share and nobody else's.

Three rules, the first against few bad applications, the second against many, the third against our own bulk:

1. A slot that becomes free goes to the application with the fewest attempts under way. Whoever has none is next.
2. An application has as many slots as it has earned: a few until it has answered, its whole share while it answers promptly,
   two when it did not answer. All that are not prompt have one half of the slots together.
3. Bulk revocations leave a quarter of everything to urgent ones: of all slots, and of each application's.

So an application waits for another's attempt to end, and for no more than one: ISOLATION_S.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Literal

from service.domain.client_health import HoldReason
from service.domain.revocation import Lane
from service.outbound import ATTEMPT_DEADLINE_S

PER_CLIENT: Final = 32
"""Attempts at once to an application that answers promptly."""

PER_SLOW: Final = 16
"""Attempts at once to one that answers, and takes longer than PROMPT_MS: slow is not broken, and its bulk is to get on."""

PER_UNKNOWN: Final = 4
"""Attempts at once to one that has not answered this process yet: thirty that never will leave room for others."""

PER_SUSPECT: Final = 2
"""Attempts at once to one that did not answer the last: enough to find out when it is back (a circuit breaker for the whole
fleet follows, `service.domain.client_health`)."""

PROMPT_MS: Final = 1000
"""How long a prompt answer takes at most, in milliseconds. A quick application on a bad day is still quick."""

MAX_WAITING: Final = 96
"""Attempts of one lane that may wait in memory for a slot of an application; further ones go to its backlog."""

MAX_WAITING_HESITANT: Final = 8
"""The same, of an application that is not prompt: few, for their turn comes seldom, and whoever waits takes up memory that others
wait for (`workers.notify.MAX_RUNNING`)."""

PATIENCE_S: Final = 8.0
"""How long an attempt waits for its slot before it goes to the backlog, in seconds. It holds its lease meanwhile."""

ISOLATION_S: Final = ATTEMPT_DEADLINE_S + 1.0
"""The bound: how much later than otherwise a delivery to a healthy application is sent because of others that hang, drip, flood,
redirect, reset or answer late, in seconds. It is the time one attempt of theirs may take, and a second for our own work.

It holds while no more applications turn bad at the same moment than there are slots in one half of MAX_CONCURRENT_DELIVERIES:
64 per worker process by default. Those that are known to be bad hold none (`circuit_open`), and do not count."""

Pace = Literal["prompt", "slow", "unknown", "suspect"]

_WINDOWS: Final[dict[Pace, int]] = {
    "prompt": PER_CLIENT,
    "slow": PER_SLOW,
    "unknown": PER_UNKNOWN,
    "suspect": PER_SUSPECT,
}


_MAX_WAITING: Final[dict[Pace, int]] = {
    "prompt": MAX_WAITING,
    "slow": MAX_WAITING_HESITANT,
    "unknown": MAX_WAITING_HESITANT,
    "suspect": MAX_WAITING_HESITANT,
}


class NoSlotError(Exception):
    """The application is busy with others of our attempts; try a little later. Nothing was sent.

    `bounced`: why nothing is to be sent at all, where that was found out while it waited.
    """

    def __init__(self, *, bounced: HoldReason | None = None) -> None:
        super().__init__("no slot")
        self.bounced: HoldReason | None = bounced


class Slots:
    """Slots of one worker process. `total`: attempts under way at once to all applications together."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._hesitant_free = max(1, total // 2)
        self._bulk_free = max(1, total - total // 4)
        self._clients: dict[str, _Client] = {}
        self._waiting: dict[str, _Client] = {}
        """Those of them for which something waits."""
        self._paces: dict[str, Pace] = {}
        self._arrivals = 0

    def report(self, client_id: str, *, answered: bool, duration_ms: int = 0) -> None:
        """What came of an attempt: whether the application answered at all, in whatever words, and how soon."""
        self._paces[client_id] = "suspect" if not answered else "prompt" if duration_ms <= PROMPT_MS else "slow"
        self._grant()

    def bounce(self, client_id: str, reason: HoldReason) -> None:
        """Nothing is to be sent to this application for now: whoever waits for it need not."""
        client = self._clients.get(client_id)
        if client is not None:
            for ticket in (*client.urgent, *client.bulk):
                if not ticket.granted.done():
                    ticket.granted.set_exception(NoSlotError(bounced=reason))

    @asynccontextmanager
    async def of(self, client_id: str, *, lane: Lane = "urgent", limit: int = PER_CLIENT) -> AsyncGenerator[None]:
        """Hold a slot of this application and of all. Raises NoSlotError after PATIENCE_S without, or when too many wait.

        `limit`: what the application itself can take at once.
        """
        client = self._clients.setdefault(client_id, _Client())
        ticket = _Ticket(client_id, lane, self._arrivals)
        self._arrivals += 1
        pace = self._pace(client_id)
        client.limit = limit
        if client.users(lane) >= min(_WINDOWS[pace], limit) + _MAX_WAITING[pace]:
            self._leave(client_id, client)
            raise NoSlotError
        if self._may(client_id, client, lane):
            self._hold(client, ticket)
        else:
            client.queue(lane).append(ticket)
            self._waiting[client_id] = client
        try:
            if not ticket.held:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await ticket.granted
                except TimeoutError:
                    raise NoSlotError from None
            yield
        finally:
            self._let_go(client_id, client, ticket)

    def _pace(self, client_id: str) -> Pace:
        return self._paces.get(client_id, "unknown")

    def _may(self, client_id: str, client: "_Client", lane: Lane) -> bool:
        pace = self._pace(client_id)
        window = min(_WINDOWS[pace], client.limit)
        if self._free == 0 or client.held >= window or (pace != "prompt" and self._hesitant_free <= 0):
            return False
        return lane == "urgent" or (self._bulk_free > 0 and client.held_bulk < max(1, window - window // 4))

    def _hold(self, client: "_Client", ticket: "_Ticket") -> None:
        ticket.held = True
        ticket.hesitant = self._pace(ticket.client_id) != "prompt"
        client.held += 1
        client.held_bulk += ticket.lane == "bulk"
        self._free -= 1
        self._hesitant_free -= ticket.hesitant
        self._bulk_free -= ticket.lane == "bulk"

    def _let_go(self, client_id: str, client: "_Client", ticket: "_Ticket") -> None:
        if ticket.held:
            client.held -= 1
            client.held_bulk -= ticket.lane == "bulk"
            self._free += 1
            self._hesitant_free += ticket.hesitant
            self._bulk_free += ticket.lane == "bulk"
        else:
            client.queue(ticket.lane).remove(ticket)
        self._leave(client_id, client)
        self._grant()

    def _leave(self, client_id: str, client: "_Client") -> None:
        if not client.urgent and not client.bulk:
            self._waiting.pop(client_id, None)
            if client.held == 0:
                self._clients.pop(client_id, None)

    def _grant(self) -> None:
        """Give what is free to whoever is next, until nobody who waits may have any."""
        while self._free > 0 and self._waiting:
            best: tuple[bool, int, int] | None = None
            chosen: tuple[str, _Client, Lane] | None = None
            for client_id, client in self._waiting.items():
                for lane in _LANES:
                    queue = client.queue(lane)
                    if not queue or not self._may(client_id, client, lane):
                        continue
                    key = (lane == "bulk", client.held, queue[0].arrival)
                    if best is None or key < best:
                        best, chosen = key, (client_id, client, lane)
            if chosen is None:
                return
            client_id, client, lane = chosen
            ticket = client.queue(lane).popleft()
            if not client.urgent and not client.bulk:
                del self._waiting[client_id]
            self._hold(client, ticket)
            if not ticket.granted.done():
                ticket.granted.set_result(None)


_LANES: Final[tuple[Lane, Lane]] = ("urgent", "bulk")


class _Ticket:
    def __init__(self, client_id: str, lane: Lane, arrival: int) -> None:
        self.client_id = client_id
        self.lane = lane
        self.arrival = arrival
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held = False
        self.hesitant = False


class _Client:
    def __init__(self) -> None:
        self.limit = PER_CLIENT
        self.held = 0
        self.held_bulk = 0
        self.urgent: deque[_Ticket] = deque()
        self.bulk: deque[_Ticket] = deque()

    def queue(self, lane: Lane) -> "deque[_Ticket]":
        """Those of a lane that wait, the first to come first."""
        return self.bulk if lane == "bulk" else self.urgent

    def users(self, lane: Lane) -> int:
        """Attempts of a lane that hold a slot or wait for one."""
        if lane == "bulk":
            return self.held_bulk + len(self.bulk)
        return self.held - self.held_bulk + len(self.urgent)
