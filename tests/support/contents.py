"""Everything that is in Redis, as a test may compare it: before and after, or with what must not be there."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import redis

from service.store import keyspace


def contents(redis_url: str) -> dict[str, object]:
    """Each key's value, by its type. Without the audit trail, which tells what was asked for in vain too."""
    with _client(redis_url) as client:
        return {key: _value(client, key) for key in client.keys("*") if not key.startswith("logoutd:{audit}:")}


def trail(redis_url: str) -> list[dict[str, Any]]:
    """Every entry of the audit trail, the oldest first, as it stands there."""
    with _client(redis_url) as client:
        return [json.loads(told["entry"]) for _, told in client.xrange(keyspace.AUDIT_TRAIL)]


def types(redis_url: str) -> dict[str, str]:
    """Each key's type."""
    with _client(redis_url) as client:
        return {key: client.type(key) for key in client.keys("*")}


def lifetimes_ms(redis_url: str) -> dict[str, int]:
    """How long each key lives yet, in milliseconds; -1: until it is deleted."""
    with _client(redis_url) as client:
        return {key: client.pttl(key) for key in client.keys("*")}


@contextmanager
def _client(redis_url: str) -> Iterator[Any]:
    # redis-py types every answer as one that may have to be awaited.
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        yield client


def _value(client: Any, key: str) -> object:
    match client.type(key):
        case "hash":
            return client.hgetall(key)
        case "set":
            return client.smembers(key)
        case "zset":
            return client.zrange(key, 0, -1, withscores=True)
        case _:
            return client.get(key)
