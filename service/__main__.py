"""`python -m service`: the HTTP process."""

import asyncio
import signal
import sys
from types import FrameType

from service.app import create_app
from service.graceful import GracefulServer
from service.keys.ring import SigningKeysError, load_key_ring
from service.resources import look_at_redis
from service.settings import SettingsError, load_settings
from service.telemetry import configure_logging, get_logger
from service.web.server import server_config
from service.web.state import Leaving

log = get_logger(__name__)


def main() -> int:
    """Serve until SIGTERM. Returns the exit code: 1 when it refuses to start, with one line on stderr saying why."""
    # For the time before and after the server has handlers of its own.
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
    refusal = asyncio.run(look_at_redis(settings)).refusal
    if refusal is not None:
        print(f"logoutd serve: {refusal}", file=sys.stderr)  # noqa: T201  # a person at a terminal reads this one
        return 1
    settings = settings.without_admin_token()
    leaving = Leaving()
    server = GracefulServer(
        server_config(create_app(settings, leaving=leaving), settings),
        leaving=leaving,
        delay_s=settings.shutdown_delay_seconds,
    )
    server.run()
    return 0 if server.started else 1


def _end(_signal: int, _frame: FrameType | None) -> None:
    """A stop that was asked for is no failure: a supervisor tells the two apart by the exit code."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
