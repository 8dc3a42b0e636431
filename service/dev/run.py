"""The command `logoutd dev`: run the stack, say so in one line, stop on a signal or when any part of it ends."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, TextIO

from service.dev.errors import DevError
from service.dev.stack import dev_stack

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a supervisor's request, and a terminal that was closed."""


class StopRequested(BaseException):
    """Somebody wants us to end. No Exception, so that nothing on the way takes it for a failure it may handle."""


def run_dev(*, port: int, data_dir: Path, out: TextIO) -> int:
    """Run until told to stop: the exit status. Raises SettingsError, DevError and EmbeddedRedisError, each one line.

    `out` gets exactly one line of JSON, once everything is ready; it holds the administrator's token.
    """
    try:
        with _stop_on_signals(), dev_stack(port=port, data_dir=data_dir) as stack:
            ready = {"event": "ready", "url": stack.url, "admin_token": stack.admin_token}
            out.write(json.dumps(ready, separators=(",", ":")) + "\n")
            out.flush()
            name, status = stack.wait_for_any_end()
            raise DevError(f"`{name}` ended with status {status}, and everything else was stopped")
    except StopRequested:
        return 0


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in STOP_SIGNALS}

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # what follows is bounded, and must not be broken off half way
        raise StopRequested

    for each in STOP_SIGNALS:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
