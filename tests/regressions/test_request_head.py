"""A head that is too long is refused however it comes: a server's own limit is only for one that comes in pieces."""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.clock import HandClock
from tests.support.http_service import http_service
from tests.support.waiting import PATIENCE_S

LIMIT = 16 * 1024


def ask(url: str, *, header: int) -> tuple[int, dict[str, str], bytes]:
    """Send a request whose head is one packet, with one header of that many bytes; what came back."""
    address = urlsplit(url)
    head = f"GET /healthz HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\nX-Long: {'x' * header}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode())
        with connection.makefile("rb") as answered:
            told, _, body = answered.read().partition(b"\r\n\r\n")
    first, *lines = told.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


def test_a_head_of_more_than_16_kib_in_one_packet_is_refused_in_the_form_of_every_error(
    redis_url: str, tmp_path: Path
) -> None:
    with http_service(redis_url, tmp_path, clock=HandClock()) as service:
        url = str(service.http.base_url)
        status, headers, body = ask(url, header=LIMIT + 1)
        assert status == 431
        assert set(json.loads(body)) == {"error", "error_description"}
        assert json.loads(body)["error"] == "request_too_large"
        assert headers["content-type"] == "application/json"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"

        assert ask(url, header=LIMIT - 200)[0] == 200
