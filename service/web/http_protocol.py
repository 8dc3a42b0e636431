"""The server's side of one HTTP connection: uvicorn's, with the deadlines and bounds it lacks.

uvicorn closes a connection that is idle between two requests, and waits without end for a head that does not come, a body
that drips, and a client that does not read. What it refuses by itself it answers in plain text. Here:

| while                                    | longest     | then                                         |
|------------------------------------------|-------------|----------------------------------------------|
| a request's head is on its way           | `head_s`    | 408, or closed where nothing of it had come  |
| its body is on its way, read or not      | `body_s`    | 408, or closed where it was answered already |
| nothing of an answer is taken            | `write_s`   | cut off; the next request is not begun before |
| more than `max_connections` are open     |             | the one that waited longest is closed; 503 where none waits |
| what comes is no HTTP, or too long       |             | 400, 413, 414, 431, 501 in the form of every error |
| a body goes on after its answer          | `MAX_UNWANTED_BYTES` | closed                              |
| anything goes on after that              | `linger_s`, `LINGER_BYTES` | cut off                       |
"""

import asyncio
import json
from typing import Any, ClassVar, Literal

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.telemetry import get_logger
from service.web.http_bounds import ANSWERING_BYTES, BETWEEN_BYTES, LINGER_BYTES, Bounds
from service.web.http_connections import Connections
from service.web.http_ending import EndsGently
from service.web.http_framing import MAX_UNWANTED_BYTES, SLICE_BYTES, Refusal, RequestReader
from service.web.http_writing import Writing
from service.web.request_limits import MAX_HEAD_BYTES
from service.web.source import source_of_host
from service.web.throttles import Throttles

log = get_logger(__name__)

Stage = Literal["head", "body"]


def bounded_protocol(bounds: Bounds) -> type["BoundedProtocol"]:
    """The protocol for one server: what its connections share is the class's."""
    return type("BoundedProtocol", (BoundedProtocol,), {"bounds": bounds, "shared": Connections()})


