"""A worker that stands still for as long as it likes, while its leases run out, and goes on as if nothing had been: a frozen
virtual machine, a stopped container. What it had in hand is another's by then."""

from collections.abc import Iterator

import pytest

from tests.support.authorization_server import CLOSED
from tests.support.faults.crash_matrix import LEASES_RUN_OUT_S, PATIENCE_S, Matrix
from tests.support.faults.crash_points import Point
from tests.support.faults.standing import another_worker, standing, taken_over
from tests.support.relying_party import UNAVAILABLE
from tests.support.waiting import eventually

BEFORE_SENDING = Point(step="POST", fate="stands still")
AFTER_SENDING = Point(step="POST", after=True, fate="stands still")
IN_HAND = Point(step="ZADD+plan_deliveries.lua", after=True, fate="stands still")
"""Just when it has taken the deliveries: nothing is sent yet."""


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with Matrix.open(tmp_path_factory.mktemp("standing")) as opened:
        yield opened


def once(matrix: Matrix, times: int = 1) -> dict[str, int]:
    return {matrix.web.client_id: times, matrix.crm.client_id: times}


def test_what_one_worker_has_in_hand_no_other_sends_however_often_it_is_queued(matrix: Matrix) -> None:
    with standing(matrix, BEFORE_SENDING) as one:
        with another_worker(matrix):
            for _ in range(2):
                one.hint()
                eventually(matrix.fleet.queued, lambda count: count == 0, within_s=PATIENCE_S)
        assert one.sent() == {}
        one.go_on()
        assert one.sent() == once(matrix)
        assert one.receipt["state"] == "completed"


def test_whoever_stood_still_past_its_leases_sends_nothing_of_what_it_had_in_hand(matrix: Matrix) -> None:
    with standing(matrix, IN_HAND, wakes_ahead_s=LEASES_RUN_OUT_S) as one:
        taken_over(one)
        assert one.sent() == once(matrix)
        one.go_on()
        assert one.sent() == once(matrix)


def test_what_it_writes_down_too_late_changes_nothing(matrix: Matrix) -> None:
    """It was refused for the moment, and stood still. Told by another meanwhile, the applications are told no more; but for what
    it was just sending to the other one."""
    for each in (matrix.web, matrix.crm):
        each.party.answer(UNAVAILABLE)
    with standing(matrix, AFTER_SENDING) as one:
        taken_over(one)
        before = one.receipt
        one.go_on()
        after, sent = one.receipt, one.sent()
        with another_worker(matrix, ahead_s=2 * LEASES_RUN_OUT_S):
            eventually(lambda: one.receipt["state"] in CLOSED, bool, within_s=PATIENCE_S)
            eventually(matrix.fleet.due, lambda count: count == 0, within_s=PATIENCE_S)
        assert after["deliveries"] == before["deliveries"]
        assert one.receipt["deliveries"] == before["deliveries"]
        assert one.sent() == sent
