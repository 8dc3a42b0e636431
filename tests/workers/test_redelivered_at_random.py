"""Refusals, outages, redeliveries, crashes and lost queues in any order: no row is lost, every count is right, and no logout
token names what has begun since (law 5)."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from service.errors import Conflict, Unavailable
from service.jobs import QUEUE
from service.store import keyspace
from tests.support.breaks import redis_away
from tests.support.house import House
from tests.support.strangers import Request, Stranger, answer, stranger
from workers.sparing import FRESH_MS
from workers.sweep import HEAL_AFTER_MS

EXAMPLES, STEPS = 25, 30
CLIENTS = ("crm", "mail")
PEOPLE = ("ada", "bob")

steps = st.lists(
    st.one_of(
        st.tuples(st.just("answers"), st.sampled_from([200, 400, 400, 503])),
        st.tuples(st.just("revoke"), st.sampled_from(PEOPLE)),
        st.tuples(st.just("work"), st.integers(0, 12)),
        st.tuples(st.just("redeliver one"), st.integers(0, 10)),
        st.tuples(st.just("redeliver revocation"), st.integers(0, 10)),
        st.tuples(st.just("redeliver client"), st.integers(0, 10)),
        st.tuples(st.just("sign in"), st.sampled_from(PEOPLE)),
        st.tuples(st.just("clock"), st.sampled_from([1, 20, 61, 3600, 25 * 3600])),
        st.tuples(st.just("lose the queue"), st.just(0)),
        st.tuples(st.just("tidy"), st.just(0)),
    ),
    min_size=STEPS,
    max_size=STEPS,
)


class Chaos:
    """One history, over an empty record."""

    def __init__(self, house: House, app: Stranger, answers: list[int]) -> None:
        self.house = house
        self.app = app
        self.answers = answers
        self.rids: list[str] = []
        self.signed_in: dict[str, dict[str, int]] = {each: {} for each in PEOPLE}
        """Each person's sessions that nobody has revoked, and when they began."""
        self.wrongly_told: list[Mapping[str, Any]] = []

    async def begin(self) -> None:
        await self.house.resources.record.run("FLUSHALL")
        for each in CLIENTS:
            await self.house.application(each, self.app.url())

    async def live(self, kind: str, value: object) -> None:
        """One thing happens. `work` and the redeliveries may lose Redis at their n-th call."""
        house = self.house
        number = value if isinstance(value, int) else 0
        match kind:
            case "answers":
                self.answers[:] = [number]
            case "sign in":
                await self.sign_in(str(value))
            case "revoke":
                await self.sign_in(str(value))
                self.signed_in[str(value)].clear()
                self.rids.append(await house.revoke(str(value)))
            case "clock":
                house.clock.advance(number)
            case "lose the queue":
                await house.resources.queue_redis.delete(QUEUE)
            case "tidy":
                await self.work(tidy=True)
            case "work":
                await self.broken(self.work(), number)
            case _ if self.rids:
                await self.broken(self.redeliver(kind), number)

    async def sign_in(self, name: str) -> None:
        self.signed_in[name][await self.house.sign_in(name, *CLIENTS)] = self.house.clock.now_ms()

    def is_told(self, claims: Mapping[str, Any]) -> None:
        """An application takes a logout token; it ends what that names."""
        newer = self.signed_in[claims["sub"].partition("|")[2]]
        sid = claims.get("sid", "").partition("|")[2]
        ends = [newer[sid]] if sid in newer else [] if sid else list(newer.values())
        if any(began_ms <= self.house.clock.now_ms() - FRESH_MS for began_ms in ends):
            self.wrongly_told.append(claims)

    async def broken(self, doing: "asyncio.Future[None] | object", at: int) -> None:
        """Do it, with Redis gone from the `at`-th call on; 0: never."""
        assert asyncio.iscoroutine(doing)
        if at == 0:
            with suppress(Conflict):
                await doing
            return
        with redis_away(at=at, moment="before" if at % 2 else "after"), suppress(Conflict, Unavailable):
            await doing

    async def work(self, *, tidy: bool = False) -> None:
        worker = self.house.worker
        if tidy:
            await worker.sweeper.tidy()
            await worker.redelivered.tidy()
        await worker.sweeper.sweep()
        await self.house.run_queue()

    async def redeliver(self, kind: str) -> None:
        redeliverer = self.house.resources.redeliverer
        newest = self.rids[-1]
        match kind:
            case "redeliver revocation":
                await redeliverer.of_revocation(newest)
            case "redeliver client":
                for each in CLIENTS:
                    await redeliverer.of_client(each, since_ms=0)
            case _:
                for each in await self.house.deliveries(newest):
                    if each.state == "dead":
                        await redeliverer.one(each.delivery_id)

    async def heal(self) -> None:
        """Time passes, with Redis there and every application well."""
        self.answers[:] = [200]
        for _ in range(4):
            self.house.clock.advance(HEAL_AFTER_MS / 1000 + 3601)
            await self.work(tidy=True)

    async def hold(self) -> None:
        """Whatever a receipt says of its rows is true of them, and the list of dead letters has the dead, each once."""
        dead = []
        for rid in self.rids:
            states = Counter(each.state for each in await self.house.deliveries(rid))
            counted = await self.house.resources.record.run("HMGET", keyspace.revocation(rid), "open", "dead")
            assert [int(each or 0) for each in counted] == [states["pending"] + states["retrying"], states["dead"]]
            receipt = await self.house.receipt(rid)
            assert receipt.state == ("incomplete" if states["dead"] else "completed")
            dead += [each.delivery_id for each in await self.house.deliveries(rid) if each.state == "dead"]
        now_ms = self.house.clock.now_ms()
        letters, _ = await self.house.resources.dead_letters.page(after=None, limit=1000, now_ms=now_ms)
        assert sorted(each.delivery.delivery_id for each in letters) == sorted(dead)
        assert await self.house.resources.dead_letters.count(now_ms=now_ms) == len(dead)
        assert (await self.house.due(), await self.house.open_revocations()) == ({}, set())


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(history=steps)
async def test_no_row_is_lost_and_every_count_is_right(house: House, history: Sequence[tuple[str, object]]) -> None:
    answers = [400]

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        chaos.is_told(request.claims)
        await answer(answers[0])(request, writer)

    async with stranger(behave) as app:
        chaos = Chaos(house, app, answers)
        await chaos.begin()
        for beginning in (("revoke", "ada"), ("work", 0)):
            await chaos.live(*beginning)
        for kind, value in history:
            await chaos.live(kind, value)
        before = {each.delivery_id for rid in chaos.rids for each in await house.deliveries(rid)}
        await chaos.heal()
        await chaos.hold()
        after = {each.delivery_id: each for rid in chaos.rids for each in await house.deliveries(rid)}
        assert before <= set(after)

        # What is left is what somebody has to ask for; and once they have, everybody has been told.
        results = [await house.resources.redeliverer.of_client(each, since_ms=0) for each in CLIENTS]
        refused = {name: why for result, _ in results for name, why in result.refused.items()}
        await chaos.heal()
        await chaos.hold()
        rows = [each for rid in chaos.rids for each in await house.deliveries(rid)]
        assert chaos.wrongly_told == []
        assert {each.delivery_id for each in rows if each.state == "dead"} == set(refused)
        assert set(refused.values()) <= {"newer_session"}
        # `newer_session`: the application had been told of the old one by a later revocation, before somebody signed in again.
        assert {each.reason for each in rows if each.state == "skipped"} <= {"told_by_sid", "newer_session"}
