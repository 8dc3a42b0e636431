"""Whether a client takes what it is sent."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Final

MIN_TAKEN_BYTES: Final = 4096
"""Least that a client must take within `write_s` while more is there for it, in bytes: 200 a second, which any line carries.
With none, a byte now and then would hold a connection, and what is written for it, for good."""


class Writing:
    """The deadline of one connection's answers. It begins anew with what is taken: a long answer may take long."""

    def __init__(
        self, transport: asyncio.Transport, *, within_s: float, sent: Callable[[], int], cut: Callable[[], None]
    ) -> None:
        """`sent`: all that was written to the connection, in bytes. `cut` is called where it is not taken."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._within_s = within_s
        self._sent = sent
        self._cut = cut
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Something was written, and has perhaps not been taken yet."""
        if self._timer is None and self._transport.get_write_buffer_size() > 0:
            self._timer = self._loop.call_later(self._within_s, self._look, self._taken())

    def stop(self) -> None:
        """It is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, taken_before: int) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() == 0:
            return
        if self._taken() - taken_before < MIN_TAKEN_BYTES:
            self._cut()
            return
        self.watch()

    def _taken(self) -> int:
        return self._sent() - self._transport.get_write_buffer_size() - _unacknowledged(self._transport)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """What the system has taken from us and the client not yet from it, in bytes; 0 where it does not say (tcp(7), SIOCOUTQ).
    It may be megabytes, of which we would not see anything go."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or sys.platform != "linux":
        return 0
    with contextlib.suppress(OSError):
        (count,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
        return int(count)
    return 0
