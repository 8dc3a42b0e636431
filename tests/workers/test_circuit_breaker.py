"""The circuit breaker: an application nobody answers at is left alone, by the whole fleet, until one probe finds it back."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from service.domain.client_health import (
    FIRST_PROBE_MS,
    LONGEST_PROBE_MS,
    OPENS_AFTER,
    SUSPENDED_PROBE_MS,
    UNINTERRUPTED_MS,
)
from service.domain.retry_schedule import WINDOW_S
from service.errors import Unavailable
from service.store.client_health import WELL, ClientHealths
from tests.support.contents import trail
from tests.support.heard import listening
from tests.support.house import DAY_S, House, open_house
from tests.support.strangers import (
    Behaviour,
    Moody,
    Request,
    Stranger,
    answer,
    hang_up,
    reset,
    say,
    stranger,
    wait_then,
)
from workers.release import FIRST_RELEASE, LOOK_MS, PROBE_LOOK_MS


async def owe(house: House, count: int, *, client_id: str = "crm", first: int = 0) -> list[str]:
    """Accept and work off the revocations of so many people signed in at one application; their ids."""
    rids = []
    for number in range(first, first + count):
        await house.sign_in(f"person-{number}", client_id)
        rids.append(await house.revoke(f"person-{number}"))
        await house.work_off(rids[-1])
        house.clock.advance(0.001)
    return rids


async def states(house: House, rids: list[str]) -> list[tuple[str, str | None]]:
    return [(each.state, each.reason) for rid in rids for each in [await house.delivery(rid)]]


@pytest.fixture
async def moody(house: House) -> AsyncIterator[tuple[Moody, Stranger]]:
    """An application, `crm`, that is down."""
    mood = Moody(answer(503))
    async with stranger(mood) as app:
        await house.application("crm", app.url())
        yield mood, app


@pytest.mark.parametrize(
    "behaviour",
    [answer(500), answer(503), hang_up, reset, say(b"not HTTP\r\n\r\n")],
    ids=["500", "503", "hangs up", "resets", "speaks no HTTP"],
)
async def test_failures_in_a_row_open_it_and_what_follows_waits_with_the_reason(
    house: House, moody: tuple[Moody, Stranger], behaviour: Behaviour
) -> None:
    mood, app = moody
    mood.now = behaviour
    with listening() as heard:
        await owe(house, OPENS_AFTER)
        asked = app.connections
        later = await owe(house, 3, first=OPENS_AFTER)
    assert app.connections == asked
    assert await states(house, later) == [("pending", "circuit_open")] * 3
    assert await house.waiting("crm") == tuple([(await house.delivery(rid)).delivery_id for rid in later])
    health = await house.health("crm")
    assert (health.state, health.breaker(house.clock.now_ms())) == ("active", "open")
    assert health.failing_since_ms is not None
    assert health.opened_at_ms == health.failing_since_ms + OPENS_AFTER - 1  # a millisecond each
    assert health.next_probe_at_ms == health.opened_at_ms + FIRST_PROBE_MS
    assert (await house.due())["backlog:crm"] == health.next_probe_at_ms
    assert heard.one("client.circuit_opened")["client_id"] == "crm"
    assert len(heard.of("delivery.held")) == 3


@pytest.mark.parametrize("status", [200, 302, 400, 404, 429])
async def test_whoever_answers_does_not_open_it_whatever_the_answer(
    house: House, moody: tuple[Moody, Stranger], status: int
) -> None:
    mood, app = moody
    mood.now = answer(status)
    await owe(house, OPENS_AFTER + 3)
    assert len(app.requests) == OPENS_AFTER + 3
    assert (await house.health("crm")).breaker(house.clock.now_ms()) == "closed"


async def test_an_answer_in_between_begins_the_count_anew(house: House, moody: tuple[Moody, Stranger]) -> None:
    mood, _ = moody
    for first in (0, 100):
        mood.now = answer(503)
        await owe(house, OPENS_AFTER - 1, first=first)
        assert (await house.health("crm")).failures == OPENS_AFTER - 1
        mood.now = answer(400)
        await owe(house, 1, first=first + 50)
        assert (await house.health("crm")).failures == 0
    assert (await house.health("crm")).breaker(house.clock.now_ms()) == "closed"


async def test_a_fault_of_ours_is_not_laid_at_its_door(house: House) -> None:
    await house.application("crm", "http://127.0.0.1:9/logout", algorithm="RS256")  # no key for it in this house
    await owe(house, OPENS_AFTER + 1)
    assert (await house.health("crm")).failures == 0


async def test_one_probe_finds_out_that_it_is_back_and_then_all_are_told_the_oldest_first(
    house: House, moody: tuple[Moody, Stranger]
) -> None:
    mood, app = moody
    await owe(house, OPENS_AFTER)
    waiting = await owe(house, 5, first=OPENS_AFTER)
    asked = len(app.requests)
    mood.now = answer(200)

    house.clock.advance(FIRST_PROBE_MS / 1000)
    with listening() as heard:
        await house.sweep()

    assert heard.one("client.circuit_closed")["client_id"] == "crm"
    assert await states(house, waiting) == [("delivered", None)] * 5
    assert len(app.requests) == asked + OPENS_AFTER + 5  # the five that failed are told again too
    attempts = [(await house.delivery(rid)).attempts[0].at_ms for rid in waiting]
    assert attempts == sorted(attempts)
    health = await house.health("crm")
    assert (health.breaker(house.clock.now_ms()), health.waiting, health.failing_since_ms) == ("closed", False, None)
    assert "backlog:crm" not in await house.due()


async def test_a_probe_that_fails_doubles_the_pause_up_to_five_minutes(
    house: House, moody: tuple[Moody, Stranger]
) -> None:
    await owe(house, OPENS_AFTER)
    await owe(house, 40, first=OPENS_AFTER)
    pauses_ms = []
    for _ in range(10):
        next_ms = (await house.health("crm")).next_probe_at_ms
        assert next_ms is not None
        pauses_ms.append(next_ms - house.clock.now_ms())
        asked = len(moody[1].requests)
        house.clock.advance(pauses_ms[-1] / 1000)
        await house.sweep()
        assert len(moody[1].requests) == asked + 1
    assert pauses_ms[1:] == [min(FIRST_PROBE_MS * 2**n, LONGEST_PROBE_MS) for n in range(1, 10)]


async def test_of_two_workers_one_probes(
    house: House, moody: tuple[Moody, Stranger], redis_url: str, tmp_path: Path
) -> None:
    mood, app = moody
    await owe(house, OPENS_AFTER)
    rids = await owe(house, 2, first=OPENS_AFTER)
    asked, answering = len(app.requests), asyncio.Event()

    async def late(request: Request, writer: asyncio.StreamWriter) -> None:
        await answering.wait()
        await answer(200)(request, writer)

    mood.now = late
    async with open_house(redis_url, tmp_path) as other:
        house.clock.advance(FIRST_PROBE_MS / 1000)
        other.clock.advance((house.clock.now_ms() - other.clock.now_ms()) / 1000)
        await house.begin_to_work_off(rids[0])
        names = [(await house.delivery(rid)).delivery_id for rid in rids]
        await house.worker.notifier.take(await house.receipt(rids[0]), [names[0]])
        await app.seen(asked + 1)
        await other.worker.notifier.take(await other.receipt(rids[1]), [names[1]])
        assert len(app.requests) == asked + 1
        assert await states(house, [rids[1]]) == [("pending", "circuit_open")]
        answering.set()
        await house.attempts_end()
    assert (await house.health("crm")).breaker(house.clock.now_ms()) == "closed"


async def test_a_probe_whose_worker_died_is_made_again(house: House, moody: tuple[Moody, Stranger]) -> None:
    mood, _ = moody
    await owe(house, OPENS_AFTER)
    rids = await owe(house, 2, first=OPENS_AFTER)
    house.clock.advance(FIRST_PROBE_MS / 1000)
    now_ms = house.clock.now_ms()
    assert await house.resources.client_healths.take_probe(
        "crm", "dead", now_ms=now_ms, probing_until_ms=now_ms + 20_000
    )
    await house.sweep()
    assert await states(house, rids) == [("pending", "circuit_open")] * 2

    mood.now = answer(200)
    for _ in range(3):
        house.clock.advance(PROBE_LOOK_MS / 1000)
        await house.sweep()
    assert await states(house, rids) == [("delivered", None)] * 2


async def test_one_delivery_it_always_fails_on_does_not_keep_the_others_waiting(house: House) -> None:
    """A probe that failed comes again by its own schedule; the next one is somebody else's."""
    await house.sign_in("poisoned", "crm")

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await answer(500 if request.claims["sub"] == "crm|poisoned" else 200)(request, writer)

    async with stranger(behave) as app:
        await house.application("crm", app.url())
        rid = await house.revoke("poisoned")
        await house.work_off(rid)
        for _ in range(OPENS_AFTER - 1):
            due_ms = (await house.delivery(rid)).next_attempt_at_ms
            assert due_ms is not None
            house.clock.advance((due_ms - house.clock.now_ms()) / 1000)
            await house.sweep()
        assert (await house.health("crm")).breaker(house.clock.now_ms()) == "open"
        others = await owe(house, 3)
        house.clock.advance(FIRST_PROBE_MS / 1000)
        await house.sweep()
        house.clock.advance(LOOK_MS / 1000)
        await house.sweep()
    assert await states(house, others) == [("delivered", None)] * 3
    assert (await house.delivery(rid)).state == "retrying"


