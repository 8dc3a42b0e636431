"""Families of refresh tokens in the record: ended in one step, counted once, without any session."""

from service.domain.refresh_token import RefreshToken, hash_token
from service.store import person_keys
from service.store.families import BY_ITS_CLIENT
from tests.support.contents import contents
from tests.support.house import DAY_S, House, user_id

ADA = user_id("ada")


async def facts(house: House, secret: str) -> RefreshToken:
    found = await house.resources.refresh_tokens.find(secret)
    assert found is not None
    return found


async def end(house: House, token: RefreshToken, revocation_id: str = "rev_1") -> None:
    now_ms = house.clock.now_ms()
    await house.resources.people.families.end(
        ADA,
        token.session_id,
        token.family_id,
        revocation_id,
        now_ms=now_ms,
        accepted_at_ms=now_ms,
    )


async def counted(house: House, token: RefreshToken, revocation_id: str = "rev_1") -> int:
    return await house.resources.people.families.tokens_ended(ADA, token.family_id, revocation_id)


async def test_a_family_ends_with_all_that_lives_of_it_and_nothing_else_does(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    first, other = await house.issue(session, "crm"), await house.issue(session, "crm")
    token = await facts(house, first)
    living = [await house.rotated(first, grace_s=60) for _ in range(3)]

    await end(house, token)

    assert not any([await house.token_honoured(each) for each in (first, *living)])
    assert await house.token_honoured(other)
    assert await house.session_honoured(session)
    assert await counted(house, token) == 3
    listed = await house.resources.record.run("SMEMBERS", person_keys.session_tokens(ADA, session))
    assert set(listed) == {hash_token(other)}


async def test_what_has_expired_by_then_is_ended_and_not_counted_and_no_clock_brings_it_back(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    idle = await house.issue(session, "crm", idle_s=60, lasts_s=DAY_S)
    token = await facts(house, idle)
    house.clock.advance(60)
    await end(house, token)
    house.clock.advance(-60)
    assert not await house.token_honoured(idle)
    assert await counted(house, token) == 0


async def test_it_ends_once_and_is_counted_by_whoever_ended_it(house: House) -> None:
    token = await facts(house, await house.issue(await house.sign_in("ada", "crm"), "crm"))
    await end(house, token)
    house.clock.advance(1)
    await end(house, token, "rev_2")
    await end(house, token)
    assert [await counted(house, token, each) for each in ("rev_1", "rev_2")] == [1, 0]
    revocations = await house.resources.record.run("ZRANGE", person_keys.revocations(ADA), 0, -1)
    assert set(revocations) == {"rev_1", "rev_2"}


async def test_what_a_revocation_had_cut_off_is_that_ones_to_count(house: House) -> None:
    token = await facts(house, await house.issue(await house.sign_in("ada", "crm"), "crm"))
    rid = await house.revoke("ada")
    await end(house, token)
    assert await counted(house, token) == 0
    assert (await house.work_off(rid)).refresh_tokens_revoked == 1


async def test_and_what_the_family_took_with_it_no_revocation_counts_again(house: House) -> None:
    token = await facts(house, await house.issue(await house.sign_in("ada", "crm"), "crm"))
    await end(house, token)
    assert (await house.work_off(await house.revoke("ada"))).refresh_tokens_revoked == 0
    assert await counted(house, token) == 1


async def test_an_application_that_gives_its_token_back_leaves_no_revocation(house: House) -> None:
    secret = await house.issue(await house.sign_in("ada", "crm"), "crm")
    await end(house, await facts(house, secret), BY_ITS_CLIENT)
    assert not await house.token_honoured(secret)
    assert await house.resources.record.run("EXISTS", person_keys.revocations(ADA)) == 0


async def test_a_family_that_is_forgotten_is_not_brought_back_by_ending_it(house: House, redis_url: str) -> None:
    token = await facts(house, await house.issue(await house.sign_in("ada", "crm"), "crm"))
    await house.work_off(await house.revoke("ada"))
    before = contents(redis_url)
    await end(house, token, BY_ITS_CLIENT)
    assert contents(redis_url) == before
    assert await counted(house, token) == 0
