"""The command: a stack of its own in a folder that goes away, the story, and the verdict as the exit status."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import httpx
from rich.console import Console

from service.demo.authorization_server import StepFailed
from service.demo.claims import Claims
from service.demo.story import tell_story
from service.demo.timeline import Narration
from service.dev import DevError, dev_stack
from service.embedded_redis import EmbeddedRedisError
from service.settings import PREFIX, SettingsError

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C: 128 and the number of the signal, as a shell would say it."""

NEXT_STEPS: Final = (
    ("Run the same parts for yourself; prints its URL and an administrator's token:", "make dev"),
    (
        "While it runs, see what it tells applications, and its whole API:",
        "curl http://127.0.0.1:8000/.well-known/openid-configuration",
        "curl http://127.0.0.1:8000/openapi.json",
    ),
    ("Connect Okta in five minutes, and the API by example:", "less README.md"),
)


def run_demo() -> int:
    """Play the demo: 0 when every claim came true, 1 when one did not, 130 when it was interrupted.

    Nothing stays behind: no process, no file.
    """
    show = Narration(Console(highlight=False))
    try:
        with _stop_on_signals(), _own_settings(), tempfile.TemporaryDirectory(prefix="logoutd-demo-") as folder:
            return _play(Path(folder), show)
    except KeyboardInterrupt:
        show.failure("interrupted; everything was stopped")
        return INTERRUPTED


def _play(folder: Path, show: Narration) -> int:
    log, claims = folder / "demo.log", Claims()
    show.title("logoutd demo: one person, signed out everywhere")
    show.line("Starting a Redis, the service and a worker ...")
    try:
        with dev_stack(port=0, data_dir=folder / "data", log_to=log) as stack:
            asyncio.run(tell_story(url=stack.url, admin_token=stack.admin_token, show=show, claims=claims))
    except (StepFailed, DevError, EmbeddedRedisError, SettingsError, httpx.HTTPError) as error:
        show.failure(str(error) or type(error).__name__)
        show.log(log)
        return 1
    return conclude(claims, log=log, show=show)


def conclude(claims: Claims, *, log: Path, show: Narration) -> int:
    """The exit status: 0 and what to try next, or 1, each claim that did not come true, and the end of the log."""
    if not claims.broken:
        show.next_steps(NEXT_STEPS)
        return 0
    show.failure(*(f"it did not come true that {each.text}" for each in claims.broken))
    show.log(log)
    return 1


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Ctrl-C, a supervisor's request and a closed terminal end the demo alike: everything is stopped on the way out."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.getsignal(each) for each in signals}

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)  # what follows is bounded, and must not be broken off half way
        raise KeyboardInterrupt

    for each in signals:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _own_settings() -> Iterator[None]:
    """Hide the environment's settings: they are for the reader's own logoutd, and the demo makes its own."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.upper().startswith(PREFIX)}
    try:
        yield
    finally:
        os.environ.update(hidden)
