"""Clients that ask for much and take little of it: they hold neither a place among the requests that are worked on, nor a
connection that another one needs."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.store import keyspace
from service.web.exports import MOST_EXPORTS
from service.web.http_bounds import Bounds
from tests.support.authorization_server import AuthorizationServer
from tests.support.clock import HandClock
from tests.support.http_service import ADMIN_TOKEN, http_service
from tests.support.raw_http import exchange, head
from tests.support.waiting import PATIENCE_S, eventually

CLOSE = "Connection: close"
BY_ADMINISTRATOR = f"Authorization: Bearer {ADMIN_TOKEN}"
MANY = [("/openapi.json", 40), ("/.well-known/jwks.json", 4000)]
"""What is more than any buffer on the way holds: few long answers, and many short ones."""


@contextlib.contextmanager
def serving(redis_url: str, folder: Path, *, max_connections: int = 4096, **how: Any) -> Iterator[AuthorizationServer]:
    """The service; no deadline ends what is sent here."""
    bounds = Bounds(max_connections=max_connections, head_s=600.0, body_s=600.0, write_s=600.0)
    with http_service(redis_url, folder, clock=HandClock(), bounds=bounds, send_buffer=8192, **how) as service:
        yield service


@contextlib.contextmanager
def deaf(service: AuthorizationServer, data: bytes) -> Iterator[socket.socket]:
    """Somebody who has sent this, as far as it is taken, and reads nothing."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.5)
        connection.connect((service.http.base_url.host, service.http.base_url.port))
        with contextlib.suppress(TimeoutError, ConnectionError):
            connection.sendall(data)
        connection.settimeout(PATIENCE_S)
        yield connection


def status_of(service: AuthorizationServer, path: str) -> int:
    answer = exchange(str(service.http.base_url), head("GET", path, CLOSE))
    assert answer is not None
    return answer.status


@pytest.mark.parametrize(("path", "count"), MANY)
def test_readers_who_take_nothing_hold_no_place_among_the_requests(
    redis_url: str, tmp_path: Path, path: str, count: int
) -> None:
    with serving(redis_url, tmp_path, max_concurrent_requests=4) as service, contextlib.ExitStack() as readers:
        for _ in range(8):
            readers.enter_context(deaf(service, head("GET", path) * count))
        # While they are still being answered, what they asked for may be worked on; then nothing of it is.
        told = [status_of(service, "/.well-known/jwks.json") for _ in range(100)]
        assert set(told[50:]) == {200}


async def fill_the_trail(url: str) -> None:
    """With more than any buffer on the way holds."""
    async with Redis.from_url(url) as client:
        text = json.dumps({"version": 1, "event": "operation.done", "actor": {"type": "operator"}, "reason": "x" * 900})
        for _ in range(8):
            pipe = client.pipeline(transaction=False)
            for _ in range(1000):
                pipe.xadd(keyspace.AUDIT_TRAIL, {"entry": text})
            await pipe.execute()


def test_exports_that_nobody_reads_leave_the_other_places_to_others(redis_url: str, tmp_path: Path) -> None:
    """An export holds its place for as long as its reader takes, and there are few exports at once."""
    asyncio.run(fill_the_trail(redis_url))
    export = head("GET", "/api/v2/audit/export", BY_ADMINISTRATOR)
    with serving(redis_url, tmp_path, max_concurrent_requests=MOST_EXPORTS + 1) as service:
        with contextlib.ExitStack() as readers:
            begun = [readers.enter_context(deaf(service, export)) for _ in range(MOST_EXPORTS)]
            for each in begun:
                assert each.recv(12) == b"HTTP/1.1 200"
            refused = exchange(str(service.http.base_url), head("GET", "/api/v2/audit/export", BY_ADMINISTRATOR, CLOSE))
            assert refused is not None
            assert (refused.status, refused.headers["retry-after"]) == (429, "10")
            assert status_of(service, "/.well-known/jwks.json") == 200
        # They are gone, and so are their exports.
        administrator = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        eventually(lambda: service.http.get("/api/v2/audit/export", headers=administrator).status_code, (200).__eq__)


@pytest.mark.parametrize(("path", "count"), [*MANY, ("/openapi.json", 1)])
def test_a_reader_who_takes_nothing_makes_room_for_others(
    redis_url: str, tmp_path: Path, path: str, count: int
) -> None:
    """Also where the connection closes, and only waits for its last answer to be taken."""
    asked = head("GET", path) * (count - 1) + head("GET", path, CLOSE)
    with serving(redis_url, tmp_path, max_connections=8) as service, contextlib.ExitStack() as readers:
        for _ in range(24):
            readers.enter_context(deaf(service, asked))
        # While all of them are still being answered, nobody waits who could make room.
        eventually(lambda: status_of(service, "/healthz"), (200).__eq__)
        for _ in range(20):
            assert status_of(service, "/healthz") == 200
            assert status_of(service, "/.well-known/jwks.json") == 200
        made_room = (
            service.http.get("/metrics")
            .text.partition('logoutd_limited_total{limit="connections"} ')[2]
            .partition("\n")[0]
        )
        assert float(made_room) >= 24 - 8


@pytest.mark.parametrize(("path", "count"), MANY)
def test_whoever_reads_at_last_is_given_everything_that_was_asked_for(
    redis_url: str, tmp_path: Path, path: str, count: int
) -> None:
    asked = head("GET", path) * (count - 1) + head("GET", path, CLOSE)
    with (
        serving(redis_url, tmp_path) as service,
        deaf(service, b"") as reader,
        contextlib.ExitStack() as later,
    ):
        sender = threading.Thread(target=reader.sendall, args=(asked,))
        sender.start()
        later.callback(sender.join)
        eventually(lambda: status_of(service, "/healthz"), (200).__eq__)
        received = bytearray()
        while chunk := reader.recv(262_144):
            received += chunk
        assert received.count(b"HTTP/1.1 200 ") == count
