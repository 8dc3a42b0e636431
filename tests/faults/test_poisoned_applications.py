"""Law 3: one broken application never delays another. Not one: twenty-four of eight kinds, all at the same moment.

The real service and a real worker; applications are real servers. First all are healthy, and how long the two that stay so wait
for their logout tokens is taken as the measure of this machine. Then the others turn bad at once, in the middle of everything.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from service.dev import DevStack, dev_stack
from tests.support.house import House, open_house
from tests.support.strangers import (
    Behaviour,
    Request,
    answer,
    drip,
    flood,
    late,
    reset,
    say_and_hold,
    stranger,
)
from workers.slots import ISOLATION_S

KINDS: Mapping[str, Behaviour] = {
    "hangs": say_and_hold(b""),
    "drips": drip(b"HTTP/1.1 2", every_s=1.0),
    "drips-a-body": drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", every_s=1.0),
    "floods": flood(),
    "redirects": answer(307, location="http://127.0.0.1:9/elsewhere"),
    "resets": reset,
    "answers-late": late(4.5, answer(200)),
    "answers-too-late": late(6.0, answer(200)),
}
"""What they turn into."""

OF_EACH = 3
"""Applications of each kind."""

HEALTHY = ("healthy-1", "healthy-2")
"""Those that are measured."""

REVOCATIONS = 100
"""Revocations before they turn bad, and the fewest after; each is owed to every application."""

AT_ONCE = 10
"""How many are asked for at the same time."""

LASTS_S = 12.0
"""How long they are bad at least, in seconds: two attempts that get no answer one after the other, and their breakers."""

SLOW = 30
"""Applications that come to answer each time, late."""

SLOW_S = 4.0
"""How late, in seconds: within the five that an attempt may take, so that each answer counts as one."""

EACH_SECOND = 15
"""Revocations a second that are asked for in the open loop, whatever has become of those before: thirty times as many are owed as
such applications can take."""

OPEN_LOOP_S = 12.0
"""How long, in seconds: three times what it takes to find out that they are slow."""

PATIENCE_S = 120.0
"""How long the test waits for what must come, in seconds."""


@dataclass(kw_only=True)
class Application:
    """Behaves as it is told to at the moment, and writes down when it heard of whom."""

    now: Behaviour
    _heard: dict[str, asyncio.Future[float]] = field(default_factory=dict)

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        heard = self.heard_of(str(request.claims["sub"]).partition("|")[2])
        if not heard.done():
            heard.set_result(time.monotonic())
        await self.now(request, writer)

    def heard_of(self, name: str) -> "asyncio.Future[float]":
        """When it first hears of somebody."""
        return self._heard.setdefault(name, asyncio.get_running_loop().create_future())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    """A service and one worker."""
    folder = tmp_path_factory.mktemp("poisoned")
    with dev_stack(port=0, data_dir=folder / "data", log_to=folder / "log.jsonl") as running:
        yield running


@pytest.fixture
async def house(stack: DevStack, tmp_path: Path) -> AsyncIterator[House]:
    """The same record, for who signs in and is revoked."""
    async with open_house(stack.redis_url, tmp_path) as opened:
        yield opened


async def longest_wait_s(
    house: House, phase: str, clients: list[str], measured: list[Application], *, lasts_s: float = 0.0
) -> float:
    """Sign people in everywhere and out again, some at a time, REVOCATIONS of them and for `lasts_s` at least: the longest that
    any of the measured applications waited to hear of any of them."""
    waits: list[float] = []
    numbers, ends = count(), time.monotonic() + lasts_s

    async def keep_revoking() -> None:
        while (number := next(numbers)) < REVOCATIONS or time.monotonic() < ends:
            name = f"{phase}-{number}"
            house.clock.advance(max(0.0, time.time() - house.clock.now_ms() / 1000))
            await house.sign_in(name, *clients)
            asked = time.monotonic()
            await house.revoke(name, lane="urgent")
            async with asyncio.timeout(PATIENCE_S):
                waits.extend([await each.heard_of(name) - asked for each in measured])

    await asyncio.gather(*(keep_revoking() for _ in range(AT_ONCE)))
    return max(waits)


async def longest_wait_in_open_loop_s(
    house: House, phase: str, clients: list[str], measured: list[Application], *, lasts_s: float
) -> float:
    """The same at a steady rate: nobody waits for anybody to be told, as identity providers do not."""
    began = time.monotonic()

    async def revoke(number: int) -> float:
        await asyncio.sleep(began + number / EACH_SECOND - time.monotonic())
        name = f"{phase}-{number}"
        house.clock.advance(max(0.0, time.time() - house.clock.now_ms() / 1000))
        await house.sign_in(name, *clients)
        asked = time.monotonic()
        await house.revoke(name, lane="urgent")
        async with asyncio.timeout(PATIENCE_S):
            return max([await each.heard_of(name) - asked for each in measured])

    return max(await asyncio.gather(*(revoke(number) for number in range(round(lasts_s * EACH_SECOND)))))


async def test_many_slow_applications_do_not_delay_a_healthy_one_beyond_the_bound_while_revocations_keep_coming(
    house: House,
) -> None:
    """They answer, so no breaker ever opens; and what they are owed grows faster than they take it."""
    slow = [f"slow-{number}" for number in range(SLOW)]
    applications = {name: Application(now=answer(200)) for name in (*HEALTHY, *slow)}
    measured = [applications[name] for name in HEALTHY]
    async with AsyncExitStack() as serving:
        for name, application in applications.items():
            server = await serving.enter_async_context(stranger(application))
            await house.application(name, server.url(), algorithm="RS256")
        clients = list(applications)

        measure_s = await longest_wait_in_open_loop_s(house, "quick", clients, measured, lasts_s=OPEN_LOOP_S / 4)
        for name in slow:
            applications[name].now = late(SLOW_S, answer(200))
        waited_s = await longest_wait_in_open_loop_s(house, "slow", clients, measured, lasts_s=OPEN_LOOP_S)

        assert waited_s <= measure_s + ISOLATION_S
        assert {(await house.health(name)).breaker(0) for name in slow} == {"closed"}
        for name in clients:
            await house.resources.applications.remove(name)


async def test_many_bad_applications_do_not_delay_a_healthy_one_beyond_the_bound(house: House) -> None:
    bad = {f"{kind}-{number}": kind for kind in KINDS for number in range(OF_EACH)}
    applications = {name: Application(now=answer(200)) for name in (*HEALTHY, *bad)}
    measured = [applications[name] for name in HEALTHY]
    async with AsyncExitStack() as serving:
        for name, application in applications.items():
            server = await serving.enter_async_context(stranger(application))
            await house.application(name, server.url(), algorithm="RS256")
        clients = list(applications)

        measure_s = await longest_wait_s(house, "before", clients, measured)
        for name, kind in bad.items():
            applications[name].now = KINDS[kind]
        waited_s = await longest_wait_s(house, "after", clients, measured, lasts_s=LASTS_S)

        assert waited_s <= measure_s + ISOLATION_S
        # Those that said a status have answered, whatever came of the rest.
        answered = {"drips-a-body", "floods", "redirects", "answers-late"}
        for name, kind in bad.items():
            assert ((await house.health(name)).breaker(0) == "closed") == (kind in answered), name
        for name in clients:
            await house.resources.applications.remove(name)
