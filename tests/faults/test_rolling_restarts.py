"""Every process is asked to end and is started again, one after the other, over and over, while people are revoked."""

from dataclasses import replace
from typing import Final

import pytest

from tests.support.faults.plan import Fault, Misbehaviour, Plan, Size, make_plan
from tests.support.faults.run import Outcome, carry_out

PROCESSES: Final = ("service-0", "worker-0", "service-1", "worker-1")

EACH_S: Final = 1.6
"""Time from one restart to the next, in seconds: each process runs for six and a half before its turn comes again."""

FIRST_S: Final = 0.5

SLOW: Final = 2
"""How many of the applications are slow."""

SHORT: Final = 6
WHOLE: Final = 60
"""How many restarts."""


def plan(restarts: int) -> Plan:
    size = Size(revocations=restarts * 15, seconds=FIRST_S + restarts * EACH_S, faults=0)
    faults = tuple(
        Fault(at_s=FIRST_S + number * EACH_S, deed="terminate", target=PROCESSES[number % 4], lasts_s=0.05)
        for number in range(restarts)
    )
    # Two that take their time to answer: each worker has attempts in flight when it is asked to end.
    slow = tuple(
        Misbehaviour(at_s=0.0, application=number, manner="slow", lasts_s=size.seconds) for number in range(SLOW)
    )
    return replace(make_plan(2, size), faults=faults, misbehaviours=slow)


@pytest.fixture(scope="module", params=[SHORT, pytest.param(WHOLE, marks=pytest.mark.soak)])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What came of it."""
    lines: list[str] = []
    return carry_out(plan(request.param), tmp_path_factory.mktemp("rolling"), lines.append)


def test_nothing_is_lost_and_each_process_ends_in_time_with_status_0(outcome: Outcome) -> None:
    # An end that takes longer than the grace period, or has another status, is a breach too.
    assert outcome.verdict.breaches == []
    assert outcome.verdict.acknowledged == outcome.verdict.told == outcome.verdict.effective > 0
    assert outcome.verdict.lost == 0


def test_every_restart_happened(outcome: Outcome) -> None:
    assert len(outcome.endured) >= SHORT
    before, after = outcome.process_ids
    assert [name for name in PROCESSES if before[name] == after[name]] == []


def test_nothing_is_told_twice_but_for_an_attempt_in_flight(outcome: Outcome) -> None:
    stopped = [each for each in outcome.endured if each.fault.target.startswith("worker")]
    assert outcome.verdict.duplicates <= len(stopped)
