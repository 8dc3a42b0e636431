"""The count of people one connection has signed out: over all processes, in a window that moves, and never half."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from service.domain.revocation import RevocationRequest
from service.errors import Held, Unavailable
from service.store import blast_radius
from service.store.blast_radius import BlastRadius
from tests.support.breaks import Moment, redis_away
from tests.support.contents import trail
from tests.support.house import CONNECTION, House
from tests.support.pauses import paused

WINDOW_S = 600


@pytest.fixture
def radius(house: House) -> BlastRadius:
    """Three people in ten minutes."""
    return BlastRadius(house.resources.record, people=3, window_ms=WINDOW_S * 1000)


def asked(number: int, *, people: int = 1, connection_id: str = CONNECTION) -> RevocationRequest:
    """A request about so many people nobody else's is about."""
    return RevocationRequest(
        revocation_id=f"rev_{connection_id}_{number}",
        connection_id=connection_id,
        user_ids=tuple(f"usr_{number}_{place}" for place in range(people)),
        initiator="global_token_revocation",
    )


async def test_as_many_people_as_may_be_pass_and_the_next_one_begins_a_hold(house: House, radius: BlastRadius) -> None:
    now_ms = house.clock.now_ms()
    assert [await radius.count(asked(each), now_ms=now_ms) for each in range(3)] == ["passed"] * 3
    assert await radius.holds([CONNECTION]) == {}
    assert await radius.count(asked(3), now_ms=now_ms) == "began"
    assert await radius.count(asked(0), now_ms=now_ms + 1) == "held"
    assert (await radius.holds([CONNECTION]))[CONNECTION].since_ms == now_ms
    assert await radius.count_held() == 1


async def test_the_same_person_counts_once_and_another_connections_people_not_at_all(
    house: House, radius: BlastRadius
) -> None:
    now_ms = house.clock.now_ms()
    for number in range(20):
        again = replace(asked(number), user_ids=("usr_same",))
        assert await radius.count(again, now_ms=now_ms) == "passed"
        other = asked(number, connection_id=f"con_other{number}")
        assert await radius.count(other, now_ms=now_ms) == "passed"
    assert await radius.count(asked(1, people=2), now_ms=now_ms) == "passed"


async def test_one_request_about_too_many_people_is_held_by_itself_and_none_of_them_is_counted(
    house: House, radius: BlastRadius
) -> None:
    now_ms = house.clock.now_ms()
    assert await radius.count(asked(0, people=4), now_ms=now_ms) == "began"
    await radius.release(CONNECTION, discard=True)
    assert await radius.count(asked(1, people=3), now_ms=now_ms) == "passed"


async def test_people_count_for_as_long_as_the_window_is(house: House, radius: BlastRadius) -> None:
    now_ms = house.clock.now_ms()
    assert await radius.count(asked(0, people=3), now_ms=now_ms) == "passed"
    for later_ms, verdict in ((WINDOW_S * 1000, "passed"), (WINDOW_S * 1000 + 1, "began")):
        assert await radius.count(asked(later_ms, people=3), now_ms=now_ms + later_ms) == verdict


async def test_of_many_at_once_in_many_processes_no_more_than_may_be_pass(house: House) -> None:
    pods = [BlastRadius(house.resources.record, people=10, window_ms=WINDOW_S * 1000) for _ in range(4)]
    now_ms = house.clock.now_ms()
    verdicts = await asyncio.gather(
        *(pods[number % 4].count(asked(number), now_ms=now_ms + number) for number in range(100))
    )
    assert (verdicts.count("passed"), verdicts.count("began"), verdicts.count("held")) == (10, 1, 89)


async def test_what_is_kept_is_kept_once_and_comes_back_as_it_was_the_oldest_first(
    house: House, radius: BlastRadius
) -> None:
    now_ms = house.clock.now_ms()
    await radius.count(asked(0, people=4), now_ms=now_ms)
    for number in (2, 1, 0, 2):
        assert await radius.keep(asked(number, people=2), now_ms=now_ms - number)
    kept = await radius.kept(CONNECTION, most=10)
    assert [each.request for each in kept] == [asked(2, people=2), asked(1, people=2), asked(0, people=2)]
    assert [each.held_at_ms for each in kept] == [now_ms - 2, now_ms - 1, now_ms]
    assert len(await radius.kept(CONNECTION, most=2)) == 2
    hold = (await radius.holds([CONNECTION]))[CONNECTION]
    assert (hold.requests, hold.people, hold.not_kept) == (3, 6, 0)


