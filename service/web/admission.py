"""How many requests are worked on at once, and for how long each."""

import asyncio
from collections.abc import Collection
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry import get_logger
from service.web.problems import problem
from service.web.requests import count_limited

log = get_logger(__name__)

REQUEST_TIMEOUT_S: Final = 30.0
"""Longest time from a request's head to the beginning of its answer, in seconds. Longer than its body may take and a new
connection's discovery and keys together; identity providers give up sooner."""

RETRY_AFTER_S: Final = 1
"""When to come again to a process that has too much to do, in seconds: most requests are done in a hundredth."""

_BUSY: Final = "too many requests are under way here"

_RETRY: Final = {"Retry-After": str(RETRY_AFTER_S)}


class Concurrency:
    """Pure ASGI: while `most` requests are worked on, further ones are answered 503. What a request costs is held by a bound
    then, instead of growing until memory ends. `exempt` paths always pass: whoever asks how the process does has to learn it.

    A request whose body is still being received is not worked on: it costs what the size limits allow, and dripping bodies,
    bounded by the number of connections, take nobody's place.
    """

    def __init__(self, app: ASGIApp, *, most: int, exempt: Collection[str]) -> None:
        self.app = app
        self.most = most
        self.exempt = frozenset(exempt)
        self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in self.exempt:
            await self.app(scope, receive, send)
            return
        if self._working >= self.most:
            count_limited(scope, "concurrency")
            await problem(503, "temporarily_unavailable", _BUSY, _RETRY)(scope, receive, send)
            return

        async def receive_on() -> Message:
            self._working -= 1
            try:
                message = await receive()
            finally:
                self._working += 1
            if self._working > self.most:
                count_limited(scope, "concurrency")
                raise HTTPException(503, _BUSY, _RETRY)
            return message

        self._working += 1
        try:
            await self.app(scope, receive_on, send)
        finally:
            self._working -= 1


class Deadline:
    """Pure ASGI: a request whose answer does not begin within `seconds` is given up, and answered 503. Everything that is done
    for a request may end at any point, as in a crash: what was recorded is finished by a worker, the rest was never promised.

    How long an answer may take from its beginning on is the reader's affair (`service.web.http_writing`): an export of months is
    one, and what it asks Redis for meanwhile has deadlines of its own.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answered = overdue = False

        async def send_on(message: Message) -> None:
            nonlocal answered
            await send(message)
            if not answered and not deadline.expired():
                deadline.reschedule(None)
            answered = True

        try:
            async with asyncio.timeout(self.seconds) as deadline:
                await self.app(scope, receive, send_on)
        except TimeoutError:
            overdue = deadline.expired() and not answered
            if not overdue:
                raise
        if overdue:
            count_limited(scope, "request_timeout")
            log.error("request.overdue", after_s=self.seconds)
            text = f"the request could not be served within {self.seconds:g} s"
            await problem(503, "temporarily_unavailable", text, _RETRY)(scope, receive, send)
