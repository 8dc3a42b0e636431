"""One process of `logoutd dev`: started, asked whether it is ready, stopped, killed."""

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import service
from service.dev.errors import DevError
from service.embedded_redis import tethered

START_LIMIT_S: Final = 60.0
"""Longest wait for a process to be ready, in seconds."""

STOP_LIMIT_S: Final = 30.0
"""Longest wait for a process to end by itself, in seconds, before it is killed. A worker finishes its job first."""

STDERR: Final = 2
"""The file descriptor of our own stderr."""

POLL_S: Final = 0.02
"""Pause between two looks at whether it is ready, in seconds."""


def module_command(module: str) -> list[str]:
    """The command that runs one of our modules as a program, whatever lies in the current folder.

    `service` and `workers` are common names for a folder: without `-P`, Python would run the one it stands in.
    """
    return [sys.executable, "-P", "-m", module]


def module_environment() -> dict[str, str]:
    """What `module_command` needs in the environment to find our modules when they run from a source tree."""
    root = str(Path(service.__file__).resolve().parent.parent)
    if root in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


class Child:
    """A process of ours. What it writes, to stdout too, goes to the file descriptor `log`: our stdout is for one line."""

    def __init__(
        self,
        module: str,
        *,
        environment: Mapping[str, str],
        is_ready: Callable[["Child"], bool],
        log: int = STDERR,
    ) -> None:
        self.name = module
        self._environment = {**os.environ, **module_environment(), **environment}
        self._log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None
        self._asked_to_end = False
        self.started_at_ms = 0
        """When it was last started, in milliseconds since the epoch."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, to wait for its end. Raises DevError when it was never started."""
        if self._process is None:
            raise DevError(f"`{self.name}` was not started")
        return self._process

    @property
    def pid(self) -> int:
        """Its process id. Raises DevError when it was never started."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    def spawn(self) -> None:
        """Start it, and do not wait."""
        if self.running:
            return
        self._asked_to_end = False
        self.started_at_ms = time.time_ns() // 1_000_000
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            tethered(module_command(self.name)),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C at the terminal is for us: we stop everything in order
        )

    def wait_until_ready(self) -> None:
        """Return once it is ready. Raises DevError when it ends first, or within START_LIMIT_S is not."""
        deadline = time.monotonic() + START_LIMIT_S
        while not self._is_ready(self):
            if self._ends_within(POLL_S):
                raise DevError(f"`{self.name}` ended with status {self.process.returncode} while it started")
            if time.monotonic() > deadline:
                raise DevError(f"`{self.name}` was not ready within {START_LIMIT_S:.0f} s")

    def start(self) -> None:
        """Start it and return once it is ready. Raises DevError."""
        self.spawn()
        self.wait_until_ready()

    def terminate(self) -> None:
        """Ask it to end, once, and do not wait: a second signal would catch it after it has put its handler away."""
        if self.running and not self._asked_to_end:
            self._asked_to_end = True
            self.process.terminate()

    def stop(self) -> None:
        """Have it end, killed after STOP_LIMIT_S. Stopping what does not run is nothing."""
        self.terminate()
        if self.running and not self._ends_within(STOP_LIMIT_S):
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would end it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _ends_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True