async def test_what_waits_for_a_day_is_given_up(house: House, moody: tuple[Moody, Stranger]) -> None:
    await owe(house, OPENS_AFTER)
    rids = await owe(house, 3, first=OPENS_AFTER)
    accepted_ms = house.clock.now_ms()
    while house.clock.now_ms() <= accepted_ms + WINDOW_S * 1000:
        await house.sweep()
        house.clock.advance(1800)
    for _ in range(3):
        house.clock.advance(3600)
        await house.sweep()
    assert [each[0] for each in await states(house, rids)] == ["dead"] * 3
    assert {each[1] for each in await states(house, rids)} == {"gave_up"}
    assert await house.waiting("crm") == ()
    assert [key for key in await house.due() if key.startswith("backlog")] == []


async def test_thousands_that_wait_are_one_entry_in_the_due_index(house: House, moody: tuple[Moody, Stranger]) -> None:
    await owe(house, OPENS_AFTER)
    before = set(await house.due())
    await owe(house, 200, first=OPENS_AFTER)
    assert set(await house.due()) - before == {"backlog:crm"}
    assert len(await house.waiting("crm")) == 200
    assert await house.resources.backlogs.total() == 200


async def test_what_waits_is_let_go_in_growing_numbers(house: House, moody: tuple[Moody, Stranger]) -> None:
    mood, _ = moody
    await owe(house, OPENS_AFTER)
    await owe(house, 60, first=OPENS_AFTER)
    mood.now = answer(200)
    house.clock.advance(FIRST_PROBE_MS / 1000)
    await house.sweep()
    left = [len(await house.waiting("crm"))]
    while left[-1]:
        house.clock.advance(LOOK_MS / 1000)
        await house.sweep()
        left.append(len(await house.waiting("crm")))
    gone = [before - after for before, after in pairwise(left)]
    assert gone[:2] == [2 * FIRST_RELEASE, left[1]]


