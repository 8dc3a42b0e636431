"""Working off what an identity provider's logout ended: who is told, by which names, what is counted, and what lives on."""

import asyncio
from typing import cast

import pytest

from service.accept import cut_off
from service.domain.revocation import SessionsBegunBy
from service.errors import Unavailable
from service.store import person_keys
from service.store.people import LATE_MARGIN_MS
from tests.support.breaks import Moment, redis_away
from tests.support.contents import contents
from tests.support.house import House, user_id
from tests.support.strangers import Stranger, answer, stranger, wait_then

ADA = user_id("ada")

Told = set[tuple[str, str, str | None]]
"""client_id, `sub` and `sid` of what was told, or is owed."""


def logout(
    house: House, sid: str | None = None, *, ago_s: float = 0, or_without_sid: bool = False, offline_too: bool = False
) -> SessionsBegunBy:
    """What a logout token asks for that was sent so long ago."""
    return SessionsBegunBy(
        begun_by_ms=house.clock.now_ms() - round(ago_s * 1000),
        upstream_sid=sid,
        or_without_sid=or_without_sid,
        offline_too=offline_too,
    )


async def told_by(house: House, rid: str) -> Told:
    """Work a revocation off; whom that told."""
    receipt = await house.work_off(rid)
    assert receipt.state == "completed"
    rows = await house.deliveries(rid)
    assert {each.state for each in rows} <= {"delivered"}
    return {(each.client_id, each.sub, each.sid) for each in rows}


async def counted(house: House, rid: str) -> tuple[int, int]:
    """Sessions and refresh tokens the receipt says were ended."""
    receipt = await house.receipt(rid)
    return receipt.sessions_ended, receipt.refresh_tokens_revoked


async def applications(house: House, app: Stranger, *client_ids: str, session_required: bool = False) -> None:
    for each in client_ids:
        await house.application(each, app.url(), session_required=session_required)


# Who is told, and by which names.


