"""HTTP as bytes on a socket: for requests that no client would send, and for clients that are in no hurry."""

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.waiting import PATIENCE_S


@dataclass(frozen=True, kw_only=True)
class RawAnswer:
    """What came back before the other side closed."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@contextlib.contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection to whoever serves a URL."""
    with connect(url) as connection:
        yield connection


def connect(url: str) -> socket.socket:
    """The same, to be closed by whoever asks."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S)


def head(method: str, target: str, *lines: str) -> bytes:
    """A request's head with these header lines."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: logout.example.com", *lines, "", ""]).encode("latin-1")


def read_answer(connection: socket.socket) -> RawAnswer | None:
    """All that comes until the other side closes: one answer, or None when it closes without a word."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    if not received:
        return None
    told, _, body = received.partition(b"\r\n\r\n")
    first, *lines = told.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return RawAnswer(status=int(first.split()[1]), headers=headers, body=body)


def exchange(url: str, sent: bytes) -> RawAnswer | None:
    """Send these bytes on a connection of their own; what comes back until the other side closes."""
    with connected(url) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        return read_answer(connection)


def is_open(connection: socket.socket) -> bool:
    """Whether the other side has not closed it yet; what it has sent is left where it is."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    finally:
        connection.settimeout(PATIENCE_S)
