"""The service on a real socket, without a worker, for the conformance of its doors. Import the fixtures."""

from collections.abc import Iterator

import pytest

from service.embedded_redis import EmbeddedRedis
from tests.support.authorization_server import AuthorizationServer
from tests.support.clock import HandClock
from tests.support.http_service import http_service
from tests.support.identity_provider import IdentityProvider
from tests.support.redis_server import empty
from tests.support.relying_party import RelyingParties
from tests.support.story import Story


@pytest.fixture(scope="module")
def clock() -> HandClock:
    """The service's clock."""
    return HandClock()


@pytest.fixture(scope="module")
def server(
    redis_server: EmbeddedRedis, clock: HandClock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AuthorizationServer]:
    """The service, without a worker: what the doors promise, they keep alone."""
    empty(redis_server)
    with http_service(redis_server.url, tmp_path_factory.mktemp("service"), clock=clock) as running:
        yield running


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    """An identity provider; a test that breaks it has one of its own."""
    with IdentityProvider.in_thread() as provider:
        yield provider


@pytest.fixture(scope="module")
def parties() -> Iterator[RelyingParties]:
    """Where applications are opened."""
    with RelyingParties.running() as opened:
        yield opened


@pytest.fixture
def story(server: AuthorizationServer, idp: IdentityProvider, parties: RelyingParties) -> Story:
    """Names of one test's own."""
    return Story(server=server, idp=idp, parties=parties)
