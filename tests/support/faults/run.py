"""A run of a plan, from the first process to the verdict."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aiohttp

from tests.support.faults.applications import Applications
from tests.support.faults.calling import CALLER_TIMEOUT_S, GaveUp
from tests.support.faults.conducting import Conductor, Endured
from tests.support.faults.explaining import Explanations
from tests.support.faults.feeding import AT_ONCE, Feeder
from tests.support.faults.fleet import Fleet, running_fleet
from tests.support.faults.leaking import Secrets
from tests.support.faults.lives import Connection, Life
from tests.support.faults.plan import Misbehaviour, Plan
from tests.support.faults.recovering import Histories, measure_recovery
from tests.support.faults.verdict import (
    Verdict,
    judge_answers,
    judge_telling,
    judge_writing,
    owed,
)
from tests.support.identity_provider import IdentityProvider

QUIET_S: Final = 120.0
"""Longest wait, after the last fault and the last answer, until everybody is told and every receipt finished, in seconds."""

POLL_S: Final = 0.2
"""Pause between two looks whether everybody is, in seconds."""

T = TypeVar("T")


class Outside:
    """Everything that is not ours, in an event loop of its own: it goes on while processes are killed and started."""

    def __init__(self, plan: Plan, fleet: Fleet) -> None:
        self.plan = plan
        self.fleet = fleet
        self.lives = [Life(person=each) for each in plan.people]
        self.applications = Applications(plan.size.applications)
        self.gave_up: list[str] = []
        self.feeder: Feeder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="outside")
        self._opened = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.do(self._open())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.do(self._opened.aclose())
        finally:
            self._stop()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it done there, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def begin(self, started_s: float) -> Callable[[], None]:
        """Begin to feed; calling what is returned waits for the end of it."""
        feeding = asyncio.run_coroutine_threadsafe(self._feed(started_s), self._loop)
        return feeding.result

    def _stop(self) -> None:
        self.do(_end_all_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        enter = self._opened.enter_async_context
        providers = [await enter(IdentityProvider.running(numbers_from=each)) for each in (1, 2)]
        connections = [
            Connection(name=f"okta-{number}", idp=each, hook_secret=f"secret-of-the-event-hook-{number}")
            for number, each in enumerate(providers)
        ]
        await self.applications.open()
        self._opened.push_async_callback(self.applications.close)
        timeout = aiohttp.ClientTimeout(total=CALLER_TIMEOUT_S)
        http = await enter(aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)))
        self.feeder = Feeder(fleet=self.fleet, connections=connections, applications=self.applications.every, http=http)
        await self.feeder.set_up()
        jwks = await self.feeder.api("GET", "/.well-known/jwks.json")
        self.applications.trust(self.fleet.urls["service-0"], jwks)

    async def _feed(self, started_s: float) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(life: Life) -> None:
            await asyncio.sleep(started_s + life.person.at_s - time.monotonic())
            async with places:
                try:
                    await self.feeder.live(life)
                except GaveUp as error:
                    self.gave_up.append(f"{life.sub}: {error}")

        tasks = [asyncio.create_task(one(each)) for each in self.lives]
        tasks += [asyncio.create_task(self._misbehave(each, started_s)) for each in self.plan.misbehaviours]
        # Somebody always asks, or a service nobody needs just then would seem to be away until somebody does.
        pulse = asyncio.create_task(self._pulse())
        await asyncio.gather(*tasks)
        pulse.cancel()
        await asyncio.gather(pulse, return_exceptions=True)

    async def _pulse(self) -> None:
        while True:
            await asyncio.gather(self.feeder.pulse(), asyncio.sleep(POLL_S))

    async def _misbehave(self, misbehaviour: Misbehaviour, started_s: float) -> None:
        await asyncio.sleep(started_s + misbehaviour.at_s - time.monotonic())
        application = self.applications.every[misbehaviour.application]
        application.manner = misbehaviour.manner
        await asyncio.sleep(misbehaviour.lasts_s)
        application.manner = None

    async def become_quiet(self) -> list[str]:
        """Wait until everybody who is owed it has been told, no revocation is open and every process is at work, or for QUIET_S.
        What is not so by then."""
        give_up_s = time.monotonic() + QUIET_S
        while left := await self._unquiet():
            if time.monotonic() > give_up_s:
                return left
            await asyncio.sleep(POLL_S)
        return []

    async def _unquiet(self) -> list[str]:
        told = self.applications.by_person
        untold = sum(sub not in told[number] for _, number, sub in owed(self.lives))
        still_open = await asyncio.to_thread(self.fleet.open_revocations)
        silent = set(self.fleet.services) - await self.feeder.pulse()
        silent |= set(self.fleet.workers) - await asyncio.to_thread(self.fleet.working)
        counts = {"untold": untold, "revocations open": still_open}
        return [f"{count} {what}" for what, count in counts.items() if count] + [
            f"no {each}" for each in sorted(silent)
        ]

    async def judge(self, verdict: Verdict) -> None:
        """Ask about everybody, one more time, now that everything is over."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(life: Life) -> None:
            async with places:
                await self._judge(life, verdict)

        await asyncio.gather(*(one(each) for each in self.lives))

    async def _judge(self, life: Life, verdict: Verdict) -> None:
        first = self.applications.every[life.person.applications[0]].client_id
        if life.twin is not None:
            untouched = all(await self.feeder.honoured(life.twin))
            untouched = untouched and "refresh_token" in await self.feeder.rotate(life.twin.online, first)
            verdict.untouched += untouched
            if not untouched:
                verdict.breaches.append(f"signed out though nobody revoked them: {life.sub}")
        if life.revoked is None:
            return
        honoured = await self.feeder.honoured(life.revoked)
        if len(set(honoured)) != 1:
            verdict.breaches.append(f"half revoked: {life.sub} by {life.person.way}, {honoured}")
        if life.acknowledged_s is None:
            return
        verdict.acknowledged += 1
        dead = life.effective_at_once is True and await self.feeder.is_over(life.revoked, first)
        verdict.effective += dead
        if not dead:
            verdict.breaches.append(
                f"acknowledged and not in force any more, or not at once: {life.sub} by {life.person.way}, {honoured}"
            )
        listed = await self.feeder.api("GET", f"/api/v2/revocations?user_id={life.revoked.user_id}")
        states = [each["state"] for each in listed["items"]]
        finished = bool(states) and set(states) == {"completed"}
        verdict.receipts_finished += finished
        if not finished:
            verdict.breaches.append(f"receipts of {life.sub} by {life.person.way}: {states}")


