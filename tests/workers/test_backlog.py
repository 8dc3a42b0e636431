"""Backlogs: what waits is in nobody's way, and nothing between two steps loses it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from service.domain.client_health import OPENS_AFTER
from service.jobs import Queue
from service.store import keyspace
from service.store.backlogs import BULK_OFFSET_MS, Hold, Waiting
from tests.support.breaks import Moment, redis_away
from tests.support.heard import listening
from tests.support.house import House
from tests.support.strangers import answer, stranger
from workers import release
from workers.release import LOOK_MS, MOST_RELEASE
from workers.sweep import HEAL_AFTER_MS, HIDDEN_MS


async def owe(house: House, *names: str) -> list[str]:
    """Accept and work off a revocation of each of these, signed in at `crm`; their ids."""
    rids = []
    for name in names:
        await house.sign_in(name, "crm")
        rids.append(await house.revoke(name))
        await house.work_off(rids[-1])
        house.clock.advance(0.001)
    return rids


async def pass_time(house: House, seconds: float) -> None:
    """Let time pass, with a look at the due index now and then."""
    for _ in range(10):
        house.clock.advance(seconds / 10)
        await house.sweep()


async def nothing_waits(house: House) -> bool:
    health = await house.health("crm")
    return await house.waiting("crm") == () and not health.waiting and "backlog:crm" not in await house.due()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_delivery_held_in_a_crash_is_told_all_the_same(house: House, at: int, moment: Moment) -> None:
    """The calls: the outcome, the move, the statistics, the participation."""
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        revocation = await house.receipt(rid)
        await house.begin_to_work_off(rid)
        await house.attempts_end()
        # Back to where it was, and held once more while Redis goes away.
        delivery_id = (await house.delivery(rid)).delivery_id
        await house.resources.record.run("ZREM", keyspace.backlog("crm"), delivery_id)
        await house.resources.schedule.look_at([delivery_id], at_ms=house.clock.now_ms())
        lease_until_ms = house.clock.now_ms() + HIDDEN_MS
        claimed = await house.resources.deliveries.claim(
            rid, now_ms=house.clock.now_ms(), lease_until_ms=lease_until_ms
        )
        addressees = await house.resources.client_healths.addressees(["crm"])
        with redis_away(at=at, moment=moment) as broken:
            await house.worker.notifier.attempt(revocation, claimed, addressees, lease_until_ms=lease_until_ms)
            await house.attempts_end()
        assert broken.happened
        assert delivery_id in await house.due() or delivery_id in await house.waiting("crm")
        if await house.waiting("crm"):
            assert "backlog:crm" in await house.due()

        await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())
        await pass_time(house, 60)
    assert (await house.delivery(rid)).state == "delivered"
    assert await house.waiting("crm") == ()
    assert len(app.requests) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
async def test_a_look_that_ends_in_a_crash_loses_nothing(house: House, at: int, moment: Moment) -> None:
    """The calls: the due index, the application, what comes first, what is late, the move."""
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
        rids = await owe(house, "ada", "bob")
        await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())
        owed = {(await house.delivery(rid)).delivery_id for rid in rids}
        with redis_away(at=at, moment=moment) as broken, pytest.raises(Exception, match="went away"):
            await house.worker.sweeper.sweep()
        assert broken.happened
        due, waiting = await house.due(), await house.waiting("crm")
        assert owed <= {*due, *waiting}
        if waiting:
            assert "backlog:crm" in due
        await pass_time(house, 60)
    assert {(await house.delivery(rid)).state for rid in rids} == {"delivered"}
    assert await nothing_waits(house)


@pytest.mark.parametrize("key", [keyspace.client, keyspace.client_health], ids=["of the application", "of its health"])
async def test_a_record_nobody_can_read_holds_up_no_other_application(house: House, key: Callable[[str], str]) -> None:
    async with stranger(answer()) as app:
        for client_id in ("crm", "broken"):
            await house.application(client_id, app.url())
            await house.resources.client_healths.pause(client_id, reason=None, now_ms=house.clock.now_ms())
        await house.sign_in("ada", "crm", "broken")
        rid = await house.revoke("ada")
        await house.work_off(rid)
        for client_id in ("crm", "broken"):
            await house.resources.client_healths.resume(client_id, now_ms=house.clock.now_ms())
        await house.resources.record.run("SET", key("broken"), '{"tls_client_key": "a secret"')
        with listening() as heard:
            await house.sweep()

    assert {each.client_id: each.state for each in await house.deliveries(rid)} == {
        "crm": "delivered",
        "broken": "pending",
    }
    fault = heard.one("backlog.fault")
    assert (fault["client_id"], fault["error"], "a secret" in str(heard.lines)) == ("broken", "UnreadableError", False)


async def test_what_waits_is_let_go_before_the_first_hint(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hints to a queue that does not answer take half a second each; what the record alone decides must not wait for them."""
    waiting_at_hints = []

    async def hint(_self: Queue, *_given: object, **_named: object) -> None:
        waiting_at_hints.append(await house.waiting("crm"))

    await house.application("crm", "http://127.0.0.1:9/logout")
    await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
    await owe(house, "ada", "bob")
    await house.record_only(house.request("cem"))
    await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())
    assert len(await house.waiting("crm")) == 2
    monkeypatch.setattr(Queue, "_hint", hint)
    await house.worker.sweeper.sweep()
    assert set(waiting_at_hints) == {()}


async def test_the_due_index_deleted_by_hand_is_made_anew_and_what_waits_is_told(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
        rids = await owe(house, "ada", "bob")
        await house.resources.record.run("DEL", keyspace.DUE)
        await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())
        await house.resources.record.run("DEL", keyspace.DUE)

        await house.worker.sweeper.tidy()
        assert set(await house.due()) == {"backlog:crm"}
        await pass_time(house, 10)
    assert {(await house.delivery(rid)).state for rid in rids} == {"delivered"}


