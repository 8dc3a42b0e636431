"""Refresh tokens in the record: by hash alone, honoured for as long as everything they hang on."""

import asyncio

import pytest

from service.domain.refresh_token import hash_token
from service.errors import Conflict, InvalidRequest, NotFound
from service.store import keyspace, person_keys
from service.store.sessions import RETENTION_MS
from tests.support.contents import contents
from tests.support.house import CONNECTION, DAY_S, HOUR_S, House, user_id

ADA = user_id("ada")
SECRET = "minted-elsewhere-0123456789"


async def cut(house: House, revocation_id: str = "rev_1") -> None:
    now_ms = house.clock.now_ms()
    await house.resources.people.cut_off([ADA], revocation_id, now_ms=now_ms, accepted_at_ms=now_ms)


async def end(house: House, session_id: str) -> None:
    now_ms = house.clock.now_ms()
    await house.resources.people.end_session(ADA, session_id, "rev_1", now_ms=now_ms, accepted_at_ms=now_ms)


async def test_a_token_stands_for_a_person_by_the_name_its_application_knows(house: House) -> None:
    session = await house.sign_in("ada", "crm", "mail")
    secret = await house.issue(session, "crm", token_id="rt_1", offline=True, lasts_s=60)

    found = await house.resources.refresh_tokens.find_active(secret, now_ms=house.clock.now_ms())

    assert found is not None
    assert (found.refresh_token_id, found.user_id, found.connection_id) == ("rt_1", ADA, CONNECTION)
    assert (found.session_id, found.client_id, found.sub) == (session, "crm", "crm|ada")
    assert (found.scope, found.offline) == (None, True)
    assert (found.issued_at_ms, found.expires_at_ms) == (house.clock.now_ms(), house.clock.now_ms() + 60_000)


async def test_a_token_nobody_issued_is_not_honoured(house: House) -> None:
    assert not await house.token_honoured("logoutd_rt_unheard_of")


async def test_only_its_hash_is_ever_written(house: House, redis_url: str) -> None:
    await house.issue(await house.sign_in("ada", "crm"), "crm", secret=SECRET)

    written = repr(contents(redis_url))

    assert hash_token(SECRET) in written
    assert SECRET not in written


async def test_it_is_honoured_until_the_last_millisecond_before_it_expires(house: House) -> None:
    secret = await house.issue(await house.sign_in("ada", "crm"), "crm", lasts_s=10)
    house.clock.advance(9.999)
    assert await house.token_honoured(secret)
    house.clock.advance(0.001)
    assert not await house.token_honoured(secret)


async def test_an_ordinary_token_ends_with_its_session_and_an_offline_one_goes_on(house: House) -> None:
    session = await house.sign_in("ada", "crm", lasts_s=10)
    ordinary = await house.issue(session, "crm", lasts_s=DAY_S)
    offline = await house.issue(session, "crm", lasts_s=DAY_S, offline=True)

    house.clock.advance(10)

    assert not await house.token_honoured(ordinary)
    assert await house.token_honoured(offline)
    house.clock.advance(DAY_S - 10)
    assert not await house.token_honoured(offline)


