"""What one HTTP/1.1 connection sends, read with the bounds h11 lacks: where a request ends must never be in doubt, and no
request may take the process for itself.

h11 bounds a head, and not into how many pieces a body is cut: each chunk is an event of its own, and a megabyte of chunks of one
byte is a second of nothing else.
"""

from typing import Final

import h11

SLICE_BYTES: Final = 8192
"""Most bytes that are handed to h11 at once. What a socket has may be a quarter of a megabyte, and h11 looks at the length of a
head only after it was handed all of it."""

MAX_CHUNKS: Final = 1024
"""Most chunks of one body. The largest body in chunks of a kilobyte has so many; libraries and proxies send 4 KiB and more."""

MAX_UNWANTED_BYTES: Final = 65_536
"""Most that is read of a request's body once it has been answered, in bytes: enough for what was on its way to end, so that the
connection can be kept, and as large as most bodies may be."""


class RequestReader(h11.Connection):
    """The server's end of h11, which keeps what is wrong (`fault`) instead of raising it, and reads nothing from there on."""

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_head_bytes)
        self.fault: h11.RemoteProtocolError | None = None
        self._chunks = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next part of a request, or that there is none: NEED_DATA also where something is wrong."""
        if self.fault is not None:
            return h11.NEED_DATA
        try:
            event = super().next_event()
            self._check(event)
        except h11.RemoteProtocolError as error:
            self.fault = error
            return h11.NEED_DATA
        return event

    def _check(self, event: h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]) -> None:
        """Raise RemoteProtocolError for what h11 would let pass."""
        if isinstance(event, h11.Request):
            self._chunks = 0
        elif isinstance(event, h11.Data) and event.chunk_end:
            self._chunks += 1
            if self._chunks > MAX_CHUNKS:
                raise h11.RemoteProtocolError("the body comes in too many chunks", error_status_hint=413)
