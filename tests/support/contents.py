"""Everything that is in Redis, as a test may compare it: before and after, or with what must not be there."""

from contextlib import closing

import redis


def contents(redis_url: str) -> dict[str, object]:
    """Each key's value, by its type."""
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        return {str(key): _value(client, str(key)) for key in client.keys("*")}


def types(redis_url: str) -> dict[str, str]:
    """Each key's type."""
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        return {str(key): str(client.type(key)) for key in client.keys("*")}


def lifetimes_ms(redis_url: str) -> dict[str, int]:
    """How long each key lives yet, in milliseconds; -1: until it is deleted."""
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        return {str(key): client.pttl(key) for key in client.keys("*")}


def _value(client: "redis.Redis", key: str) -> object:
    match client.type(key):
        case "hash":
            return client.hgetall(key)
        case "set":
            return client.smembers(key)
        case "zset":
            return client.zrange(key, 0, -1, withscores=True)
        case _:
            return client.get(key)
