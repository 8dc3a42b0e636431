"""A request that is given up at any moment of a call to Redis leaves no connection behind on which the next finds its reply."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from redis.asyncio import Redis

from service.embedded_redis import EmbeddedRedis
from service.store.record import Record, open_pool

STEPS = 30
"""Turns of the event loop after which a call is given up: more than any takes."""

CALLS: dict[str, Callable[[Record, str], Awaitable[object]]] = {
    "a command": lambda record, text: record.run("ECHO", text),
    "a pipeline": lambda record, text: record.pipeline([("ECHO", text), ("ECHO", text)]),
}


async def mixed_up(url: str, call: Callable[[Record, str], Awaitable[object]]) -> list[str]:
    """What was answered to somebody else, over one connection."""
    client = Redis(connection_pool=open_pool(url, decode=True, size=1))
    record = Record(client)
    found = []
    try:
        for steps in range(STEPS):
            given_up = asyncio.ensure_future(call(record, "given up"))
            for _ in range(steps):
                await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            answers = [await record.run("ECHO", f"{steps}-{each}") for each in range(3)]
            if answers != [f"{steps}-{each}" for each in range(3)]:
                found.append(f"given up after {steps} turns: {answers}")
    finally:
        await client.aclose(close_connection_pool=True)
    return found


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_nobody_is_given_the_reply_to_what_was_given_up(
    redis_server: EmbeddedRedis, run: Callable[[Awaitable[list[str]]], list[str]], what: str
) -> None:
    assert run(mixed_up(redis_server.url, CALLS[what])) == []
