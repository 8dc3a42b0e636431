"""Kept logout tokens: each once, bounded per connection, for a day, and never out of the due index while they are there."""

import asyncio
from typing import cast

import pytest

from service.domain.identifiers import KEPT
from service.errors import Unavailable
from service.store import kept_tokens as module
from service.store import keyspace
from service.store.kept_tokens import FORGOTTEN_MS, KeptToken
from tests.support.breaks import Moment, redis_away
from tests.support.contents import contents, lifetimes_ms
from tests.support.house import CONNECTION, House

TEXT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


async def keep(house: House, text: str = TEXT, *, connection_id: str = CONNECTION, look_in_ms: int = 15_000) -> str:
    now_ms = house.clock.now_ms()
    kept_id = await house.resources.kept_tokens.keep(connection_id, text, now_ms=now_ms, look_at_ms=now_ms + look_in_ms)
    assert kept_id is not None
    return kept_id


async def found(house: House, kept_id: str) -> KeptToken:
    token = await house.resources.kept_tokens.get(kept_id)
    assert token is not None
    return token


async def test_a_token_is_kept_as_it_came_and_will_be_looked_at(house: House) -> None:
    now_ms = house.clock.now_ms()
    kept_id = await keep(house)
    assert await found(house, kept_id) == KeptToken(
        kept_id=kept_id, connection_id=CONNECTION, text=TEXT, received_at_ms=now_ms, looks=0
    )
    assert await house.due() == {kept_id: now_ms + 15_000}
    assert kept_id.startswith(KEPT)
    assert not any(part in kept_id for part in TEXT.split("."))
    assert TEXT not in repr(await found(house, kept_id))


async def test_the_same_token_again_is_kept_once_from_its_first_arrival(house: House, redis_url: str) -> None:
    kept_id = await keep(house)
    before = contents(redis_url)
    house.clock.advance(60)
    assert await keep(house) == kept_id
    assert contents(redis_url) == before
    assert await keep(house, f"{TEXT}x") != kept_id
    assert await keep(house, connection_id="con_other") != kept_id


async def test_the_same_token_many_times_at_once_is_kept_once(house: House) -> None:
    assert len(set(await asyncio.gather(*(keep(house) for _ in range(20))))) == 1
    assert len(await house.due()) == 1


async def test_a_connection_has_so_many_and_no_more_and_another_its_own(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 3)
    kept = house.resources.kept_tokens
    ids = [await keep(house, f"{TEXT}{n}") for n in range(3)]
    now_ms = house.clock.now_ms()
    assert await kept.keep(CONNECTION, "one too many", now_ms=now_ms, look_at_ms=now_ms) is None
    assert set(await house.due()) == set(ids)
    # One that is there already is no other one.
    assert await keep(house, f"{TEXT}0") == ids[0]
    await keep(house, connection_id="con_other")
    await kept.drop(ids[1], CONNECTION)
    await keep(house, "one too many")


async def test_however_many_come_at_once_a_connection_has_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 3)
    now_ms = house.clock.now_ms()
    kept = house.resources.kept_tokens
    ids = await asyncio.gather(
        *(kept.keep(CONNECTION, f"{TEXT}{n}", now_ms=now_ms, look_at_ms=now_ms) for n in range(20))
    )
    there = {each for each in ids if each is not None}
    assert len(there) == 3
    assert set(await house.due()) == there


async def test_a_place_whose_token_was_lost_in_a_crash_is_filled_when_it_comes_again(house: House) -> None:
    kept_id = await keep(house)
    await house.resources.record.run("DEL", keyspace.kept(kept_id), keyspace.DUE)
    assert await keep(house) == kept_id
    assert (await found(house, kept_id)).text == TEXT
    assert set(await house.due()) == {kept_id}


async def test_those_that_are_past_their_day_make_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 1)
    await keep(house)
    house.clock.advance(FORGOTTEN_MS / 1000 + 1)
    await keep(house, "another")


async def test_it_is_forgotten_after_a_day_whatever_is_done_about_it(house: House, redis_url: str) -> None:
    kept_id = await keep(house)
    for _ in range(2):
        lives = lifetimes_ms(redis_url)
        assert 0 < lives[keyspace.kept(kept_id)] <= FORGOTTEN_MS
        assert 0 < lives[keyspace.kept_of(CONNECTION)] <= FORGOTTEN_MS
        await house.resources.kept_tokens.look_again(await found(house, kept_id), at_ms=house.clock.now_ms() + 1000)


async def test_looking_again_counts_and_comes_when_it_is_said(house: House) -> None:
    kept_id = await keep(house)
    for looks in (1, 2, 3):
        at_ms = house.clock.now_ms() + looks * 1000
        await house.resources.kept_tokens.look_again(await found(house, kept_id), at_ms=at_ms)
        assert (await found(house, kept_id)).looks == looks
        assert await house.due() == {kept_id: at_ms}


async def test_looking_again_at_what_has_gone_meanwhile_does_not_bring_it_back(house: House) -> None:
    kept_id = await keep(house)
    token = await found(house, kept_id)
    await house.resources.kept_tokens.drop(kept_id, CONNECTION)
    await house.resources.kept_tokens.look_again(token, at_ms=house.clock.now_ms())
    assert await house.resources.kept_tokens.get(kept_id) is None


async def test_what_is_dropped_leaves_nothing(house: House, redis_url: str) -> None:
    kept_id = await keep(house)
    await house.resources.kept_tokens.drop(kept_id, CONNECTION)
    assert contents(redis_url) == {}
    assert await house.resources.kept_tokens.get(kept_id) is None


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2])
async def test_wherever_redis_goes_away_what_is_kept_is_due(house: House, at: int, moment: str) -> None:
    now_ms = house.clock.now_ms()
    with redis_away(at=at, moment=cast("Moment", moment)) as broken, pytest.raises(Unavailable):
        await house.resources.kept_tokens.keep(CONNECTION, TEXT, now_ms=now_ms, look_at_ms=now_ms)
    assert broken.happened
    keys = await house.resources.record.run("KEYS", "logoutd:kept:*")
    assert {key.rpartition(":")[2] for key in keys} <= set(await house.due())
    # And it can be sent again.
    assert await house.resources.kept_tokens.get(await keep(house)) is not None
