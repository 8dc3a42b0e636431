"""The log for people tells where a fault happened, and nothing that stood in a variable there."""

import subprocess
import sys

from tests.support.processes import LIMIT_S, ROOT, clean_environment

MARKER = "s3cret-of-a-connection"

FAULTS = f"""
import logging
from service.telemetry import configure_logging, get_logger

def fail():
    client_secret = "-".join({MARKER.split("-")!r})
    held = dict(client_secret=client_secret)
    return 1 / 0

configure_logging(log_format="console", log_level="info")
try:
    fail()
except ZeroDivisionError:
    get_logger("ours").exception("job.fault")
    logging.getLogger("a.librarys").error("a fault", exc_info=True)
"""


def test_a_traceback_on_the_console_shows_no_local_variables() -> None:
    # In a process of its own: the formatter is chosen for good, and writes to the true standard error.
    told = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert told.stdout == ""
    assert told.stderr.count("ZeroDivisionError") == 2
    assert told.stderr.count("in fail") == 2
    assert MARKER not in told.stderr
