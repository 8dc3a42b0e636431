"""Redeliveries: begun once, told to the application as it is now, and lost in no race with workers that come late."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import pytest

from service.domain.delivery import Delivery
from service.domain.revocation import SessionsBegunBy
from service.domain.session import Participant
from service.errors import Conflict, NotFound, Unavailable
from service.jobs import QUEUE
from service.store import keyspace
from service.store.deliveries import Settlement
from tests.support.breaks import Moment, redis_away
from tests.support.contents import lifetimes_ms, trail
from tests.support.heard import listening
from tests.support.house import DAY_S, House, user_id
from tests.support.pauses import paused
from tests.support.relying_party import LogoutToken
from tests.support.strangers import Stranger, answer, stranger
from workers import slots as slots_module
from workers.ledger import Entry
from workers.redelivered import LOOK_AFTER_MS
from workers.slots import PER_CLIENT
from workers.sweep import HEAL_AFTER_MS

CALLS_OF_A_REDELIVERY = 9
"""Calls to the record of one redelivery, at most."""


async def move(house: House, client_id: str, app: Stranger) -> None:
    """The application answers at another address from now on."""
    known = await house.resources.applications.get(client_id)
    assert known is not None
    await house.resources.applications.replace(replace(known, backchannel_logout_uri=app.url()))


async def give_up(house: House, *clients: str, name: str = "ada") -> str:
    """Somebody is signed out, and these applications refuse; the revocation."""
    async with stranger(answer(400)) as app:
        for each in clients:
            if await house.resources.applications.get(each) is None:
                await house.application(each, app.url())
            await move(house, each, app)
        await house.sign_in(name, *clients)
        rid = await house.revoke(name)
        assert (await house.work_off(rid)).state == "incomplete"
    return rid


def told(app: Stranger) -> list[LogoutToken]:
    """The logout tokens an application was sent."""
    return [LogoutToken.read(each.body.decode().partition("=")[2]) for each in app.requests]


async def let_time_pass(house: House, *, rounds: int = 4) -> None:
    """Whatever is due is done, and whatever heals itself heals."""
    for _ in range(rounds):
        await house.worker.sweeper.tidy()
        await house.worker.redelivered.tidy()
        await house.worker.sweeper.sweep()
        await house.run_queue()
        house.clock.advance(HEAL_AFTER_MS / 1000 + 1)


async def test_a_mended_application_is_told_with_the_same_txn_and_the_receipt_is_whole(house: House) -> None:
    rid = await give_up(house, "crm")
    dead = await house.delivery(rid)
    house.clock.advance(2 * DAY_S)
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)

        with listening() as heard:
            result = await house.resources.redeliverer.of_revocation(rid)

        assert [each.delivery_id for each in result.opened] == [dead.delivery_id]
        line = heard.one("delivery.redelivered")
        assert (line["delivery_id"], line["was"], line["reason"], line["attempts"]) == (
            dead.delivery_id,
            "dead",
            "rejected",
            1,
        )
        opened = await house.receipt(rid)
        assert (opened.state, opened.completed_at_ms) == ("notifying", None)
        assert await house.open_revocations() == {rid}
        await house.run_queue()
        (token,) = told(app)

    assert token.claims["txn"] == dead.delivery_id
    after = await house.delivery(rid)
    assert (after.state, after.reason, after.dead_at_ms) == ("delivered", None, None)
    assert [each.status for each in after.attempts] == [400, 200]
    assert (after.attempt_count, after.total_attempt_count) == (1, 2)
    assert after.redelivered_at_ms == (house.clock.now_ms(),)
    done = await house.receipt(rid)
    assert (done.state, done.completed_at_ms) == ("completed", house.clock.now_ms())
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_the_count_and_the_window_begin_afresh(house: House) -> None:
    """Otherwise it would die again with its first failure."""
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.run_queue()
        while (await house.delivery(rid)).state == "retrying":
            due_ms = (await house.delivery(rid)).next_attempt_at_ms
            assert due_ms is not None
            house.clock.advance((due_ms - house.clock.now_ms()) / 1000)
            await house.worker.sweeper.sweep()
            await house.run_queue()
        gave_up = await house.delivery(rid)
        assert (gave_up.state, gave_up.reason) == ("dead", "gave_up")
        house.clock.advance(DAY_S)
        await house.resources.redeliverer.one(gave_up.delivery_id)
        await house.run_queue()
        again = await house.delivery(rid)
    assert again.state == "retrying"
    assert again.next_attempt_at_ms is not None
    assert 500 <= again.next_attempt_at_ms - again.attempts[-1].at_ms <= 1100, "the first step, not the longest"
    assert again.total_attempt_count == gave_up.attempt_count + 1


@pytest.mark.parametrize("removed", ["address", "application"])
async def test_what_once_waited_and_was_skipped_is_not_given_up_at_its_first_failure(
    house: House, removed: str
) -> None:
    """The time it had waited before counts no more than attempts of then do."""
    applications, healths = house.resources.applications, house.resources.client_healths
    async with stranger(answer(503)) as app:
        crm = await house.application("crm", app.url())
        await healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.work_off(rid)
        if removed == "address":
            await applications.replace(replace(crm, backchannel_logout_uri=None))
            await healths.resume("crm", now_ms=house.clock.now_ms())
        else:
            await applications.remove("crm")
        await house.sweep()
        skipped = await house.delivery(rid)
        assert (skipped.state, skipped.held_since_ms) == ("skipped", None)
        house.clock.advance(2 * DAY_S)
        if removed == "address":
            await move(house, "crm", app)
        else:
            await applications.add(crm)
        await house.resources.redeliverer.one(skipped.delivery_id, force=True)
        await house.run_queue()
        again = await house.delivery(rid)
    assert (again.state, again.attempt_count) == ("retrying", 1)


async def test_one_that_finds_no_slot_long_after_its_revocation_is_put_off_and_not_given_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rid = await give_up(house, "crm")
    house.clock.advance(3 * DAY_S)
    await house.resources.redeliverer.of_revocation(rid)
    monkeypatch.setattr(slots_module, "PATIENCE_S", 0.01)
    async with AsyncExitStack() as stack:
        for _ in range(PER_CLIENT):
            await stack.enter_async_context(house.worker.notifier.slots.of("crm"))
        await house.run_queue()
    assert (await house.delivery(rid)).state == "pending"


async def test_an_open_receipt_does_not_expire_and_a_finished_one_is_kept_as_long_again(
    house: House, redis_url: str
) -> None:
    rid = await give_up(house, "crm")
    key = keyspace.revocation(rid)
    assert lifetimes_ms(redis_url)[key] > 0
    house.clock.advance(50 * DAY_S)
    await house.resources.redeliverer.of_revocation(rid)
    assert lifetimes_ms(redis_url)[key] == lifetimes_ms(redis_url)[keyspace.deliveries(rid)] == -1
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await house.run_queue()
    kept_s = house.resources.settings.receipt_days * DAY_S
    assert lifetimes_ms(redis_url)[key] / 1000 > kept_s + 49 * DAY_S, "by the clock of the house, fifty days ahead"


async def test_a_redelivery_of_some_leaves_the_receipt_incomplete(house: House) -> None:
    rid = await give_up(house, "crm", "mail")
    crm, mail = await house.deliveries(rid)
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await house.resources.redeliverer.one(crm.delivery_id)
        await house.run_queue()
    assert [each.state for each in await house.deliveries(rid)] == ["delivered", "dead"]
    assert (await house.receipt(rid)).state == "incomplete"
    assert (await house.resources.redeliverer.of_revocation(rid)).redelivered == 1
    assert mail.state == "dead"


async def test_operators_at_the_same_moment_redeliver_once(house: House) -> None:
    rid = await give_up(house, "crm")
    delivery_id = (await house.delivery(rid)).delivery_id
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await asyncio.gather(
            *(house.resources.redeliverer.one(delivery_id) for _ in range(5)),
            *(house.resources.redeliverer.of_revocation(rid) for _ in range(5)),
            return_exceptions=True,
        )
        await let_time_pass(house)
        assert len(app.requests) == 1
    assert len((await house.delivery(rid)).redelivered_at_ms) == 1
    assert (await house.receipt(rid)).state == "completed"


@pytest.mark.parametrize("at", range(1, CALLS_OF_A_REDELIVERY + 1))
async def test_a_second_operator_at_any_moment_of_the_first_changes_nothing(house: House, at: int) -> None:
    rid = await give_up(house, "crm")
    delivery_id = (await house.delivery(rid)).delivery_id

    async def second() -> None:
        house.clock.advance(1)
        with suppress(Conflict):
            await house.resources.redeliverer.one(delivery_id)

    with paused(at=at) as pause, suppress(Conflict):
        await pause.around(house.resources.redeliverer.one(delivery_id), second)
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await let_time_pass(house)
        assert len(app.requests) == 1
    after = await house.delivery(rid)
    assert (after.state, len(after.redelivered_at_ms)) == ("delivered", 1)
    assert (await house.receipt(rid)).state == "completed"
    assert await house.resources.dead_letters.count(now_ms=house.clock.now_ms()) == 0


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(1, CALLS_OF_A_REDELIVERY + 1))
async def test_a_service_that_dies_at_any_moment_of_a_redelivery_leaves_it_dead_or_told(
    house: House, at: int, moment: Moment
) -> None:
    rid = await give_up(house, "crm")
    delivery_id = (await house.delivery(rid)).delivery_id
    with redis_away(at=at, moment=moment) as broken, suppress(Unavailable):
        await house.resources.redeliverer.one(delivery_id)
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await let_time_pass(house)
    after = await house.delivery(rid)
    letters, _ = await house.resources.dead_letters.page(after=None, limit=10, now_ms=house.clock.now_ms())
    receipt = await house.receipt(rid)
    if after.state == "delivered":
        assert (len(app.requests), letters, receipt.state) == (1, (), "completed")
    else:
        assert broken.happened
        assert (after.state, len(app.requests), receipt.state) == ("dead", 0, "incomplete")
        assert [each.delivery.delivery_id for each in letters] == [delivery_id]
    assert await house.resources.dead_letters.count(now_ms=house.clock.now_ms()) == len(letters)
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    assert await house.resources.record.run("EXISTS", keyspace.REDELIVERED) == 0


@pytest.mark.parametrize("at", range(1, 8))
async def test_a_worker_that_is_late_with_its_hints_takes_no_redelivery_away(house: House, at: int) -> None:
    """It has recorded the death and stands still; its delivery is redelivered; then it goes on."""
    async with stranger(answer(400)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        revocation = await house.receipt(rid)
        snapshots = await house.worker.revoker._snapshot(revocation)
        leased = await house.worker.revoker._plan(revocation, snapshots, read_ms=house.clock.now_ms())
    assert leased is not None
    (owed,) = leased.deliveries
    dead = Entry(
        revocation=revocation,
        before=owed,
        after=replace(owed, state="dead", reason="gave_up"),
        lease_until_ms=leased.until_ms,
    )

    async def redeliver() -> None:
        house.clock.advance(1)
        with suppress(Conflict):
            await house.resources.redeliverer.one(owed.delivery_id)

    with paused(at=at) as pause:
        await pause.around(house.worker.notifier.ledger._write([dead]), redeliver)
    if not (await house.delivery(rid)).redelivered_at_ms:
        await redeliver()
    # Nor does anything rest on the job that was queued for it.
    await house.resources.queue_redis.delete(QUEUE)
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await let_time_pass(house)
        assert [each.claims["txn"] for each in told(app)] == [owed.delivery_id]
    assert (await house.delivery(rid)).state == "delivered"
    assert (await house.receipt(rid)).state == "completed"
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_an_attempt_under_an_old_lease_does_not_close_what_was_redelivered(house: House) -> None:
    rid = await give_up(house, "crm")
    dead = await house.delivery(rid)
    stale_until_ms = house.clock.now_ms() + 20_000
    await house.resources.redeliverer.one(dead.delivery_id)

    async def settle(after: Delivery) -> list[str]:
        settlement = Settlement(delivery=after, lease_until_ms=stale_until_ms)
        return [*await house.resources.deliveries.settle([settlement], now_ms=house.clock.now_ms())]

    assert await settle(replace(dead, reason="gave_up")) == ["lost"]
    house.clock.advance(1)
    now_ms = house.clock.now_ms()
    await house.resources.deliveries.claim(rid, now_ms=now_ms, lease_until_ms=now_ms + 20_000)
    assert await settle(replace(dead, state="delivered", reason=None)) == ["lost"]
    assert (await house.delivery(rid)).state == "pending"


async def test_a_newer_session_is_spared_by_telling_of_the_old_ones_one_by_one(house: House, redis_url: str) -> None:
    rid = await give_up(house, "crm")
    old = await house.delivery(rid)
    house.clock.advance(3600)
    newer = await house.sign_in("ada", "crm")
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        result = await house.resources.redeliverer.of_revocation(rid)
        await house.run_queue()
        (token,) = told(app)

    (row,) = result.opened
    assert token.claims["txn"] == row.delivery_id != old.delivery_id
    assert token.claims["sid"] not in {f"crm|{newer}", None}
    rows = {each.delivery_id: each for each in await house.deliveries(rid)}
    replaced = rows[old.delivery_id]
    assert (replaced.state, replaced.reason) == ("skipped", "told_by_sid")
    outcomes = [
        (each["event"], each.get("reason")) for each in trail(redis_url) if each["event"].startswith("delivery.")
    ]
    assert outcomes[1:] == [("delivery.skipped", "told_by_sid"), ("delivery.delivered", None)]
    assert [each.status for each in replaced.attempts] == [400]
    assert (await house.receipt(rid)).state == "completed"
    assert await house.session_honoured(newer)
    # And what it was told of is not told again by the next revocation, the newer session is.
    second = await house.revoke("ada")
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await house.work_off(second)
        assert [each.claims.get("sid") for each in told(app)] == [None]


async def test_a_session_whose_sid_is_used_again_is_not_told_and_the_receipt_says_so(house: House) -> None:
    def known(sid: str) -> Participant:
        return Participant(client_id="crm", sub="crm|ada", sid=sid)

    async with stranger(answer(400)) as app:
        await house.application("crm", app.url())
        for sid in ("old", "used-again"):
            await house.sign_in("ada", known(sid))
        rid = await house.revoke("ada")
        await house.work_off(rid)
    await house.sign_in("ada", known("used-again"))
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        # At once, by the standing clock: no redelivery is so fresh that nobody looks.
        await house.resources.redeliverer.of_revocation(rid)
        await house.run_queue()
        assert [each.claims["sid"] for each in told(app)] == ["old"]
    assert {(each.sid, each.state, each.reason) for each in await house.deliveries(rid)} == {
        (None, "skipped", "told_by_sid"),
        ("old", "delivered", None),
        ("used-again", "dead", "newer_session"),
    }
    assert (await house.receipt(rid)).state == "incomplete"
    letters, _ = await house.resources.dead_letters.page(after=None, limit=10, now_ms=house.clock.now_ms())
    assert [each.delivery.sid for each in letters] == ["used-again"]


async def test_where_the_application_holds_only_newer_sessions_it_is_refused(house: House) -> None:
    async with stranger(answer(200)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.work_off(rid)
    delivered = await house.delivery(rid)
    await house.sign_in("ada", "crm")
    with pytest.raises(Conflict, match="session begun since"):
        await house.resources.redeliverer.one(delivered.delivery_id, force=True)
    assert (await house.receipt(rid)).state == "completed"


async def test_after_the_logout_of_an_upstream_session_another_one_is_spared(house: House) -> None:
    async with stranger(answer(400)) as app:
        await house.application("crm", app.url())
        auth_time_s = house.clock.now_s
        await house.sign_in("ada", "crm", upstream_sid="up-1", auth_time_s=auth_time_s)
        scope = SessionsBegunBy(begun_by_ms=house.clock.now_ms(), upstream_sid=None)
        rid = await house.revoke("ada", scope=scope)
        await house.work_off(rid)
    assert (await house.delivery(rid)).sid is None
    house.clock.advance(60)
    newer = await house.sign_in("ada", "crm", upstream_sid="up-2", auth_time_s=house.clock.now_s)
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await house.resources.redeliverer.of_revocation(rid)
        await house.run_queue()
        (token,) = told(app)
    assert token.claims["sid"] != f"crm|{newer}"


async def test_one_session_that_ended_is_told_of_by_its_sid_whatever_began_since(house: House) -> None:
    async with stranger(answer(400)) as app:
        await house.application("crm", app.url())
        session = await house.sign_in("ada", "crm")
        rid = await house.revoke("ada", session_id=session)
        await house.work_off(rid)
    await house.sign_in("ada", "crm")
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await house.resources.redeliverer.of_revocation(rid)
        await house.run_queue()
        (token,) = told(app)
    assert token.claims["sid"] == f"crm|{session}"
    assert token.claims["txn"] == (await house.delivery(rid)).delivery_id


async def test_thousands_of_an_application_are_walked_once_though_they_die_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.redeliver.BATCH", 3)
    people = [f"person-{n}" for n in range(8)]
    rids = [await give_up(house, "crm", name=each) for each in people]
    since_ms = (await house.receipt(rids[2])).accepted_at_ms
    house.clock.advance(60)
    redelivered, after, calls = 0, None, 0
    async with stranger(answer(400)) as app:
        await move(house, "crm", app)
        while calls == 0 or after is not None:
            result, after = await house.resources.redeliverer.of_client("crm", since_ms=since_ms, after=after)
            redelivered, calls = redelivered + result.redelivered, calls + 1
            await house.worker.sweeper.sweep()
            await house.run_queue()
            house.clock.advance(1)
    assert redelivered == len(app.requests)
    assert len(app.requests) == 8, "all were accepted within the same moment"
    assert calls == 3
    assert await house.resources.dead_letters.count(client_id="crm", now_ms=house.clock.now_ms()) == 8


async def test_what_is_not_there_is_not_found(house: House) -> None:
    redeliverer = house.resources.redeliverer
    for delivery_id in ("dlv_nothing_x", "nothing", "dlv_"):
        with pytest.raises(NotFound, match="no such delivery"):
            await redeliverer.one(delivery_id)
    with pytest.raises(NotFound, match="no such revocation"):
        await redeliverer.of_revocation("rev_nothing")
    nothing, following = await redeliverer.of_client("nobody", since_ms=0)
    assert (nothing.redelivered, nothing.refused, following) == (0, {}, None)


async def test_nothing_dead_and_nothing_that_can_be_told_are_conflicts(house: House) -> None:
    rid = await give_up(house, "crm")
    await house.resources.applications.remove("crm")
    with pytest.raises(Conflict, match="1 of 1: its application is not registered"):
        await house.resources.redeliverer.of_revocation(rid)
    other = await house.revoke("ben")
    await house.work_off(other)
    with pytest.raises(Conflict, match="none of its deliveries is dead"):
        await house.resources.redeliverer.of_revocation(other)
    assert user_id("ben") in (await house.receipt(other)).user_ids


async def test_a_finished_redelivery_is_looked_at_once_and_an_open_one_until_it_is_finished(house: House) -> None:
    rid = await give_up(house, "crm")
    await house.resources.redeliverer.of_revocation(rid)
    unsettled = house.resources.redeliveries.unsettled

    async def left() -> tuple[str, ...]:
        await house.worker.redelivered.tidy()
        return await unsettled(before_ms=house.clock.now_ms(), offset=0, limit=10)

    house.clock.advance(LOOK_AFTER_MS / 1000 + 1)
    assert await left() == (rid,)
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await house.run_queue()
    assert await left() == ()


@pytest.mark.parametrize("at", range(1, 10))
async def test_of_one_that_two_operators_redeliver_differently_the_trail_and_the_record_say_the_same(
    house: House, redis_url: str, at: int
) -> None:
    rid = await give_up(house, "crm")
    old = await house.delivery(rid)
    house.clock.advance(3600)
    newer = await house.sign_in("ada", "crm")

    async def another() -> None:
        await house.leave(newer, "crm")
        house.clock.advance(1)
        with suppress(Conflict):
            await house.resources.redeliverer.one(old.delivery_id)

    with paused(at=at) as pause, suppress(Conflict):
        await pause.around(house.resources.redeliverer.one(old.delivery_id), another)
    await skipped_as_told(house, redis_url, rid)


@pytest.mark.parametrize("at", range(1, 14))
async def test_of_one_that_two_workers_plan_differently_the_trail_and_the_record_say_the_same(
    house: House, redis_url: str, at: int
) -> None:
    await house.application("crm", None)
    await house.sign_in("ada", "crm")
    rid = await house.revoke("ada")
    async with stranger(answer(200)) as app:

        async def another() -> None:
            await move(house, "crm", app)
            await house.work_off(rid)

        with paused(at=at) as pause:
            await pause.around(house.work_off(rid), another)
    await skipped_as_told(house, redis_url, rid)


async def skipped_as_told(house: House, redis_url: str, rid: str) -> None:
    told = Counter(each["event"] for each in trail(redis_url))
    skipped = [each for each in await house.deliveries(rid) if each.state == "skipped"]
    assert told["delivery.skipped"] - told["delivery.not_ended"] == len(skipped)


async def test_what_waits_in_a_backlog_is_left_there(house: House) -> None:
    rid = await give_up(house, "crm")
    async with stranger(answer(200)) as app:
        await move(house, "crm", app)
        await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
        await house.resources.redeliverer.of_revocation(rid)
        await house.run_queue()
        waiting = await house.waiting("crm")
        assert len(waiting) == 1
        house.clock.advance(LOOK_AFTER_MS / 1000 + 1)
        await house.worker.redelivered.tidy()
        assert set(await house.due()) & set(waiting) == set()
        assert await house.open_revocations() == {rid}
        await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())
        await house.sweep()
    assert (await house.delivery(rid)).state == "delivered"