async def test_days_of_failure_suspend_it_and_an_answer_lifts_that(
    house: House, moody: tuple[Moody, Stranger], redis_url: str
) -> None:
    mood, _ = moody
    await owe(house, OPENS_AFTER)
    with listening() as heard:
        for number in range(6 * 2):
            await owe(house, 1, first=100 + number)
            house.clock.advance(DAY_S / 2)
            await house.sweep()
    line = heard.one("client.suspended")
    assert (line["level"], line["client_id"]) == ("warning", "crm")
    health = await house.health("crm")
    assert health.state == "suspended"
    assert health.suspended_at_ms is not None
    assert health.failing_since_ms is not None
    assert health.suspended_at_ms - health.failing_since_ms >= 5 * DAY_S * 1000
    assert health.next_probe_at_ms is not None
    assert health.next_probe_at_ms - house.clock.now_ms() <= SUSPENDED_PROBE_MS
    late = await owe(house, 1, first=1000)
    assert await states(house, late) == [("pending", "suspended")]
    assert await house.resources.client_healths.counts() == {"paused": 0, "suspended": 1, "circuit_open": 0}

    mood.now = answer(200)
    house.clock.advance(SUSPENDED_PROBE_MS / 1000)
    await house.sweep()
    for _ in range(5):
        house.clock.advance(LOOK_MS / 1000)
        await house.sweep()
    assert (await house.health("crm")).state == "active"
    assert await states(house, late) == [("delivered", None)]
    assert await house.resources.client_healths.counts() == {"paused": 0, "suspended": 0, "circuit_open": 0}
    told = [each for each in trail(redis_url) if each["event"].startswith("client.")]
    assert [(each["event"], each["client_id"], each["actor"]["type"]) for each in told] == [
        ("client.suspended", "crm", "service"),
        ("client.recovered", "crm", "service"),
    ]


