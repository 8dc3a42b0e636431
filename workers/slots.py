"""How many attempts run at once, in all and per application: a slow one fills its own share and nobody else's."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

PER_CLIENT: Final = 32
"""Attempts to one application under way at once. One that hangs keeps these busy for a deadline each, and no more."""

PER_SUSPECT: Final = 2
"""Attempts at once to an application that did not answer the last one: enough to find out when it is back, too few for it to
fill the slots of all, however many such there are."""

MAX_WAITING: Final = 256
"""Attempts that may wait for a slot of one application; further ones are put off at once."""

PATIENCE_S: Final = 8.0
"""How long an attempt waits for its slots, both together, before it is put off, in seconds. It holds its lease meanwhile."""


class NoSlotError(Exception):
    """The application is busy with others of our attempts; try a little later. Nothing was sent."""


class Slots:
    """Slots of one worker process. `total`: attempts under way at once to all applications together."""

    def __init__(self, total: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._clients: dict[str, _Client] = {}
        self._suspects: set[str] = set()

    def report(self, client_id: str, *, answered: bool) -> None:
        """What came of an attempt: whether the application answered at all, in whatever words."""
        if answered:
            self._suspects.discard(client_id)
        else:
            self._suspects.add(client_id)

    @asynccontextmanager
    async def of(self, client_id: str) -> AsyncGenerator[None]:
        """Hold a slot of this application and one of all. Raises NoSlotError after PATIENCE_S without.

        The application's own comes first: who waits for a busy application must not hold what others could use.
        """
        client = self._clients.setdefault(client_id, _Client())
        if client.users >= (PER_SUSPECT if client_id in self._suspects else PER_CLIENT + MAX_WAITING):
            raise NoSlotError
        client.users += 1
        try:
            async with AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await held.enter_async_context(client.slots)
                        await held.enter_async_context(self._all)
                except TimeoutError:
                    raise NoSlotError from None
                yield
        finally:
            client.users -= 1
            if client.users == 0:
                del self._clients[client_id]


class _Client:
    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(PER_CLIENT)
        self.users = 0
        """Attempts that hold a slot or wait for one."""