async def test_of_an_upstream_session_each_application_in_it_is_told_by_sub_and_sid(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm", "mail", "wiki")
        one = await house.sign_in("ada", "crm", "mail", upstream_sid="up-1")
        other = await house.sign_in("ada", "crm", "wiki", upstream_sid="up-2")
        told = await told_by(house, await house.revoke("ada", scope=logout(house, "up-1")))
    assert told == {("crm", "crm|ada", f"crm|{one}"), ("mail", "mail|ada", f"mail|{one}")}
    assert await house.session_honoured(other)


async def test_of_a_person_each_application_is_told_once_and_without_sid(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm", "mail")
        await house.sign_in("ada", "crm", "mail", upstream_sid="up-1")
        await house.sign_in("ada", "crm")
        told = await told_by(house, await house.revoke("ada", scope=logout(house)))
    assert told == {("crm", "crm|ada", None), ("mail", "mail|ada", None)}


async def test_who_requires_a_sid_is_told_of_each_session(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm", session_required=True)
        sessions = [await house.sign_in("ada", "crm") for _ in range(3)]
        told = await told_by(house, await house.revoke("ada", scope=logout(house)))
    assert told == {("crm", "crm|ada", f"crm|{each}") for each in sessions}


async def test_who_holds_a_newer_session_is_told_of_each_that_ended_and_keeps_the_newer(house: House) -> None:
    """A token without `sid` would end that one too."""
    async with stranger(answer()) as app:
        await applications(house, app, "crm", "mail")
        ended = [await house.sign_in("ada", "crm", "mail") for _ in range(2)]
        house.clock.advance(10)
        newer = await house.sign_in("ada", "crm")
        rid = await house.revoke("ada", scope=logout(house, ago_s=5))
        told = await told_by(house, rid)
        assert told == {("mail", "mail|ada", None)} | {("crm", "crm|ada", f"crm|{each}") for each in ended}
        assert await house.session_honoured(newer)
        # Of which it is told when that ends in its turn.
        everything = await house.revoke("ada")
        assert await told_by(house, everything) == {("crm", "crm|ada", None)}
    assert await counted(house, everything) == (1, 0)


async def test_of_a_sid_that_nobody_reported_those_are_told_whose_session_has_none(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm")
        ended = await house.sign_in("ada", "crm")
        await house.sign_in("ada", "crm", upstream_sid="up-1")
        told = await told_by(house, await house.revoke("ada", scope=logout(house, "up-9", or_without_sid=True)))
    assert told == {("crm", "crm|ada", f"crm|{ended}")}


async def test_an_application_that_joined_later_is_in_the_upstream_session_too(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "wiki")
        session = await house.sign_in("ada", upstream_sid="up-1")
        await house.join(session, "wiki", sub="wiki|ada", sid="w")
        told = await told_by(house, await house.revoke("ada", scope=logout(house, "up-1")))
    assert told == {("wiki", "wiki|ada", "w")}


async def test_an_application_may_still_hold_a_session_that_has_expired_and_is_told(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm")
        session = await house.sign_in("ada", "crm", upstream_sid="up-1", lasts_s=60)
        house.clock.advance(3600)
        rid = await house.revoke("ada", scope=logout(house, "up-1"))
        assert await told_by(house, rid) == {("crm", "crm|ada", f"crm|{session}")}
    assert await counted(house, rid) == (0, 0)


async def test_who_was_told_is_not_told_again(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm", "mail")
        await house.sign_in("ada", "crm", upstream_sid="up-1")
        await house.sign_in("ada", "mail", upstream_sid="up-2")
        await told_by(house, await house.revoke("ada", scope=logout(house, "up-1")))
        assert await told_by(house, await house.revoke("ada", scope=logout(house))) == {("mail", "mail|ada", None)}
        assert await told_by(house, await house.revoke("ada", scope=logout(house))) == set()
        assert await told_by(house, await house.revoke("ada")) == set()
    assert len(app.requests) == 2


async def test_a_session_named_by_an_identity_provider_whose_clock_is_behind_is_told_of_once(house: House) -> None:
    """Nobody told when it began: by our clock that was after the message was sent."""
    async with stranger(answer()) as app:
        await applications(house, app, "crm")
        session = await house.sign_in("ada", "crm", upstream_sid="up-1")
        house.clock.advance(5)
        rid = await house.revoke("ada", scope=logout(house, "up-1", ago_s=30))
        assert await told_by(house, rid) == {("crm", "crm|ada", f"crm|{session}")}
        assert await counted(house, rid) == (1, 0)
        assert await told_by(house, await house.revoke("ada")) == set()


async def test_what_an_application_comes_to_hold_while_it_is_told_it_is_told_of_later(house: House) -> None:
    """It joins a session that is not covered, by the same `sub`, between the plan and the answer."""
    answering = asyncio.Event()
    async with stranger(wait_then(answering, answer())) as app:
        await applications(house, app, "crm")
        await house.sign_in("ada", "crm")
        house.clock.advance(10)
        newer = await house.sign_in("ada")
        rid = await house.revoke("ada", scope=logout(house, ago_s=5))
        await house.begin_to_work_off(rid)
        await app.seen(1)
        await house.join(newer, "crm", sub="crm|ada", sid="newer")
        answering.set()
        await house.attempts_end()
        assert (await house.receipt(rid)).state == "completed"

        assert await told_by(house, await house.revoke("ada")) == {("crm", "crm|ada", None)}


# What is counted, and what lives on.


@pytest.mark.parametrize("offline_too", [True, False])
@pytest.mark.parametrize("sid", ["up-1", None])
async def test_what_was_ended_is_counted_and_deleted_and_nothing_else(
    house: House, sid: str | None, offline_too: bool
) -> None:
    covered = await house.sign_in("ada", "crm", upstream_sid="up-1")
    house.clock.advance(5)
    other = await house.sign_in("ada", "crm", upstream_sid="up-2")
    tokens = {
        (session, offline): await house.issue(session, "crm", offline=offline)
        for session in (covered, other)
        for offline in (True, False)
    }
    house.clock.advance(5)
    rid = await house.revoke("ada", scope=logout(house, sid, ago_s=0 if sid else 7, offline_too=offline_too))
    for _ in range(2):
        honoured = {name for name, secret in tokens.items() if await house.token_honoured(secret)}
        assert honoured == {(other, True), (other, False)} | (set() if offline_too else {(covered, True)})
        assert [await house.session_honoured(each) for each in (covered, other)] == [False, True]
        await house.work_off(rid)
    assert await counted(house, rid) == (1, 2 if offline_too else 1)
    left = await house.resources.record.run("KEYS", f"{person_keys.person(ADA)}:token:*")
    assert len(left) == (2 if offline_too else 3)


async def test_the_mark_of_a_logout_is_let_go_once_it_is_noted_on_what_it_ended(house: House, redis_url: str) -> None:
    session = await house.sign_in("ada", "crm", upstream_sid="up-1")
    offline = await house.issue(session, "crm", offline=True)
    scope = logout(house, "up-1")
    rid = await house.revoke("ada", scope=scope)
    house.clock.advance(30)
    await house.work_off(rid)
    assert person_keys.logouts(ADA) not in contents(redis_url)
    assert not await house.session_honoured(session)
    assert await house.token_honoured(offline)
    ended = await house.session(session)
    assert ended.ended_at_ms == (await house.receipt(rid)).revoked_at_ms
    # And the same again does not bring it back, or end what began since.
    new = await house.sign_in("ada", "crm", upstream_sid="up-1")
    await house.resources.sink.accept(house.request("ada", scope=scope, revocation_id=rid))
    assert await house.session_honoured(new)


async def test_two_logouts_that_cover_the_same_are_counted_once_in_whichever_order_they_are_worked_off(
    house: House,
) -> None:
    for order in ((0, 1), (1, 0)):
        session = await house.sign_in("ada", "gone", upstream_sid="up-1")
        await house.issue(session, "gone")
        await house.issue(session, "gone", offline=True)
        first = await house.revoke("ada", scope=logout(house, "up-1"))
        house.clock.advance(0.001)
        rids = [first, await house.revoke("ada", scope=logout(house, offline_too=True))]
        for each in order:
            await house.work_off(rids[each])
        # The first ended the session and the ordinary token, the second the offline one.
        assert [await counted(house, each) for each in rids] == [(1, 1), (0, 1)]
        house.clock.advance(1)


async def test_a_global_revocation_after_a_logout_ends_counts_and_deletes_the_offline_tokens(house: House) -> None:
    session = await house.sign_in("ada", "gone", upstream_sid="up-1")
    tokens = [await house.issue(session, "gone", offline=offline) for offline in (True, True, False)]
    first = await house.revoke("ada", scope=logout(house))
    await house.work_off(first)
    assert await counted(house, first) == (1, 1)
    assert [await house.token_honoured(each) for each in tokens] == [True, True, False]

    second = await house.revoke("ada")
    assert [await house.token_honoured(each) for each in tokens] == [False] * 3
    await house.work_off(second)

    assert await counted(house, second) == (0, 2)
    assert not [key for key in await house.resources.record.run("KEYS", "*") if ":token" in key]


async def test_deleting_a_session_after_its_logout_ends_the_offline_tokens(house: House) -> None:
    for worked_off in (True, False):
        session = await house.sign_in("ada", "gone", upstream_sid="up-1")
        offline = await house.issue(session, "gone", offline=True)
        first = await house.revoke("ada", scope=logout(house, "up-1"))
        if worked_off:
            await house.work_off(first)
        second = await house.revoke("ada", session_id=session)
        assert not await house.token_honoured(offline)
        await house.work_off(first)
        await house.work_off(second)
        assert (await counted(house, first), await counted(house, second)) == ((1, 0), (0, 1))


async def test_who_still_holds_an_offline_token_is_told_again_when_that_is_ended_and_nobody_else(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm", "mail")
        session = await house.sign_in("ada", "crm", "mail", upstream_sid="up-1")
        await house.issue(session, "crm", offline=True)
        await house.issue(session, "mail")
        first = await house.revoke("ada", scope=logout(house, "up-1"))
        assert len(await told_by(house, first)) == 2
        # Another logout that leaves offline tokens alone has nothing to tell.
        assert await told_by(house, await house.revoke("ada", scope=logout(house))) == set()

        second = await house.revoke("ada")
        assert await told_by(house, second) == {("crm", "crm|ada", None)}
        assert await told_by(house, await house.revoke("ada")) == set()
    assert await counted(house, second) == (0, 1)


async def test_a_logout_that_ends_offline_tokens_too_tells_who_holds_one_still(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm")
        session = await house.sign_in("ada", "crm", upstream_sid="up-1")
        await house.issue(session, "crm", offline=True)
        await told_by(house, await house.revoke("ada", scope=logout(house, "up-1")))
        told = await told_by(house, await house.revoke("ada", scope=logout(house, "up-1", offline_too=True)))
    assert told == {("crm", "crm|ada", f"crm|{session}")}


async def test_an_offline_token_that_has_expired_is_no_reason_to_tell_again(house: House) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm")
        session = await house.sign_in("ada", "crm")
        await house.issue(session, "crm", offline=True, lasts_s=60)
        await told_by(house, await house.revoke("ada", scope=logout(house)))
        house.clock.advance(60)
        await house.issue(await house.sign_in("ada", "crm"), "crm")
        rid = await house.revoke("ada")
        assert await told_by(house, rid) == {("crm", "crm|ada", None)}
    assert await counted(house, rid) == (1, 1)


# Crashes.


async def test_a_logout_that_was_recorded_and_never_cut_off_is_completed_and_ends_no_later_sign_in(
    house: House,
) -> None:
    old = await house.sign_in("ada", "gone", upstream_sid="up-1")
    request = house.request("ada", scope=logout(house, "up-1"))
    await house.record_only(request)
    assert await house.session_honoured(old)
    house.clock.advance(LATE_MARGIN_MS / 1000 + 1)
    new = await house.sign_in("ada", "gone", upstream_sid="up-1")
    receipt = await house.work_off(request.revocation_id)
    assert (receipt.state, receipt.late, receipt.sessions_ended) == ("completed", True, 1)
    assert [await house.session_honoured(each) for each in (old, new)] == [False, True]


async def test_a_logout_that_was_cut_off_and_never_acknowledged_is_counted_all_the_same(house: House) -> None:
    session = await house.sign_in("ada", "gone", upstream_sid="up-1")
    await house.issue(session, "gone")
    request = house.request("ada", scope=logout(house, "up-1"))
    await house.record_only(request)
    recorded = await house.receipt(request.revocation_id)
    await cut_off(house.resources.people, recorded, now_ms=house.clock.now_ms())
    assert not await house.session_honoured(session)
    receipt = await house.work_off(request.revocation_id)
    assert (receipt.sessions_ended, receipt.refresh_tokens_revoked) == (1, 1)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_wherever_redis_goes_away_the_logout_is_worked_off_to_the_same_end(house: House, moment: str) -> None:
    async with stranger(answer()) as app:
        await applications(house, app, "crm")
        at, happened = 0, True
        while happened:
            at += 1
            session = await house.sign_in("ada", "crm", upstream_sid=f"up-{at}")
            ordinary, offline = [await house.issue(session, "crm", offline=each) for each in (False, True)]
            rid = await house.revoke("ada", scope=logout(house, f"up-{at}"))
            with redis_away(at=at, moment=cast("Moment", moment)) as broken:
                await asyncio.gather(house.begin_to_work_off(rid), return_exceptions=True)
                await asyncio.gather(house.attempts_end(), return_exceptions=True)
            happened = broken.happened
            # Whoever sent it and has lost the lease comes to it again once that is over.
            house.clock.advance(60)
            await house.work_off(rid)
            house.clock.advance(60)
            receipt = await house.work_off(rid)
            assert (receipt.state, receipt.sessions_ended, receipt.refresh_tokens_revoked) == ("completed", 1, 1), at
            assert not await house.session_honoured(session)
            assert not await house.token_honoured(ordinary)
            assert await house.token_honoured(offline)
            assert (await house.delivery(rid)).sid == f"crm|{session}"
        assert at > 5
    assert await house.resources.record.run("HLEN", person_keys.logouts(ADA)) == 0


async def test_a_fault_that_is_none_of_redis_is_not_hidden(house: House) -> None:
    with redis_away(at=1, moment="before"), pytest.raises(Unavailable):
        await house.worker.revoker.revoke(await house.revoke("ada"))