async def test_one_nobody_has_asked_for_days_has_not_failed_for_days(
    house: House, moody: tuple[Moody, Stranger]
) -> None:
    await owe(house, OPENS_AFTER)
    house.clock.advance(6 * DAY_S + UNINTERRUPTED_MS / 1000)
    await owe(house, 1, first=100)
    health = await house.health("crm")
    assert (health.state, health.failing_since_ms) == ("active", house.clock.now_ms() - 1)


async def test_with_suspension_turned_off_it_is_probed_for_ever(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path, suspend_after_days=0) as house, stranger(answer(503)) as app:
        await house.application("crm", app.url())
        await owe(house, OPENS_AFTER)
        for number in range(7 * 2):
            await owe(house, 1, first=100 + number)
            house.clock.advance(DAY_S / 2)
            await house.sweep()
        assert (await house.health("crm")).state == "active"


@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (503, "retrying")])
async def test_what_became_of_a_delivery_is_kept_where_its_application_could_not_be_reported_on(
    house: House, moody: tuple[Moody, Stranger], monkeypatch: pytest.MonkeyPatch, status: int, state: str
) -> None:
    """One call to the record that gets no answer costs this attempt's say, not its outcome."""
    mood, app = moody
    mood.now = answer(503)
    await owe(house, 1)

    async def no_answer(self: ClientHealths, reports: object, *, now_ms: int) -> object:
        raise Unavailable("the record cannot be reached (TimeoutError)")

    monkeypatch.setattr(ClientHealths, "report", no_answer)
    mood.now = answer(status)
    with listening() as heard:
        (rid,) = await owe(house, 1, first=1)
    delivery = await house.delivery(rid)
    assert (delivery.state, [each.status for each in delivery.attempts]) == (state, [status])
    assert heard.one("client.not_reported")["client_id"] == "crm"
    assert heard.one("delivery.attempted")["recorded"] is True
    assert len(app.requests) == 2


async def test_an_application_that_is_removed_under_an_attempt_does_not_come_back_as_a_ghost(
    house: House, moody: tuple[Moody, Stranger]
) -> None:
    """Nobody would ever forget it, and the figures would count it for ever."""
    mood, app = moody
    await owe(house, OPENS_AFTER - 1)
    removing = asyncio.Event()
    mood.now = wait_then(removing, answer(503))
    await house.sign_in("ada", "crm")
    rid = await house.revoke("ada")
    await house.begin_to_work_off(rid)
    await app.seen(OPENS_AFTER)
    await house.resources.applications.remove("crm")
    removing.set()
    await house.attempts_end()

    assert await house.health("crm") == WELL
    assert sum((await house.resources.client_healths.counts()).values()) == 0
    # Registered anew, it is like any other, from the first moment on.
    await house.application("crm", app.url())
    mood.now = answer(503)
    await owe(house, OPENS_AFTER, first=50)
    assert (await house.health("crm")).breaker(house.clock.now_ms()) == "open"
