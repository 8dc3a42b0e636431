"""How the end of an answer ends its connection."""

import asyncio
from collections.abc import Callable


class EndsGently(asyncio.Transport):
    """What uvicorn's answering writes to, in place of the connection's transport. It closes by itself after an answer to
    `Connection: close` or to HTTP/1.0, also while the request's body is on its way: that would reset the connection and take
    the answer from a client that is still sending (RFC 9112 section 9.6)."""

    def __init__(self, transport: asyncio.Transport, *, close: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._close = close

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send some of an answer."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether the end has been decided on."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection, as every other end of it does."""
        self._close()
