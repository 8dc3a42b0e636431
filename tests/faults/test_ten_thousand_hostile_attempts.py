"""No place in a pool is lost, however attempts end: thousands of them at servers of every bad kind, cancelled anywhere.

The short form is part of every run; the whole is `make soak`'s. What each attempt does comes from a seed that is printed.
"""

import asyncio
import gc
import logging
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
import uvloop

from service.domain.tls_identity import TlsIdentity
from service.outbound import Outbound, OutboundError, open_outbound
from service.outbound.answers import Connector
from tests.outbound.conftest import LOOPBACK
from tests.support.certificates import Authority
from tests.support.hostile_servers import Hostile, hostile_servers
from tests.support.strangers import answer, stranger, wait_then

SEED: Final = 20_260_713

DEADLINE_S: Final = 1.0
"""What an attempt may take, in seconds; production gives five."""

CANCELLED_WITHIN_S: Final = 0.5
"""When those attempts are cancelled that are, at the latest: while they wait, resolve, connect, shake hands, send or read."""

CANCELLED_SHARE: Final = 0.6
"""How many are."""

CONNECTIONS: Final = 32
"""Places in a pool, fewer than attempts at once: some are cancelled while they wait for one."""

AT_ONCE: Final = 40
"""Attempts under way."""

PATIENCE_S: Final = 20.0
"""How long everything may take to be given back, in seconds; it takes less than one."""

MAX_GROWTH_KB: Final = 150_000
"""How much larger the process may have been at its largest, in kilobytes: a gigabyte is not read."""

FORM: Final = {"logout_token": "eyJ.eyJ.sig"}


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_no_place_is_lost_in_hundreds_of_hostile_attempts(
    loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _run(loop, 500, tmp_path, caplog)


@pytest.mark.soak
def test_no_place_is_lost_in_ten_thousand_hostile_attempts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _run(uvloop.new_event_loop, 10_000, tmp_path, caplog)


def _run(
    loop: Callable[[], asyncio.AbstractEventLoop], count: int, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(folder)
    with hostile_servers() as hostile, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_attempt_all(hostile, authority, count))
    gc.collect()
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


async def _attempt_all(hostile: Hostile, authority: Authority, count: int) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}: {count} attempts")  # noqa: T201  # shown where it fails
    asked_for_ever = asyncio.Event()

    async def resolve(host: str) -> Sequence[str]:
        if host == "never.test":
            await asked_for_ever.wait()
        return ["10.0.0.1", "169.254.169.254"] if host == "private.test" else ["10.0.0.1", "127.0.0.1"]

    hostile_root = authority.ca_file.with_name("hostile.pem")
    hostile_root.write_text(hostile.root, "ascii")
    identities = [
        None,
        TlsIdentity(ca_certificates=hostile.root),
        TlsIdentity(ca_certificates=authority.root),
        TlsIdentity(client_certificate=hostile.client.certificate, client_key=hostile.client.key),
        TlsIdentity(client_certificate=hostile.client.certificate, client_key="none"),
    ]
    # Some of each, and a healthy one among them more often.
    targets = [
        *hostile.urls.values(),
        *[hostile.urls["healthy"]] * 3,
        "https://never.test/",
        "https://private.test/",
        "http://10.0.0.1/",
        "https://[fe80::1]/",
        "nonsense",
    ]
    ended: Counter[str] = Counter()
    before = _sockets()
    began = time.monotonic()
    largest_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with open_outbound(
        allowed_networks=LOOPBACK,
        ca_file=hostile_root,
        resolve=resolve,
        deadline_s=DEADLINE_S,
        max_connections=CONNECTIONS,
        max_connections_per_host=CONNECTIONS // 2,
        max_identities=2,
    ) as outbound:

        async def attempt(url: str, tls: TlsIdentity | None, cancel_after_s: float | None) -> None:
            call = asyncio.create_task(outbound.post_form(url, FORM, tls=tls))
            if cancel_after_s is not None:
                asyncio.get_running_loop().call_later(cancel_after_s, call.cancel)
            await asyncio.wait([call])
            ended[_outcome(call)] += 1

        turns = iter(range(count))

        async def attempts() -> None:
            for _ in turns:
                url = chance.choice(targets)
                tls = chance.choice(identities) if url.startswith("https") else None
                cancelled = chance.random() < CANCELLED_SHARE
                await attempt(url, tls, chance.random() * CANCELLED_WITHIN_S if cancelled else None)

        await asyncio.gather(*(attempts() for _ in range(AT_ONCE)))
        took_s = time.monotonic() - began
        assert sum(ended.values()) == count
        assert outbound.in_use == 0, f"seed {SEED}"

        await _every_place_serves_at_once(outbound)
        assert outbound.in_use == 0, f"seed {SEED}"
        # Nothing is open but what is kept for the next call, and nothing runs that nobody waits for.
        await _until(lambda: _sockets() - before == _kept(outbound), f"seed {SEED}: sockets")
        await _until(lambda: len(asyncio.all_tasks()) == 1, f"seed {SEED}: tasks")
    await _until(lambda: _sockets() == before, f"seed {SEED}: sockets in the end")
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - largest_kb
    print(f"{took_s:.1f} s, {grown_kb // 1024} MiB; {dict(ended.most_common())}")  # noqa: T201
    assert grown_kb < MAX_GROWTH_KB
    # Which way how many end depends on how busy the machine is; that they end in many does not.
    assert {"cancelled", "timeout", "blocked_address", "invalid_url"} <= set(ended)
    assert len(ended) >= 10, ended


async def _every_place_serves_at_once(outbound: Outbound) -> None:
    """As many calls as there are places, none of which is answered before all of them have come."""
    all_there = asyncio.Event()
    # Nothing is hostile here but a busy machine.
    outbound._deadline_s = PATIENCE_S
    async with AsyncExitStack() as stack:
        healthy = [await stack.enter_async_context(stranger(wait_then(all_there, answer(204)))) for _ in range(2)]
        calls = [
            asyncio.create_task(outbound.post_form(each.url(), FORM))
            for each in healthy
            for _ in range(CONNECTIONS // 2)
        ]
        for each in healthy:
            await each.seen(CONNECTIONS // 2, within_s=PATIENCE_S)
        assert outbound.in_use == CONNECTIONS
        all_there.set()
        assert {reply.status for reply in await asyncio.gather(*calls)} == {204}


def _outcome(call: "asyncio.Task[object]") -> str:
    if call.cancelled():
        return "cancelled"
    error = call.exception()
    if error is None:
        return str(getattr(call.result(), "status", None))
    assert isinstance(error, OutboundError), error
    return error.reason


def _sockets() -> int:
    """Sockets this process has open."""
    return sum(1 for each in Path("/proc/self/fd").iterdir() if _leads_to(each).startswith("socket:"))


def _leads_to(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # the folder's own
        return ""


def _kept(outbound: Outbound) -> int:
    """Idle connections that are kept for the next call."""
    pools = [outbound._common, *outbound._identities._ready()]
    connectors: list[Connector] = [each for pool in pools for each in pool.connectors]
    return sum(len(idle) for each in connectors for idle in each._conns.values())


async def _until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)
