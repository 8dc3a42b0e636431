"""Processes of ours as an operator runs them: the command line in a process of its own, and ends waited for with a bound."""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The source tree under test."""

LIMIT_S: Final = 60.0
"""Longest wait for a process to end or to say something, in seconds."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without any setting of ours, with the source tree to be imported from."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("LOGOUTD_")}
    return {**kept, "PYTHONPATH": str(ROOT), **(extra or {})}


def logoutd(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stderr: int | None = subprocess.PIPE,
) -> "subprocess.Popen[str]":
    """Start `logoutd` with these arguments, in a session of its own as a terminal would give it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "service.cli", *arguments],
        env=clean_environment(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


@contextmanager
def watched(*pids: int) -> Iterator[Callable[[], bool]]:
    """Yields a question: have all of these processes, children of ours or not, ended within LIMIT_S? (Linux)"""
    descriptors = [os.pidfd_open(pid) for pid in pids]

    def all_ended() -> bool:
        return all(select.select([each], [], [], LIMIT_S)[0] for each in descriptors)

    try:
        yield all_ended
    finally:
        for each in descriptors:
            os.close(each)


def children_of(pid: int) -> dict[str, int]:
    """The live children of a process: what each was started as (its last word) and its process id."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True, timeout=LIMIT_S
    ).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    found = {}
    for child, parent, command in rows:
        if int(parent) == pid and "<defunct>" not in command:
            found["redis-server" if "redis-server" in command else command.split()[-1]] = int(child)
    return found
