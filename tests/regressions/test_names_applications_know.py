"""Applications know people and sessions by names of their own, and those may meet: nobody is left out for it."""

from service.domain.session import Participant
from tests.support.house import DAY_S, HOUR_S, House
from tests.support.strangers import answer, stranger
from tests.support.waiting import PATIENCE_S


async def test_two_people_an_application_knows_by_one_sub_leave_a_receipt_that_closes(house: House) -> None:
    async with stranger(answer(200)) as crm:
        await house.application("crm", crm.url())
        for name in ("ada", "ada-made-anew"):
            await house.sign_in(name, Participant(client_id="crm", sub="local-ada", sid=f"s-{name}"))
        rid = await house.revoke("ada", "ada-made-anew")
        await house.work_off(rid)
        await house.worker.notifier.drain(PATIENCE_S)

    receipt = await house.receipt(rid)
    assert (receipt.state, receipt.sessions_ended) == ("completed", 2)
    assert [each.state for each in await house.deliveries(rid)] == ["delivered", "delivered"]
    assert await house.open_revocations() == set()


async def test_an_application_that_holds_an_offline_token_is_told_long_after_the_session(house: House) -> None:
    async with stranger(answer(200)) as crm:
        await house.application("crm", crm.url())
        session = await house.sign_in("ada", "crm", lasts_s=HOUR_S)
        days = house.resources.settings.participation_days
        token = await house.issue(session, "crm", offline=True, lasts_s=(days + 10) * DAY_S)
        house.clock.advance((days + 5) * DAY_S)
        assert await house.token_honoured(token)
        rid = await house.revoke("ada")
        await house.work_off(rid)
        await house.worker.notifier.drain(PATIENCE_S)

    assert not await house.token_honoured(token)
    assert (await house.receipt(rid)).refresh_tokens_revoked == 1
    assert [(each.client_id, each.state) for each in await house.deliveries(rid)] == [("crm", "delivered")]


async def test_deleting_a_session_that_was_revoked_already_does_not_take_its_count(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    await house.issue(session, "crm")
    first = await house.revoke("ada")
    second = await house.revoke("ada", session_id=session)
    await house.work_off(second)
    await house.work_off(first)

    counted = [await house.receipt(each) for each in (first, second)]
    assert [(each.sessions_ended, each.refresh_tokens_revoked) for each in counted] == [(1, 1), (0, 0)]


async def test_a_second_revocation_does_not_move_the_end_of_what_the_first_ended(house: House) -> None:
    session = await house.sign_in("ada")
    house.clock.advance(1)
    await house.revoke("ada")
    ended_at_ms = (await house.session(session)).ended_at_ms
    house.clock.advance(60)
    await house.revoke("ada")
    assert (await house.session(session)).ended_at_ms == ended_at_ms
