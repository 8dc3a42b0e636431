"""How uvicorn is run: every bound of the HTTP server in one place."""

import resource
from dataclasses import replace
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from service.settings import Settings
from service.telemetry import get_logger
from service.web.http_bounds import Bounds
from service.web.http_protocol import bounded_protocol
from service.web.requests import security_headers

GRACEFUL_SHUTDOWN_S: Final = 10
"""How long requests under way may take after SIGTERM, in seconds. Kubernetes must grant more."""

KEEP_ALIVE_S: Final = 75
"""How long an idle connection is kept, in seconds: longer than the 60 of common load balancers, which otherwise send a
request into a connection that is just being closed."""

RESERVED_FILES: Final = 256
"""File descriptors beside those of connections: to Redis and its queue, outbound calls, the log, the signing keys."""

log = get_logger(__name__)


def server_config(app: ASGIApp, settings: Settings, *, bounds: Bounds | None = None) -> uvicorn.Config:
    """The server's configuration. `bounds`: others than production's."""
    bounds = bounds or Bounds(max_connections=connections_for(settings.max_connections))
    bounds = replace(bounds, headers=security_headers(settings.public_url))
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        # h11 and not httptools, which bounds no head that comes in pieces.
        http=bounded_protocol(bounds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Addresses and schemes come from settings; of a stranger's headers none is believed, and of a trusted proxy's only
        # whose request it is.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(each) for each in settings.trusted_proxies],
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )


def connections_for(wanted: int) -> int:
    """How many connections there are file descriptors for: as many as are wanted, where the system lets us ask for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < needed:
        log.warning("service.few_files", file_limit=hard, wanted=needed)
    # One that has hardly any still answers.
    return max(8, min(wanted, most - RESERVED_FILES))
