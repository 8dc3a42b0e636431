"""How many logout tokens a second and process go out: our client against httpx with a pool of its own, the baseline.

`python -m tests.benchmarks.outbound_posts` prints figures of this machine and their ratio, and gates nothing. The server is
a process of its own, and a simple one: where it is the slower half, the ratio is too small.
"""

import argparse
import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
import uvloop

from service.outbound import open_outbound
from tests.support.hostile_servers import hostile_servers

FORM: Final = {"logout_token": "e" * 900}
"""About as long as one signed by RS256."""

Post = Callable[[str], Awaitable[object]]


async def _rate(post: Post, url: str, *, count: int, callers: int) -> float:
    """POSTs a second by so many callers at once, after a few that open the connections."""
    turns = iter(range(callers))

    async def call() -> None:
        for _ in turns:
            await post(url)

    await asyncio.gather(*(call() for _ in range(callers)))
    turns = iter(range(count))
    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return count / (time.perf_counter() - began)


async def _compare(url: str, *, count: int, callers: int) -> None:
    loopback = (ipaddress.IPv4Network("127.0.0.0/8"),)
    async with open_outbound(allowed_networks=loopback, deadline_s=60) as outbound:
        ours = await _rate(lambda to: outbound.post_form(to, FORM), url, count=count, callers=callers)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=httpx.Limits(max_connections=256)) as client:
        theirs = await _rate(lambda to: client.post(to, data=FORM), url, count=count, callers=callers)
    print(f"{callers} callers, one host: ours {ours:.0f}/s, httpx's pool {theirs:.0f}/s, ratio {ours / theirs:.1f}")  # noqa: T201


def main() -> None:
    """Compare at a few degrees of concurrency."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=2000, help="POSTs of each kind")
    count: int = options.parse_args().count
    with hostile_servers() as servers:
        for callers in (1, 10, 50, 100):
            uvloop.run(_compare(servers.urls["healthy"], count=count, callers=callers))


if __name__ == "__main__":
    main()
