"""Name servers that hang, played by a resolver that blocks its thread, as the system's does."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from service.outbound import OutboundError, open_outbound
from service.outbound.lookups import Lookups
from tests.outbound.conftest import LOOPBACK
from tests.support.strangers import answer, stranger
from tests.support.waiting import eventually


class Resolver:
    """Hangs for names that begin with `slow` until `free` is set; others have an address at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.free = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, host: str) -> Sequence[str]:
        with self._lock:
            self.asked.append(host)
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if host.startswith("slow"):
                assert self.free.wait(30)
            if host == "none.test":
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            if host == "broken.test":
                raise KeyError(host)
            return ["127.0.0.1"]
        finally:
            with self._lock:
                self.at_once -= 1


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    made = Resolver()
    yield made
    made.free.set()


async def _asked(resolver: Resolver, count: int) -> None:
    # A thread's doing: there is nothing a task could wait for.
    await asyncio.to_thread(eventually, lambda: len(resolver.asked), lambda asked: asked >= count)


async def _give_up(lookups: Lookups, host: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lookups(host)


async def test_answers_and_errors_reach_everybody_who_asked(resolver: Resolver) -> None:
    lookups = Lookups(resolver)
    assert await asyncio.gather(*(lookups("app.test") for _ in range(5))) == [["127.0.0.1"]] * 5
    assert resolver.asked == ["app.test"]
    for name in ("none.test", "broken.test"):
        for failed in await asyncio.gather(*(lookups(name) for _ in range(3)), return_exceptions=True):
            assert isinstance(failed, OSError)


async def test_a_name_that_hangs_takes_one_thread_however_often_it_is_asked_for(resolver: Resolver) -> None:
    lookups = Lookups(resolver)
    for _ in range(5):
        await asyncio.gather(*(_give_up(lookups, "slow.test") for _ in range(20)))
    assert resolver.asked == ["slow.test"]
    resolver.free.set()
    assert await lookups("slow.test") == ["127.0.0.1"]
    assert await lookups("slow.test") == ["127.0.0.1"]


async def test_names_that_hang_have_a_bound_and_those_nobody_waits_for_are_not_asked_for(resolver: Resolver) -> None:
    lookups = Lookups(resolver, at_once=3)
    await asyncio.gather(*(_give_up(lookups, f"slow{i}.test") for i in range(20)))
    assert len(resolver.asked) == resolver.most_at_once == 3
    resolver.free.set()
    assert await lookups("app.test") == ["127.0.0.1"]
    assert len(resolver.asked) == 4


async def test_a_name_that_has_been_answered_does_not_wait_for_names_that_hang(resolver: Resolver) -> None:
    lookups = Lookups(resolver, at_once=2, proven_at_once=1)
    await lookups("app.test")
    hanging = [asyncio.create_task(lookups(f"slow{i}.test")) for i in range(20)]
    await _asked(resolver, 3)
    assert await lookups("app.test") == ["127.0.0.1"]
    await _give_up(lookups, "new.test")
    resolver.free.set()
    await asyncio.gather(*hanging)


async def test_a_name_that_was_late_once_has_to_prove_itself_anew(resolver: Resolver) -> None:
    lookups = Lookups(resolver, at_once=1, proven_at_once=1, in_time_s=0.01)
    late = asyncio.create_task(lookups("slow.test"))
    await _asked(resolver, 1)
    asked_s = time.monotonic()
    await asyncio.to_thread(eventually, lambda: time.monotonic() - asked_s, lambda past_s: past_s > 0.02)
    resolver.free.set()
    await late
    resolver.free.clear()
    await _give_up(lookups, "slow.test")
    # Its thread is one of the others', so this one has to wait, as a new name.
    await _give_up(lookups, "app.test")
    assert resolver.asked == ["slow.test", "slow.test"]


async def test_applications_whose_name_servers_hang_delay_no_other(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(host: str, *_args: object, **_kwargs: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, host, (each, 0)) for each in resolver(host)]

    async with (
        stranger(answer(204, connection="close")) as app,
        open_outbound(allowed_networks=LOOPBACK, names_kept_s=0, deadline_s=2) as outbound,
    ):
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        await outbound.post_form(app.url(host="app.test"), {})
        slow = [asyncio.create_task(outbound.post_form(app.url(host=f"slow{i}.test"), {})) for i in range(200)]
        await _asked(resolver, 20)
        started = time.monotonic()
        assert (await outbound.post_form(app.url(host="app.test"), {})).status == 204
        assert time.monotonic() - started < 0.8
        failures = await asyncio.gather(*slow, return_exceptions=True)
        reasons = [each.reason for each in failures if isinstance(each, OutboundError)]
        assert reasons == ["dns_timeout"] * 200
        assert outbound.in_use == 0


def test_a_name_that_hangs_does_not_keep_a_process_from_ending() -> None:
    program = """
import asyncio, threading
from service.outbound.lookups import Lookups
async def main():
    lookups = Lookups(lambda host: threading.Event().wait())
    try:
        async with asyncio.timeout(0.1):
            await lookups("slow.test")
    except TimeoutError:
        lookups.close()
        print("done")
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
