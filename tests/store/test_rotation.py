"""Rotation in the record: one token spent, one in its place, in one step; what is spent twice ends its family."""

import asyncio
from dataclasses import replace

import pytest

from service.domain.identifiers import new_refresh_token_id
from service.domain.refresh_token import RefreshToken, hash_token
from service.errors import Conflict, InvalidGrant
from service.store import keyspace, person_keys
from service.store.refresh_tokens import Reused
from service.store.sessions import RETENTION_MS
from tests.support.contents import contents
from tests.support.house import DAY_S, HOUR_S, House, user_id

ADA = user_id("ada")
SUCCESSOR = "a-successor-minted-elsewhere"


async def issued(
    house: House,
    *,
    offline: bool = False,
    lasts_s: float = HOUR_S,
    idle_s: float | None = None,
    token_id: str | None = None,
) -> str:
    """A refresh token of Ada's at the crm."""
    session = await house.sign_in("ada", "crm", "mail")
    return await house.issue(session, "crm", offline=offline, lasts_s=lasts_s, idle_s=idle_s, token_id=token_id)


async def facts(house: House, secret: str) -> RefreshToken:
    found = await house.resources.refresh_tokens.find(secret)
    assert found is not None
    return found


async def refused(house: House, secret: str, client_id: str = "crm", *, grace_s: float = 0) -> None:
    """Not rotated, and no reuse either."""
    with pytest.raises(InvalidGrant, match=r"^the refresh token is not valid$"):
        await house.rotate(secret, client_id, grace_s=grace_s)


async def reused(house: House, secret: str, *, grace_s: float = 0) -> str:
    """Not rotated, and a reuse, which is a revocation then; its id."""
    assert isinstance(await house.rotate(secret, grace_s=grace_s), Reused)
    return await house.revoke_family(secret, initiator="refresh_token_reuse")


async def cut(house: House) -> None:
    now_ms = house.clock.now_ms()
    await house.resources.people.cut_off([ADA], "rev_1", now_ms=now_ms, accepted_at_ms=now_ms)


# One for one


async def test_the_successor_stands_for_what_the_token_stood_for(house: House) -> None:
    token = await issued(house, offline=True, lasts_s=DAY_S, idle_s=HOUR_S)
    before = await facts(house, token)
    house.clock.advance(60)

    rotated = await house.rotate(token, successor=SUCCESSOR)

    assert isinstance(rotated, RefreshToken)
    assert rotated == await facts(house, SUCCESSOR)
    assert rotated.refresh_token_id != before.refresh_token_id
    assert replace(
        rotated,
        refresh_token_id=before.refresh_token_id,
        issued_at_ms=before.issued_at_ms,
        expires_at_ms=before.expires_at_ms,
    ) == (before)
    assert rotated.issued_at_ms == house.clock.now_ms()
    assert await house.token_honoured(SUCCESSOR)
    assert not await house.token_honoured(token)


async def test_a_rotated_token_is_not_honoured_in_the_grace_window_either(house: House) -> None:
    token = await issued(house)
    await house.rotated(token, grace_s=60)
    assert not await house.token_honoured(token)


async def test_a_token_nobody_issued_is_refused_and_leaves_nothing(house: House, redis_url: str) -> None:
    await issued(house)
    before = contents(redis_url)
    await refused(house, "never-heard-of-this-one")
    assert contents(redis_url) == before


async def test_another_clients_token_is_refused_and_goes_on(house: House, redis_url: str) -> None:
    token = await issued(house)
    before = contents(redis_url)
    await refused(house, token, "mail")
    assert contents(redis_url) == before
    assert await house.token_honoured(await house.rotated(token))


async def test_a_rotated_token_in_another_clients_hands_ends_nothing(house: House) -> None:
    token = await issued(house)
    successor = await house.rotated(token)
    await refused(house, token, "mail")
    assert await house.token_honoured(successor)


