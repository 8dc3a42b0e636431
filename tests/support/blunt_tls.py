"""A TLS server that says what it dislikes, as servers in production do and asyncio's do not: with an alert, then an end."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

from tests.support.waiting import PATIENCE_S


@contextlib.contextmanager
def blunt_server(context: ssl.SSLContext) -> Iterator[int]:
    """Answers every request with 204, one connection after another, on the port this gives."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, context), name="blunt server")
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    # It ends when the listener is shut down: an OSError.
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connection.settimeout(PATIENCE_S)
            with connection, contextlib.suppress(OSError):
                _serve_one(connection, context)


def _serve_one(connection: socket.socket, context: ssl.SSLContext) -> None:
    try:
        # A failed handshake closes what it wraps, and what has not been read then resets the connection before the alert
        # is there: so it gets a copy.
        with context.wrap_socket(connection.dup(), server_side=True) as tls:
            received = b""
            while b"\r\n\r\n" not in received and (more := tls.recv(4096)):
                received += more
            tls.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
    except ssl.SSLError:
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
