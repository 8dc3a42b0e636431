"""A real redis-server for tests: one a run, emptied before each test that asks for it."""

from contextlib import closing
from pathlib import Path

import redis

from service.embedded_redis import EmbeddedRedis


def start_redis(folder: Path, *, persistent: bool = False) -> EmbeddedRedis:
    """A running redis-server with its data in `folder`; without persistence it is quicker and must not be restarted."""
    server = EmbeddedRedis(folder, persistent=persistent)
    server.start()
    return server


def empty(server: EmbeddedRedis) -> None:
    """Forget everything in it, scripts too; started again if a test has ended it."""
    server.start()
    with closing(connect(server)) as client:
        client.flushall()
        client.script_flush()


def connect(server: EmbeddedRedis) -> "redis.Redis":
    """A plain client, to look behind the service's back. The caller closes it."""
    return redis.Redis(unix_socket_path=str(server.socket), decode_responses=True)