async def test_what_is_dead_is_refused_and_ends_nothing(house: House, redis_url: str) -> None:
    tokens = [await issued(house, lasts_s=each) for each in (HOUR_S, 10, HOUR_S)]
    spent = [*tokens]
    tokens += [await house.rotated(each) for each in spent]
    now_ms = house.clock.now_ms()
    session = (await facts(house, spent[2])).session_id
    await house.resources.people.end_session(ADA, session, "rev_2", now_ms=now_ms, accepted_at_ms=now_ms)
    house.clock.advance(10)
    await refused(house, tokens[1])
    await refused(house, tokens[4])
    await cut(house)
    before = contents(redis_url)
    for each in tokens:
        await refused(house, each, grace_s=60)
    assert contents(redis_url) == before


async def test_a_successor_that_is_registered_already_is_refused_and_the_token_goes_on(house: House) -> None:
    token, other = await issued(house), await issued(house)
    bobs = await house.issue(await house.sign_in("bob", "crm"), "crm")
    for taken in (other, bobs, token):
        with pytest.raises(Conflict):
            await house.rotate(token, successor=taken)
    assert [await house.token_honoured(each) for each in (token, other, bobs)] == [True, True, True]
    await house.rotated(token)


async def test_the_names_of_a_token_lead_to_it_and_refused_ones_nowhere(house: House) -> None:
    token, other = await issued(house, token_id="rt_1"), await issued(house, token_id="rt_2")
    refresh_tokens, now_ms = house.resources.refresh_tokens, house.clock.now_ms()

    async def rotate(successor: str, name: str) -> object:
        return await refresh_tokens.rotate(token, "crm", successor, refresh_token_id=name, grace_ms=0, now_ms=now_ms)

    with pytest.raises(Conflict):
        await rotate(other, "rt_3")
    await rotate(SUCCESSOR, "rt_4")
    assert isinstance(await rotate("a-second-successor", "rt_5"), Reused)
    await reused(house, token)

    found = {each: await refresh_tokens.get(each) for each in ("rt_1", "rt_2", "rt_3", "rt_4", "rt_5")}
    # The family's end has deleted what lived of it; what was spent is remembered.
    assert {name for name, each in found.items() if each is not None} == {"rt_1", "rt_2"}
    for name in ("rt_3", "rt_5"):
        assert await house.resources.record.run("EXISTS", keyspace.token_hash(name)) == 0
    assert await house.resources.record.run("EXISTS", keyspace.token_owner(hash_token("a-second-successor"))) == 0


async def test_of_many_that_rotate_a_token_at_once_one_succeeds_and_its_family_ends(house: House) -> None:
    token = await issued(house)
    successors = [f"{SUCCESSOR}-{number}" for number in range(8)]

    outcomes = await asyncio.gather(*(house.rotate(token, successor=each) for each in successors))

    assert sum(isinstance(each, RefreshToken) for each in outcomes) == 1
    assert sum(isinstance(each, Reused) for each in outcomes) == 7
    await house.revoke_family(token, initiator="refresh_token_reuse")
    assert [await house.token_honoured(each) for each in successors] == [False] * 8


# Again


async def test_the_same_request_again_has_the_same_answer(house: House) -> None:
    token = await issued(house)
    first = await house.rotate(token, successor=SUCCESSOR)
    house.clock.advance(60)
    names = await house.resources.record.run("KEYS", keyspace.token_hash("*"))

    assert await house.rotate(token, successor=SUCCESSOR) == first

    assert await house.token_honoured(SUCCESSOR)
    assert sorted(await house.resources.record.run("KEYS", keyspace.token_hash("*"))) == sorted(names)


async def test_the_same_request_again_after_its_successor_was_spent_is_a_reuse(house: House) -> None:
    token = await issued(house)
    await house.rotate(token, successor=SUCCESSOR)
    last = await house.rotated(SUCCESSOR)
    assert isinstance(await house.rotate(token, successor=SUCCESSOR), Reused)
    await reused(house, token)
    assert not await house.token_honoured(last)


