"""What any test may ask for."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.embedded_redis import EmbeddedRedis
from tests.support.documented import never_seen, see, seen
from tests.support.redis_server import empty, start_redis


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What one of several processes has seen goes to the one that reports, which fails where a whole run missed an answer."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["seen"] = sorted(seen())
    elif session.exitstatus == pytest.ExitCode.OK and _is_whole(session.config) and never_seen():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_whole(config: pytest.Config) -> bool:
    """Whether every test is asked for."""
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS and config.option.markexpr == "not soak"
    return everything and not (config.option.keyword or config.option.lf or config.option.collectonly)


class _Processes:
    """Hears of every process's end."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add up what they have seen."""
        see((str(operation), int(status)) for operation, status in getattr(node, "workeroutput", {}).get("seen", ()))


def pytest_configure(config: pytest.Config) -> None:
    """Have the ends of processes heard of, where there are several."""
    config.pluginmanager.register(_Processes())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After every test has run: the answers that are documented and that no test has seen. They fail the run."""
    if _is_whole(config) and (missing := never_seen()):
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
