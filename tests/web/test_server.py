"""The server as it is configured: whose word on an address is taken, and how many files it may open."""

import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.support.authorization_server import AuthorizationServer
from tests.support.clock import HandClock
from tests.support.http_service import http_service
from tests.support.processes import LIMIT_S, ROOT, clean_environment

MOST = 3


def statuses(service: AuthorizationServer, *addresses: str) -> list[int]:
    """What guesses are answered that say to come from these addresses."""
    return [
        service.http.get(
            "/api/v2/clients", headers={"Authorization": "Bearer guess", "X-Forwarded-For": each}
        ).status_code
        for each in addresses
    ]


def test_nobodys_word_on_an_address_is_taken_unless_it_is_a_trusted_proxys(redis_url: str, tmp_path: Path) -> None:
    with http_service(redis_url, tmp_path, clock=HandClock(), failed_authentications_per_minute=MOST) as service:
        assert statuses(service, *(f"203.0.113.{each}" for each in range(MOST + 1))) == [401] * MOST + [429]


@pytest.mark.parametrize(
    ("network", "believed"), [("127.0.0.0/8", True), ("127.0.0.1/32", True), ("10.0.0.0/8", False)]
)
def test_a_trusted_proxy_says_who_it_is_that_asks(redis_url: str, tmp_path: Path, network: str, believed: bool) -> None:
    how: dict[str, Any] = {"trusted_proxies": (ip_network(network),), "failed_authentications_per_minute": MOST}
    with http_service(redis_url, tmp_path, clock=HandClock(), **how) as service:
        found = statuses(service, *(f"203.0.113.{each}" for each in range(MOST + 1)))
        assert found == ([401] * (MOST + 1) if believed else [401] * MOST + [429])
        # What stands before the proxy's own word is the stranger's, and changes nothing.
        made_up = [f"198.51.100.{each}, 203.0.113.77" for each in range(MOST + 1)]
        assert statuses(service, *made_up)[-1] == 429


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "files"),
    [(300, 4096, 2048, 2304), (4096, 4096, 2048, 4096), (300, 1000, 744, 1000)],
)
def test_as_many_connections_are_kept_as_there_are_files_for(
    soft: int, hard: int, connections: int, files: int
) -> None:
    program = (
        "import resource; from service.web.server import connections_for; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        "print(connections_for(2048), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    assert told.stdout.splitlines()[-1] == f"{connections} {files}"
    assert ("service.few_files" in told.stdout) == (connections < 2048)
