"""One urgent revocation overtakes thousands of bulk ones: the real processes, one application that all of them are for."""

import asyncio
import time
from pathlib import Path

from service.dev import DevStack
from tests.support.house import House, open_house
from tests.support.strangers import Stranger, answer, late, stranger

BULK = 2000
"""Revocations that are queued before the urgent one."""

AT_ONCE = 50
"""How many of them are made at the same time."""

BOUND_S = 2.0
"""How soon an urgent one is told while they are under way, in seconds (deploy/README.md)."""

NOISE = 2.5
"""How much longer a machine may take that runs the tests of others at the same time."""


async def queue_bulk(house: House) -> None:
    """Accept the bulk; nobody works on it yet."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            await house.sign_in(f"bulk-{number}", "crm")
            await house.revoke(f"bulk-{number}", lane="bulk")

    await asyncio.gather(*(one(number) for number in range(BULK)))


async def told(app: Stranger, sub: str) -> None:
    """Wait for the logout token of somebody."""
    seen = 0
    while all(each.claims["sub"] != sub for each in app.requests[seen:]):
        seen = len(app.requests)
        await app.seen(seen + 1, within_s=30)


async def test_an_urgent_revocation_overtakes_thousands_of_bulk_ones(stack: DevStack, tmp_path: Path) -> None:
    stack.worker.stop()
    async with open_house(stack.redis_url, tmp_path) as house, stranger(late(0.01, answer(200))) as app:
        try:
            await house.application("crm", app.url(), algorithm="RS256")
            await queue_bulk(house)
            stack.worker.start()
            await app.seen(100, within_s=30)

            await house.sign_in("ada", "crm")
            began, before = time.monotonic(), len(app.requests)
            rid = await house.revoke("ada")
            await told(app, "crm|ada")
            took_s, after = time.monotonic() - began, len(app.requests)

            assert (await house.receipt(rid)).lane == "urgent"
            assert took_s < BOUND_S * NOISE
            assert after < BULK, "there was nothing left to overtake"
            assert after - before < BULK / 2
            await app.seen(after + 50, within_s=60)  # and the bulk gets on
        finally:
            await house.resources.applications.remove("crm")
            stack.worker.start()
