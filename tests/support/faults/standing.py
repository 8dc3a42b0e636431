"""A worker that stands still in the middle of a revocation (SIGSTOP), what another does meanwhile, and its going on."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool

from service import jobs
from service.telemetry import Numbers
from tests.support.authorization_server import CLOSED, Receipt
from tests.support.faults.crash_cases import Case, Watch
from tests.support.faults.crash_matrix import LEASES_RUN_OUT_S, PATIENCE_S, Matrix, comes
from tests.support.faults.crash_points import Point
from tests.support.faults.forge import Order
from tests.support.waiting import eventually


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One that stands, with one person's revocation in hand."""

    matrix: Matrix
    case: Case
    revocation_id: str
    pid: int
    order: Order

    @property
    def receipt(self) -> Receipt:
        """Of the revocation, as it is now."""
        return self.matrix.server.receipt(self.revocation_id)

    def sent(self) -> Counter[str]:
        """How often each application has been sent a logout token of the person, whatever it answered."""
        applications = (self.matrix.web, self.matrix.crm)
        return Counter(
            each.client_id
            for each in applications
            for token in each.party.tokens
            if token.claims["sub"] == self.case.session.user_id
        )

    def go_on(self) -> None:
        """Have it go on, do what it has in hand, and end."""
        os.kill(self.pid, signal.SIGCONT)
        assert self.matrix.forge.ask_to_end(self.pid) == 0

    def hint(self) -> None:
        """Queue jobs of the same work again, as anybody may: the sweeper, a repeat, whoever can write to the queue. They are all
        that is in it: what it still has of the job that stands would wait as long as that is held to run."""
        self.matrix.fleet.forget_queue()
        asyncio.run(self._hint([each["delivery_id"] for each in self.receipt["deliveries"]]))

    async def _hint(self, delivery_ids: Sequence[str]) -> None:
        pool = ConnectionPool.from_url(self.matrix.fleet.environment["LOGOUTD_REDIS_URL"])
        async with ArqRedis(connection_pool=pool, job_serializer=jobs.serialize) as redis:
            queue = jobs.Queue(redis, Numbers())
            await queue.revoke(self.revocation_id, now_ms=jobs.TICKET_MS)
            await queue.notify(self.revocation_id, delivery_ids, now_ms=0)
        await pool.aclose()


@contextmanager
def standing(matrix: Matrix, point: Point, *, wakes_ahead_s: float = 0.0) -> Iterator[Standing]:
    """A worker that stands still at this point; gone when the block ends."""
    case = matrix.case("worker, standing still", point, "global token revocation")
    matrix.fleet.forget_queue()
    assert case.send(matrix.fleet.urls["service-0"]).is_success
    (head,) = matrix.server.revocations_of(case.session.user_id)
    order = matrix.order("workers", point, revocation_id=head["revocation_id"], together=1, wakes_ahead_s=wakes_ahead_s)
    pid = matrix.forge.start(order)
    with closing(Watch(pid)) as process:
        assert comes(order, process, PATIENCE_S), point
        try:
            yield Standing(matrix=matrix, case=case, revocation_id=head["revocation_id"], pid=pid, order=order)
        finally:
            if not process.ends(0):
                matrix.forge.end(pid)


@contextmanager
def another_worker(matrix: Matrix, *, ahead_s: float = 0.0) -> Iterator[None]:
    """Another one, at work, which ends as it is asked to when the block does. `ahead_s`: how much later it is for it."""
    pid = matrix.forge.start(matrix.order("workers", clock_ahead_s=ahead_s))
    try:
        eventually(lambda: matrix.fleet.is_heard_of(pid), bool)
        yield
    except BaseException:
        matrix.forge.end(pid)
        raise
    assert matrix.forge.ask_to_end(pid) == 0


def taken_over(one: Standing) -> None:
    """Return once another worker, for which its leases have run out, has done everything."""
    with another_worker(one.matrix, ahead_s=LEASES_RUN_OUT_S):
        eventually(lambda: one.receipt["state"] in CLOSED, bool, within_s=PATIENCE_S)
