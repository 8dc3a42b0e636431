"""An application that may be told again while a delivery to it is just being put aside, at each moment of that in turn."""

from collections.abc import Awaitable, Callable

import pytest

from service.domain.client_health import OPENS_AFTER
from service.store.client_health import Report
from tests.support.house import DAY_S, House
from tests.support.pauses import paused
from tests.support.strangers import answer, stranger
from workers.release import LOOK_MS

Act = Callable[[House], Awaitable[object]]

SOON_S = 2 * LOOK_MS / 1000
"""By when what may be sent again is looked at, in seconds: the sweeper's pause comes on top of LOOK_MS."""


async def pause(house: House) -> None:
    await house.resources.client_healths.pause("crm", reason=None, now_ms=house.clock.now_ms())


async def fail(house: House) -> None:
    for number in range(OPENS_AFTER):
        await report(house, f"failed-{number}-{house.clock.now_ms()}", answered=False)


async def fail_for_days(house: House) -> None:
    await fail(house)
    for day in range(6):
        house.clock.advance(DAY_S - 1)
        probe = f"probe-{day}-{house.clock.now_ms()}"
        now_ms = house.clock.now_ms()
        await house.resources.client_healths.take_probe("crm", probe, now_ms=now_ms, probing_until_ms=now_ms + 1)
        await report(house, probe, answered=False)
    assert (await house.health("crm")).state == "suspended"


async def ask_for_rest(house: House) -> None:
    await report(house, f"rest-{house.clock.now_ms()}", answered=None, rest_until_ms=house.clock.now_ms() + 200_000)


async def report(house: House, attempt: str, *, answered: bool | None, rest_until_ms: int | None = None) -> None:
    one = Report(client_id="crm", attempt=attempt, answered=answered, rest_until_ms=rest_until_ms)
    await house.resources.client_healths.report([one], now_ms=house.clock.now_ms())


async def answers(house: House) -> None:
    await report(house, f"answered-{house.clock.now_ms()}", answered=True)


async def resume(house: House) -> None:
    await house.resources.client_healths.resume("crm", now_ms=house.clock.now_ms())


async def move(house: House) -> None:
    await house.resources.client_healths.probe_now("crm", now_ms=house.clock.now_ms())


@pytest.mark.parametrize(
    ("keep_back", "set_free"),
    [
        pytest.param(pause, resume, id="resumed"),
        pytest.param(fail, answers, id="answers"),
        pytest.param(fail, move, id="has another address"),
        pytest.param(fail_for_days, resume, id="suspended and resumed"),
        pytest.param(fail_for_days, answers, id="suspended and answers"),
        pytest.param(ask_for_rest, resume, id="rests and is resumed"),
    ],
)
async def test_it_is_told_soon(house: House, keep_back: Act, set_free: Act) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        happened, at = True, 0
        while happened:
            at += 1
            await house.sign_in(f"person-{at}", "crm")
            rid = await house.revoke(f"person-{at}")
            await keep_back(house)
            with paused(at=at) as held:
                await held.around(house.work_off(rid), lambda: set_free(house))
            happened = held.happened
            if not happened:
                # Put aside before it was set free: it is looked at by whoever does that.
                await set_free(house)
            for _ in range(4):
                house.clock.advance(SOON_S / 4)
                await house.sweep()
            assert (await house.delivery(rid)).state == "delivered", f"set free before call {at}"
            # A suspended application's next failures begin anew.
            await answers(house)
        assert at > 5
