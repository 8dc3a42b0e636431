"""Erasing somebody: what is forgotten, what stays revoked, and a sign-in that comes at any moment between."""

from typing import Any

import pytest

from service.domain.subject import iss_sub, parse_identifier
from service.errors import ReauthenticationRequired, Unavailable
from service.store import erasures, keyspace, person_keys
from tests.support.breaks import Moment, redis_away
from tests.support.contents import contents, trail
from tests.support.house import CONNECTION, DAY_S, UPSTREAM, House, user_id
from tests.support.pauses import paused
from tests.support.strangers import answer, stranger

ADA, BEN = user_id("ada"), user_id("ben")
EMAIL = parse_identifier({"format": "email", "email": "ada@example.com"})
PRIVATE = ("ada@example.com", '"ada"', "'ada'", "crm|ada")
"""What names Ada, as it stands in Redis."""


async def erase(house: House, name: str = "ada") -> str:
    """As the API does: revoke, then erase."""
    rid = await house.revoke(name)
    assert await house.resources.erasures.erase(user_id(name), CONNECTION, now_ms=house.clock.now_ms())
    return rid


async def known(house: House, *names: Any) -> set[str]:
    return set(await house.resources.people.resolve(CONNECTION, names or (EMAIL, iss_sub(UPSTREAM, "ada"))))


async def test_nobody_knows_them_any_more_and_everything_of_theirs_has_ended(house: House) -> None:
    session = await house.sign_in("ada", "crm", identifiers=[EMAIL])
    token = await house.issue(session, "crm", offline=True)
    assert await known(house) == {ADA}
    await erase(house)
    assert await known(house) == set()
    assert await house.resources.people.get(ADA) is None
    assert await house.resources.trail.pseudonyms.of_person(ADA) is None
    assert not await house.session_honoured(session)
    assert not await house.token_honoured(token)


async def test_it_stays_ended_as_long_as_any_session_could_last(house: House) -> None:
    await house.sign_in("ada", "crm")
    await erase(house)
    left_ms = await house.resources.record.run("PTTL", person_keys.person(ADA))
    assert 401 * DAY_S * 1000 < left_ms <= erasures.ERASED_MS


async def test_a_sign_in_that_began_before_cannot_be_finished_after(house: House) -> None:
    await house.sign_in("ada")
    await erase(house)
    with pytest.raises(ReauthenticationRequired):
        await house.sign_in("ada", auth_time_s=house.clock.now_s - 5)


async def test_those_still_to_be_told_are_told_and_then_nothing_names_them(house: House, redis_url: str) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm", identifiers=[EMAIL])
        earlier = await house.revoke("ada")
        await house.work_off(earlier)
        await house.sign_in("ada", "crm", identifiers=[EMAIL])
        rid = await erase(house)
        assert await house.resources.erasures.forget_receipts() == 0
        assert await house.resources.revocations.get(earlier) is None, "finished, so it is gone"
        assert await house.resources.revocations.get(rid) is not None
        await house.work_off(rid)
        assert len(app.requests) == 2
        assert await house.resources.erasures.forget_receipts() == 1
        assert await house.resources.revocations.get(rid) is None
    listed, _ = await house.resources.revocations.page(
        connection_id=None, user_id=None, state=None, after=None, limit=100
    )
    assert listed == ()
    left = {key: value for key, value in contents(redis_url).items() if f"{{{ADA}}}:session:" not in key}
    assert not [each for each in PRIVATE if each in repr(left)]
    # By the worker, after the salt had gone: it names nobody, and is there.
    told = [each for each in trail(redis_url) if each["event"] == "delivery.delivered"]
    assert [len(each.get("people", ())) for each in told] == [1, 0]


async def test_what_could_not_be_told_is_no_dead_letter_any_more_and_no_application_is_remembered(
    house: House, redis_url: str
) -> None:
    """Neither counted nor listed, and no `sub` is left of what was never told."""
    async with stranger(answer(404)) as app:
        await house.application("crm", app.url())
        for name in ("ada", "ben"):
            await house.sign_in(name, "crm")
        both = await house.revoke("ada", "ben")
        await house.work_off(both)
        await house.sign_in("ada", "crm")
        rid = await erase(house)
        assert await dead_letters(house) == [2, 2]
        await house.resources.erasures.forget_receipts()
        assert await dead_letters(house) == [1, 1], "of what is finished"
        await house.work_off(rid)
        assert await dead_letters(house) == [2, 2]
        assert await house.resources.record.run("HLEN", person_keys.participation(ADA)) == 2
        await house.resources.erasures.forget_receipts()
    assert await dead_letters(house) == [1, 1], "of Ben alone"
    (letter, *_), _ = await house.resources.dead_letters.page(after=None, limit=10, now_ms=house.clock.now_ms())
    assert letter.delivery.user_id == BEN
    left = {key: value for key, value in contents(redis_url).items() if f"{{{ADA}}}:session:" not in key}
    assert not [each for each in PRIVATE if each in repr(left)]


