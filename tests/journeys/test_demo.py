"""`logoutd demo` as a newcomer runs it: one command, a timeline, a verdict, nothing left behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from service.cli import main; main()", "demo"]

LIMIT_S = 90
"""Longest a demo may take on a busy machine, in seconds; on an idle one it takes less than ten."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No terminal, 80 columns, a temporary folder of its own; and settings of the reader's, which are not the demo's."""
    return {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "COLUMNS": "80",
        "LOGOUTD_PUBLIC_URL": "https://logout.example.com",
        "LOGOUTD_REDIS_URL": "redis://127.0.0.1:1/0",
    }


@pytest.fixture
def running(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A demo that has begun; killed with the test, were it still there."""
    with subprocess.Popen(
        COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


def test_the_demo_tells_the_story_keeps_its_promises_and_leaves_nothing_behind(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    said = done.stdout

    assert done.returncode == 0, said + done.stderr
    assert done.stderr == ""
    promises = re.findall(r"^ {3}(true|FALSE) ", said, re.MULTILINE)
    assert promises == ["true"] * len(promises)
    assert len(promises) >= 10
    assert "at once, Ada's 4 refresh tokens were dead, the offline one too" in said
    assert "at once, both of Ada's sessions read as ended" in said
    assert re.search(r"0 +logoutd +revocation recorded", said)
    assert re.search(r"\d+ +identity provider +has its answer +204 +\d+\n", said)
    assert re.search(r"\d+ +wiki +attempt 1: her session on the laptop +200 +\d+\n", said)
    assert re.search(r"\d+ +wiki +attempt 1: her session on the phone +200 +\d+\n", said)
    assert re.search(r"\d+ +payroll +attempt 1: all of her sessions +200 +\d+\n", said)
    assert re.search(r"\d+ +helpdesk +attempt 1: failed, to be tried again +503 +\d+\n", said)
    assert re.search(r"\d+ +helpdesk +attempt 2: all of her sessions +200 +\d+\n", said)
    assert "Ben was left alone" in said
    assert "$ make dev" in said
    assert "logoutd_rt_" not in said
    assert "eyJ" not in said
    assert max(map(len, re.sub(r"https?://\S+", "", said).splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_everything_it_started(
    running: subprocess.Popen[str], tmp_path: Path, how: signal.Signals
) -> None:
    assert running.stdout is not None
    # From its first chapter on, the stack is up: that is when there is most to stop.
    first = next(line for line in running.stdout if line.startswith("1 "))
    children = descendants(running.pid)

    running.send_signal(how)
    said, complained = running.communicate(timeout=LIMIT_S)

    assert "parts" in first
    assert len(children) >= 3, "redis-server, service and worker were running"
    assert running.returncode == 130, said + complained
    assert "interrupted" in said
    assert "Traceback" not in complained
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []


def descendants(pid: int) -> list[int]:
    """Every process below this one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            # "pid (name) state ppid ...": the name may hold anything, so what follows its last parenthesis counts.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]
