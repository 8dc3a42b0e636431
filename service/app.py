"""The HTTP process put together: every route, middleware and exception handler. The one place that wires."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response

from service.admin import client_delivery, clients, connection_test, connections, people, revocations
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
from service.resources import open_resources
from service.settings import Settings
from service.web import docs_page, published
from service.web.bodies import MAX_BODY_BYTES
from service.web.openapi import build_openapi
from service.web.operation import Operation, build_routes, larger_bodies
from service.web.problems import on_disconnect, on_fault, on_http_exception, on_logoutd_error
from service.web.published_answers import DOCUMENT, PAGE
from service.web.requests import Correlation, SizeLimits
from service.web.state import Request, State, resources_of


async def read_openapi(request: Request) -> Response:
    """This API as OpenAPI 3.1, from the records its routes are made of."""
    document = build_openapi(OPERATIONS, base_url=resources_of(request).settings.base_url, version=_version())
    return JSONResponse(document, headers=published.PUBLIC_CACHE)


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
    *clients.OPERATIONS,
    *client_delivery.OPERATIONS,
    *people.OPERATIONS,
    *revocations.OPERATIONS,
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


def create_app(settings: Settings, *, clock: Clock | None = None) -> Starlette:
    """The application. Its resources are opened when it starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[State]:
        async with open_resources(settings, clock=clock) as resources:
            yield {"resources": resources}

    app = Starlette(
        routes=build_routes(OPERATIONS),
        middleware=[
            Middleware(Correlation),
            Middleware(SizeLimits, max_bytes=MAX_BODY_BYTES, by_route=larger_bodies(OPERATIONS)),
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


@cache
def _docs() -> str:
    return docs_page.render_docs(OPERATIONS, version=_version())


def _version() -> str:
    try:
        return version("logoutd")
    except PackageNotFoundError:
        return "unknown"  # run from a source tree, not installed
