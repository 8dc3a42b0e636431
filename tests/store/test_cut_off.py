"""The step that makes a revocation true: what it covers, what it never covers, and what it costs."""

import asyncio
import re

import pytest

from service.store import person_keys
from service.store.people import LATE_MARGIN_MS
from service.store.sessions import DAY_MS
from tests.support.contents import contents
from tests.support.house import DAY_S, House, user_id

ADA = user_id("ada")


async def cut(house: House, revocation_id: str = "rev_1", *names: str) -> None:
    now_ms = house.clock.now_ms()
    people = [user_id(name) for name in names or ("ada",)]
    await house.resources.people.cut_off(people, revocation_id, now_ms=now_ms, accepted_at_ms=now_ms)


async def cut_late(house: House, accepted_at_ms: int, revocation_id: str = "rev_late") -> None:
    await house.resources.people.cut_off(
        [ADA], revocation_id, now_ms=house.clock.now_ms(), accepted_at_ms=accepted_at_ms, late=True
    )


async def person(house: House) -> dict[str, str]:
    found: dict[str, str] = await house.resources.record.run("HGETALL", person_keys.person(ADA))
    return found


async def test_everything_a_person_holds_is_dead_at_once_and_nobody_elses(house: House) -> None:
    sessions = [await house.sign_in("ada", "crm", "mail") for _ in range(2)]
    tokens = [await house.issue(sessions[0], "crm"), await house.issue(sessions[1], "mail", offline=True)]
    others = await house.sign_in("bob", "crm")
    other_token = await house.issue(others, "crm")

    await cut(house)

    assert [await house.session_honoured(each) for each in sessions] == [False, False]
    assert [await house.token_honoured(each) for each in tokens] == [False, False]
    assert await house.session_honoured(others)
    assert await house.token_honoured(other_token)


async def test_the_next_sign_in_is_honoured_in_the_same_millisecond(house: House) -> None:
    before = await house.sign_in()
    await cut(house)
    after = await house.sign_in()

    assert not await house.session_honoured(before)
    assert await house.session_honoured(after)
    # Each of the three has taken a stamp.
    assert int((await person(house))["clock"]) == house.clock.now_ms() + 2


async def test_a_session_begun_after_it_is_alive_even_when_the_clock_has_gone_back(house: House) -> None:
    await house.sign_in()
    await cut(house)
    house.clock.advance(-600)

    after = await house.sign_in("ada", "crm")

    assert await house.session_honoured(after)
    assert await house.token_honoured(await house.issue(after, "crm"))


async def test_a_session_begun_before_it_is_dead_even_when_its_stamp_is_ahead_of_the_clock(house: House) -> None:
    await house.sign_in()
    house.clock.advance(-600)
    ahead = await house.sign_in("ada", "crm")
    token = await house.issue(ahead, "crm", offline=True)

    await cut(house)

    assert not await house.session_honoured(ahead)
    assert not await house.token_honoured(token)
    assert int((await person(house))["revoked_through"]) > house.clock.now_ms()
    assert int((await person(house))["revoked_at_ms"]) == house.clock.now_ms()


async def test_it_is_for_several_people_at_once(house: House) -> None:
    sessions = {name: await house.sign_in(name) for name in ("ada", "bob", "cy")}

    await cut(house, "rev_1", "ada", "bob")

    honoured = {name: await house.session_honoured(each) for name, each in sessions.items()}
    assert honoured == {"ada": False, "bob": False, "cy": True}


async def test_it_holds_for_somebody_who_has_never_signed_in_yet(house: House) -> None:
    await cut(house)

    assert await house.resources.people.get(ADA) is None
    assert await house.session_honoured(await house.sign_in())


async def test_the_same_revocation_again_ends_nothing_that_began_since(house: House) -> None:
    await house.sign_in()
    await cut(house)
    house.clock.advance(5)
    since = await house.sign_in()
    before = await person(house)

    await cut(house)

    assert await house.session_honoured(since)
    assert await person(house) == before


async def test_another_revocation_does(house: House) -> None:
    await cut(house, "rev_1")
    since = await house.sign_in()

    await cut(house, "rev_2")

    assert not await house.session_honoured(since)


async def test_the_moment_of_the_last_revocation_never_goes_back(house: House) -> None:
    await cut(house, "rev_1")
    first_ms = house.clock.now_ms()
    house.clock.advance(-600)

    await cut(house, "rev_2")

    assert int((await person(house))["revoked_at_ms"]) == first_ms


@pytest.mark.parametrize(("offset_ms", "honoured"), [(0, False), (LATE_MARGIN_MS, False), (LATE_MARGIN_MS + 1, True)])
async def test_completed_late_it_ends_what_had_begun_and_nothing_that_began_well_after(
    house: House, offset_ms: int, honoured: bool
) -> None:
    accepted_at_ms = house.clock.now_ms()
    house.clock.advance(offset_ms / 1000)
    session = await house.sign_in()
    house.clock.advance(60)

    await cut_late(house, accepted_at_ms)

    assert await house.session_honoured(session) == honoured
    assert int((await person(house))["revoked_at_ms"]) == accepted_at_ms + LATE_MARGIN_MS
    assert await house.session_honoured(await house.sign_in())


