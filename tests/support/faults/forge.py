"""Processes that end at a chosen step of their way: what is asked of one, and who starts it (`crashing`)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from tests.support.processes import ROOT, clean_environment

NOWHERE: Final = ""
"""As the step to end at: none."""

AS_THEY_COME: Final = 0
"""As how many outcomes are written together: those that there are."""

Fate = Literal["dies", "loses Redis", "stands still"]
"""What happens to a process at a step: SIGKILL; the step fails as without Redis, and everything goes on; SIGSTOP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A process to run, and what happens to it where."""

    module: str
    """`service` or `workers`."""
    environment: Mapping[str, str]
    log: str
    trace: str
    """A file to which each step is written before it is taken."""
    step: str = NOWHERE
    """The step it happens at, by name."""
    turn: int = 1
    """At which of the steps of that name. What is done side by side is not always done in the same order: the number of a step
    among all would not be the same step each time."""
    commands: int = 0
    """How many commands of that step's pipeline still reach Redis; 0: it is never sent."""
    after: bool = False
    """Only when that step is done, before anything is made of its answer."""
    fate: Fate = "dies"
    wakes_ahead_s: float = 0.0
    """Of one that stands still: how much later it is for it when it goes on, in seconds."""
    held_s: float = 0.0
    """Nothing happens at that step, but it waits for so long, in seconds."""
    revocation_id: str = ""
    """Of a worker: whose steps are counted, in the first job of it."""
    together: int = AS_THEY_COME
    """Of a worker: how many outcomes are written together. Whether an outcome finds another waiting is chance, and a step less
    is taken when it does."""
    clock_ahead_s: float = 0.0
    """How far ahead of this machine's its clock is, in seconds: what has been leased is soon free again."""

    @property
    def mark(self) -> Path:
        """A file that is there once one that does not die has come to its step."""
        return Path(f"{self.trace}.reached")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step that was taken."""

    name: str
    commands: int
    """How many commands Redis is sent together, each by itself; 1 for what is one or a transaction."""


class Forge:
    """Runs orders, each in a process of its own, forked from one that has everything imported."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Forge"]:
        """One that is ready; whatever it forked is gone when the block ends."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.faults.crashing"],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield cls(process)
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(10)

    def start(self, order: Order) -> int:
        """The process id of a process that carries out this order. It is a child of the forge's, which waits for it."""
        return int(self._ask({"order": asdict(order)}))

    def ask_to_end(self, pid: int) -> int:
        """Have one finish what it does and end; how it ended."""
        os.kill(pid, signal.SIGTERM)
        return self.wait(pid)

    def wait(self, pid: int) -> int:
        """How one ended; negative: by which signal."""
        return int(self._ask({"wait": pid}))

    def end(self, pid: int) -> int:
        """Kill one, if it still runs; how it ended."""
        os.kill(pid, signal.SIGKILL)
        return self.wait(pid)

    def _ask(self, message: object) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, "the forge has ended"
        return answer


def steps_of(trace: Path) -> list[Step]:
    """The steps a process took, the last of which it may have died at."""
    return [Step(**json.loads(line)) for line in trace.read_text("utf-8").splitlines()] if trace.exists() else []