async def test_what_a_sign_in_since_has_added_is_remembered(house: House) -> None:
    await house.sign_in("ada", "crm")
    rid = await erase(house)
    house.clock.advance(1)
    await house.sign_in("ada", "crm")
    await house.work_off(rid)
    assert await house.resources.erasures.forget_receipts() == 1
    assert await house.resources.record.run("HLEN", person_keys.participation(ADA)) == 1


async def test_a_worker_that_is_late_enters_no_dead_letter_of_a_receipt_that_is_gone(house: House) -> None:
    async with stranger(answer(404)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await erase(house)
        await house.work_off(rid)
    late = await house.deliveries(rid)
    await house.resources.erasures.forget_receipts()
    await house.resources.dead_letters.add(late)
    assert await dead_letters(house) == [0, 0]


async def test_no_name_of_a_delivery_that_could_be_made_again_is_in_the_trail(house: House, redis_url: str) -> None:
    """A delivery's id is made of whom it is about without a salt: it leads from a receipt, or a guess, to the entry."""
    async with stranger(answer(404)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.work_off(rid)
        (owed,) = await house.deliveries(rid)
        await house.sign_in("ben", "crm")
        await house.work_off(await house.revoke("ben"))
    dead, of_ben = [each for each in trail(redis_url) if each["event"].startswith("delivery.")]
    assert dead["delivery"].startswith("dlp_")
    assert dead["delivery"] != of_ben["delivery"]
    assert owed.delivery_id not in repr(trail(redis_url))
    names = await house.resources.trail.pseudonyms.of_all([ADA])
    assert names[ADA].delivery(owed.delivery_id) == dead["delivery"], "found while they are known"
    await erase(house)
    assert await house.resources.trail.pseudonyms.of_all([ADA]) == {}


async def dead_letters(house: House) -> list[int]:
    """How many are counted, and how many of one application."""
    count, now_ms = house.resources.dead_letters.count, house.clock.now_ms()
    return [await count(now_ms=now_ms), await count(client_id="crm", now_ms=now_ms)]


async def test_a_receipt_about_others_too_stays_theirs(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        for name in ("ada", "ben"):
            await house.sign_in(name, "crm")
        rid = await house.revoke("ada", "ben")
        await house.work_off(rid)
        await house.work_off(await erase(house))
        await house.resources.erasures.forget_receipts()
    receipt = await house.receipt(rid)
    assert receipt.user_ids == (BEN,)
    assert {each.user_id for each in await house.deliveries(rid)} == {BEN}


async def test_the_trail_stays_as_it_is_and_its_seals_true(house: House, redis_url: str) -> None:
    await house.sign_in("ada")
    await house.revoke("ada")
    await house.resources.seals.seal()
    before = trail(redis_url)
    await erase(house)
    assert trail(redis_url)[: len(before)] == before
    assert (await house.resources.seals.verify()).problem is None


async def test_a_later_sign_in_is_somebody_new_to_the_trail_and_found_by_every_name(house: House) -> None:
    await house.sign_in("ada", identifiers=[EMAIL])
    first = await house.resources.trail.pseudonyms.of_person(ADA)
    await house.work_off(await erase(house))
    house.clock.advance(1)
    session = await house.sign_in("ada", identifiers=[EMAIL])
    second = await house.resources.trail.pseudonyms.of_person(ADA)
    assert second not in {first, None}
    assert await known(house) == {ADA}
    assert await house.resources.record.run("PTTL", person_keys.person(ADA)) == -1
    since = await house.revoke("ada")
    await house.work_off(since)
    assert not await house.session_honoured(session)
    await house.resources.erasures.forget_receipts()
    assert await house.resources.revocations.get(since) is not None, "of who they are since"


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_whoever_signs_in_meanwhile_is_known_by_all_their_names_or_nobody(house: House, at: int) -> None:
    """A sign-in before each call that erasing makes."""
    await house.sign_in("ada", identifiers=[EMAIL])
    await house.revoke("ada")
    with paused(at=at) as pause:
        erased = await pause.around(
            house.resources.erasures.erase(ADA, CONNECTION, now_ms=house.clock.now_ms()),
            lambda: sign_in_as_the_door_does(house),
        )
    assert pause.happened
    assert not erased
    assert await house.resources.record.run("ZCARD", keyspace.ERASED) == 0
    assert await known(house, EMAIL) == await known(house, iss_sub(UPSTREAM, "ada")) == {ADA}


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
async def test_an_erasure_in_vain_forgets_no_receipt_and_no_dead_letter_whenever_a_worker_tidies(
    house: House, at: int
) -> None:
    """They have signed in again, and are told so: then what could not be told of them is still there to be tried anew."""
    rid = await a_dead_letter(house)
    with paused(at=at) as pause:
        erased = await pause.around(
            house.resources.erasures.erase(ADA, CONNECTION, now_ms=house.clock.now_ms()),
            house.resources.erasures.forget_receipts,
        )
    assert (pause.happened, erased) == (True, False)
    await house.resources.erasures.forget_receipts()
    assert await house.resources.revocations.get(rid) is not None
    assert await dead_letters(house) == [1, 1]
    assert await house.resources.record.run("ZCARD", keyspace.ERASED) == 0


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
async def test_an_erasure_in_vain_that_was_killed_forgets_nothing_and_leaves_them_known_by_all_their_names(
    house: House, at: int, moment: Moment
) -> None:
    rid = await a_dead_letter(house)
    with redis_away(at=at, moment=moment), pytest.raises(Unavailable):
        await house.resources.erasures.erase(ADA, CONNECTION, now_ms=house.clock.now_ms())
    await house.resources.erasures.forget_receipts()
    house.clock.advance(erasures.UNDER_WAY_MS / 1000)
    await house.resources.erasures.forget_receipts()
    assert await house.resources.revocations.get(rid) is not None
    assert await dead_letters(house) == [1, 1]
    assert await known(house, EMAIL) == await known(house, iss_sub(UPSTREAM, "ada")) == {ADA}
    assert await house.resources.record.run("ZCARD", keyspace.ERASED) == 0


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_an_erasure_that_a_worker_tidies_beside_is_carried_through(house: House, at: int) -> None:
    """What is only begun is left alone: dropped then, nobody would forget their receipts once it is done."""
    await house.sign_in("ada", "crm")
    rid = await house.revoke("ada")
    await house.work_off(rid)
    with paused(at=at) as pause:
        assert await pause.around(
            house.resources.erasures.erase(ADA, CONNECTION, now_ms=house.clock.now_ms()),
            house.resources.erasures.forget_receipts,
        )
    assert pause.happened
    assert await house.resources.erasures.forget_receipts() == 1
    assert await house.resources.revocations.get(rid) is None


async def test_an_erasure_in_vain_leaves_an_earlier_one_to_be_carried_through_and_forgets_nothing_since(
    house: House,
) -> None:
    await house.sign_in("ada", "crm")
    first = await erase(house)
    house.clock.advance(1)
    await house.sign_in("ada", "crm")
    since = await house.revoke("ada")
    await house.sign_in("ada", "crm")
    house.clock.advance(1)
    assert not await house.resources.erasures.erase(ADA, CONNECTION, now_ms=house.clock.now_ms())
    for rid in (first, since):
        await house.work_off(rid)
    house.clock.advance(erasures.UNDER_WAY_MS / 1000)
    assert await house.resources.erasures.forget_receipts() == 1
    assert await house.resources.revocations.get(first) is None
    assert await house.resources.revocations.get(since) is not None
    assert await known(house, iss_sub(UPSTREAM, "ada")) == {ADA}


async def a_dead_letter(house: House) -> str:
    """A revocation that an application could not be told of, of somebody who is signed in again since."""
    async with stranger(answer(404)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm", identifiers=[EMAIL])
        rid = await house.revoke("ada")
        await house.work_off(rid)
    await sign_in_as_the_door_does(house)
    assert await dead_letters(house) == [1, 1]
    return rid


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_whoever_was_signing_in_when_somebody_was_erased_is_known_by_all_their_names(
    house: House, at: int
) -> None:
    """The erasure before each call that a sign-in makes."""
    await house.sign_in("ada", identifiers=[EMAIL])
    await house.revoke("ada")

    async def erased() -> None:
        assert await house.resources.erasures.erase(ADA, CONNECTION, now_ms=house.clock.now_ms())

    with paused(at=at) as pause:
        await pause.around(sign_in_as_the_door_does(house), erased)
    assert pause.happened
    assert await known(house, EMAIL) == await known(house, iss_sub(UPSTREAM, "ada")) == {ADA}


async def sign_in_as_the_door_does(house: House) -> None:
    house.clock.advance(0.001)
    await house.sign_in("ada", identifiers=[EMAIL])


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_what_was_interrupted_can_be_repeated(house: House, at: int, moment: Moment) -> None:
    await house.sign_in("ada", identifiers=[EMAIL])
    await house.revoke("ada")
    with redis_away(at=at, moment=moment), pytest.raises(Unavailable):
        await house.resources.erasures.erase(ADA, CONNECTION, now_ms=house.clock.now_ms())
    assert await house.resources.erasures.erase(ADA, CONNECTION, now_ms=house.clock.now_ms())
    assert await known(house) == set()
    assert await house.resources.people.get(ADA) is None


async def test_many_are_seen_to_a_few_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "BATCH", 2)
    names = [f"person-{each}" for each in range(5)]
    for name in names:
        await house.sign_in(name)
        rid = await erase(house, name)
        if name != "person-0":
            await house.work_off(rid)
    assert await house.resources.erasures.forget_receipts() == 4
    assert await house.resources.record.run("ZRANGE", keyspace.ERASED, 0, -1) == [user_id("person-0")]
