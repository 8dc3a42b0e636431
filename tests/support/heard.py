"""Log lines as they are written: to look at afterwards, or to wait for."""

import asyncio
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import structlog

PATIENCE_S: Final = 10.0
"""How long a test waits for a line, in seconds, before it fails."""


class Heard:
    """Every line since the block began, in order, context and level included."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._more = asyncio.Event()

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in self.lines if line["event"] == event]

    def one(self, event: str) -> dict[str, Any]:
        """The only line of an event."""
        (only,) = self.of(event)
        return only

    async def wait_for(self, event: str, *, times: int = 1) -> None:
        """Wait until an event has been logged so often."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.of(event)) < times:
                self._more.clear()
                await self._more.wait()

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """Take one line; nothing is printed."""
        self.lines.append({**event, "level": method})
        self._more.set()
        raise structlog.DropEvent


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear every line until the block ends. Only from the event loop's own thread."""
    heard = Heard()
    # In place, for loggers may have bound the list already.
    processors = structlog.get_config()["processors"]
    before = processors.copy()
    processors[:] = [structlog.contextvars.merge_contextvars, heard]
    try:
        yield heard
    finally:
        processors[:] = before
