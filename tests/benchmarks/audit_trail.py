"""What the audit trail costs: accepting a revocation, and writing outcomes down, with it and without, in turn.

    python -m tests.benchmarks.audit_trail

Against a Redis of its own that syncs its append-only file at every write, as in production. Absolute times are this machine's.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from service.domain.audit import Fact
from service.domain.delivery import Attempt, Delivery
from service.domain.identifiers import delivery_id_for
from service.store import keyspace
from service.store.audit import Trail
from service.store.pseudonyms import Pseudonym, Pseudonyms
from service.telemetry import BoundedLines
from tests.support.house import House, open_house, user_id
from tests.support.redis_server import start_redis
from workers.ledger import Entry

ROUNDS: Final = 300
"""Times each is done each way: enough for a 99th percentile that is not one outlier."""

APPLICATIONS: Final = 20
"""Outcomes in one write of the ledger."""


class _NoNames(Pseudonyms):
    async def of_all(self, user_ids: Sequence[str]) -> dict[str, Pseudonym]:  # noqa: ARG002 - as the other takes
        return {}


class _NoTrail(Trail):
    async def append(self, facts: Sequence[Fact]) -> None:  # noqa: ARG002 - as the other takes
        return None


async def accept(house: House, trail: Trail) -> float:
    """One revocation through the sink, in milliseconds."""
    await house.sign_in("ada", "crm")
    sink = replace(house.resources.sink, trail=trail)
    request = house.request("ada")
    started = time.perf_counter()
    await sink.accept(request)
    return (time.perf_counter() - started) * 1000


async def write_down(house: House, trail: Trail) -> float:
    """The outcomes of one revocation, in milliseconds."""
    rid = await house.record_only(house.request("ada"))
    owed = [
        Delivery(
            delivery_id=delivery_id_for(rid, user_id("ada"), f"app-{each}", "ada", None),
            user_id=user_id("ada"),
            client_id=f"app-{each}",
            sub="ada",
            sid=None,
        )
        for each in range(APPLICATIONS)
    ]
    now_ms = house.clock.now_ms()
    until_ms = now_ms + 20_000
    await house.resources.revocations.plan(
        await house.receipt(rid),
        owed,
        sessions_ended=0,
        refresh_tokens_revoked=0,
        now_ms=now_ms,
        lease_until_ms=until_ms,
    )
    revocation = await house.receipt(rid)
    ledger = house.worker.notifier.ledger
    ledger._trail = trail
    told = (Attempt(at_ms=now_ms, duration_ms=1, status=200),)
    started = time.perf_counter()
    await asyncio.gather(
        *(
            ledger.write(
                Entry(
                    revocation=revocation,
                    before=each,
                    after=replace(each, state="delivered", attempts=told, attempt_count=1),
                    lease_until_ms=until_ms,
                )
            )
            for each in owed
        )
    )
    return (time.perf_counter() - started) * 1000


async def compare(house: House, name: str, act: Callable[[House, Trail], Awaitable[float]]) -> None:
    """Do it each way in turn, and print what came of it."""
    record, numbers = house.resources.record, house.resources.numbers
    without = _NoTrail(record, _NoNames(record), numbers, lines=BoundedLines(house.clock))
    took: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(ROUNDS):
        took["with"].append(await act(house, house.resources.trail))
        took["without"].append(await act(house, without))
    middle = {each: median(values) for each, values in took.items()}
    last = {each: quantiles(values, n=100)[-1] for each, values in took.items()}
    sys.stdout.write(
        f"{name}: median {middle['with']:.2f} ms with, {middle['without']:.2f} ms without, "
        f"ratio {middle['with'] / middle['without']:.2f}; 99th percentile {last['with']:.2f} and {last['without']:.2f} ms, "
        f"ratio {last['with'] / last['without']:.2f}\n"
    )


async def seal(house: House) -> None:
    """Print what a seal over everything costs."""
    started = time.perf_counter()
    await house.resources.seals.seal()
    took_s = time.perf_counter() - started
    length, size = await house.resources.record.pipeline(
        [("XLEN", keyspace.AUDIT_TRAIL), ("MEMORY", "USAGE", keyspace.AUDIT_TRAIL, "SAMPLES", 0)]
    )
    sys.stdout.write(
        f"a seal: {took_s * 1_000_000 / length:.0f} µs an entry, over {length} entries; in Redis {size / length:.0f} bytes each\n"
    )


async def main() -> None:
    """Everything, against one Redis."""
    with tempfile.TemporaryDirectory() as folder:
        server = start_redis(Path(folder), persistent=True)
        try:
            async with open_house(server.url, Path(folder)) as house:
                await compare(house, "accepting a revocation", accept)
                await compare(house, f"writing {APPLICATIONS} outcomes down", write_down)
                await seal(house)
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main())
