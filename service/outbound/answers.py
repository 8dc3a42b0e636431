"""Reading what a server says: one answer to each question, and little before it.

aiohttp reads whatever comes. A server that floods a connection with interim answers (1xx) then has a whole event loop to
itself, and what a server says on an idle connection is taken for the answer to the next question put there.
"""

import functools
import select
from typing import Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

MAX_HEADERS: Final = 100
"""Most headers of an answer; honest ones have a few dozen."""

MAX_HEADER_BYTES: Final = 8190
"""Longest header of an answer, and longest status line, in bytes: what aiohttp and most servers take."""

MAX_HEAD_BYTES: Final = 64 * 1024
"""Most bytes of a connection that are read before its answer is there, give or take a slice: interim answers and headers."""

SLICE_BYTES: Final = 8 * 1024
"""How much of that is read at once: some hundred interim answers, a millisecond's work."""


class OneAnswer(ResponseHandler):
    """One connection's reading side."""

    _head_bytes = 0
    _answer: StreamReader | None = None
    """The body of the answer to the latest question, once there is one."""

    def set_response_params(self, *args: object, **kwargs: object) -> None:
        """A question is about to be put."""
        self._head_bytes = 0
        self._answer = None
        super().set_response_params(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they come

    def data_received(self, data: bytes) -> None:
        """Bytes have come. Those after an answer were not asked for, and end the connection."""
        rest = memoryview(data)
        while self._answer is None and len(rest) > SLICE_BYTES and not self._is_over():
            super().data_received(bytes(rest[:SLICE_BYTES]))
            self._count(SLICE_BYTES)
            rest = rest[SLICE_BYTES:]
        if self._is_over():
            return
        if rest and self._answer is not None and self._answer.is_eof():
            self._hang_up()
            return
        super().data_received(bytes(rest))
        self._count(len(rest))

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """A status line with its headers has come. Interim ones say nothing to us, who never ask `Expect: 100-continue`."""
        message, body = data
        if 100 <= message.code < 200 and message.code != 101:
            return
        if self._answer is not None:
            self._hang_up()
            return
        self._answer = body
        super().feed_data(data, size)

    def _count(self, received: int) -> None:
        self._head_bytes += received
        if self._answer is None and self._head_bytes > MAX_HEAD_BYTES and not self._is_over():
            self.set_exception(HttpProcessingError(message="no answer within the bytes it may take"))
            self._hang_up()

    def _hang_up(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def _is_over(self) -> bool:
        return self.transport is None or self.transport.is_closing()


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool of connections, each of which is read by OneAnswer."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they come
        # aiohttp has no parameter for it.
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(OneAnswer, loop=self._loop))

    @property
    def in_use(self) -> int:
        """Connections that are taken right now."""
        return len(self._acquired)

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        """A kept connection that is fit for a question: nothing is waiting to be read there, and no end."""
        while found := await super()._get(key, traces):
            if not _has_something_to_read(found):
                return found
            found.close()
        return None


def _has_something_to_read(connection: Connection) -> bool:
    """Whether the kernel holds bytes or an end which the event loop has not come to yet."""
    transport = connection.transport
    if transport is None:
        return True
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(waiting.poll(0))
