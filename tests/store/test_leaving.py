"""An application leaves a session, in the record: what goes with it, what stays, and what a revocation makes of it."""

import asyncio
import json

import pytest

from service.domain.revocation import SessionsBegunBy
from service.domain.session import Participant
from service.errors import InvalidRequest
from service.store import person_keys
from tests.support.contents import contents
from tests.support.house import DAY_S, House, user_id
from tests.support.strangers import answer, stranger

ADA = user_id("ada")


async def remembered(house: House) -> set[tuple[str, str]]:
    """Which part of an application in which session is remembered, as (client_id, session_id)."""
    fields = await house.resources.record.run("HKEYS", person_keys.participation(ADA))
    return {(client_id, session_id) for client_id, _, session_id in map(json.loads, fields)}


async def test_its_part_is_forgotten_with_all_that_was_counted_of_it(house: House) -> None:
    left, other = await house.sign_in("ada", "crm", "mail"), await house.sign_in("ada", "crm")

    await house.leave(left, "crm")

    assert await remembered(house) == {("mail", left), ("crm", other)}
    run = house.resources.record.run
    assert await run("ZCARD", person_keys.participation_until(ADA)) == 2
    assert await run("HGETALL", person_keys.participation_counts(ADA)) == {"crm": "1", "mail": "1"}


async def test_of_its_tokens_there_nothing_is_left_and_of_the_others_everything(house: House) -> None:
    left, other = await house.sign_in("ada", "crm", "mail"), await house.sign_in("ada", "crm")
    dead = [await house.issue(left, "crm", offline=each) for each in (False, True, True)]
    alive = [await house.issue(left, "mail"), await house.issue(other, "crm", offline=True)]

    assert await house.leave(left, "crm") == 3

    assert [await house.token_honoured(each) for each in dead + alive] == [False] * 3 + [True] * 2
    assert await house.resources.record.run("SCARD", person_keys.session_tokens(ADA, left)) == 1
    assert len(await house.resources.record.run("KEYS", "*token-owner*")) == 2


async def test_the_revocation_that_follows_counts_and_tells_only_what_is_left(house: House) -> None:
    for each in ("crm", "mail"):
        await house.application(each)
    session = await house.sign_in("ada", "crm", "mail")
    for each in ("crm", "mail"):
        await house.issue(session, each)
    await house.leave(session, "crm")
    rid = await house.revoke("ada")
    receipt = await house.work_off(rid)
    assert (receipt.sessions_ended, receipt.refresh_tokens_revoked) == (1, 1)
    assert [each.client_id for each in await house.deliveries(rid)] == ["mail"]


async def test_it_may_come_back_under_other_names(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    await house.leave(session, "crm")
    await house.join(session, "crm", sub="u-2", sid="s-2")
    assert (await house.session(session)).participants == (Participant(client_id="crm", sub="u-2", sid="s-2"),)
    assert await house.token_honoured(await house.issue(session, "crm"))


async def test_who_read_of_it_under_older_names_does_not_make_it_leave(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    (old,) = (await house.session(session)).participants
    await house.leave(session, "crm")
    await house.join(session, "crm", sub="u-2", sid="s-2")
    assert await house.resources.sessions.leave(await house.session(session), old) == 0
    assert len((await house.session(session)).participants) == 1
    assert await remembered(house) == {("crm", session)}


@pytest.mark.parametrize("one_session", [True, False])
async def test_once_a_revocation_is_in_force_it_is_owed_a_token_whether_it_leaves_or_not(
    house: House, redis_url: str, one_session: bool
) -> None:
    await house.application("crm")
    session = await house.sign_in("ada", "crm")
    await house.issue(session, "crm")
    rid = await house.revoke("ada", session_id=session if one_session else None)
    before = contents(redis_url)

    assert await house.leave(session, "crm") == 0

    assert contents(redis_url) == before
    receipt = await house.work_off(rid)
    assert (receipt.sessions_ended, receipt.refresh_tokens_revoked) == (1, 1)
    assert [each.client_id for each in await house.deliveries(rid)] == ["crm"]


async def logged_out(house: House) -> str:
    """The identity provider's logout token for all of Ada's, which leaves offline tokens alive; the revocation's id."""
    everything = SessionsBegunBy(begun_by_ms=house.clock.now_ms())
    return (await house.resources.sink.accept(house.request("ada", scope=everything))).revocation_id


@pytest.mark.parametrize("told_before", [True, False])
async def test_offline_tokens_that_outlived_a_logout_end_and_it_is_told_of_that_once(
    house: House, redis_url: str, told_before: bool
) -> None:
    async with stranger(answer(200)) as app:
        for each in ("crm", "mail"):
            await house.application(each, app.url())
        session = await house.sign_in("ada", "crm", "mail")
        own, others = [await house.issue(session, each, offline=True) for each in ("crm", "mail")]
        online = await house.issue(session, "crm")
        rid = await logged_out(house)
        if told_before:
            await house.work_off(rid)
        assert [await house.token_honoured(each) for each in (own, others, online)] == [True, True, False]

        assert await house.leave(session, "crm") == 1

        assert [await house.token_honoured(each) for each in (own, others)] == [False, True]
        left = contents(redis_url)
        assert await house.leave(session, "crm") == 0
        assert contents(redis_url) == left
        receipt = await house.work_off(rid)
        assert (receipt.sessions_ended, receipt.refresh_tokens_revoked) == (1, 1)
        assert {each.client_id for each in await house.deliveries(rid)} == {"crm", "mail"}
        # Only the other may still hold something.
        assert await remembered(house) == {("mail", session)}
        foretold = (await house.resources.dry_runs.look_ahead([ADA], now_ms=house.clock.now_ms()))[ADA]
        assert (foretold.sessions, foretold.refresh_tokens) == (0, 1)
        assert [each.client_id for each in foretold.targets] == ["mail"]


async def test_a_session_that_has_merely_expired_can_be_left(house: House) -> None:
    session = await house.sign_in("ada", "crm", lasts_s=60)
    token = await house.issue(session, "crm", offline=True, lasts_s=DAY_S)
    house.clock.advance(60)
    assert await house.token_honoured(token)
    assert await house.leave(session, "crm") == 1
    assert not await house.token_honoured(token)
    assert await remembered(house) == set()


async def test_however_it_races_a_new_token_none_is_left_alive(house: House) -> None:
    for _ in range(30):
        session = await house.sign_in("ada", "crm")

        async def issue(session: str = session) -> str | None:
            try:
                return await house.issue(session, "crm", offline=True)
            except InvalidRequest:  # it had left
                return None

        *tokens, _ = await asyncio.gather(issue(), issue(), house.leave(session, "crm"))
        assert not any([await house.token_honoured(each) for each in tokens if each])
        assert ("crm", session) not in await remembered(house)
