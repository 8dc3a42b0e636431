"""Working a revocation off: planned once from what was there, told, tidied; and the same however often it begins anew."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from service.domain.delivery import Delivery
from service.domain.identifiers import delivery_id_for
from service.domain.revocation import SessionsBegunBy
from service.domain.session import Participant
from service.errors import Unavailable
from service.store import keyspace, person_keys
from service.store.covered import Covered
from tests.support.breaks import Moment, redis_away
from tests.support.heard import listening
from tests.support.house import DAY_S, House, user_id
from tests.support.strangers import answer, stranger
from workers.notify import LEASE_MS
from workers.revoke import LOOK_AGAIN_MS, MISSING_MS
from workers.sweep import HIDDEN_MS

ADA = user_id("ada")

# The whole of it


async def test_a_revocation_is_worked_off_to_its_end(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.application("wiki")
        session = await house.sign_in("ada", "crm", "wiki", "gone")
        tokens = [await house.issue(session, "crm", offline=each) for each in (True, False)]
        rid = await house.revoke("ada")
        house.clock.advance(0.2)

        receipt = await house.work_off(rid)

    assert (receipt.state, receipt.sessions_ended, receipt.refresh_tokens_revoked) == ("completed", 1, 2)
    assert receipt.completed_at_ms == house.clock.now_ms()
    assert {each.client_id: (each.state, each.reason) for each in await house.deliveries(rid)} == {
        "crm": ("delivered", None),
        "wiki": ("skipped", "no_logout_uri"),
        "gone": ("skipped", "client_deleted"),
    }
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    assert not any([await house.token_honoured(each) for each in tokens])
    names = await house.resources.record.run("KEYS", "*")
    assert not [name for name in names if ":token" in name]
    assert (await house.session(session)).ended_at_ms == receipt.revoked_at_ms


async def test_everybody_meant_is_worked_off_each_by_their_own_names(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        for name in ("ada", "bob"):
            await house.issue(await house.sign_in(name, "crm"), "crm")
        rid = await house.revoke("ada", "bob", "nobody")
        receipt = await house.work_off(rid)
    assert (receipt.state, receipt.sessions_ended, receipt.refresh_tokens_revoked) == ("completed", 2, 2)
    assert {each.sub for each in await house.deliveries(rid)} == {"crm|ada", "crm|bob"}


async def test_an_application_is_told_long_after_the_session_has_expired(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm", lasts_s=60)
        house.clock.advance(house.resources.settings.participation_days * DAY_S)
        rid = await house.revoke("ada")
        receipt = await house.work_off(rid)
    assert (receipt.state, receipt.sessions_ended) == ("completed", 0)
    assert (await house.delivery(rid)).state == "delivered"


async def test_what_expired_before_anybody_came_to_it_was_ended_all_the_same(house: House) -> None:
    await house.issue(await house.sign_in("ada", "gone", lasts_s=60), "gone", lasts_s=60)
    rid = await house.revoke("ada")
    house.clock.advance(60)
    receipt = await house.work_off(rid)
    assert (receipt.sessions_ended, receipt.refresh_tokens_revoked) == (1, 1)


async def test_one_session_that_ends_is_told_to_its_own_applications_by_sid(house: House) -> None:
    async with stranger(answer()) as app:
        for each in ("crm", "mail"):
            await house.application(each, app.url())
        ended = await house.sign_in("ada", "crm")
        other = await house.sign_in("ada", "crm", "mail")
        token = await house.issue(other, "crm")
        rid = await house.revoke("ada", session_id=ended)
        receipt = await house.work_off(rid)
        assert (receipt.state, receipt.sessions_ended) == ("completed", 1)
        delivery = await house.delivery(rid)
        assert (delivery.client_id, delivery.sub, delivery.sid) == ("crm", "crm|ada", f"crm|{ended}")
        assert await house.session_honoured(other)
        assert await house.token_honoured(token)

        everything = await house.revoke("ada")
        await house.work_off(everything)
    assert {each.client_id for each in await house.deliveries(everything)} == {"crm", "mail"}


async def test_who_has_been_told_of_the_end_of_a_session_is_not_told_of_it_again(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        ended = await house.sign_in("ada", "crm")
        await house.work_off(await house.revoke("ada", session_id=ended))
        everything = await house.revoke("ada")
        await house.work_off(everything)
    assert await house.deliveries(everything) == ()
    assert len(app.requests) == 1


async def test_whoever_joined_late_is_told_too(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("mail", app.url())
        session = await house.sign_in("ada")
        await house.join(session, "mail")
        rid = await house.revoke("ada")
        await house.work_off(rid)
    assert (await house.delivery(rid)).state == "delivered"


@pytest.mark.parametrize("clients", [(), ("gone",), ("gone", "mute")])
async def test_with_nobody_to_tell_it_is_completed_at_once(house: House, clients: tuple[str, ...]) -> None:
    await house.application("mute")
    await house.sign_in("ada", *clients)
    rid = await house.revoke("ada")
    assert (await house.work_off(rid)).state == "completed"
    assert [each.state for each in await house.deliveries(rid)] == ["skipped"] * len(clients)
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    assert (await house.resources.statistics.totals()).deliveries == ({"skipped": len(clients)} if clients else {})


async def test_a_finished_one_is_left_as_it_is(house: House) -> None:
    await house.application("mute")
    await house.sign_in("ada", "mute")
    rid = await house.revoke("ada")
    finished = await house.work_off(rid)
    house.clock.advance(60)
    await house.sign_in("ada", "mute")
    assert await house.work_off(rid) == finished
    assert len(await house.deliveries(rid)) == 1


async def test_worked_off_by_many_at_once_everybody_is_told_once(house: House) -> None:
    async with stranger(answer()) as app:
        clients = [f"app-{n}" for n in range(5)]
        for each in clients:
            await house.application(each, app.url())
        session = await house.sign_in("ada", *clients)
        await house.issue(session, "app-0")
        rid = await house.revoke("ada")
        await asyncio.gather(*(house.begin_to_work_off(rid) for _ in range(8)))
        await house.attempts_end()
        assert len(app.requests) == 5
        # One that planned in vain may have left a due entry behind: it costs one look.
        house.clock.advance(LEASE_MS / 1000)
        await house.worker.sweeper.sweep()
        await house.run_queue()
        assert len(app.requests) == 5
    receipt = await house.receipt(rid)
    assert (receipt.state, receipt.sessions_ended, receipt.refresh_tokens_revoked) == ("completed", 1, 1)
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_two_revocations_at_once_count_each_session_once(house: House) -> None:
    await house.issue(await house.sign_in("ada", "gone"), "gone")
    first = await house.revoke("ada")
    await house.issue(await house.sign_in("ada", "gone"), "gone")
    second = await house.revoke("ada")
    house.clock.advance(1)
    third = await house.revoke("ada")

    receipts = {name: await house.work_off(name) for name in (third, first, second)}

    counted = {name: (each.sessions_ended, each.refresh_tokens_revoked) for name, each in receipts.items()}
    assert counted == {first: (1, 1), second: (1, 1), third: (0, 0)}


async def test_what_was_planned_is_logged_in_numbers(house: House) -> None:
    await house.issue(await house.sign_in("ada", "gone"), "gone")
    rid = await house.revoke("ada")
    with listening() as heard:
        await house.work_off(rid)
    assert heard.one("revocation.planned") == {
        "event": "revocation.planned",
        "level": "info",
        "revocation_id": rid,
        "deliveries": 1,
        "skipped": 1,
        "sessions_ended": 1,
        "refresh_tokens_revoked": 1,
    }


# Begun anew


async def _story(house: House, uri: str) -> str:
    """Sessions of two kinds, tokens, applications that can be told and one that cannot; the revocation's id."""
    await house.application("crm", uri)
    await house.application("wiki", uri, session_required=True)
    first = await house.sign_in("ada", "crm", "wiki")
    second = await house.sign_in("ada", "wiki", "gone")
    for session, client_id in ((first, "crm"), (first, "wiki"), (second, "wiki")):
        await house.issue(session, client_id)
    return await house.revoke("ada")


