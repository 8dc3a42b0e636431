"""A connection to Redis closed just before something is sent on it: uvloop's RuntimeError was answered with 500."""

import uvloop
from redis.asyncio import Redis

from service.store.record import Record, open_pool


def test_a_connection_that_has_closed_unnoticed_is_replaced_by_another(redis_url: str) -> None:
    async def ask_twice() -> list[bool]:
        client = Redis(connection_pool=open_pool(redis_url, decode=True, size=1))
        try:
            record = Record(client)
            first = await record.run("PING")
            connection = await client.connection_pool.get_connection()
            await client.connection_pool.release(connection)
            connection._writer.transport.abort()
            return [first, await record.run("PING")]
        finally:
            await client.aclose(close_connection_pool=True)

    assert uvloop.run(ask_twice()) == [True, True]