class BoundedProtocol(H11Protocol):
    """One connection."""

    bounds: ClassVar[Bounds]
    shared: ClassVar[Connections["BoundedProtocol"]]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: RequestReader = RequestReader(MAX_HEAD_BYTES, may_begin=lambda: not self.flow.write_paused)
        self._held = bytearray()
        self._unwanted = 0
        self._thrown_away: int | None = None
        self._stage: tuple[Stage, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    # What the event loop tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has connected."""
        super().connection_made(transport)
        self._writing = Writing(
            transport, within_s=self.bounds.write_s, sent=lambda: self.conn.sent_bytes, cut=self._unread
        )
        self._ending = EndsGently(transport, close=self._close)
        self.shared.open[self] = None
        if len(self.shared.open) > self.bounds.max_connections and not self._make_room():
            self._count("connections")
            self._answer(503, "temporarily_unavailable", "too many connections are open", retry_after_s=1)
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Some of a request has come, or several requests; or what nobody wants any more."""
        if self._thrown_away is not None:
            self._thrown_away += len(data)
            if self._thrown_away > LINGER_BYTES:
                self.transport.abort()
            return
        self._held += data
        self._feed()
        self._watch()

    def on_response_complete(self) -> None:
        """A request was answered; the rest of its body, or the next request, may be there already. The next is not begun while
        the client does not take this one's answer."""
        if not self._is_closing():
            self.transport.set_write_buffer_limits(BETWEEN_BYTES)
        super().on_response_complete()
        self._feed()
        self._watch()
        self._writing.watch()

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        super().pause_writing()
        self._watch()
        self._writing.watch()

    def resume_writing(self) -> None:
        """It does again: what came meanwhile is begun."""
        super().resume_writing()
        if not self._is_closing() and self.conn.their_state is h11.IDLE:
            self.flow.resume_reading()
            self.handle_events()
            self._feed()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._end_deadline()
        self.shared.gone(self)
        self._writing.stop()
        super().connection_lost(exc)

    # What uvicorn does in another way.

    def _feed(self) -> None:
        """Have what has come read, a slice at a time, until a request is whole: what follows it waits for its answer."""
        while self._held and not self._is_closing() and self.conn.reads():
            some = bytes(self._held[:SLICE_BYTES])
            del self._held[:SLICE_BYTES]
            super().data_received(some)
            self._bound_unwanted(len(some))
        if self._held and not self._is_closing():
            self.flow.pause_reading()

    def _bound_unwanted(self, received: int) -> None:
        """Close where a body goes on and on though it was answered."""
        if self.conn.their_state is not h11.SEND_BODY or self.conn.our_state is not h11.DONE:
            self._unwanted = 0
            return
        self._unwanted += received
        if self._unwanted > MAX_UNWANTED_BYTES:
            self._count("unwanted_body")
            self._close()

    def handle_events(self) -> None:
        """Have the application told of what was read. Refuse what is no HTTP, in our words and not in uvicorn's."""
        super().handle_events()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete and not self._is_closing():
            self.transport.set_write_buffer_limits(ANSWERING_BYTES)
            cycle.transport = self._ending
        refusal = self.conn.refusal()
        if refusal is None or self._is_closing():
            return
        if refusal.status == 413:
            self._count("chunks")
        self._tell_malformed(refusal)
        self._answer(refusal.status, refusal.error, refusal.description)

    def _tell_malformed(self, refusal: Refusal) -> None:
        throttles: Throttles | None = self.app_state.get("throttles")
        if throttles is not None and throttles.malformed_lines.admit(
            source_of_host(self.client[0] if self.client else "")
        ):
            log.warning("request.malformed", status=refusal.status, **throttles.malformed_lines.omitted())

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to tell: a server may ignore what it is asked to upgrade to (RFC 9110 section 7.8), as often as it is asked."""

    # The deadlines.

    def _watch(self) -> None:
        """Have the deadline run that belongs to what is waited for now; one that runs is not begun anew by a drip."""
        stage = self._awaited()
        if stage == self._stage:
            return
        self._end_deadline()
        self._stage = stage
        if stage is None:
            return
        seconds = self.bounds.head_s if stage[0] == "head" else self.bounds.body_s
        self._deadline = self.loop.call_later(seconds, self._overdue, stage)

    def _awaited(self) -> tuple[Stage, object] | None:
        """What is waited for, and of which request: None where no deadline of a request's runs, or it is over."""
        now_s = self.loop.time()
        if self.conn.their_state is h11.SEND_BODY and not self._is_closing():
            self.shared.waits(self, "body", now_s=now_s)
            return "body", self.cycle
        if self._is_closing() or self.flow.write_paused:
            # How long that may take is the writing's affair, and between two requests it is not idle before.
            self.shared.waits(self, "reader", now_s=now_s)
            self._unset_keepalive_if_required()
            return None
        if self.conn.their_state is not h11.IDLE:
            self.shared.waits(self, None, now_s=now_s)
            return None
        self.shared.waits(self, "head", now_s=now_s)
        received, _ = self.conn.trailing_data
        if received or self.cycle is None:
            return "head", self.cycle
        # Between two requests uvicorn's own timer runs, until the first byte comes. The rest of a body that was answered early,
        # and an answer that was taken late, have ended it.
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        return None

    def _overdue(self, stage: tuple[Stage, object]) -> None:
        self._deadline = None
        if stage != self._stage or self._is_closing():
            return
        self._count(f"{stage[0]}_timeout")
        received, _ = self.conn.trailing_data
        if stage[0] == "body":
            self._answer(408, "request_timeout", f"the body did not come within {self.bounds.body_s:g} s")
        elif received:
            self._answer(408, "request_timeout", f"the headers did not come within {self.bounds.head_s:g} s")
        else:
            self._close()

    def _unread(self) -> None:
        self._count("write_timeout")
        self.transport.abort()

    # Ends.

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for its client; whether there was one besides this."""
        oldest = self.shared.longest_waiting(besides=self)
        if oldest is None:
            return False
        self._count("connections")
        oldest._end_deadline()
        self.shared.gone(oldest)
        oldest.transport.abort()
        return True

    def _answer(self, status: int, error: str, description: str, *, retry_after_s: int | None = None) -> None:
        """Answer past the application, if nothing was answered yet, and close, whatever comes of it."""
        body = json.dumps({"error": error, "error_description": description}, separators=(",", ":")).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
            *([] if retry_after_s is None else [(b"retry-after", str(retry_after_s).encode())]),
            *self.bounds.headers,
        ]
        response = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
        content = h11.Data(data=b"" if self.conn.answers_head() else body)
        try:
            if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                for event in (response, content, h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
        finally:
            self._close()

    def _close(self) -> None:
        """Close, in two steps where the client is still sending: the answer and our end first."""
        if self._is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            # Whoever reads the body learns that there is nobody any more; what they answer goes nowhere.
            cycle.disconnected = True
            cycle.message_event.set()
        if self._held or self.conn.their_state in {h11.SEND_BODY, h11.ERROR}:
            self._thrown_away = 0
            self._held.clear()
            self._unset_keepalive_if_required()
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()
        self._watch()
        if self._thrown_away is not None:
            self._deadline = self.loop.call_later(self.bounds.linger_s, self.transport.close)
        self._writing.watch()

    def _is_closing(self) -> bool:
        return self._thrown_away is not None or self.transport.is_closing()

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._stage = None

    def _count(self, limit: str) -> None:
        resources = self.app_state.get("resources")
        if resources is not None:
            resources.numbers.limited.labels(limit).inc()
