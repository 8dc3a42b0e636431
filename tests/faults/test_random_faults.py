"""Everything is killed, stopped and paused at random while people are revoked: what was acknowledged is in force and told.

The short form of `make soak`, of one seed. What is left in hand by whatever was killed waits for a lease of twenty seconds.
"""

import subprocess
import sys
from argparse import ArgumentParser
from typing import Final

import pytest

from tests.support.faults.__main__ import read
from tests.support.faults.plan import Size, make_plan
from tests.support.processes import LIMIT_S, ROOT, clean_environment

SEED: Final = 136
"""A plan in which Redis, a service and a worker are killed and each deed occurs."""

SIZE: Final = Size(revocations=120, seconds=4, faults=8, faults_end_after=0.6)

ARGUMENTS: Final = (
    *("--seed", str(SEED), "--revocations", str(SIZE.revocations), "--seconds", str(SIZE.seconds)),
    *("--faults", str(SIZE.faults), "--faults-end-after", str(SIZE.faults_end_after)),
    *("--pods", str(SIZE.pods), "--workers", str(SIZE.workers), "--applications", str(SIZE.applications)),
)


@pytest.fixture(scope="module")
def figures() -> dict[str, str]:
    """What the run of the plan printed, by name."""
    run = subprocess.run(
        [sys.executable, "-P", "-m", "tests.support.faults", *ARGUMENTS],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=3 * LIMIT_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return dict(line.split(maxsplit=1) for line in run.stdout.splitlines() if len(line.split()) > 1)


def test_whatever_was_acknowledged_is_in_force_and_everybody_concerned_was_told(figures: dict[str, str]) -> None:
    everybody = str(SIZE.revocations)
    assert {name: figures[name] for name in ("acknowledged", "effective", "told", "lost", "receipts_finished")} == {
        "acknowledged": everybody,
        "effective": everybody,
        "told": everybody,
        "lost": "0",
        "receipts_finished": everybody,
    }


def test_people_of_the_same_names_through_another_connection_are_untouched(figures: dict[str, str]) -> None:
    assert figures["untouched"] == str(SIZE.revocations)


def test_no_more_is_told_twice_than_was_in_flight(figures: dict[str, str]) -> None:
    assert int(figures["duplicates"]) < SIZE.revocations


def test_a_seed_is_a_plan() -> None:
    plan = make_plan(SEED, SIZE)
    assert plan == make_plan(SEED, SIZE)
    assert plan.people != make_plan(SEED + 1, SIZE).people
    assert plan.faults != make_plan(SEED + 1, SIZE).faults


def test_what_a_run_prints_makes_its_plan_again(figures: dict[str, str]) -> None:
    program, _, printed = figures["again:"].partition(" --")
    assert program == "python -m tests.support.faults"
    again, _ = read(ArgumentParser(), f"--{printed}".split())
    assert again == make_plan(SEED, SIZE)


def test_the_plan_kills_and_stops_and_pauses_every_part() -> None:
    faults = make_plan(SEED, SIZE).faults
    assert {each.deed for each in faults} == {"kill", "terminate", "pause", "forget"}
    killed = {each.target.partition("-")[0] for each in faults if each.deed == "kill"}
    assert killed == {"redis", "service", "worker"}