async def _end_all_others() -> None:
    """Whatever still hangs in this loop."""
    others = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run that is over."""

    verdict: Verdict
    endured: tuple[Endured, ...]
    answers: tuple[tuple[float, str], ...]
    refusals: tuple[tuple[float, str], ...]
    """As the feeder has them: when, and by which service."""
    process_ids: tuple[dict[str, int], dict[str, int]]
    """Of our own processes, by name: before it and after."""


def carry_out(plan: Plan, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Run a plan in an empty folder, on the main thread. Logs stay there."""
    for line in plan.lines():
        say(line)
    verdict = Verdict()
    with (
        running_fleet(folder, pods=plan.size.pods, workers=plan.size.workers) as fleet,
        Outside(plan, fleet) as outside,
    ):
        say(f"running since {time.strftime('%H:%M:%S')}; logs in {folder}")
        conductor = Conductor(fleet=fleet)
        before = {name: each.pid for name, each in fleet.processes.items()}
        started_s = time.monotonic()
        all_fed = outside.begin(started_s)
        conductor.carry_out(plan.faults, started_s=started_s)
        all_fed()
        say(f"fed after {time.monotonic() - started_s:.1f} s")
        verdict.hold("at the end", outside.do(outside.become_quiet()))
        say(f"quiet after {time.monotonic() - started_s:.1f} s")
        outside.do(outside.judge(verdict))
        judge_telling(verdict, outside.lives, outside.applications)
        longest = measure_recovery(verdict, outside.lives, outside.applications, conductor.endured, outside.feeder)
        if longest is not None:
            histories = Histories(
                feeder=outside.feeder,
                logs=fleet.logs,
                endured=conductor.endured,
                misbehaviours=plan.misbehaviours,
                started_s=started_s,
            )
            client_id = outside.applications.every[longest.number].client_id
            verdict.history = outside.do(histories.of(longest, client_id))
        verdict.hold("nobody answered", outside.gave_up)
        verdict.hold("an answer nobody should have", outside.feeder.unexpected)
        verdict.hold("an end that was not clean", conductor.unclean)
        after = {name: each.pid for name, each in fleet.processes.items()}
        secrets = Secrets(outside.feeder.secrets | outside.applications.texts)
        explanations = Explanations(endured=conductor.endured)
        judge_answers(verdict, explanations, outside.feeder)
    judge_writing(verdict, explanations, fleet, secrets)
    return Outcome(
        verdict=verdict,
        endured=tuple(conductor.endured),
        answers=tuple(outside.feeder.answers),
        refusals=tuple(outside.feeder.refusals),
        process_ids=(before, after),
    )
