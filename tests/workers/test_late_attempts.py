"""Attempts that come late: what has begun at an application since is not ended by them (law 5), and what was meant is."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest

from service.domain.client_health import FIRST_PROBE_MS, OPENS_AFTER
from service.domain.delivery import Delivery
from service.domain.retry_schedule import WINDOW_S
from service.domain.session import Participant
from service.errors import Unavailable
from service.store.redeliveries import Redeliveries
from tests.support.breaks import Moment, redis_away
from tests.support.house import DAY_S, House
from tests.support.strangers import Moody, Stranger, answer, stranger
from workers.slots import PER_CLIENT
from workers.sparing import FRESH_MS
from workers.sweep import HEAL_AFTER_MS

CALLS_OF_A_REPLACEMENT = 12
"""Calls to the record of one attempt that is replaced by others and what follows from it, at most."""


@pytest.fixture
async def mood() -> Moody:
    return Moody(answer())


@pytest.fixture
async def app(house: House, mood: Moody) -> AsyncIterator[Stranger]:
    """An application, `crm`."""
    async with stranger(mood) as running:
        await house.application("crm", running.url())
        yield running


def known(sid: str) -> Participant:
    """The application's part in a session, by a `sid` of its own."""
    return Participant(client_id="crm", sub="crm|ada", sid=sid)


async def fail_once(house: House, mood: Moody, *sids: str) -> str:
    """Ada is signed in by these `sid`s and signed out, and the application fails when it is told; the revocation."""
    for each in sids:
        await house.sign_in("ada", known(each))
    rid = await house.revoke("ada")
    mood.now = answer(503)
    await house.work_off(rid)
    mood.now = answer()
    return rid


async def try_again(house: House, *, after_s: float = 2.0) -> None:
    house.clock.advance(after_s)
    await house.sweep()


async def rows(house: House, rid: str) -> dict[str | None, Delivery]:
    return {each.sid: each for each in await house.deliveries(rid)}


def sids(app: Stranger) -> list[str | None]:
    return [each.claims.get("sid") for each in app.requests]


async def test_a_retry_spares_a_newer_session_and_tells_of_the_old_ones_one_by_one(
    house: House, mood: Moody, app: Stranger
) -> None:
    rid = await fail_once(house, mood, "old-1", "old-2")
    await house.sign_in("ada", known("new"))
    await try_again(house)

    assert sids(app)[0] is None
    assert sorted(str(each) for each in sids(app)[1:]) == ["old-1", "old-2"]
    told = await rows(house, rid)
    assert {sid: (each.state, each.reason) for sid, each in told.items()} == {
        None: ("skipped", "told_by_sid"),
        "old-1": ("delivered", None),
        "old-2": ("delivered", None),
    }
    assert [each.status for each in told[None].attempts] == [503]
    assert told[None].next_attempt_at_ms is None
    assert (await house.receipt(rid)).state == "completed"
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    totals = await house.resources.statistics.totals()
    assert totals.deliveries == {"skipped": 1, "delivered": 2}
    # The newer one is the next revocation's, and so it is the only one left.
    await house.work_off(second := await house.revoke("ada"))
    assert set(await rows(house, second)) == {None}


async def test_a_retry_with_nothing_newer_is_sent_as_it_was_planned(house: House, mood: Moody, app: Stranger) -> None:
    rid = await fail_once(house, mood, "old")
    await house.sign_in("bob", "crm")
    await try_again(house)
    assert sids(app) == [None, None]
    assert (await house.delivery(rid)).state == "delivered"


async def test_a_first_attempt_after_a_pause_spares_what_has_begun_in_it(
    house: House, mood: Moody, app: Stranger
) -> None:
    await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())
    await house.sign_in("ada", known("old"))
    rid = await house.revoke("ada")
    await house.work_off(rid)
    house.clock.advance(3 * 3600)
    await house.sign_in("ada", known("new"))
    await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())
    await house.sweep()
    assert sids(app) == ["old"]
    assert (await house.receipt(rid)).state == "completed"


