"""Reading what a server says: one answer to each question, little before it, and little in it that is no content.

aiohttp reads whatever comes. A server that floods a connection with interim answers (1xx), or an answer with what stands between
its chunks and after them, then has a whole event loop to itself, and what a server says on an idle connection is taken for the
answer to the next question put there.
"""

import asyncio
import functools
import select
from typing import Any, Final, cast

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
"""Most bytes of a connection that are read before its answer is there, give or take a slice: interim answers and headers.
From there on the same, and one more for each byte of content: chunks, their extensions, trailers (RFC 9112 section 7.1)."""

SLICE_BYTES: Final = 8 * 1024
"""How much of that is read at once: some hundred interim answers, a millisecond's work."""


class OneAnswer(ResponseHandler):
    """One connection's reading side."""

    _received = 0
    """Bytes since the latest question."""
    _answer: StreamReader | None = None
    """The body of the answer to the latest question, once there is one."""

    def set_response_params(self, *args: object, **kwargs: object) -> None:
        """A question is about to be put."""
        self._received = 0
        self._answer = None
        super().set_response_params(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they come

    def data_received(self, data: bytes) -> None:
        """Bytes have come. Those after an answer were not asked for, and end the connection."""
        rest = memoryview(data)
        while rest and not self._is_over():
            if self._answer is not None and self._answer.is_eof():
                self._hang_up()
                return
            some, rest = rest[:SLICE_BYTES], rest[SLICE_BYTES:]
            super().data_received(bytes(some))
            self._count(len(some))

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is over. Whoever reads an answer learns that no more comes: aiohttp does not say what broke after its content."""
        super().connection_lost(exc)
        if self._answer is not None and not self._answer.is_eof() and self._answer.exception() is None:
            self._answer.set_exception(aiohttp.ClientPayloadError("the connection ended within the answer"))

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
        self._received += received
        content = 0 if self._answer is None else self._answer.total_bytes
        if self._received - content > MAX_HEAD_BYTES + content and not self._is_over():
            if self._answer is None:
                self.set_exception(HttpProcessingError(message="no answer within the bytes it may take"))
            # Whoever reads an answer's content learns that it is not whole.
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

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[aiohttp.AddrInfoType],
        **kwargs: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """A connection to one of these addresses. Where none of them took it, none is tried again, whether they refused it or
        were silent: aiohttp would try all but the first, then all but two, so that a name of eight dead addresses would be
        knocked at 36 times, at whosever they are."""
        make, *rest = args
        connected = False

        def make_noting() -> ResponseHandler:
            nonlocal connected
            connected = True
            return cast("ResponseHandler", make())

        try:
            return await super()._wrap_create_connection(make_noting, *rest, addr_infos=addr_infos, **kwargs)
        except (aiohttp.ClientConnectorError, TimeoutError):
            # One that did take it and failed or hung at TLS leaves the others to be tried.
            if not connected:
                addr_infos.clear()
            raise

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
