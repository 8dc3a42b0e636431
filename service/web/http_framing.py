"""What one HTTP/1.1 connection sends, read with the bounds h11 lacks: where a request ends must never be in doubt, and no
request may take the process for itself.

h11 bounds a head, and not into how many pieces a body is cut: each chunk is an event of its own, and a megabyte of chunks of one
byte is a second of nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import h11

SLICE_BYTES: Final = 8192
"""Most bytes that are handed to h11 at once. What a socket has may be a quarter of a megabyte, and h11 looks at the length of a
head only after it was handed all of it."""

MAX_CHUNKS: Final = 1024
"""Most chunks of one body. The largest body in chunks of a kilobyte has so many; libraries and proxies send 4 KiB and more."""

MAX_UNWANTED_BYTES: Final = 1_048_576 + 65_536
"""Most that is read of a request's body once it has been answered, in bytes, so that the connection can be kept: the largest that
any operation takes, and 64 bytes for the framing of each of MAX_CHUNKS."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How what is no HTTP/1.1, or too much of it, is answered."""

    status: int
    error: str
    description: str


class OurFault(h11.RemoteProtocolError):
    """What h11 would let pass. Its text is ours, and may be shown."""


class RequestReader(h11.Connection):
    """The server's end of h11, which keeps what is wrong (`fault`) instead of raising it, and reads nothing from there on."""

    def __init__(self, max_head_bytes: int, *, may_begin: Callable[[], bool]) -> None:
        """`may_begin`: whether another request may be read now."""
        super().__init__(h11.SERVER, max_head_bytes)
        self._may_begin = may_begin
        self.fault: h11.RemoteProtocolError | None = None
        self.sent_bytes = 0
        """All that was made to be sent."""
        self._method = b""
        self._chunks = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next part of a request, or that there is none: NEED_DATA also where something is wrong."""
        if self.fault is not None or (self.their_state is h11.IDLE and not self._may_begin()):
            return h11.NEED_DATA
        try:
            event = super().next_event()
            self._check(event)
        except h11.RemoteProtocolError as error:
            self.fault = error
            return h11.NEED_DATA
        return event

    def reads(self) -> bool:
        """Whether something of a request, or another request, may be read now."""
        return self.their_state is h11.SEND_BODY or (self.their_state is h11.IDLE and self._may_begin())

    def answers_head(self) -> bool:
        """Whether an answer that began now would be one to HEAD, which has no content (RFC 9110 section 9.3.2)."""
        return self.our_state is h11.SEND_RESPONSE and self._method == b"HEAD"

    def send(self, event: h11.Event) -> Any:
        """The bytes of an event to send, counted."""
        data = super().send(event)
        self.sent_bytes += len(data or b"")
        return data

    def refusal(self) -> Refusal | None:
        """How what was wrong is to be answered, if anything was."""
        if self.fault is None:
            return None
        received, _ = self.trailing_data
        match self.fault.error_status_hint:
            case 413:
                return Refusal(413, "request_too_large", str(self.fault))
            case 400 if isinstance(self.fault, OurFault):
                return Refusal(400, "invalid_request", str(self.fault))
            case 431 if b"\n" not in received and self.our_state is h11.IDLE:
                return Refusal(414, "request_too_large", "the request's target is too long")
            case 431:
                return Refusal(431, "request_too_large", "the headers are too long")
            case 501:
                return Refusal(501, "not_implemented", "this transfer encoding is not known here")
            case _:
                return Refusal(400, "invalid_request", "what came is not HTTP/1.1")

    def _check(self, event: h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]) -> None:
        """Raise RemoteProtocolError for what h11 would let pass."""
        if isinstance(event, h11.Request):
            self._chunks = 0
            self._method = event.method
            names = {name for name, _ in event.headers}
            # A proxy that goes by the one would see a request's end elsewhere than we, who go by the other: what follows would be
            # a request of somebody else's (RFC 9112 sections 6.1, 6.3 and 11.2).
            if b"transfer-encoding" in names and b"content-length" in names:
                raise OurFault("Transfer-Encoding and Content-Length together leave open where the body ends", 400)
            if b"transfer-encoding" in names and event.http_version < b"1.1":
                raise OurFault("Transfer-Encoding is not of HTTP/1.0", 400)
        elif isinstance(event, h11.Data) and event.chunk_end:
            self._chunks += 1
            if self._chunks > MAX_CHUNKS:
                raise OurFault("the body comes in too many chunks", 413)
