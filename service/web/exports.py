"""Answers as long as what they tell of, and how many of them are given at once."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.errors import TooManyRequests

MOST_EXPORTS: Final = 4
"""Most exports one process answers at once. Each is worked on for as long as its reader takes, and has one of
MAX_CONCURRENT_REQUESTS meanwhile: so slow readers of exports leave the rest to everybody else."""

RETRY_AFTER_S: Final = 10
"""When to come again, in seconds: a million entries take about as long to a reader who is not slow."""


class Exports:
    """Those of one process."""

    def __init__(self) -> None:
        self._under_way = 0

    def answer(self, lines: AsyncIterator[str], *, media_type: str, headers: Mapping[str, str]) -> StreamingResponse:
        """An export, from now on to its end one of those under way. Raises TooManyRequests."""
        if self._under_way >= MOST_EXPORTS:
            raise TooManyRequests("too many exports are under way here", retry_after=RETRY_AFTER_S)
        return _Export(self, lines, media_type=media_type, headers=headers)

    def begin(self) -> None:
        """One more is under way."""
        self._under_way += 1

    def end(self) -> None:
        """One is over, whether it was whole or not."""
        self._under_way -= 1


class _Export(StreamingResponse):
    def __init__(
        self, exports: Exports, lines: AsyncIterator[str], *, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(lines, media_type=media_type, headers=headers)
        self._exports = exports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give it."""
        self._exports.begin()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._exports.end()
