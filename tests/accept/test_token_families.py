"""The end of a family of refresh tokens, as a revocation: in force at once, told to nobody, counted once."""

import pytest

from service.domain.revocation import Initiator
from service.errors import InvalidGrant, Unavailable
from service.store.refresh_tokens import Reused
from tests.support.breaks import Moment, redis_away
from tests.support.heard import listening
from tests.support.house import House
from tests.support.strangers import answer, stranger

BY: tuple[Initiator, ...] = ("refresh_token_delete", "refresh_token_reuse")


@pytest.mark.parametrize("initiator", BY)
async def test_it_is_in_force_with_no_worker_running_and_worked_off_without_a_word_to_anybody(
    house: House, initiator: Initiator
) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        session = await house.sign_in("ada", "crm")
        first, other = [await house.issue(session, "crm", offline=True) for _ in range(2)]
        second = await house.rotated(first)
        if initiator == "refresh_token_reuse":
            assert isinstance(await house.rotate(first), Reused)

        rid = await house.revoke_family(first, initiator=initiator)

        assert not await house.token_honoured(second)
        receipt = await house.work_off(rid)
        assert app.requests == []
    assert (receipt.state, receipt.initiator) == ("completed", initiator)
    assert (receipt.sessions_ended, receipt.refresh_tokens_revoked) == (0, 1)
    assert await house.deliveries(rid) == ()
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    assert await house.token_honoured(other)
    assert await house.session_honoured(session)


@pytest.mark.parametrize("initiator", BY)
async def test_the_same_again_is_the_same_revocation(house: House, initiator: Initiator) -> None:
    request = await house.end_of_family(await house.issue(await house.sign_in("ada", "crm"), "crm"))
    first = await house.resources.sink.accept(request)
    before = await house.work_off(first.revocation_id)

    again = await house.resources.sink.accept(request)

    assert (again.revocation_id, again.repeated) == (first.revocation_id, True)
    assert await house.work_off(first.revocation_id) == before
    assert await house.due() == {}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(1, 5))
async def test_a_crash_at_any_point_leaves_no_family_that_ended_without_a_receipt(
    house: House, at: int, moment: Moment
) -> None:
    """Whoever spent a token twice need not come again: what was recorded is completed, what was not has changed nothing."""
    first = await house.issue(await house.sign_in("ada", "crm"), "crm")
    second = await house.rotated(first)
    assert isinstance(await house.rotate(first), Reused)
    request = await house.end_of_family(first, initiator="refresh_token_reuse")
    with redis_away(at=at, moment=moment) as broken:
        try:
            await house.resources.sink.accept(request)
        except Unavailable:
            assert broken.happened

    if await house.resources.revocations.get(request.revocation_id) is None:
        assert await house.token_honoured(second)
        assert isinstance(await house.rotate(first), Reused)
        await house.resources.sink.accept(request)

    receipt = await house.work_off(request.revocation_id)
    assert (receipt.state, receipt.refresh_tokens_revoked) == ("completed", 1)
    assert not await house.token_honoured(second)
    with pytest.raises(InvalidGrant):
        await house.rotate(first)


async def test_one_that_is_completed_late_ends_the_family_all_the_same(house: House) -> None:
    secret = await house.issue(await house.sign_in("ada", "crm"), "crm")
    rid = await house.record_only(await house.end_of_family(secret))
    receipt = await house.work_off(rid)
    assert receipt.late
    assert (receipt.state, receipt.refresh_tokens_revoked) == ("completed", 1)
    assert not await house.token_honoured(secret)


async def test_the_log_says_that_it_was_a_family(house: House) -> None:
    secret = await house.issue(await house.sign_in("ada", "crm"), "crm")
    with listening() as heard:
        await house.revoke_family(secret)
    line = heard.one("revocation.accepted")
    assert (line["scope"], line["initiator"]) == ("token_family", "refresh_token_delete")
    assert secret not in str(heard.lines)
