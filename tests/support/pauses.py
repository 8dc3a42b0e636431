"""Stopping one request at a chosen moment of its way through Redis, while others go past it: every interleaving in turn."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from service.store.record import Record

PATIENCE_S: Final = 10.0
"""How long a test waits for the moment, in seconds, before it fails."""

T = TypeVar("T")

_watched: ContextVar["Pause | None"] = ContextVar("watched", default=None)


class Pause:
    """Counts the calls to the record of the one request that is watched, and holds it before the chosen one."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.calls = 0
        self._reached = asyncio.Event()
        self._go_on = asyncio.Event()

    @property
    def happened(self) -> bool:
        """Whether there were enough calls for it to be held."""
        return self._reached.is_set()

    async def around(self, watched: Awaitable[T], between: Callable[[], Awaitable[object]]) -> T:
        """Run `watched` up to the chosen moment, or to its end; then all of `between`; then the rest."""

        async def run() -> T:
            _watched.set(self)
            return await watched

        task = asyncio.create_task(run())
        waiting = asyncio.create_task(self._reached.wait())
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            await between()
            self._go_on.set()
            return await task

    async def pass_by(self) -> None:
        """Before each call: whoever is watched waits here, once."""
        self.calls += 1
        if self.calls == self.at:
            self._reached.set()
            await self._go_on.wait()


@contextmanager
def paused(*, at: int) -> Iterator[Pause]:
    """Hold the request that is given to `around` before its `at`-th call to the record, counted from 1."""
    pause = Pause(at)
    names = ("run", "run_undecoded", "pipeline", "script", "ask", "ask_all")
    originals: dict[str, Callable[..., Awaitable[Any]]] = {name: getattr(Record, name) for name in names}

    def holding(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(self: Record, *args: Any, **kwargs: Any) -> Any:
            if _watched.get() is pause:
                await pause.pass_by()
            return await original(self, *args, **kwargs)

        return call

    for name, original in originals.items():
        setattr(Record, name, holding(original))
    try:
        yield pause
    finally:
        for name, original in originals.items():
            setattr(Record, name, original)
