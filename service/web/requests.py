"""What happens around every request: its own correlation id, its line in the numbers, headers every answer carries."""

import secrets
import time
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.audit import request_begins
from service.telemetry import get_logger

log = get_logger(__name__)

HSTS_MAX_AGE_S: Final = 31_536_000
"""How long browsers are to come by TLS alone, in seconds: a year. Sent where PUBLIC_URL is https; it speaks of no subdomains,
which are not ours."""

CONTENT_SECURITY_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
"""Of every answer that has no policy of its own: nothing here is to be run, loaded or framed."""

_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"})

Headers = tuple[tuple[bytes, bytes], ...]


def security_headers(public_url: str) -> Headers:
    """Headers of every answer, whoever gives it. None allows another origin anything: there is no CORS here."""
    found = [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    ]
    if public_url.startswith("https:"):
        found.append((b"strict-transport-security", f"max-age={HSTS_MAX_AGE_S}".encode()))
    return tuple(found)


class Correlation:
    """Pure ASGI: nothing is buffered, a client that goes away is felt at once."""

    def __init__(self, app: ASGIApp, *, headers: Headers) -> None:
        self.app = app
        self.headers = headers

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
                own = [*message.get("headers", ())]
                set_already = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(each for each in self.headers if each[0] not in set_already)]
                if _leaving(scope):
                    # Whoever keeps this connection for its next request would find it closed in the middle of that.
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            with request_begins(request_id=request_id, address=(scope.get("client") or (None,))[0]):
                await self.app(scope, receive, send_on)
        finally:
            _count(scope, status)
            log.debug(
                "request",
                route=route_of(scope),
                method=scope["method"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
            )


def _leaving(scope: Scope) -> bool:
    leaving = scope.get("state", {}).get("leaving")
    return leaving is not None and leaving.now


def _count(scope: Scope, status: int) -> None:
    resources: Any = scope.get("state", {}).get("resources")
    if resources is not None:
        known = scope["method"] if scope["method"] in _KNOWN_METHODS else "other"
        resources.numbers.http_requests.labels(route_of(scope), known, f"{status // 100}xx").inc()


def count_limited(scope: Scope, limit: str) -> None:
    """Count a request that met a limit."""
    resources: Any = scope.get("state", {}).get("resources")
    if resources is not None:
        resources.numbers.limited.labels(limit).inc()


def route_of(scope: Scope) -> str:
    """The route's template, never the path: paths hold ids, and strangers choose them."""
    route = scope.get("route")
    return getattr(route, "path", "unmatched")
