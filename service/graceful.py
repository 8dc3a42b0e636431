"""The HTTP server's end: readiness goes red first, and only then does it stop accepting.

A server that closes its listener at SIGTERM refuses whatever a router sends it before the router has heard that it is leaving.
Identity providers do not always ask twice.
"""

import signal
import time
from types import FrameType

import uvicorn

from service.telemetry import get_logger
from service.web.state import Leaving

log = get_logger(__name__)


class GracefulServer(uvicorn.Server):
    """uvicorn's server, with a pause of `delay_s` seconds between SIGTERM and its end.

    In that pause it serves as before, but `/readyz` is red and each answer closes its connection. SIGINT, from somebody who
    waits at a terminal, ends it without the pause. Any more SIGTERMs change nothing. Its process ends with status 0.
    """

    def __init__(self, config: uvicorn.Config, *, leaving: Leaving, delay_s: float) -> None:
        super().__init__(config)
        self._leaving = leaving
        self._delay_s = delay_s
        self._leave_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. uvicorn's own would be raised again at the end, and a clean stop look like a kill."""
        del frame
        self._leaving.now = True
        if sig == signal.SIGTERM and self._delay_s > 0:
            if self._leave_at is None:
                self._leave_at = time.monotonic() + self._delay_s
                log.info("service.leaving", delay_seconds=self._delay_s)
            return
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end."""
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            self.should_exit = True
        return await super().on_tick(counter)
