"""A sign-in after a logout is honoured, whatever the clocks say, and gives nothing of what has ended back."""

from collections.abc import Awaitable, Callable

import pytest

from service.domain.identifiers import new_revocation_id
from service.errors import ReauthenticationRequired
from service.store import keyspace, person_keys
from tests.support.contents import contents
from tests.support.house import House, user_id

ADA = user_id("ada")

Ending = Callable[[House, str], Awaitable[str]]


async def _of_the_person(house: House, _session: str) -> str:
    return await house.revoke("ada")


async def _of_the_session(house: House, session: str) -> str:
    return await house.revoke("ada", session_id=session)


each_ending = pytest.mark.parametrize("end", [_of_the_person, _of_the_session], ids=["person", "session"])


@each_ending
@pytest.mark.parametrize("passed_s", [0, 0.001, 0.999, 1, -0.001, -1, -600])
async def test_it_is_honoured_in_the_same_millisecond_and_by_a_clock_set_back(
    house: House, end: Ending, passed_s: float
) -> None:
    old = await house.sign_in("ada", "crm")
    dead = [old, *[await house.issue(old, "crm", offline=each) for each in (False, True)]]
    rid = await end(house, old)
    house.clock.advance(passed_s)

    new = await house.sign_in("ada", "crm")
    tokens = [await house.issue(new, "crm", offline=each) for each in (False, True)]

    async def as_it_should_be() -> None:
        assert await house.session_honoured(new)
        assert [await house.token_honoured(each) for each in tokens] == [True, True]
        assert not await house.session_honoured(dead[0])
        assert [await house.token_honoured(each) for each in dead[1:]] == [False, False]

    await as_it_should_be()
    # What is told and tidied late is the old, and the same revocation again is no new one.
    await house.work_off(rid)
    await as_it_should_be()
    house.clock.advance(60)
    await as_it_should_be()


@each_ending
async def test_it_leaves_every_mark_that_keeps_others_dead(house: House, end: Ending, redis_url: str) -> None:
    old, expired = await house.sign_in("ada", "crm"), await house.sign_in("ada", "mail", lasts_s=10)
    await house.issue(old, "crm", offline=True)
    await end(house, old)
    house.clock.advance(10)
    before = contents(redis_url)

    await house.sign_in("ada", "crm", session_id="ses_new")

    after = contents(redis_url)
    new = {
        person_keys.session(ADA, "ses_new"),
        person_keys.session_clients(ADA, "ses_new"),
        keyspace.session_owner("ses_new"),
    }
    added_to = {
        person_keys.sessions(ADA),
        person_keys.participation(ADA),
        person_keys.participation_until(ADA),
        person_keys.participation_counts(ADA),
    }
    assert set(after) - set(before) == new
    assert set(before) <= set(after)
    assert {key for key in before if before[key] != after[key]} == added_to | {person_keys.person(ADA)}
    for key in (person_keys.participation(ADA), person_keys.person(ADA)):
        old_fields, new_fields = before[key], after[key]
        assert isinstance(old_fields, dict)
        assert isinstance(new_fields, dict)
        changed = {name for name in old_fields if old_fields[name] != new_fields.get(name)}
        assert changed <= {"clock"}
    assert not await house.session_honoured(old)
    assert not await house.session_honoured(expired)


async def test_two_devices_sign_in_again_one_after_the_other(house: House) -> None:
    """The first to come back does not let the other's old session in, nor is it the other's return that ends it."""
    laptop, phone = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    await house.revoke("ada")
    laptop_again = await house.sign_in("ada", "crm")
    assert [await house.session_honoured(each) for each in (laptop, phone, laptop_again)] == [False, False, True]
    phone_again = await house.sign_in("ada", "crm")
    honoured = [await house.session_honoured(each) for each in (laptop, phone, laptop_again, phone_again)]
    assert honoured == [False, False, True, True]


async def test_who_authenticated_before_the_logout_is_asked_again_and_is_in_once_they_have(house: House) -> None:
    await house.sign_in("ada", "crm", auth_time_s=house.clock.now_s)
    house.clock.advance(5)
    await house.revoke("ada")
    for late_s in (-5, 0):
        with pytest.raises(ReauthenticationRequired):
            await house.sign_in("ada", "crm", auth_time_s=house.clock.now_s + late_s)
    house.clock.advance(1)
    assert await house.session_honoured(await house.sign_in("ada", "crm", auth_time_s=house.clock.now_s))


async def test_the_same_revocation_sent_again_after_it_ends_nothing_new(house: House) -> None:
    await house.sign_in("ada", "crm")
    request = house.request("ada", revocation_id=new_revocation_id())
    await house.resources.sink.accept(request)
    new = await house.sign_in("ada", "crm")
    assert (await house.resources.sink.accept(request)).repeated
    await house.work_off(request.revocation_id)
    assert await house.session_honoured(new)
