"""Which application may still hold a session of whom: remembered past the session's end, and dropped once it has been told."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.house import DAY_S, HOUR_S, House, open_house
from tests.support.strangers import answer, stranger


async def told_by_the_next(house: House) -> dict[str, str]:
    """Revoke Ada now and work it off: each application with a row, and its state."""
    rid = await house.revoke("ada")
    await house.work_off(rid)
    return {each.client_id: each.state for each in await house.deliveries(rid)}


async def move(house: House, client_id: str, uri: str) -> None:
    """From now on the application is told at another place."""
    application = await house.resources.applications.get(client_id)
    assert application is not None
    await house.resources.applications.replace(replace(application, backchannel_logout_uri=uri))


@pytest.mark.parametrize(("past_s", "remembered"), [(-0.001, True), (0, False)])
async def test_after_its_session_has_expired_it_is_remembered_to_the_millisecond(
    house: House, past_s: float, remembered: bool
) -> None:
    await house.application("crm")
    await house.sign_in("ada", "crm", lasts_s=60)
    house.clock.advance(60 + house.resources.settings.participation_days * DAY_S + past_s)
    assert await told_by_the_next(house) == ({"crm": "skipped"} if remembered else {})


async def test_how_long_is_a_setting(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path, participation_days=1) as house:
        await house.sign_in("ada", "crm", lasts_s=HOUR_S)
        await house.sign_in("ada", "mail", lasts_s=2 * HOUR_S)
        house.clock.advance(DAY_S + HOUR_S)
        assert await told_by_the_next(house) == {"mail": "skipped"}


@pytest.mark.parametrize("one_session", [True, False])
async def test_who_was_told_of_the_end_is_dropped_and_who_was_not_is_told_by_the_next(
    house: House, one_session: bool
) -> None:
    async with stranger(answer(200)) as well, stranger(answer(400)) as ill, stranger(answer(200)) as mended:
        await house.application("crm", well.url())
        await house.application("mail", ill.url())
        await house.application("mute")
        session = await house.sign_in("ada", "crm", "mail", "mute")
        first = await house.revoke("ada", session_id=session if one_session else None)
        await house.work_off(first)
        states = {each.client_id: each.state for each in await house.deliveries(first)}
        assert states == {"crm": "delivered", "mail": "dead", "mute": "skipped"}

        # Long after the session: one application may still hold it, for all anybody knows.
        house.clock.advance(20 * DAY_S)
        await move(house, "mail", mended.url())

        assert await told_by_the_next(house) == {"mail": "delivered", "mute": "skipped"}
        assert await told_by_the_next(house) == {"mute": "skipped"}
        assert [len(each.requests) for each in (well, ill, mended)] == [1, 1, 1]


async def test_one_that_comes_to_have_a_logout_uri_is_told_of_what_it_may_still_hold(house: House) -> None:
    await house.application("mute")
    await house.sign_in("ada", "mute")
    assert await told_by_the_next(house) == {"mute": "skipped"}
    async with stranger(answer(200)) as app:
        await move(house, "mute", app.url())
        assert await told_by_the_next(house) == {"mute": "delivered"}


async def test_who_left_is_not_told_and_who_came_back_is(house: House) -> None:
    async with stranger(answer(200)) as app:
        for each in ("crm", "mail"):
            await house.application(each, app.url())
        session = await house.sign_in("ada", "crm", "mail")
        for each in ("crm", "mail"):
            await house.leave(session, each)
        await house.join(session, "mail", sub="m", sid="m-2")
        assert await told_by_the_next(house) == {"mail": "delivered"}


async def test_who_left_one_session_is_told_of_its_others(house: House) -> None:
    async with stranger(answer(200)) as app:
        await house.application("crm", app.url(), session_required=True)
        left, kept = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
        await house.leave(left, "crm")
        rid = await house.revoke("ada")
        await house.work_off(rid)
        assert (await house.delivery(rid)).sid == f"crm|{kept}"


async def test_the_end_of_one_session_drops_nothing_of_another(house: House) -> None:
    async with stranger(answer(200)) as app:
        await house.application("crm", app.url())
        ended, _ = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
        await house.work_off(await house.revoke("ada", session_id=ended))
        assert await told_by_the_next(house) == {"crm": "delivered"}


async def test_what_is_told_late_of_an_old_revocation_drops_nothing_of_a_newer_session(house: House) -> None:
    async with stranger(answer(200)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.sign_in("ada", "crm")
        await house.work_off(rid)
        assert await told_by_the_next(house) == {"crm": "delivered"}


async def test_an_expiry_tells_nobody(house: House) -> None:
    async with stranger(answer(200)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm", lasts_s=60)
        house.clock.advance(DAY_S)
        await house.worker.sweeper.sweep()
        await house.worker.sweeper.tidy()
        await house.run_queue()
        assert (app.requests, await house.due()) == ([], {})
