"""How large a request may be: its target, its headers, its body.

A head that comes in pieces meets the server's own bound first (`service.web.http_protocol`); one that comes whole passes it.
"""

from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.web.problems import problem
from service.web.requests import route_of

MAX_HEAD_BYTES: Final = 16_384
"""Most bytes in a request's header names and values, and in a head that comes in pieces: the longest token fits twice."""

MAX_HEADERS: Final = 100
"""Most headers of a request. Browsers and proxies send twenty to forty; each costs more to read than its bytes say."""

MAX_TARGET_BYTES: Final = 8192
"""Longest request target, in bytes: RFC 9110 section 4.1 recommends to take 8000. Our longest path and cursor have 1500."""


class SizeLimits:
    """Pure ASGI: a target, headers and their number beyond what is said above are refused (414, 431), and a body longer than
    `max_bytes`, or than `by_route` has for the route's template, (413) where it is read, so in the order of the other checks.

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
        refused = _refusal(scope)
        if refused is not None:
            # Answered here: this runs around the exception handlers, and nothing of such a request is to go on.
            status, why = refused
            await problem(status, "request_too_large", why)(scope, receive, send)
            return
        announced = _announced(scope)
        seen = 0

        async def receive_on() -> Message:
            nonlocal seen
            # Whoever reads has been found: the route is known by now.
            limit = self.by_route.get(route_of(scope), self.max_bytes)
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


def _refusal(scope: Scope) -> tuple[int, str] | None:
    """The status and the reason, where a head is larger than it may be."""
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return 414, "the request's target is longer than 8 KiB"
    if len(scope["headers"]) > MAX_HEADERS:
        return 431, f"there are more than {MAX_HEADERS} headers"
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
        return 431, "the headers are larger than 16 KiB"
    return None


def _announced(scope: Scope) -> int:
    """The Content-Length, 0 without one. The server has refused those that are no numbers, or no true ones."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0