async def _steps_of(house: House, uri: str) -> int:
    rid = await _story(house, uri)
    with redis_away(at=10_000, moment="before") as counting:
        await house.work_off(rid)
    return counting.calls


async def test_wherever_it_was_interrupted_it_ends_in_the_same_receipt(house: House) -> None:
    """Redis goes away at the first, second, … call of the job, before or after doing it; then the sweeper takes over."""
    async with stranger(answer()) as app:
        steps = await _steps_of(house, app.url())
        assert 8 <= steps <= 28
        for at in range(1, steps + 1):
            for moment in ("before", "after"):
                await house.resources.record.run("FLUSHALL")
                app.requests.clear()
                await _interrupted(house, app.url(), at, moment)
                assert 3 <= len(app.requests) <= 6, (at, moment)


async def _interrupted(house: House, uri: str, at: int, moment: Moment) -> None:
    rid = await _story(house, uri)
    with redis_away(at=at, moment=moment), listening():
        with suppress(Unavailable):
            await house.begin_to_work_off(rid)
        await house.attempts_end()
    for _ in range(4):
        house.clock.advance(LEASE_MS / 1000 + 1)
        await house.worker.sweeper.sweep()
        await house.run_queue()

    receipt = await house.receipt(rid)
    assert (receipt.state, receipt.sessions_ended, receipt.refresh_tokens_revoked) == ("completed", 2, 3), (at, moment)
    assert {(each.client_id, each.sid is None): each.state for each in await house.deliveries(rid)} == {
        ("crm", True): "delivered",
        ("gone", True): "skipped",
        ("wiki", False): "delivered",
    }, (at, moment)
    assert len(await house.deliveries(rid)) == 4
    assert (await house.due(), await house.open_revocations()) == ({}, set()), (at, moment)


