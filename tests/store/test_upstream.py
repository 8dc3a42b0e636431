"""The identity provider's own sessions: whose they are, and that they have been logged out."""

import asyncio
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

from service.errors import Unavailable
from service.store import keyspace
from service.store.people import SIGN_IN_MS
from service.store.record import Command, Record, Script
from tests.support.contents import contents, lifetimes_ms
from tests.support.house import CONNECTION, UPSTREAM, House

HOUR_MS = 3_600_000


async def register(
    house: House,
    sub: str = "ada",
    *,
    sid: str | None = None,
    user: str | None = None,
    connection_id: str = CONNECTION,
    iss: str = UPSTREAM,
    lasts_ms: int = HOUR_MS,
) -> int | None:
    """Register a sign-in's names; the latest logout that touches it."""
    return await house.resources.upstream.register(
        connection_id,
        iss=iss,
        sub=sub,
        sid=sid,
        user_id=user or f"usr_{sub}",
        keep_until_ms=house.clock.now_ms() + lasts_ms,
    )


async def mark(
    house: House,
    at_ms: int,
    *,
    sub: str | None = None,
    sid: str | None = None,
    connection_id: str = CONNECTION,
    iss: str = UPSTREAM,
) -> None:
    await house.resources.upstream.mark_logged_out(connection_id, iss=iss, sub=sub, sid=sid, at_ms=at_ms)


async def test_a_sid_names_everybody_who_has_had_a_session_of_it_through_this_connection(house: House) -> None:
    upstream = house.resources.upstream
    await register(house, "ada", sid="1")
    await register(house, "ben", sid="1")
    await register(house, "eve", sid="2")
    await register(house, "ada", sid="1", connection_id="con_other", user="usr_other")
    assert await upstream.people(CONNECTION, "1") == {"usr_ada", "usr_ben"}
    assert await upstream.people("con_other", "1") == {"usr_other"}
    assert await upstream.people(CONNECTION, "3") == frozenset()


async def test_a_sign_in_without_sid_names_nothing(house: House, redis_url: str) -> None:
    assert await register(house) is None
    assert contents(redis_url) == {}


async def test_a_sid_names_people_as_long_as_the_longest_of_its_sessions(house: House, redis_url: str) -> None:
    await register(house, sid="1", lasts_ms=2 * HOUR_MS)
    await register(house, "ben", sid="1", lasts_ms=HOUR_MS)
    (left_ms,) = lifetimes_ms(redis_url).values()
    assert HOUR_MS < left_ms <= 2 * HOUR_MS + 1000


async def test_no_name_stays_for_ever_where_a_process_dies_before_it_has_given_it_a_time(
    house: House, redis_url: str
) -> None:
    """It dies where there is a step between: Redis has forgotten our scripts, and asks for the text of this one."""
    await house.resources.record.client.script_flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Record, "_by_source", dies)
        with pytest.raises(Unavailable):
            await register(house, sid="1")
    assert lifetimes_ms(redis_url) == {}


def dies(*_given: object) -> NoReturn:
    raise Unavailable("the process is gone")


async def test_a_sid_names_somebody_before_its_logouts_are_asked_for_also_by_a_redis_that_forgot_our_scripts(
    house: House,
) -> None:
    """Else the two might miss each other: `test_a_sign_in_and_a_logout_at_once_never_both_miss_the_other`."""
    await house.resources.record.client.script_flush()
    pipeline, seen = house.resources.record.pipeline, []

    async def asked(calls: Sequence[Command | Script]) -> list[Any]:
        seen.append(await house.resources.upstream.people(CONNECTION, "1"))
        return await pipeline(calls)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.resources.record, "pipeline", asked)
        await register(house, sid="1")
    assert seen == [{"usr_ada"}]


@pytest.mark.parametrize(
    ("marked", "touched"),
    [
        # A person: whatever upstream session they come from.
        ({"sub": "ada"}, {("ada", None), ("ada", "1"), ("ada", "2")}),
        # A session: whoever has it.
        ({"sid": "1"}, {("ada", "1"), ("ben", "1")}),
        # Both: the session, and what was reported without one, for it may be that.
        ({"sub": "ada", "sid": "1"}, {("ada", None), ("ada", "1"), ("ben", "1")}),
    ],
)
async def test_a_logout_is_told_to_the_sign_ins_it_touches_and_to_no_others(
    house: House, marked: dict[str, str], touched: set[tuple[str, str | None]]
) -> None:
    await mark(house, 7000, **marked)
    told = {
        (sub, sid)
        for sub in ("ada", "ben")
        for sid in (None, "1", "2")
        if await register(house, sub, sid=sid) is not None
    }
    assert told == touched


async def test_it_is_of_one_issuer_through_one_connection(house: House) -> None:
    await mark(house, 7000, sub="ada")
    await mark(house, 7000, sid="1")
    assert await register(house, sid="1", connection_id="con_other") is None
    assert await register(house, sid="1", iss=f"{UPSTREAM}/") is None
    assert await register(house, sid="1") == 7000


async def test_the_latest_logout_is_told_whatever_the_order_they_came_in(house: House) -> None:
    for at_ms in (5000, 9000, 7000):
        await mark(house, at_ms, sub="ada")
    await mark(house, 8000, sid="1")
    assert await register(house) == 9000
    assert await register(house, sid="1") == 9000
    await mark(house, 9001, sid="1")
    assert await register(house, sid="1") == 9001
    assert await register(house) == 9000


async def test_it_is_remembered_for_a_day(house: House, redis_url: str) -> None:
    await mark(house, 7000, sub="ada", sid="1")
    lives = lifetimes_ms(redis_url)
    assert len(lives) == 2
    assert all(SIGN_IN_MS - 60_000 < each <= SIGN_IN_MS for each in lives.values())


async def test_names_are_kept_as_hashes_and_cannot_be_confused(house: House, redis_url: str) -> None:
    await register(house, "ada", sid="upstream-sid-of-ada")
    await mark(house, 7000, sub="ada@example.com", sid="upstream-sid-of-ada")
    assert not any("upstream-sid-of-ada" in key or "@" in key for key in contents(redis_url))
    # A person by the name of a session is no session.
    await mark(house, 9000, sub="1")
    assert await register(house, "ben", sid="1") is None
    assert keyspace.upstream_logout(CONNECTION, "x") not in contents(redis_url)


async def test_a_sign_in_and_a_logout_at_once_never_both_miss_the_other(house: House) -> None:
    """What makes the two safe without a lock: names are written before marks are read, and marks before names."""
    upstream = house.resources.upstream
    for n in range(200):
        sid, user = f"sid-{n}", f"usr_{n}"

        async def log_out(sid: str = sid) -> frozenset[str]:
            await mark(house, 7000, sid=sid)
            return await upstream.people(CONNECTION, sid)

        told, people = await asyncio.gather(register(house, f"sub-{n}", sid=sid, user=user), log_out())
        assert told == 7000 or people == {user}