async def test_a_deleted_session_takes_its_offline_tokens_with_it(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    offline = await house.issue(session, "crm", offline=True)
    await end(house, session)
    assert not await house.token_honoured(offline)


async def test_so_does_one_that_is_deleted_long_after_it_expired(house: House) -> None:
    session = await house.sign_in("ada", "crm", lasts_s=10)
    offline = await house.issue(session, "crm", offline=True, lasts_s=DAY_S)
    house.clock.advance(HOUR_S)
    await end(house, session)
    assert not await house.token_honoured(offline)


async def test_a_revocation_ends_the_offline_tokens_of_expired_sessions_too(house: House) -> None:
    session = await house.sign_in("ada", "crm", lasts_s=10)
    offline = await house.issue(session, "crm", offline=True, lasts_s=DAY_S)
    house.clock.advance(HOUR_S)
    await cut(house)
    assert not await house.token_honoured(offline)


@pytest.mark.parametrize("offline", [False, True])
async def test_no_token_is_issued_in_a_session_that_was_revoked_ended_or_has_expired(
    house: House, offline: bool
) -> None:
    revoked, ended = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    await end(house, ended)
    await cut(house)
    expired = await house.sign_in("ada", "crm", lasts_s=10)
    house.clock.advance(10)
    for session in (revoked, ended, expired):
        with pytest.raises(NotFound):
            await house.issue(session, "crm", offline=offline, secret=SECRET)
    assert await house.resources.record.run("EXISTS", keyspace.token_owner(hash_token(SECRET))) == 0


async def test_a_token_is_only_for_applications_in_the_session(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    with pytest.raises(InvalidRequest):
        await house.issue(session, "mail", secret=SECRET)

    await house.join(session, "mail")

    assert await house.token_honoured(await house.issue(session, "mail", secret=SECRET))


async def test_the_same_request_again_after_a_lost_reply_is_one_token(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    for _ in range(2):
        await house.issue(session, "crm", secret=SECRET, token_id="rt_1")
    assert await house.resources.record.run("SCARD", person_keys.session_tokens(ADA, session)) == 1
    assert await house.token_honoured(SECRET)


@pytest.mark.parametrize("same_session", [True, False])
async def test_a_token_that_is_registered_cannot_be_registered_as_another(house: House, same_session: bool) -> None:
    session = await house.sign_in("ada", "crm")
    await house.issue(session, "crm", secret=SECRET, token_id="rt_1")
    other = session if same_session else await house.sign_in("bob", "crm")

    with pytest.raises(Conflict):
        await house.issue(other, "crm", secret=SECRET, token_id="rt_2")

    found = await house.resources.refresh_tokens.find_active(SECRET, now_ms=house.clock.now_ms())
    assert found is not None
    assert (found.refresh_token_id, found.user_id) == ("rt_1", ADA)


async def test_of_many_that_register_one_token_at_once_one_succeeds(house: House) -> None:
    sessions = [await house.sign_in(name, "crm") for name in ("ada", "bob", "cy")]

    outcomes = await asyncio.gather(
        *(house.issue(session, "crm", secret=SECRET) for session in sessions for _ in range(4)), return_exceptions=True
    )

    assert [each for each in outcomes if not isinstance(each, Conflict)] == [SECRET]
    assert await house.token_honoured(SECRET)


async def test_the_record_of_a_session_stays_for_the_longest_of_its_tokens(house: House) -> None:
    session = await house.sign_in("ada", "crm", lasts_s=10)
    await house.issue(session, "crm", lasts_s=30 * DAY_S, secret=SECRET)
    await house.issue(session, "crm", lasts_s=DAY_S)

    run = house.resources.record.run
    keep_until_ms = house.clock.now_ms() + 30 * DAY_S * 1000 + RETENTION_MS
    for key in (
        person_keys.session(ADA, session),
        person_keys.session_clients(ADA, session),
        person_keys.session_tokens(ADA, session),
        keyspace.session_owner(session),
        person_keys.token(ADA, hash_token(SECRET)),
        keyspace.token_owner(hash_token(SECRET)),
    ):
        assert abs(house.clock.now_ms() + await run("PTTL", key) - keep_until_ms) < 10_000
    assert await run("HGET", person_keys.session(ADA, session), "keep_until_ms") == str(keep_until_ms)
    assert await run("ZSCORE", person_keys.sessions(ADA), session) == keep_until_ms


async def test_a_pointer_that_has_gone_is_not_brought_back_by_extending_it(house: House) -> None:
    extended = await house.resources.record.script(
        "extend_owner", [keyspace.session_owner("ses_gone")], [house.clock.now_ms() + 60_000]
    )
    assert extended == 0
    assert await house.resources.record.run("EXISTS", keyspace.session_owner("ses_gone")) == 0


async def test_a_pointer_is_extended_and_never_shortened(house: House) -> None:
    key = keyspace.session_owner("ses_1")
    now_ms = house.clock.now_ms()
    await house.resources.record.run("SET", key, ADA, "PXAT", now_ms + 1_000_000)

    async def extend(until_ms: int) -> int:
        answer: int = await house.resources.record.script("extend_owner", [key], [until_ms])
        return answer

    assert await extend(now_ms + 500_000) == 0
    assert await extend(now_ms + 2_000_000) == 1
    assert await house.resources.record.run("PTTL", key) > 1_900_000