async def test_a_plan_whose_maker_died_goes_on_by_its_own_entries(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        revocation = await house.receipt(rid)
        owed = Delivery(
            delivery_id=delivery_id_for(rid, ADA, "crm", "crm|ada", None),
            user_id=ADA,
            client_id="crm",
            sub="crm|ada",
            sid=None,
        )
        lease_until_ms = house.clock.now_ms() + LEASE_MS
        await house.resources.revocations.plan(
            revocation,
            [owed],
            sessions_ended=1,
            refresh_tokens_revoked=0,
            now_ms=house.clock.now_ms(),
            lease_until_ms=lease_until_ms,
        )
        await house.work_off(rid)
        assert app.requests == []
        assert await house.due() == {owed.delivery_id: lease_until_ms}

        house.clock.advance(LEASE_MS / 1000)
        assert (await house.work_off(rid)).state == "completed"
    assert len(app.requests) == 1


async def test_deliveries_whose_due_entries_were_lost_are_entered_again(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.work_off(rid)
    await house.resources.record.run("DEL", keyspace.DUE)

    await house.work_off(rid)

    assert set(await house.due()) == {(await house.delivery(rid)).delivery_id}


# A due entry without a record


@pytest.mark.parametrize(
    ("age_ms", "kept"), [(0, True), (MISSING_MS - 1, True), (MISSING_MS, False)], ids=["new", "old", "too old"]
)
async def test_an_entry_without_a_record_is_looked_at_again_for_a_while(house: House, age_ms: int, kept: bool) -> None:
    run, opened_ms = house.resources.record.run, house.clock.now_ms()
    await run("ZADD", keyspace.OPEN, opened_ms, "rev_1")
    await run("ZADD", keyspace.DUE, opened_ms, "rev_1")
    house.clock.advance(age_ms / 1000)

    await house.worker.revoker.revoke("rev_1")

    assert await house.due() == ({"rev_1": house.clock.now_ms() + LOOK_AGAIN_MS} if kept else {})
    assert await house.open_revocations() == ({"rev_1"} if kept else set())


async def test_an_entry_of_nothing_at_all_is_dropped(house: House) -> None:
    await house.resources.schedule.look_at(["rev_1"], at_ms=0)
    await house.worker.revoker.revoke("rev_1")
    assert await house.due() == {}


async def test_people_it_has_not_cut_off_are_no_part_of_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a receipt's cut-offs were forgotten: it must complete, not fail for ever."""
    await house.sign_in("ada", Participant(client_id="gone", sub="a", sid="s"))
    rid = await house.revoke("ada")
    await house.resources.record.run("DEL", person_keys.cutoffs(ADA))
    assert (await house.work_off(rid)).state == "completed"
    assert await house.deliveries(rid) == ()


@pytest.mark.parametrize("asked_again", [False, True])
@pytest.mark.parametrize("partial", [False, True])
async def test_what_was_not_forgotten_because_redis_was_away_is_forgotten_though_everybody_was_told(
    house: House, monkeypatch: pytest.MonkeyPatch, *, partial: bool, asked_again: bool
) -> None:
    forget, asked = Covered.forget, 0

    async def forget_the_second_time(covered: Covered, *args: Any, **kwargs: Any) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await house.attempts_end()
            raise Unavailable("away")
        await forget(covered, *args, **kwargs)

    monkeypatch.setattr(Covered, "forget", forget_the_second_time)
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.issue(await house.sign_in("ada", "crm"), "crm")
        scope = SessionsBegunBy(begun_by_ms=house.clock.now_ms()) if partial else None
        request = house.request("ada", scope=scope)
        rid = (await house.resources.sink.accept(request)).revocation_id
        await house.run_queue()
        assert (await house.receipt(rid)).state == "completed"
        assert asked == 1
        if asked_again:
            assert (await house.resources.sink.accept(request)).repeated
        house.clock.advance(HIDDEN_MS / 1000)
        await house.sweep()
    assert asked == 2
    assert not [name for name in await house.resources.record.run("KEYS", "*") if ":token" in name]
    assert await house.resources.record.run("HLEN", person_keys.logouts(ADA)) == 0
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    assert len(app.requests) == 1


async def test_a_job_of_one_that_was_seen_to_costs_one_look(house: House) -> None:
    rid = await house.revoke("ada")
    await house.work_off(rid)
    with redis_away(at=1000, moment="before") as counting:
        await house.begin_to_work_off(rid)
    assert counting.calls == 2