async def test_what_takes_its_place_has_what_is_left_of_its_window_and_no_more(
    house: House, mood: Moody, app: Stranger
) -> None:
    rid = await fail_once(house, mood, "old")
    began_ms = (await house.delivery(rid)).first_attempt_at_ms
    assert began_ms is not None
    await house.sign_in("ada", known("new"), lasts_s=3 * DAY_S)
    mood.now = answer(503)
    await try_again(house)
    row = (await rows(house, rid))["old"]
    assert (row.state, row.first_attempt_at_ms, row.attempt_count) == ("retrying", began_ms, 1)
    step_s = 1800
    while (await rows(house, rid))["old"].state == "retrying":
        await try_again(house, after_s=step_s)
    row = (await rows(house, rid))["old"]
    assert (row.state, row.reason) == ("dead", "gave_up")
    assert WINDOW_S - 2 * 3600 < (row.attempts[-1].at_ms - began_ms) / 1000 <= WINDOW_S + step_s


async def test_what_the_application_no_longer_holds_is_skipped_with_the_reason(
    house: House, mood: Moody, app: Stranger
) -> None:
    rid = await fail_once(house, mood, "old")
    await house.work_off(await house.revoke("ada"))
    assert sids(app) == [None, None], "the second revocation has told of the old session too"
    await house.sign_in("ada", known("new"))
    await try_again(house)
    skipped = await house.delivery(rid)
    assert (skipped.state, skipped.reason, len(app.requests)) == ("skipped", "newer_session", 2)
    assert (await house.receipt(rid)).state == "completed"


async def test_one_that_knows_all_sessions_by_one_sid_is_not_told_and_the_dead_letter_says_why(
    house: House, mood: Moody, app: Stranger
) -> None:
    rid = await fail_once(house, mood, "only")
    await house.sign_in("ada", known("only"))
    await try_again(house)
    dead = await house.delivery(rid)
    assert (dead.state, dead.reason, len(app.requests)) == ("dead", "newer_session", 1)
    assert (await house.receipt(rid)).state == "incomplete"
    letters, _ = await house.resources.dead_letters.page(after=None, limit=10, now_ms=house.clock.now_ms())
    assert [each.delivery.delivery_id for each in letters] == [dead.delivery_id]


async def test_of_several_the_one_whose_sid_is_used_again_is_dead_and_the_others_are_told(
    house: House, mood: Moody, app: Stranger
) -> None:
    rid = await fail_once(house, mood, "old", "used-again")
    await house.sign_in("ada", known("used-again"))
    await try_again(house)
    assert sids(app) == [None, "old"]
    told = await rows(house, rid)
    assert {sid: (each.state, each.reason) for sid, each in told.items()} == {
        None: ("skipped", "told_by_sid"),
        "old": ("delivered", None),
        "used-again": ("dead", "newer_session"),
    }
    assert told["used-again"].dead_at_ms == house.clock.now_ms()
    assert (await house.receipt(rid)).state == "incomplete"
    letters, _ = await house.resources.dead_letters.page(after=None, limit=10, now_ms=house.clock.now_ms())
    assert [each.delivery.sid for each in letters] == ["used-again"]
    assert (await house.resources.statistics.totals()).deliveries == {"skipped": 1, "delivered": 1, "dead": 1}


async def test_a_plan_that_is_made_late_names_no_sid_that_is_used_again(
    house: House, mood: Moody, app: Stranger
) -> None:
    """The worker was down. Its plan goes by `sid`, for there is a newer session; which `sid` that has, no plan looks at."""
    await house.sign_in("ada", known("same"))
    rid = await house.revoke("ada")
    house.clock.advance(60)
    await house.sign_in("ada", known("same"))
    await house.work_off(rid)
    dead = await house.delivery(rid)
    assert (app.requests, dead.sid, dead.state, dead.reason) == ([], "same", "dead", "newer_session")


async def test_who_signs_in_while_an_attempt_waits_for_its_slot_is_spared(
    house: House, mood: Moody, app: Stranger
) -> None:
    await house.sign_in("ada", known("old"))
    rid = await house.revoke("ada")
    house.worker.notifier.slots.report("crm", answered=True)
    async with AsyncExitStack() as stack:
        for _ in range(PER_CLIENT):
            await stack.enter_async_context(house.worker.notifier.slots.of("crm"))
        await house.begin_to_work_off(rid)
        house.clock.advance(FRESH_MS / 1000)
        await house.sign_in("ada", known("new"))
    await house.attempts_end()
    await house.sweep()
    assert sids(app) == ["old"]


