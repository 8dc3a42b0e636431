"""Redis is gone for a while, killed or silent: no answer is made up, no process of ours ends, and all is caught up with after."""

from dataclasses import replace
from typing import Final

import pytest

from tests.support.faults.plan import Deed, Fault, Plan, Size, make_plan
from tests.support.faults.run import Outcome, carry_out

SIZE: Final = Size(revocations=40, seconds=3, faults=0, pods=1, workers=1)

SHORT_S: Final = 4.0
WHOLE_S: Final = 60.0

MARGIN_S: Final = 0.5
"""What was answered just before Redis went may arrive so much after it, in seconds."""

BACK_S: Final = 15.0
"""How long after Redis is back everybody has been told, at most, in seconds: workers look again after five."""


def plan(deed: Deed, lasts_s: float) -> Plan:
    gone = Fault(at_s=0.4, deed=deed, target="redis", lasts_s=lasts_s)
    return replace(make_plan(1, SIZE), faults=(gone,), misbehaviours=())


@pytest.fixture(
    scope="module",
    params=[
        ("kill", SHORT_S),
        pytest.param(("pause", WHOLE_S), marks=pytest.mark.soak),
        pytest.param(("kill", WHOLE_S), marks=pytest.mark.soak),
    ],
    ids=str,
)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What came of it."""
    lines: list[str] = []
    return carry_out(plan(*request.param), tmp_path_factory.mktemp("gone"), lines.append)


def test_nothing_that_was_promised_is_broken(outcome: Outcome) -> None:
    assert outcome.verdict.breaches == []
    assert outcome.verdict.acknowledged == outcome.verdict.told == SIZE.revocations


def test_while_it_is_gone_every_answer_is_503(outcome: Outcome) -> None:
    (gone,) = outcome.endured
    # Nobody starts it before that; it answers somewhat before it is known to have started.
    from_s, to_s = gone.began_s + MARGIN_S, gone.began_s + gone.fault.lasts_s
    answered = [at_s for at_s, _ in outcome.answers if from_s < at_s < to_s]
    refused = [at_s for at_s, _ in outcome.refusals if from_s < at_s < to_s]
    assert answered == []
    assert refused


def test_no_process_of_ours_ends_or_is_started(outcome: Outcome) -> None:
    before, after = outcome.process_ids
    assert before == after


def test_when_it_is_back_all_is_caught_up_with_and_nobody_has_to_see_to_it(outcome: Outcome) -> None:
    assert outcome.verdict.longest_until_answered_s < BACK_S
    assert outcome.verdict.longest_until_told_s < BACK_S + 20  # what a worker had in hand waits for its lease
