"""A process killed at any step of a revocation's way, and its Redis in the middle of any pipeline: law 2, point by point.

For each point one person, and one process that dies there: before each call to Redis, with each part of a pipeline sent, before
and after each call to an application, after the last. And one that lives on and loses Redis there: nothing of the call gets
through, some of it, or all of it and the reply is lost. A step that is added to the way is added here by itself.
"""

import json
from collections.abc import Iterator

import pytest

from tests.support.faults.crash_matrix import Case, Matrix

DOORS = ("global token revocation", "logout token")
"""What each is tried at; the third only by `make soak`: its way is the first one's but for a step."""

ALIVE = (True, True, True)
DEAD = (False, False, False)

APPLICATIONS = 2

TOGETHER = (1, APPLICATIONS)
"""How many outcomes a worker writes down at once: each by itself, as when one application is slower, and all in one go."""


@pytest.fixture(scope="module", params=[DOORS, pytest.param((*DOORS, "event hook"), marks=pytest.mark.soak)], ids=len)
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """Everything that has crashed, after a worker has cleaned up and providers have repeated themselves."""
    with Matrix.open(tmp_path_factory.mktemp("crashes")) as matrix:
        for door in request.param:
            matrix.crash_services(door)
        for together in TOGETHER:
            matrix.crash_workers(together)
        matrix.recover()
        yield matrix


@pytest.fixture(scope="module")
def cases(matrix: Matrix) -> list[Case]:
    """One for each point."""
    return matrix.cases


def test_every_step_of_a_revocation_was_died_at(cases: list[Case]) -> None:
    names = {
        case.whose: [
            each.point.step for each in cases if each.whose == case.whose and each.reached and each.point.fate == "dies"
        ]
        for case in cases
    }
    workers = [f"worker, {each} written together" for each in TOGETHER]
    assert set(names) >= {*workers, *(f"service, {door}" for door in DOORS)}
    assert all(len(each) > 12 for each in names.values())
    # Before and after each call to an application.
    assert [names[each].count("POST") for each in workers] == [2 * APPLICATIONS] * len(TOGETHER)
    reached = {(case.whose, case.point) for case in cases if case.reached}
    assert [str(case) for case in cases if (case.whose, case.point) not in reached] == []


def test_at_every_step_redis_was_lost_before_and_after_it(cases: list[Case]) -> None:
    dying = [case for case in cases if case.point.fate == "dies" and not case.point.held]
    steps = {(case.whose, case.point.step, case.point.turn) for case in dying} - {(case.whose, "", 1) for case in dying}
    lost = [case for case in cases if case.point.fate == "loses Redis"]
    for after in (False, True):
        found = {(case.whose, case.point.step, case.point.turn) for case in lost if case.point.after is after}
        assert found == {each for each in steps if each[1] != "POST"}
    # What does not matter to the answer does not change it; what does, turns it into a 503.
    assert {case.acknowledged for case in lost if case.whose.startswith("service") and not case.repeated_first} == {
        False,
        True,
    }


def test_a_step_that_redis_failed_is_told_as_that_and_never_as_a_fault_of_ours(matrix: Matrix) -> None:
    told = [json.loads(line) for each in ("service", "workers") for line in matrix.log(each).read_text().splitlines()]
    assert [each for each in told if "exception" in each or each["level"] == "critical"] == []
    assert {each["event"] for each in told if each["level"] == "warning"} >= {
        "job.record_lost",
        "delivery.not_recorded",
    }


def test_whatever_was_acknowledged_is_in_force_before_any_worker_runs(cases: list[Case]) -> None:
    assert [f"{case}: {case.honoured}" for case in cases if case.acknowledged and case.honoured != DEAD] == []


def test_nobody_is_ever_half_signed_out(cases: list[Case]) -> None:
    moments = [(case, each) for case in cases for each in (case.honoured, case.honoured_unrepeated)]
    assert [f"{case}: {honoured}" for case, honoured in moments if honoured not in {ALIVE, DEAD}] == []


def test_what_died_unanswered_was_done_in_full_or_not_at_all(cases: list[Case]) -> None:
    unanswered = [case for case in cases if not case.acknowledged and not case.repeated_first]
    done = [case for case in unanswered if case.honoured_unrepeated == DEAD]
    assert [str(case) for case in done if not case.told_unrepeated] == []
    assert [str(case) for case in unanswered if case.told_unrepeated and case not in done] == []
    # Both happen: those that died before their record, and those that died after it.
    assert done
    assert len(done) < len(unanswered)


def test_the_repeat_of_what_nobody_answered_makes_it_so(cases: list[Case]) -> None:
    assert [f"{case}: {case.honoured_at_last}" for case in cases if case.honoured_at_last != DEAD] == []


def test_every_application_was_told_of_everybody(cases: list[Case]) -> None:
    untold = [f"{case}: {case.told_at_last}" for case in cases if len(case.told_at_last) != APPLICATIONS]
    assert untold == []


def test_every_receipt_is_finished(cases: list[Case]) -> None:
    assert [f"{case}: {case.receipts}" for case in cases if set(case.receipts) != {"completed"}] == []
