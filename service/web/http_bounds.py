"""What one HTTP connection may cost: how long its parts may take, and how much of them is kept."""

from dataclasses import dataclass
from typing import Final

HEAD_TIMEOUT_S: Final = 10.0
"""Longest time from a connection's first byte, or from its opening, to the end of a request's head, in seconds."""

BODY_TIMEOUT_S: Final = 20.0
"""Longest time from the end of a head to the end of its body, in seconds. With the largest body, so many bytes a second are the
least anybody has to send; there is no other minimum."""

WRITE_TIMEOUT_S: Final = 20.0
"""Longest time in which a client takes next to nothing of an answer, in seconds."""

LINGER_S: Final = 5.0
"""Longest time for which what a client goes on sending after its last answer is thrown away, in seconds."""

LINGER_BYTES: Final = 8_388_608
"""Most that is thrown away so, in bytes. A connection that is closed with anything unread is reset, and a client that is still
sending would lose the answer it has not read yet (RFC 9112 section 9.6)."""

BETWEEN_BYTES: Final = 16_384
"""Most of its answers that a client has not taken when its next request is begun, in bytes. The headers of an answer, and a body
that comes whole, then never wait for the reader, and with them a place among the requests that are worked on."""

ANSWERING_BYTES: Final = 65_536
"""Most that waits to be taken of an answer that comes in parts, in bytes, before more of it is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one server holds its connections to."""

    max_connections: int
    head_s: float = HEAD_TIMEOUT_S
    body_s: float = BODY_TIMEOUT_S
    write_s: float = WRITE_TIMEOUT_S
    linger_s: float = LINGER_S
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """On the answers that are given here, past the application."""
