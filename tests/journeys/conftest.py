"""One running service for all journeys, with both its processes and its own Redis; every journey finds it whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.dev import DevStack, dev_stack
from tests.support.authorization_server import AuthorizationServer
from tests.support.identity_provider import IdentityProvider
from tests.support.relying_party import RelyingParties
from tests.support.story import Story


@pytest.fixture(scope="session")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both processes have logged."""
    return tmp_path_factory.mktemp("journeys") / "log.jsonl"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Redis keeps its append-only file."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def running_stack(data_dir: Path, log_file: Path) -> Iterator[DevStack]:
    """Everything, started once. Ask for `stack` or `story`."""
    with dev_stack(port=0, data_dir=data_dir, log_to=log_file) as stack:
        yield stack


@pytest.fixture(scope="session")
def server(running_stack: DevStack, log_file: Path) -> Iterator[AuthorizationServer]:
    """The management API, and every secret any journey has used: none of them may be in the log when all are told."""
    server = AuthorizationServer(running_stack.url, running_stack.admin_token)
    with server.http:
        yield server
    logged = log_file.read_text("utf-8").lower()
    assert [each[:4] for each in server.secrets if each.lower() in logged] == []


@pytest.fixture(scope="session")
def idp() -> Iterator[IdentityProvider]:
    """An identity provider nobody breaks."""
    with IdentityProvider.in_thread() as provider:
        yield provider


@pytest.fixture(scope="session")
def parties() -> Iterator[RelyingParties]:
    """Where applications are opened."""
    with RelyingParties.running() as opened:
        yield opened


@pytest.fixture(scope="module")
def module_stack(running_stack: DevStack) -> DevStack:
    """The stack with all its parts running, whatever an earlier module did to it."""
    return make_whole(running_stack)


@pytest.fixture
def stack(running_stack: DevStack) -> DevStack:
    """The stack with all its parts running, whatever an earlier journey did to it."""
    return make_whole(running_stack)


@pytest.fixture
def story(stack: DevStack, server: AuthorizationServer, idp: IdentityProvider, parties: RelyingParties) -> Story:
    """A story of its own, over a whole stack."""
    return Story(server=server, idp=idp, parties=parties)


@pytest.fixture(scope="module")
def module_story(
    module_stack: DevStack, server: AuthorizationServer, idp: IdentityProvider, parties: RelyingParties
) -> Story:
    """A story told once for all tests of a module."""
    return Story(server=server, idp=idp, parties=parties)


def make_whole(stack: DevStack) -> DevStack:
    """Start whatever does not run."""
    stack.redis.start()
    for child in (stack.service, stack.worker):
        child.start()
    return stack
