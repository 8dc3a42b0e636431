"""What happens around every request: its own correlation id, its line in the numbers, headers every answer carries, the
limits of its size."""

import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.audit import request_begins
from service.telemetry import get_logger
from service.web.problems import problem

log = get_logger(__name__)

MAX_HEAD_BYTES: Final = 16_384
"""Most bytes in a request's header names and values: the longest token fits twice. The server has a limit of its own for
heads that come in pieces; one that comes whole passes it."""

_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))


class Correlation:
    """Pure ASGI: nothing is buffered, a client that goes away is felt at once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()
        request_id = secrets.token_hex(8)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            with request_begins(request_id=request_id, address=(scope.get("client") or (None,))[0]):
                await self.app(scope, receive, send_on)
        finally:
            _count(scope, status)
            log.debug(
                "request",
                route=_route(scope),
                method=scope["method"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
            )


class SizeLimits:
    """Pure ASGI: headers longer than MAX_HEAD_BYTES are refused (431), and a body longer than `max_bytes`, or than `by_route`
    has for the route's template, (413) where it is read, so in the order of the other checks.

    The framework's own limit answers in plain text, past our error handlers.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, by_route: Mapping[str, int]) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.by_route = by_route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
            # Answered here: this runs around the exception handlers, and nothing of such a request is to go on.
            await problem(431, "request_too_large", "the headers are larger than 16 KiB")(scope, receive, send)
            return
        announced = _announced(scope)
        seen = 0

        async def receive_on() -> Message:
            nonlocal seen
            # Whoever reads has been found: the route is known by now.
            limit = self.by_route.get(_route(scope), self.max_bytes)
            too_large = HTTPException(413, f"the body is larger than {limit // 1024} KiB")
            # One that announces too much is refused before it has sent any of it.
            if announced > limit:
                raise too_large
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise too_large
            return message

        await self.app(scope, receive_on, send)


def _announced(scope: Scope) -> int:
    """The Content-Length, 0 without one. The server has refused those that are no numbers, or no true ones."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


def _count(scope: Scope, status: int) -> None:
    resources: Any = scope.get("state", {}).get("resources")
    if resources is not None:
        known = scope["method"] if scope["method"] in {"GET", "HEAD", "POST", "PATCH", "DELETE"} else "other"
        resources.numbers.http_requests.labels(_route(scope), known, f"{status // 100}xx").inc()


def _route(scope: Scope) -> str:
    """The route's template, never the path: paths hold ids, and strangers choose them."""
    route = scope.get("route")
    return getattr(route, "path", "unmatched")
