"""The HTTP process on a real socket, in a thread of the test's own process: for tests that turn its clock by hand."""

import contextlib
import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from pydantic import SecretStr

from service.app import create_app
from service.domain.clock import Clock
from service.keys.generate import generate_signing_keys
from service.settings import Settings
from service.web.admission import REQUEST_TIMEOUT_S
from service.web.http_bounds import Bounds
from service.web.server import server_config
from tests.support.authorization_server import AuthorizationServer
from tests.support.waiting import PATIENCE_S, eventually

ADMIN_TOKEN: Final = "administrator-of-a-test-on-a-socket"
"""The management API's token."""


@contextlib.contextmanager
def http_service(
    redis_url: str,
    folder: Path,
    *,
    clock: Clock,
    bounds: Bounds | None = None,
    deadline_s: float = REQUEST_TIMEOUT_S,
    send_buffer: int | None = None,
    **chosen: Any,
) -> Iterator[AuthorizationServer]:
    """Serve the application over this Redis, without a worker, until the block ends; yields what calls it.

    PUBLIC_URL is where it listens. Its keys are written to `folder`. `bounds` of its connections, `deadline_s` of a request
    and `chosen` settings are production's where nothing is said; the system keeps `send_buffer` bytes of what is sent to each
    connection.
    """
    keys = folder / "signing-keys.json"
    keys.write_text(json.dumps(generate_signing_keys()), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = Settings(
            public_url=url,
            signing_keys_file=keys,
            redis_url=SecretStr(redis_url),
            admin_token=SecretStr(ADMIN_TOKEN),
            allowed_private_networks=(ipaddress.IPv4Network("127.0.0.0/8"),),
            **chosen,
        )
        app = create_app(settings, clock=clock, request_timeout_s=deadline_s, metrics_kept_s=0)
        config = server_config(app, settings, bounds=bounds)
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="service")
        with _silence():
            thread.start()
            try:
                eventually(lambda: server.started or not thread.is_alive(), bool)
                assert server.started, "the service did not start"
                with (called := AuthorizationServer(url, ADMIN_TOKEN)).http:
                    yield called
            finally:
                server.should_exit = True
                thread.join(PATIENCE_S)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """A thread writes its log while pytest turns from one test to the next, and so into the middle of its report."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.reset_defaults() if before is None else structlog.configure(**before)
