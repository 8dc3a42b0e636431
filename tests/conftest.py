"""What any test may ask for."""

from collections.abc import Iterator

import pytest

from service.embedded_redis import EmbeddedRedis
from tests.support.redis_server import empty, start_redis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One redis-server for the whole run, without persistence. Ask for `redis_url`, which also empties it."""
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The URL of a real and empty Redis."""
    empty(redis_server)
    return redis_server.url