async def test_what_is_kept_is_bounded_and_what_is_not_is_counted(
    house: House, radius: BlastRadius, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blast_radius, "MAX_HELD", 3)
    monkeypatch.setattr(blast_radius, "MAX_HELD_PEOPLE", 5)
    now_ms = house.clock.now_ms()
    await radius.count(asked(0, people=4), now_ms=now_ms)
    kept = [
        await radius.keep(asked(number, people=people), now_ms=now_ms) for number, people in enumerate((4, 2, 1, 1))
    ]
    assert kept == [True, False, True, False]
    hold = (await radius.holds([CONNECTION]))[CONNECTION]
    assert (hold.requests, hold.people, hold.not_kept) == (2, 5, 2)


async def test_a_hold_does_not_end_while_something_is_kept_that_is_not_to_be_forgotten(
    house: House, radius: BlastRadius
) -> None:
    now_ms = house.clock.now_ms()
    await radius.count(asked(0, people=4), now_ms=now_ms)
    await radius.keep(asked(0, people=4), now_ms=now_ms)
    assert await radius.release(CONNECTION, discard=False) == (1, 0)
    assert await radius.count(asked(1), now_ms=now_ms + 1) == "held"
    await radius.forget(asked(0, people=4))
    assert await radius.release(CONNECTION, discard=False) == (0, 0)
    assert await radius.count_held() == 0
    assert await radius.count(asked(1), now_ms=now_ms + 1) == "passed"
    assert await radius.kept(CONNECTION, most=10) == ()


async def test_nothing_is_kept_once_the_hold_has_ended(house: House, radius: BlastRadius) -> None:
    """Between the count and the keeping an operator may have released it: whoever asked is told to come again, and passes."""
    now_ms = house.clock.now_ms()
    await radius.count(asked(0, people=4), now_ms=now_ms)
    await radius.release(CONNECTION, discard=False)
    assert not await radius.keep(asked(0), now_ms=now_ms)
    assert await radius.holds([CONNECTION]) == {}


async def test_what_is_kept_is_bounded_by_the_sum_of_its_people_however_often_they_are_the_same(
    house: House, radius: BlastRadius, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request is kept with all its people: thousands about the same ten thousand would have filled Redis."""
    monkeypatch.setattr(blast_radius, "MAX_HELD_PEOPLE", 9)
    now_ms = house.clock.now_ms()
    again = [replace(asked(0, people=4), revocation_id=f"rev_{number}") for number in range(3)]
    await radius.count(again[0], now_ms=now_ms)
    assert [await radius.keep(each, now_ms=now_ms) for each in again] == [True, True, False]
    await radius.forget(again[0])
    await radius.forget(again[0])
    assert await radius.keep(again[2], now_ms=now_ms), "there is room again, for one"
    assert not await radius.keep(asked(1, people=2), now_ms=now_ms)
    assert await radius.keep(asked(2), now_ms=now_ms)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_wherever_a_process_dies_there_is_no_hold_that_is_not_counted_among_the_held(
    house: House, radius: BlastRadius, moment: Moment
) -> None:
    now_ms, at, begun = house.clock.now_ms(), 0, 0
    broken = True
    while broken:
        at += 1
        connection_id = f"{CONNECTION}_{at}"
        with redis_away(at=at, moment=moment) as away, suppress(Unavailable):
            await radius.count(asked(at, people=4, connection_id=connection_id), now_ms=now_ms)
        broken = away.happened
        begun += bool(await radius.holds([connection_id]))
        assert await radius.count_held() == begun
    assert at == 4, "three calls, each broken, and one that was not"


async def test_a_hold_that_begins_while_another_is_being_released_is_counted(house: House, radius: BlastRadius) -> None:
    now_ms = house.clock.now_ms()
    await radius.count(asked(0, people=4), now_ms=now_ms)
    with paused(at=2) as pause:
        # Between its steps, or after it where it has but one.
        await pause.around(
            radius.release(CONNECTION, discard=True), lambda: radius.count(asked(1, people=4), now_ms=now_ms)
        )
    assert await radius.count_held() == len(await radius.holds([CONNECTION])) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
async def test_no_hold_is_missing_from_the_audit_trail_wherever_redis_goes_away_as_it_begins(
    house: House, redis_url: str, radius: BlastRadius, at: int, moment: Moment
) -> None:
    """Told of after it had begun, it was not told of at all where that failed: whoever came next found it held."""
    sink = replace(house.resources.sink, blast_radius=radius)
    await house.resources.trail.pseudonyms.key()
    with redis_away(at=at, moment=moment) as broken, pytest.raises((Unavailable, Held)):
        await sink.accept(asked(0, people=4))
    assert broken.happened
    told = [each for each in trail(redis_url) if each["event"] == "connection.held"]
    assert told or not await radius.count_held(), "told before it is held"
    house.clock.advance(0.001)
    with pytest.raises(Held):
        await sink.accept(asked(0, people=4))
    assert await radius.count_held() == 1
    told = [each for each in trail(redis_url) if each["event"] == "connection.held"]
    assert {each["people_total"] for each in told} == {4}