async def test_a_token_spent_twice_ends_everything_of_its_family_and_nothing_else(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    first, other = await house.issue(session, "crm"), await house.issue(session, "crm")
    second = await house.rotated(first)
    third = await house.rotated(second)

    await reused(house, first)

    assert [await house.token_honoured(each) for each in (first, second, third)] == [False] * 3
    await refused(house, third)
    assert await house.token_honoured(other)
    assert await house.session_honoured(session)


@pytest.mark.parametrize("by", ["the oldest", "the one before"])
async def test_it_does_not_matter_which_of_the_spent_ones_comes_again(house: House, by: str) -> None:
    first = await issued(house)
    second = await house.rotated(first)
    third = await house.rotated(second)
    await reused(house, first if by == "the oldest" else second)
    assert not await house.token_honoured(third)


async def test_a_spent_token_is_recognised_for_as_long_as_its_family_can_live(house: House) -> None:
    """Whoever stole it may have spent it first, and gone on; the one it was stolen from comes late."""
    first = await issued(house, offline=True, lasts_s=30 * DAY_S, idle_s=HOUR_S)
    last = await house.rotated(first)
    for _ in range(48):
        house.clock.advance(HOUR_S - 1)
        last = await house.rotated(last)

    await reused(house, first)

    assert not await house.token_honoured(last)


async def test_a_reuse_changes_nothing_until_it_is_recorded_and_is_told_until_then(
    house: House, redis_url: str
) -> None:
    """Else a crash would leave a family that has ended and nobody can see why."""
    first = await issued(house)
    second = await house.rotated(first)
    before = contents(redis_url)
    for _ in range(2):
        assert isinstance(await house.rotate(first), Reused)
        assert contents(redis_url) == before
    assert await house.token_honoured(second)

    await reused(house, first)

    await refused(house, first)
    await refused(house, second)


@pytest.mark.parametrize("ended_by", ["rev_1", ""])
async def test_what_comes_again_after_its_family_was_ended_otherwise_is_no_reuse(house: House, ended_by: str) -> None:
    first = await issued(house)
    second = await house.rotated(first)
    token, now_ms = await facts(house, first), house.clock.now_ms()
    await house.resources.people.families.end(
        ADA, token.session_id, token.family_id, ended_by, now_ms=now_ms, accepted_at_ms=now_ms
    )
    for each in (first, second):
        await refused(house, each, grace_s=60)


# Grace


async def test_a_lost_answer_is_made_good_within_the_window(house: House) -> None:
    token = await issued(house)
    lost = await house.rotated(token)
    house.clock.advance(9.999)

    again = await house.rotated(token, grace_s=10)

    assert again != lost
    assert [await house.token_honoured(each) for each in (lost, again)] == [True, True]


@pytest.mark.parametrize("late_s", [10, -10])
async def test_the_window_is_as_long_as_it_says_whatever_clock_is_asked(house: House, late_s: float) -> None:
    token = await issued(house)
    successor = await house.rotated(token)
    house.clock.advance(late_s)
    await reused(house, token, grace_s=10)
    house.clock.advance(-late_s)
    assert not await house.token_honoured(successor)


async def test_a_clock_that_is_a_little_behind_is_in_the_window(house: House) -> None:
    token = await issued(house)
    await house.rotated(token)
    house.clock.advance(-0.5)
    await house.rotated(token, grace_s=10)


async def test_the_window_closes_when_a_successor_is_spent(house: House) -> None:
    """Then the first answer has arrived, and nobody honest asks again."""
    token = await issued(house)
    one = await house.rotated(token)
    other = await house.rotated(token, grace_s=60)
    last = await house.rotated(other)
    await reused(house, token, grace_s=60)
    assert [await house.token_honoured(each) for each in (one, other, last)] == [False] * 3


async def test_two_successors_of_one_token_that_are_both_spent_are_a_reuse(house: House, redis_url: str) -> None:
    token = await issued(house)
    one = await house.rotated(token)
    other = await house.rotated(token, grace_s=60)
    last = await house.rotated(one)
    family_id = (await facts(house, token)).family_id

    before = contents(redis_url)
    assert isinstance(await house.rotate(other), Reused)
    assert contents(redis_url) == before

    rid = await reused(house, other)

    assert not any([await house.token_honoured(each) for each in (token, one, other, last)])
    await refused(house, other)
    assert await house.resources.people.families.tokens_ended(ADA, family_id, rid) == 2


async def test_a_token_has_a_handful_of_successors_and_no_more(house: House) -> None:
    token = await issued(house)
    successors = [await house.rotated(token, grace_s=60) for _ in range(5)]
    assert all([await house.token_honoured(each) for each in successors])
    await reused(house, token, grace_s=60)
    assert not any([await house.token_honoured(each) for each in successors])


# Time


async def test_each_token_of_a_family_is_honoured_for_as_long_as_it_may_be_idle(house: House) -> None:
    token = await issued(house, lasts_s=DAY_S, idle_s=60, offline=True)
    for _ in range(3):
        house.clock.advance(59.999)
        assert await house.token_honoured(token)
        token = await house.rotated(token)
    house.clock.advance(60)
    assert not await house.token_honoured(token)
    await refused(house, token)


async def test_no_token_outlives_its_family_however_often_it_is_rotated(house: House) -> None:
    token = await issued(house, lasts_s=150, idle_s=60, offline=True)
    ends_at_ms = house.clock.now_ms() + 150_000
    for _ in range(4):
        house.clock.advance(37)
        token = await house.rotated(token)
        assert (await facts(house, token)).expires_at_ms <= ends_at_ms
    assert (await facts(house, token)).expires_at_ms == ends_at_ms
    house.clock.advance(2)
    assert not await house.token_honoured(token)
    await refused(house, token)


async def test_an_ordinary_token_ends_with_its_session_after_rotation_too(house: House) -> None:
    session = await house.sign_in("ada", "crm", lasts_s=60)
    tokens = [await house.issue(session, "crm", lasts_s=DAY_S, offline=each) for each in (False, True)]
    ordinary, offline = [await house.rotated(each) for each in tokens]
    house.clock.advance(60)
    await refused(house, ordinary)
    await house.rotated(offline)


async def test_every_key_of_a_family_lives_as_long_as_the_family_and_a_day(house: House) -> None:
    token = await issued(house, lasts_s=30 * DAY_S, idle_s=60, offline=True)
    keep_until_ms = (await facts(house, token)).family_expires_at_ms + RETENTION_MS
    house.clock.advance(30)
    await house.rotate(token, successor=SUCCESSOR)
    found = await facts(house, SUCCESSOR)
    for key in (
        person_keys.token(ADA, hash_token(token)),
        person_keys.token(ADA, hash_token(SUCCESSOR)),
        keyspace.token_owner(hash_token(SUCCESSOR)),
        keyspace.token_hash(found.refresh_token_id),
        person_keys.token_family(ADA, found.family_id),
        person_keys.family_tokens(ADA, found.family_id),
        person_keys.session_tokens(ADA, found.session_id),
    ):
        left_ms = await house.resources.record.run("PTTL", key)
        assert abs(left_ms + house.clock.now_ms() - 30_000 - keep_until_ms) < 10_000, key


async def test_a_session_lists_what_may_be_honoured_however_often_was_rotated(house: House) -> None:
    token = await issued(house)
    session = (await facts(house, token)).session_id
    for _ in range(20):
        token = await house.rotated(token)
    listed = await house.resources.record.run("SMEMBERS", person_keys.session_tokens(ADA, session))
    assert set(listed) == {hash_token(token)}


async def test_a_name_that_was_never_given_leads_nowhere(house: House) -> None:
    assert await house.resources.refresh_tokens.get(new_refresh_token_id()) is None
    assert await house.resources.refresh_tokens.find("never-heard-of-this-one") is None
