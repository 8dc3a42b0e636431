"""What TLS handshakes leave behind when the call that wanted them has given up.

A handshake that is cancelled as it fails ends in a future nobody asks any more; uvloop moreover writes to a socket that is
gone. Neither holds anything, but each would be a traceback in the log, and strangers could fill it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

from service.telemetry import get_logger

log = get_logger(__name__)


@contextlib.contextmanager
def leftovers_heard() -> Iterator[None]:
    """Tells of them at debug, by type alone, until the block ends. Everything else goes where it went before."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if is_leftover(context):
            log.debug("outbound.leftover", error=type(context["exception"]).__name__)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(hear)
    try:
        yield
    finally:
        loop.set_exception_handler(before)


def is_leftover(context: dict[str, Any]) -> bool:
    """Whether what an event loop complains of is one of these."""
    error, message = context.get("exception"), str(context.get("message"))
    if message.startswith("Future exception was never retrieved"):
        return isinstance(error, ssl.SSLError)
    return message.startswith("Fatal error on SSL protocol") and "handler is closed" in str(error)
