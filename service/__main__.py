"""`python -m service`: the HTTP process."""

import asyncio
import signal
import sys
from types import FrameType
from typing import Final

import uvicorn

from service.app import create_app
from service.keys.ring import SigningKeysError, load_key_ring
from service.resources import redis_refusal
from service.settings import SettingsError, load_settings
from service.telemetry import configure_logging, get_logger

GRACEFUL_SHUTDOWN_S: Final = 10
"""How long requests under way may take after SIGTERM, in seconds. Kubernetes must grant more."""

MAX_HEAD_BYTES: Final = 16_384
"""Largest request head, in bytes: the longest token fits twice. Why h11 and not httptools, which has no such limit."""

KEEP_ALIVE_S: Final = 75
"""How long an idle connection is kept, in seconds: longer than the 60 of common load balancers, which otherwise send a
request into a connection that is just being closed."""

log = get_logger(__name__)


def main() -> int:
    """Serve until SIGTERM. Returns the exit code: 1 when it refuses to start, with one line on stderr saying why."""
    # uvicorn puts its own handlers before these while it serves, and when all has ended well sends the signal once more.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        settings = load_settings()
        settings.require("public_url", "signing_keys_file", "admin_token")
        if settings.signing_keys_file is not None:
            load_key_ring(settings.signing_keys_file)
    except (SettingsError, SigningKeysError) as error:
        print(f"logoutd serve: {error}", file=sys.stderr)  # noqa: T201  # before there is a log
        return 1
    configure_logging(log_format=settings.log_format, log_level=settings.log_level)
    log.info("service.starting", **settings.summary())
    refusal = asyncio.run(redis_refusal(settings))
    if refusal is not None:
        print(f"logoutd serve: {refusal}", file=sys.stderr)  # noqa: T201  # a person at a terminal reads this one
        return 1
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Addresses and schemes come from settings; no header of a stranger's is believed.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
    )
    server.run()
    return 0 if server.started else 1


def _end(_signal: int, _frame: FrameType | None) -> None:
    """A stop that was asked for is no failure: a supervisor tells the two apart by the exit code."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