async def test_a_backlog_deleted_by_hand_is_made_anew_from_the_revocations(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
        (rid,) = await owe(house, "ada")
        await house.resources.record.run("DEL", keyspace.backlog("crm"))
        await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())
        house.clock.advance(HEAL_AFTER_MS / 1000)
        await house.worker.sweeper.tidy()
        await pass_time(house, 60)
    assert (await house.delivery(rid)).state == "delivered"


async def test_looking_again_at_an_old_revocation_leaves_what_waits_where_it_is(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
        rids = await owe(house, "ada", "bob")
        before = await house.waiting("crm")
        house.clock.advance(HEAL_AFTER_MS / 1000)
        await house.worker.sweeper.tidy()
        assert set(rids) < set(await house.due())
        await house.sweep()
        assert await house.waiting("crm") == before
        assert set(await house.due()) == {"backlog:crm"}
    assert app.requests == []


async def test_urgent_ones_come_before_bulk_and_then_by_age(house: House) -> None:
    now_ms = house.clock.now_ms()
    order = [("bulk-old", 2, True), ("urgent-new", 9, False), ("bulk-new", 3, True), ("urgent-old", 8, False)]
    waiting = [Waiting(delivery_id=name, since_ms=now_ms + age, bulk=bulk) for name, age, bulk in order]
    hold = Hold(client_id="crm", waiting=waiting, look_at_ms=now_ms, crowded=False)
    await house.resources.schedule.settle(finished=[], done=[], due={}, held=[house.resources.backlogs.holding(hold)])
    assert await house.waiting("crm") == ("urgent-old", "urgent-new", "bulk-old", "bulk-new")
    found = (await house.resources.backlogs.heads({"crm": 10}))["crm"]
    assert sorted(found, key=lambda each: each.delivery_id) == sorted(waiting, key=lambda each: each.delivery_id)
    assert int(float(str(BULK_OFFSET_MS + now_ms))) == BULK_OFFSET_MS + now_ms < 2**53


async def test_what_waits_for_a_removed_application_is_skipped_with_the_reason(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
        rids = await owe(house, "ada", "bob")
        await house.resources.applications.remove("crm")
        await house.sweep()
    for rid in rids:
        delivery = await house.delivery(rid)
        assert (delivery.state, delivery.reason) == ("skipped", "client_deleted")
        assert (await house.receipt(rid)).state == "completed"
    assert await nothing_waits(house)
    assert await house.resources.client_healths.counts() == {"paused": 0, "suspended": 0, "circuit_open": 0}


async def test_what_waits_for_one_that_lost_its_address_is_skipped_however_it_stands(house: House) -> None:
    """The breaker is open, and there is nobody any more to find back by a probe."""
    async with stranger(answer(503)) as down:
        crm = await house.application("crm", down.url())
        rids = await owe(house, *(f"person-{number}" for number in range(OPENS_AFTER + 20)))
        await house.resources.applications.replace(replace(crm, backchannel_logout_uri=None))
        await house.resources.client_healths.probe_now("crm", now_ms=house.clock.now_ms())
        await house.sweep()
        await pass_time(house, 2)
    assert {(await house.delivery(rid)).reason for rid in rids} == {"no_logout_uri"}
    assert await house.waiting("crm") == ()


async def test_who_comes_back_and_is_crowded_is_let_go_fewer_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "FIRST_RELEASE", 8)
    now_ms = house.clock.now_ms()
    await house.application("crm", "http://127.0.0.1:9/logout")
    waiting = [Waiting(delivery_id=f"dlv_x_{n:03}", since_ms=now_ms + n, bulk=False) for n in range(100)]
    hold = Hold(client_id="crm", waiting=waiting, look_at_ms=now_ms, crowded=False)

    async def put(hold: Hold) -> None:
        await house.resources.schedule.settle(
            finished=[], done=[], due={}, held=[house.resources.backlogs.holding(hold)]
        )

    async def look() -> int:
        before = len(await house.waiting("crm"))
        await house.worker.sweeper.releaser.look(["crm"], hidden_until_ms=house.clock.now_ms())
        return before - len(await house.waiting("crm"))

    await put(hold)
    assert [await look(), await look()] == [8, 16]
    await put(Hold(client_id="crm", waiting=waiting[:1], look_at_ms=now_ms, crowded=True))
    assert [await look(), await look()] == [8, 16]
    assert MOST_RELEASE * 1000 // LOOK_MS > 1000


async def test_an_entry_lowered_during_a_look_keeps_its_time(house: House) -> None:
    """An operator resumes while a look is under way that still saw the pause: the resume is not forgotten for an hour."""
    await house.application("crm", "http://127.0.0.1:9/logout")
    await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
    await owe(house, "ada")
    now_ms = house.clock.now_ms()
    hidden_until_ms = now_ms + HIDDEN_MS
    house.clock.advance(3600)
    await house.resources.schedule.claim(now_ms=house.clock.now_ms(), hidden_until_ms=hidden_until_ms, limit=10)
    resume = house.resources.client_healths.resume
    original = house.resources.backlogs.heads

    async def heads(counts: dict[str, int]) -> object:
        await resume("crm", now_ms=now_ms)
        return await original(counts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(house.resources.backlogs), "heads", staticmethod(heads))
        await house.worker.sweeper.releaser.look(["crm"], hidden_until_ms=hidden_until_ms)
    assert (await house.due())["backlog:crm"] == now_ms
