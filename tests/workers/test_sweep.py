"""The sweeper: what was recorded is looked at again until it is done, whatever becomes of jobs and queues."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from arq.constants import in_progress_key_prefix

from service.accept import LOOK_AFTER_MS
from service.domain.identifiers import delivery_id_for
from service.errors import Unavailable
from service.jobs import BULK_QUEUE, QUEUE, TICKET_MS, Queue
from service.store import keyspace
from tests.support.breaks import Moment, redis_away
from tests.support.heard import listening
from tests.support.house import DAY_S, House, open_house
from tests.support.strangers import answer, stranger
from workers import sweep
from workers.sweep import AGAIN_MS, HEAL_AFTER_MS, HEAL_APART_MS, HIDDEN_MS, MOST_FAILED


async def queued(house: House, queue: str = QUEUE) -> dict[str, list[object]]:
    """The jobs on a queue, the urgent one unless another is named: what each is called and carries."""
    redis = house.resources.queue_redis
    names = [name.decode() for name in await redis.zrange(queue, 0, -1)]
    return {name: json.loads(await redis.get(f"arq:job:{name}") or b"{}")["a"] for name in names}


@dataclass
class Refusing:
    """Which jobs a queue does not take, and which it was asked to."""

    refuses: Callable[[str], bool] = lambda _: False
    asked: list[str] = field(default_factory=list)


async def lose_the_queue(house: House) -> None:
    """Delete everything arq has, as an operator might."""
    redis = house.resources.queue_redis
    await redis.delete(QUEUE, *(await redis.keys("arq:*")))


def deliveries_of(rid: str, count: int) -> list[str]:
    return sorted(delivery_id_for(rid, "usr_ada", f"app-{n}", "ada", None) for n in range(count))


async def test_what_is_overdue_is_queued_and_hidden_for_a_while(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    ticket = house.clock.now_ms()

    assert await house.worker.sweeper.sweep() == 1
    assert await house.worker.sweeper.sweep() == 0

    assert await queued(house) == {f"{rid}:{ticket // TICKET_MS}": [rid]}
    assert await house.due() == {rid: ticket + HIDDEN_MS}


async def test_a_fresh_revocation_is_left_to_its_job(house: House) -> None:
    await house.revoke("ada")
    house.clock.advance((LOOK_AFTER_MS - 1) / 1000)
    assert await house.worker.sweeper.sweep() == 0
    house.clock.advance(0.001)
    assert await house.worker.sweeper.sweep() == 1


async def test_what_was_not_done_comes_up_again_as_another_job(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    tickets = []
    for _ in range(6):
        tickets.append(house.clock.now_ms() // TICKET_MS)
        assert await house.worker.sweeper.sweep() == 1
        house.clock.advance(HIDDEN_MS / 1000)
    assert set(await queued(house)) == {f"{rid}:{ticket}" for ticket in tickets}


async def test_a_job_that_died_with_its_worker_does_not_stand_in_the_way_of_the_next(house: House) -> None:
    """arq keeps a job that was taken from being taken again, for longer than an entry stays hidden."""
    assert house.worker.create_arq_worker().in_progress_timeout_s * 1000 > HIDDEN_MS
    rid = await house.record_only(house.request("ada"))
    names = []
    for _ in range(4):
        await house.worker.sweeper.sweep()
        (name,) = set(await queued(house)) - set(names)
        assert name.startswith(rid)
        await house.resources.queue_redis.set(f"{in_progress_key_prefix}{name}", 1)
        names.append(name)
        house.clock.advance(HIDDEN_MS / 1000)


async def test_due_deliveries_of_one_revocation_are_one_job(house: House) -> None:
    first, second = deliveries_of("rev_a", 3), deliveries_of("rev_b", 2)
    await house.resources.schedule.look_at([*first, *second], at_ms=house.clock.now_ms())

    assert await house.worker.sweeper.sweep() == 5

    assert sorted((await queued(house)).values()) == [[first], [second]]


async def test_sweepers_at_the_same_moment_queue_a_revocation_once(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    await house.worker.sweeper.sweep()
    await house.resources.schedule.look_at([rid], at_ms=house.clock.now_ms())
    await house.worker.sweeper.sweep()
    assert len(await queued(house)) == 1


async def test_more_than_a_batch_is_taken_in_several(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BATCH", 2)
    rids = {await house.record_only(house.request("ada")) for _ in range(5)}
    assert [await house.worker.sweeper.sweep() for _ in range(4)] == [2, 2, 1, 0]
    assert {name.partition(":")[0] for name in await queued(house)} == rids


async def test_a_job_that_was_lost_is_queued_again_and_done(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await lose_the_queue(house)
        await house.run_queue()
        assert app.requests == []

        house.clock.advance(LOOK_AFTER_MS / 1000)
        await house.worker.sweeper.sweep()
        await house.run_queue()

    assert (await house.receipt(rid)).state == "completed"
    assert len(app.requests) == 1


async def test_a_job_whose_body_was_lost_is_too(house: House) -> None:
    await house.sign_in("ada", "gone")
    rid = await house.revoke("ada")
    await house.resources.queue_redis.delete(f"arq:job:{rid}:0")
    await house.run_queue()
    assert (await house.receipt(rid)).state == "accepted"

    house.clock.advance(LOOK_AFTER_MS / 1000)
    await house.worker.sweeper.sweep()
    await house.run_queue()

    assert (await house.receipt(rid)).state == "completed"


async def test_a_retry_is_put_on_the_queue_when_it_is_due_and_done(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.run_queue()
        delivery = await house.delivery(rid)
        assert delivery.next_attempt_at_ms is not None
        house.clock.advance((delivery.next_attempt_at_ms - house.clock.now_ms() - 1) / 1000)
        assert await house.worker.sweeper.sweep() == 0
        house.clock.advance(0.001)

        assert await house.worker.sweeper.sweep() == 1
        assert list((await queued(house)).values()) == [[[delivery.delivery_id]]]
        await house.run_queue()
    assert (await house.delivery(rid)).attempt_count == 2


async def test_without_the_queue_nothing_is_lost_but_time(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path, queue_url=f"unix://{tmp_path}/nobody.sock") as house:
        rid = await house.record_only(house.request("ada"))
        with listening() as heard:
            assert await house.worker.sweeper.sweep() == 1
        assert heard.one("job.not_queued")["job_id"].startswith(rid)
        house.clock.advance(AGAIN_MS / 1000)
        assert await house.worker.sweeper.sweep() == 1


async def test_a_queue_that_has_just_not_answered_is_not_asked_again(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path, queue_url=f"unix://{tmp_path}/nobody.sock") as house:
        for _ in range(MOST_FAILED + 1):
            await house.record_only(house.request("ada"))
        with listening() as heard:
            assert await house.worker.sweeper.sweep() == MOST_FAILED + 1
            for _ in range(3):
                assert await house.worker.sweeper.sweep() == 0
            assert len(heard.of("job.not_queued")) == MOST_FAILED
            house.clock.advance(AGAIN_MS / 1000)
            assert await house.worker.sweeper.sweep() == MOST_FAILED + 1


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """A queue that takes what it is told to."""
    refusing, hint = Refusing(), Queue._hint

    async def refuse(queue: Queue, job: str, job_id: str, *args: object, **more: Any) -> bool:
        refusing.asked.append(job_id)
        return not refusing.refuses(job_id) and await hint(queue, job, job_id, *args, **more)

    monkeypatch.setattr(Queue, "_hint", refuse)
    return refusing


async def test_what_a_queue_did_not_take_is_queued_as_soon_as_it_does(house: House, refusing: Refusing) -> None:
    """All of it; and it is not asked for long."""
    rids = {await house.record_only(house.request("ada")) for _ in range(8)}
    refusing.refuses = lambda _: len(refusing.asked) > 2
    assert await house.worker.sweeper.sweep() == 8
    assert len(refusing.asked) == 2 + MOST_FAILED
    refusing.refuses = lambda _: False
    house.clock.advance(AGAIN_MS / 1000)
    assert await house.worker.sweeper.sweep() == 6
    assert {name.partition(":")[0] for name in await queued(house)} == rids


async def test_what_alone_is_never_taken_holds_up_no_other(house: House, refusing: Refusing) -> None:
    rids = sorted([await house.record_only(house.request("ada")) for _ in range(8)])
    refusing.refuses = lambda job_id: job_id.startswith(rids[0])
    assert await house.worker.sweeper.sweep() == 8
    assert {name.partition(":")[0] for name in await queued(house)} == set(rids[1:])
    house.clock.advance(AGAIN_MS / 1000)
    assert await house.worker.sweeper.sweep() == 0, "it is hidden, as what was queued is"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_what_was_taken_just_before_redis_went_away_is_not_hidden_when_it_is_back(
    house: House, moment: Moment
) -> None:
    """It is the call after the entries were taken that fails."""
    rid = await house.record_only(house.request("ada"))
    with redis_away(at=2, moment=moment), pytest.raises(Unavailable):
        await house.worker.sweeper.sweep()
    assert (await house.due())[rid] > house.clock.now_ms()
    assert await house.worker.sweeper.sweep() == 1
    assert [name.partition(":")[0] for name in await queued(house)] == [rid]


async def test_what_was_done_meanwhile_is_not_looked_at_again(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    with redis_away(at=2, moment="before"), pytest.raises(Unavailable):
        await house.worker.sweeper.sweep()
    await house.resources.schedule.done([rid])
    assert await house.worker.sweeper.sweep() == 0
    assert await house.due() == {}


async def test_an_entry_that_names_nothing_of_ours_is_dropped_and_holds_up_no_other(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    await house.resources.schedule.look_at(["a stranger's", "dlv_", ""], at_ms=0)

    with listening() as heard:
        assert await house.worker.sweeper.sweep() == 4

    assert set(await house.due()) == {rid}
    assert [name.partition(":")[0] for name in await queued(house)] == [rid]
    assert heard.one("sweep.unknown_entries")["count"] == 3


async def test_a_record_of_another_kind_holds_up_no_other(house: House) -> None:
    """Somebody has written to a key of ours."""
    rids = sorted([await house.record_only(house.request("ada")) for _ in range(8)])
    broken = rids[3]
    await house.resources.record.run("DEL", keyspace.revocation(broken))
    await house.resources.record.run("SET", keyspace.revocation(broken), "a secret")
    due = await house.due()
    with listening() as heard:
        assert await house.worker.sweeper.sweep() == 8
    assert {name.partition(":")[0] for name in await queued(house)} == {*rids} - {broken}
    told = heard.one("sweep.unreadable")
    assert (told["revocation_id"], "a secret" in str(heard.lines)) == (broken, False)
    house.clock.advance(AGAIN_MS / 1000)
    assert await house.worker.sweeper.sweep() == 0, "it is hidden, as what was queued is"
    assert (await house.due())[broken] == due[broken] + HIDDEN_MS


async def test_what_met_a_fault_of_ours_does_not_come_up_at_once_and_for_ever(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = await house.record_only(house.request("ada"))

    async def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as context:
        context.setattr(house.worker.sweeper.revocations, "lanes", fail)
        with pytest.raises(RuntimeError):
            await house.worker.sweeper.sweep()
    other = await house.record_only(house.request("ada"))
    assert await house.worker.sweeper.sweep() == 1
    assert [name.partition(":")[0] for name in await queued(house)] == [other]
    house.clock.advance(HIDDEN_MS / 1000)
    await house.worker.sweeper.sweep()
    assert {name.partition(":")[0] for name in await queued(house)} == {faulty, other}


async def test_an_unfinished_revocation_is_found_even_when_the_due_index_was_deleted(house: House) -> None:
    old = await house.record_only(house.request("ada"))
    house.clock.advance(HEAL_AFTER_MS / 1000 - 1)
    new = await house.record_only(house.request("ada"))
    await house.resources.record.run("DEL", keyspace.DUE)

    await house.worker.sweeper.tidy()
    assert await house.due() == {}
    house.clock.advance(1)
    await house.worker.sweeper.tidy()
    assert await house.due() == {old: house.clock.now_ms()}

    await house.worker.sweeper.sweep()
    await house.run_queue()
    assert (await house.receipt(old)).state == "completed"
    assert (await house.receipt(new)).state == "accepted"


async def test_more_unfinished_revocations_than_a_batch_are_all_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 2)
    rids = {await house.record_only(house.request("ada")) for _ in range(5)}
    house.clock.advance(HEAL_AFTER_MS / 1000)
    await house.resources.record.run("DEL", keyspace.DUE)
    await house.worker.sweeper.tidy()
    assert set(await house.due()) == rids


async def test_what_falls_due_while_thousands_heal_has_its_turn_between_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 10)
    old = sorted([await house.record_only(house.request("ada")) for _ in range(100)])
    house.clock.advance(HEAL_AFTER_MS / 1000)
    await house.resources.record.run("DEL", keyspace.DUE)
    await house.worker.sweeper.tidy()
    house.clock.advance(10 * HEAL_APART_MS / 1000)
    fresh = await house.record_only(house.request("bob"))
    assert await house.worker.sweeper.sweep() == 10
    assert await house.worker.sweeper.sweep() == 2
    assert {name.partition(":")[0] for name in await queued(house)} == {*old[:11], fresh}
    house.clock.advance(100 * HEAL_APART_MS / 1000)
    while await house.worker.sweeper.sweep():
        pass
    assert {name.partition(":")[0] for name in await queued(house)} == {*old, fresh}


async def test_what_heals_keeps_nothing_urgent_waiting_and_its_retries_stay_urgent(house: House) -> None:
    """One application is down, and thousands are unfinished for it: all of them are looked at every ten minutes."""
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.run_queue()
        house.clock.advance(HEAL_AFTER_MS / 1000)
        fresh = await house.record_only(house.request("bob"))
        await house.worker.sweeper.tidy()
        await house.worker.sweeper.sweep()

        retry = [(await house.delivery(rid)).delivery_id]
        assert sorted((await queued(house)).values(), key=str) == sorted([[fresh], [retry]], key=str)
        assert list((await queued(house, BULK_QUEUE)).values()) == [[rid]]
        await house.run_queue()
    assert (await house.delivery(rid)).attempt_count == 2
    assert (await house.receipt(fresh)).state == "completed"


async def test_tidying_hastens_nothing_that_has_its_time(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    house.clock.advance(HEAL_AFTER_MS / 1000)
    later_ms = house.clock.now_ms() + 5_000
    await house.resources.schedule.look_at([rid], at_ms=later_ms)
    await house.worker.sweeper.tidy()
    assert await house.due() == {rid: later_ms}


async def test_tidying_drops_the_list_entries_of_expired_receipts(house: House) -> None:
    await house.resources.connections.add(house.connection())
    rid = await house.revoke("ada")
    await house.run_queue()
    house.clock.advance(house.resources.settings.receipt_days * DAY_S + 1)
    await house.worker.sweeper.tidy()
    assert rid not in await house.resources.record.run("ZRANGE", keyspace.REVOCATIONS, 0, -1)
