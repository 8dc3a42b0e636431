"""What any test may ask for."""

from collections.abc import Iterator

import pytest

from service.embedded_redis import EmbeddedRedis
from tests.support.documented import never_seen
from tests.support.redis_server import empty, start_redis


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After every test has run: the answers that are documented and that no test has seen. A report, and no failure."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and not config.option.keyword and not config.option.markexpr and (missing := never_seen()):
        terminalreporter.section("documented answers that no test has seen")
        terminalreporter.write_line("\n".join(missing))


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
