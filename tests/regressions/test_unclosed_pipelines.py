"""A queue's Redis that stopped answering while arq watched a key kept the connection's place in the pool for good ("Unclosed
Pipeline client"), and whoever had no time left to ask it waited for a new connection before they could go."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.embedded_redis import EmbeddedRedis
from service.queue_redis import QueueRedis
from service.store import record
from tests.support.redis_server import empty

SILENT_S = 0.3
"""After how long without an answer a call fails here, in seconds."""


@contextmanager
def standing_still(server: EmbeddedRedis) -> Iterator[None]:
    """Whoever has it stopped in here: it goes on at the end."""
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


@pytest.fixture
async def queue_redis(redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[QueueRedis]:
    empty(redis_server)
    monkeypatch.setattr(record, "SOCKET_TIMEOUT_S", SILENT_S)
    pool = record.open_pool(redis_server.url, decode=False, size=1)
    client = QueueRedis(pool_or_conn=pool)
    yield client
    await client.aclose(close_connection_pool=True)


async def test_a_place_is_given_back_when_nobody_answers_that_no_key_is_watched_any_more(
    redis_server: EmbeddedRedis, queue_redis: QueueRedis
) -> None:
    with standing_still(redis_server):
        async with queue_redis.pipeline(transaction=True) as pipe:
            await _watch(redis_server, pipe)
    async with asyncio.timeout(SILENT_S * 10):
        assert await queue_redis.ping()


async def test_whoever_has_no_time_left_waits_for_nothing_more(
    redis_server: EmbeddedRedis, queue_redis: QueueRedis
) -> None:
    async def ask() -> None:
        async with queue_redis.pipeline(transaction=True) as pipe:
            await _watch(redis_server, pipe)
            await pipe.exists("a key")

    with standing_still(redis_server):
        asking = asyncio.create_task(ask())
        await asyncio.wait([asking], timeout=SILENT_S / 3)
        began = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - began < SILENT_S
    async with asyncio.timeout(SILENT_S * 10):
        assert await queue_redis.ping()


async def test_nor_does_whoever_was_just_writing(redis_server: EmbeddedRedis, queue_redis: QueueRedis) -> None:
    async def write() -> None:
        async with queue_redis.pipeline(transaction=True) as pipe:
            await _watch(redis_server, pipe)
            pipe.multi()
            pipe.set("a key", "a value")
            await pipe.execute()

    with standing_still(redis_server):
        writing = asyncio.create_task(write())
        await asyncio.wait([writing], timeout=SILENT_S / 3)
        began = time.monotonic()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert time.monotonic() - began < SILENT_S / 2
    async with asyncio.timeout(SILENT_S * 10):
        assert await queue_redis.ping()


async def test_a_place_is_given_back_when_whoever_waits_for_that_answer_is_cancelled(
    redis_server: EmbeddedRedis, queue_redis: QueueRedis
) -> None:
    async def ask() -> None:
        async with queue_redis.pipeline(transaction=True) as pipe:
            await _watch(redis_server, pipe)

    with standing_still(redis_server):
        asking = asyncio.create_task(ask())
        await asyncio.wait([asking], timeout=SILENT_S / 3)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    async with asyncio.timeout(SILENT_S * 10):
        assert await queue_redis.ping()


async def test_what_was_watched_when_something_failed_fails_nothing_later(queue_redis: QueueRedis) -> None:
    async def fail() -> None:
        async with queue_redis.pipeline(transaction=True) as pipe:
            await pipe.watch("a key")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await queue_redis.set("a key", "changed")
    async with queue_redis.pipeline(transaction=True) as pipe:
        pipe.set("another key", "written")
        assert await pipe.execute() == [True]


async def _watch(server: EmbeddedRedis, pipe: Any) -> None:
    """As arq does it; from then on nobody answers."""
    await pipe.watch("a key")
    os.kill(server.process.pid, signal.SIGSTOP)
