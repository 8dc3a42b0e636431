"""Asking the system's resolver for addresses, so that a name server that never answers holds up nobody but its own names.

`getaddrinfo` cannot be cancelled: a thread that waits for a dead name server is gone for the resolver's own patience, often
half a minute. Three things bound what that costs. A name is asked for once at a time, however many wait for it. Threads
are counted. And names whose last question was answered in time have threads of their own, which names that hang cannot take.
"""

import asyncio
import contextlib
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

MAX_LOOKUPS: Final = 64
"""Most names being asked for at once that are new, or were not answered last time."""

MAX_PROVEN_LOOKUPS: Final = 32
"""Most names being asked for at once that were answered last time. An answer takes milliseconds: it is a long queue's worth."""

MAX_PROVEN: Final = 4096
"""Names remembered to have been answered; the one longest unused is forgotten first, and is new again."""

IN_TIME_S: Final = 2.5
"""Longest an answer may take to count as one, in seconds: the time a call gives it (`connections.LOOKUP_SHARE`)."""

Ask = Callable[[str], Sequence[str]]
"""From a host name to its addresses, in a thread. Raises OSError or UnicodeError."""


@dataclass(slots=True)
class _Question:
    waiting: int = 0
    """How many calls still want to know."""
    task: "asyncio.Task[Sequence[str] | Exception] | None" = None


def system_addresses(host: str) -> list[str]:
    """The addresses of a name by the system's resolver, aliases (CNAME) followed, in its order of preference."""
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Lookups:
    """From a host name to its addresses. Whoever gives up waiting leaves the question to the others who ask it."""

    def __init__(
        self,
        ask: Ask = system_addresses,
        *,
        at_once: int = MAX_LOOKUPS,
        proven_at_once: int = MAX_PROVEN_LOOKUPS,
        in_time_s: float = IN_TIME_S,
    ) -> None:
        self._ask = ask
        self._threads = asyncio.Semaphore(at_once)
        self._proven_threads = asyncio.Semaphore(proven_at_once)
        self._in_time_s = in_time_s
        self._proven: OrderedDict[str, None] = OrderedDict()
        self._questions: dict[str, _Question] = {}

    async def __call__(self, host: str) -> Sequence[str]:
        """The addresses of `host`. Raises OSError or UnicodeError."""
        question = self._questions.get(host)
        if question is None:
            question = self._questions[host] = _Question()
            question.task = asyncio.create_task(self._settle(host, question))
        if question.task is None:
            raise AssertionError("unreachable: made with it")
        question.waiting += 1
        try:
            outcome = await asyncio.shield(question.task)
        finally:
            question.waiting -= 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        """Give up every question. Threads that wait for an answer end when the resolver lets them, and hold up no exit."""
        for question in tuple(self._questions.values()):
            if question.task is not None:
                question.task.cancel()

    async def _settle(self, host: str, question: _Question) -> Sequence[str] | Exception:
        """What there is to say. An error is a value here: it belongs to whoever still waits, and nobody may."""
        try:
            async with self._proven_threads if host in self._proven else self._threads:
                if not question.waiting:
                    return TimeoutError("nobody waits for it any more")
                clock = asyncio.get_running_loop().time
                begun = clock()
                outcome = await self._in_a_thread(host)
                self._proven.pop(host, None)
                if clock() - begun <= self._in_time_s:
                    self._proven[host] = None
                    if len(self._proven) > MAX_PROVEN:
                        self._proven.popitem(last=False)
                return outcome
        finally:
            del self._questions[host]

    async def _in_a_thread(self, host: str) -> Sequence[str] | Exception:
        """Not by an executor, whose threads would be waited for when the process ends."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Sequence[str] | Exception] = loop.create_future()

        def tell(outcome: Sequence[str] | Exception) -> None:
            if not told.done():
                told.set_result(outcome)

        def run() -> None:
            outcome: Sequence[str] | Exception
            try:
                outcome = self._ask(host)
            except (OSError, UnicodeError) as error:
                outcome = error
            except Exception:  # noqa: BLE001  # whoever waits must hear of it in any case
                outcome = OSError("the resolver failed")
            # The loop may be closed by now: then nobody waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, outcome)

        threading.Thread(target=run, name="lookup", daemon=True).start()
        return await told