@pytest.mark.parametrize(("late_ms", "looks"), [(FRESH_MS - 1, 0), (FRESH_MS, 1)])
async def test_only_attempts_that_are_late_look(
    house: House, mood: Moody, app: Stranger, monkeypatch: pytest.MonkeyPatch, late_ms: int, looks: int
) -> None:
    looked = []
    held = Redeliveries.held

    async def count(self: Redeliveries, asked: object, *, now_ms: int) -> object:
        looked.append(asked)
        return await held(self, asked, now_ms=now_ms)  # type: ignore[arg-type]

    monkeypatch.setattr(Redeliveries, "held", count)
    await house.resources.applications.remove("crm")
    await house.application("crm", app.url(), session_required=True)
    await house.sign_in("ada", known("old"))
    rid = await house.revoke("ada")
    house.clock.advance(late_ms / 1000)
    await house.work_off(rid)
    assert (sids(app), len(looked)) == (["old"], looks)


async def test_a_fresh_plan_of_an_old_revocation_need_not_look_again_for_a_sub(
    house: House, mood: Moody, app: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands at once wait for their plans: each has just looked, and is told at no further cost."""

    async def never(self: Redeliveries, asked: object, *, now_ms: int) -> object:
        raise AssertionError("it was read a moment ago")

    monkeypatch.setattr(Redeliveries, "held", never)
    await house.sign_in("ada", known("old"))
    rid = await house.revoke("ada")
    house.clock.advance(60)
    await house.work_off(rid)
    assert sids(app) == [None]
    assert (await house.delivery(rid)).state == "delivered"


async def test_no_probe_is_spent_on_what_is_not_sent(house: House, mood: Moody, app: Stranger) -> None:
    mood.now = answer(503)
    for number in range(OPENS_AFTER):
        await house.sign_in(f"p{number}", "crm")
        await house.work_off(await house.revoke(f"p{number}"))
        house.clock.advance(0.001)
    await house.sign_in("ada", known("old"))
    rid = await house.revoke("ada")
    await house.work_off(rid)
    await house.sign_in("ada", known("old"))
    asked = len(app.requests)
    mood.now = answer()
    notifier = house.worker.notifier
    house.clock.advance(FIRST_PROBE_MS / 1000)
    await notifier.deliver(await house.receipt(rid), [(await house.delivery(rid)).delivery_id])
    await house.attempts_end()
    assert (await house.delivery(rid)).reason == "newer_session"
    assert (await house.health("crm")).probing_until_ms is None
    assert len(app.requests) == asked
    await house.sweep()
    assert (await house.health("crm")).breaker(house.clock.now_ms()) == "closed"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(1, CALLS_OF_A_REPLACEMENT + 1))
async def test_whenever_redis_goes_away_each_old_session_is_told_and_the_newer_never(
    house: House, mood: Moody, app: Stranger, at: int, moment: Moment
) -> None:
    rid = await fail_once(house, mood, "old-1", "old-2", "used-again")
    await house.sign_in("ada", known("new"), lasts_s=3 * DAY_S)
    await house.sign_in("ada", known("used-again"), lasts_s=3 * DAY_S)
    house.clock.advance(2)
    notifier = house.worker.notifier
    receipt, name = await house.receipt(rid), (await house.delivery(rid)).delivery_id
    with redis_away(at=at, moment=moment):
        with suppress(Unavailable):
            await notifier.deliver(receipt, [name])
        await house.attempts_end()
    for _ in range(3):
        house.clock.advance(HEAL_AFTER_MS / 1000 + 1)
        await house.worker.sweeper.tidy()
        await house.sweep()
    told = await rows(house, rid)
    assert {sid: each.state for sid, each in told.items()} == {
        None: "skipped",
        "old-1": "delivered",
        "old-2": "delivered",
        "used-again": "dead",
    }
    assert set(sids(app)[1:]) == {"old-1", "old-2"}
    assert (await house.receipt(rid)).state == "incomplete"
    letters, _ = await house.resources.dead_letters.page(after=None, limit=10, now_ms=house.clock.now_ms())
    assert [each.delivery.sid for each in letters] == ["used-again"]
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_at_this_many_calls_a_replacement_has_ended(house: House, mood: Moody, app: Stranger) -> None:
    """Otherwise the test above asks about too few moments."""
    rid = await fail_once(house, mood, "old")
    await house.sign_in("ada", known("new"))
    house.clock.advance(2)
    receipt, name = await house.receipt(rid), (await house.delivery(rid)).delivery_id
    with redis_away(at=CALLS_OF_A_REPLACEMENT, moment="before") as counting:
        await house.worker.notifier.deliver(receipt, [name])
        await house.attempts_end()
        assert not counting.happened
        assert counting.calls > CALLS_OF_A_REPLACEMENT // 2