async def test_completed_late_it_takes_nothing_back_from_a_revocation_that_came_between(house: House) -> None:
    accepted_at_ms = house.clock.now_ms()
    house.clock.advance(60)
    ended = await house.sign_in()
    await cut(house)
    before = await person(house)

    await cut_late(house, accepted_at_ms)

    assert not await house.session_honoured(ended)
    assert await person(house) == before


async def test_completed_late_and_then_repeated_by_the_caller_it_is_still_one_revocation(house: House) -> None:
    accepted_at_ms = house.clock.now_ms()
    house.clock.advance(60)
    await cut_late(house, accepted_at_ms, "rev_1")
    since = await house.sign_in()

    await cut(house, "rev_1")

    assert await house.session_honoured(since)


async def test_completed_in_time_and_then_late_it_is_still_one_revocation(house: House) -> None:
    await cut(house, "rev_1")
    accepted_at_ms = house.clock.now_ms()
    at_once = await house.sign_in()  # within the margin of a late one

    await cut_late(house, accepted_at_ms, "rev_1")

    assert await house.session_honoured(at_once)


async def test_many_at_the_same_time_are_each_written_down(house: House) -> None:
    session = await house.sign_in()
    names = [f"rev_{number}" for number in range(20)]

    await asyncio.gather(*(cut(house, each) for each in names))

    assert not await house.session_honoured(session)
    assert set(await house.resources.record.run("ZRANGE", person_keys.cutoffs(ADA), 0, -1)) == set(names)
    assert set(await house.resources.record.run("ZRANGE", person_keys.revocations(ADA), 0, -1)) == set(names)


async def test_what_it_ended_stays_dead_when_its_receipt_is_forgotten(house: House) -> None:
    session = await house.sign_in("ada", lasts_s=200 * DAY_S)
    await cut(house, "rev_old")
    house.clock.advance(house.resources.settings.receipt_days * DAY_S + 1)

    await cut(house, "rev_new")

    assert await house.resources.record.run("ZRANGE", person_keys.cutoffs(ADA), 0, -1) == ["rev_new"]
    assert await house.resources.record.run("ZRANGE", person_keys.revocations(ADA), 0, -1) == ["rev_new"]
    assert not await house.session_honoured(session)


async def test_a_receipt_is_remembered_to_its_last_millisecond(house: House) -> None:
    await cut(house, "rev_old")
    house.clock.advance(house.resources.settings.receipt_days * DAY_MS / 1000)

    await cut(house, "rev_new")

    assert set(await house.resources.record.run("ZRANGE", person_keys.cutoffs(ADA), 0, -1)) == {"rev_old", "rev_new"}


async def test_stamps_are_whole_numbers_in_digits(house: House) -> None:
    await house.sign_in("ada", "crm")
    await cut(house)
    await house.sign_in("ada", "crm")

    fields = await person(house)

    assert {"clock", "revoked_through", "revoked_at_ms", "created_at_ms"} < set(fields)
    for name in ("clock", "revoked_through", "revoked_at_ms", "created_at_ms"):
        assert re.fullmatch(r"\d{13}", fields[name])


async def commands_of_a_cut(house: House, revocation_id: str) -> dict[str, int]:
    """How often Redis ran each command for one cut-off, those of its script included."""
    client = house.resources.record.client
    await client.config_resetstat()
    await cut(house, revocation_id)
    counted = await client.info("commandstats")
    own = {"cmdstat_config|resetstat", "cmdstat_config", "cmdstat_info"}
    return {name: each["calls"] for name, each in counted.items() if name not in own}


async def test_it_costs_the_same_for_one_session_and_for_three_hundred(house: House) -> None:
    await house.issue(await house.sign_in("ada", "crm"), "crm")
    await commands_of_a_cut(house, "rev_0")  # loads the script
    for_one = await commands_of_a_cut(house, "rev_1")
    for _ in range(300):
        await house.issue(await house.sign_in("ada", "crm"), "crm")

    for_many = await commands_of_a_cut(house, "rev_2")

    assert for_many == for_one
    assert for_many["cmdstat_evalsha"] == 1
    assert sum(for_many.values()) <= 12


async def test_it_writes_to_three_keys_whatever_the_person_holds(house: House, redis_url: str) -> None:
    session = await house.sign_in("ada", "crm", "mail")
    for _ in range(5):
        await house.issue(session, "crm")
    before = contents(redis_url)

    await cut(house)

    after = contents(redis_url)
    assert set(before) <= set(after)
    assert {name for name in after if after[name] != before.get(name)} == {
        person_keys.person(ADA),
        person_keys.cutoffs(ADA),
        person_keys.revocations(ADA),
    }
