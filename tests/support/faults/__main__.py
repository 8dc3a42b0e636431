"""`python -m tests.support.faults`: a run of the fault driver, from the command line. Exit status 1 on any breach."""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.support.faults.plan import Plan, Size, make_plan
from tests.support.faults.run import carry_out

PACE: Final = 25.0
"""Revocations a second, unless told otherwise: each has eight calls before it and around it."""


def main(arguments: list[str]) -> int:
    """Make the plan, carry it out, print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.faults", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where data and logs go and stay (default: a temporary one)")
    plan, given = read(parser, arguments)
    say(f"again: {parser.prog} {' '.join(plan.arguments())}")
    with tempfile.TemporaryDirectory(prefix="logoutd-faults-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        verdict = carry_out(plan, folder, say).verdict
    for line in verdict.lines():
        say(line)
    return 1 if verdict.breaches else 0


def read(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[Plan, argparse.Namespace]:
    """The plan that is asked for, and whatever else is."""
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed and size are the same plan")
    parser.add_argument("--revocations", type=int, default=3000)
    parser.add_argument("--seconds", type=float, help="how long they are fed (default: 25 a second)")
    parser.add_argument("--faults", type=int, help="how many (default: one every two seconds)")
    parser.add_argument("--faults-end-after", type=float, default=1.0, help="share of the time, default all of it")
    parser.add_argument("--pods", type=int, default=2)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--applications", type=int, default=5)
    given = parser.parse_args(arguments)
    seconds = given.seconds or given.revocations / PACE
    size = Size(
        revocations=given.revocations,
        seconds=seconds,
        faults=round(seconds / 2) if given.faults is None else given.faults,
        pods=given.pods,
        workers=given.workers,
        applications=given.applications,
        faults_end_after=given.faults_end_after,
    )
    return make_plan(given.seed, size), given


def say(line: str) -> None:
    """To standard output, at once: a run takes minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
