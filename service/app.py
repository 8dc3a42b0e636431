"""The HTTP process put together: every route, middleware and exception handler. The one place that wires."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from service.admin import (
    audit,
    client_delivery,
    clients,
    connection_test,
    connections,
    deliveries,
    holds,
    people,
    revocations,
)
from service.domain.clock import Clock
from service.errors import LogoutdError
from service.receive import (
    backchannel_logout,
    global_token_revocation,
    introspection,
    leaving,
    okta_event_hook,
    refresh_tokens,
    sign_ins,
    token_revocation,
)
from service.resources import Resources, open_resources
from service.settings import Settings
from service.telemetry import BoundedLines
from service.web import docs_page, published
from service.web.admission import REQUEST_TIMEOUT_S, Concurrency, Deadline
from service.web.audited import audited
from service.web.bodies import MAX_BODY_BYTES
from service.web.exports import Exports
from service.web.openapi import build_openapi
from service.web.operation import Operation, build_routes, larger_bodies
from service.web.problems import on_disconnect, on_fault, on_http_exception, on_logoutd_error
from service.web.published_answers import DOCUMENT, PAGE
from service.web.request_limits import SizeLimits
from service.web.requests import Correlation, Headers, security_headers
from service.web.scrape import KEPT_S as METRICS_KEPT_S
from service.web.scrape import Scrape
from service.web.state import Leaving, Request, State, resources_of
from service.web.throttles import Attempts, Doors, Throttles


async def read_openapi(request: Request) -> Response:
    """This API as OpenAPI 3.1, from the records its routes are made of."""
    document = _openapi(resources_of(request).settings.base_url)
    return Response(document, media_type="application/json", headers=published.PUBLIC_CACHE)


async def read_docs(_request: Request) -> Response:
    """This API as a page for people, from the same records."""
    headers = {**published.PUBLIC_CACHE, "Content-Security-Policy": docs_page.POLICY}
    return HTMLResponse(_docs(), headers=headers)


OPERATIONS: tuple[Operation, ...] = (
    *global_token_revocation.OPERATIONS,
    *backchannel_logout.OPERATIONS,
    *okta_event_hook.OPERATIONS,
    *sign_ins.OPERATIONS,
    *leaving.OPERATIONS,
    *refresh_tokens.OPERATIONS,
    *introspection.OPERATIONS,
    *token_revocation.OPERATIONS,
    *connections.OPERATIONS,
    *connection_test.OPERATIONS,
    *holds.OPERATIONS,
    *clients.OPERATIONS,
    *client_delivery.OPERATIONS,
    *people.OPERATIONS,
    *revocations.OPERATIONS,
    *audit.OPERATIONS,
    *deliveries.OPERATIONS,
    *published.OPERATIONS,
    Operation(
        method="GET",
        path="/openapi.json",
        endpoint=read_openapi,
        summary="This API, as an OpenAPI document",
        tag="Published",
        access="anyone",
        answers={200: DOCUMENT},
        cache_control=published.PUBLIC_CACHE["Cache-Control"],
    ),
    Operation(
        method="GET",
        path="/docs",
        endpoint=read_docs,
        summary="This API, to read",
        tag="Published",
        access="anyone",
        answers={200: PAGE},
        cache_control=published.PUBLIC_CACHE["Cache-Control"],
        headers={"Content-Security-Policy": "Nothing but the page's own style."},
    ),
)
"""Everything that is served."""


class _Service(Starlette):
    """The framework's stack with one part around all of it: an answer to a fault (500) is an answer like any other."""

    def __init__(self, headers: Headers, **given: Any) -> None:
        super().__init__(**given)
        self._headers = headers

    def build_middleware_stack(self) -> ASGIApp:
        return Correlation(super().build_middleware_stack(), headers=self._headers)


def create_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    leaving: Leaving | None = None,
    request_timeout_s: float = REQUEST_TIMEOUT_S,
    metrics_kept_s: float = METRICS_KEPT_S,
) -> Starlette:
    """The application. Its resources are opened when it starts and closed when it stops. `leaving`: told by the server.
    `metrics_kept_s`: 0 for tests that look at a number just after it has changed."""
    leaving = leaving or Leaving()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[State]:
        async with open_resources(settings, clock=clock) as resources:
            yield {
                "resources": resources,
                "leaving": leaving,
                "throttles": _throttles(resources),
                "scrape": Scrape(resources.clock, kept_s=metrics_kept_s),
            }

    app = _Service(
        security_headers(settings.public_url),
        routes=build_routes(audited(each) for each in OPERATIONS),
        middleware=[
            Middleware(
                Concurrency,
                most=settings.max_concurrent_requests,
                exempt={each.path for each in OPERATIONS if each.always},
            ),
            Middleware(SizeLimits, max_bytes=MAX_BODY_BYTES, by_route=larger_bodies(OPERATIONS)),
            Middleware(Deadline, seconds=request_timeout_s),
        ],
        exception_handlers={
            LogoutdError: on_logoutd_error,
            HTTPException: on_http_exception,
            ClientDisconnect: on_disconnect,
            Exception: on_fault,
        },
        lifespan=lifespan,
    )
    # A slash too many is another address. The framework would redirect, to whatever host the request names.
    app.router.redirect_slashes = False
    return app


def _throttles(resources: Resources) -> Throttles:
    settings, clock = resources.settings, resources.clock
    return Throttles(
        doors=Doors(clock, per_second=settings.door_requests_per_second),
        attempts=Attempts(clock, per_minute=settings.failed_authentications_per_minute),
        refusal_lines=BoundedLines(clock),
        malformed_lines=BoundedLines(clock),
        unavailable_lines=BoundedLines(clock),
        exports=Exports(),
    )


@cache
def _openapi(base_url: str) -> bytes:
    # Made once: anyone may ask, and making it takes as long as a hundred small answers.
    return json.dumps(build_openapi(OPERATIONS, base_url=base_url, version=_version())).encode()


@cache
def _docs() -> str:
    return docs_page.render_docs(OPERATIONS, version=_version())


def _version() -> str:
    try:
        return version("logoutd")
    except PackageNotFoundError:
        return "unknown"  # run from a source tree, not installed
