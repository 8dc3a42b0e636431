"""The commands against the real service on a real socket, over an empty Redis; no terminal, and nobody's own settings."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.domain.clock import SystemClock
from service.embedded_redis import EmbeddedRedis
from tests.support.authorization_server import AuthorizationServer
from tests.support.command_line import Commands
from tests.support.http_service import ADMIN_TOKEN, http_service
from tests.support.identity_provider import CLIENT_ID, IdentityProvider


@pytest.fixture(scope="module", autouse=True)
def _nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.upper().startswith("LOGOUTD_")]:
            patch.delenv(name)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("share")))
        # Usage errors are drawn by rich, which breaks lines where the terminal ends.
        patch.setenv("TERMINAL_WIDTH", "200")
        patch.setenv("TERM", "dumb")
        yield


@pytest.fixture(scope="module")
def module_server(
    redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AuthorizationServer]:
    """One running service for all tests of a module. Ask for `server` or `commands`."""
    with http_service(redis_server.url, tmp_path_factory.mktemp("service"), clock=SystemClock()) as server:
        yield server


@pytest.fixture
def server(module_server: AuthorizationServer, redis_url: str) -> AuthorizationServer:
    """The service over an empty Redis."""
    return module_server


@pytest.fixture
def commands(server: AuthorizationServer, tmp_path: Path) -> Commands:
    """The command line of an administrator of that service."""
    token = tmp_path / "admin-token"
    token.write_text(f"{ADMIN_TOKEN}\n", "utf-8")
    environment = {"LOGOUTD_PUBLIC_URL": str(server.http.base_url), "LOGOUTD_ADMIN_TOKEN_FILE": str(token)}
    return Commands(environment=environment)


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    """An identity provider nobody breaks."""
    with IdentityProvider.in_thread() as provider:
        yield provider


@pytest.fixture
def okta(server: AuthorizationServer, idp: IdentityProvider) -> dict[str, Any]:
    """A connection of that name, by discovery, with the application `notes` enabled."""
    uri = "http://127.0.0.1:9/backchannel-logout"
    server.ask("POST", "/api/v2/clients", {"client_id": "notes", "backchannel_logout_uri": uri}, expect=201)
    body = {
        "name": "okta",
        "strategy": "oidc",
        "options": {
            "type": "back_channel",
            "discovery_url": idp.discovery_url,
            "client_id": CLIENT_ID,
            "client_secret": "s3cret-of-ours-there",
        },
        "enabled_clients": ["notes"],
    }
    made: dict[str, Any] = server.ask("POST", "/api/v2/connections", body, expect=201)
    return made


@pytest.fixture
def signed_in(server: AuthorizationServer, okta: dict[str, Any], idp: IdentityProvider) -> dict[str, Any]:
    """Ada's session at `notes`."""
    body = {
        "connection": "okta",
        "subject": {"iss": idp.issuer, "sub": "00u1ada"},
        "identifiers": [{"format": "email", "email": "ada@example.com"}],
        "clients": [{"client_id": "notes"}],
    }
    made: dict[str, Any] = server.ask("POST", "/api/v2/sessions", body, expect=201)
    return made
