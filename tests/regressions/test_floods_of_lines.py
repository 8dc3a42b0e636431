"""What anybody can bring about as often as they like, and what meets every request of an outage, takes a bounded number of lines
in the log: a full disk would be an outage of its own."""

import json
import time
from pathlib import Path

from service.telemetry import LINES_A_MINUTE
from tests.support.asgi import serving
from tests.support.heard import listening
from tests.support.raw_http import exchange, head
from tests.support.redis_server import start_redis
from tests.support.served_process import served

MORE = 40


def test_malformed_requests_and_upgrades_take_a_bounded_number_of_lines(redis_url: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with served(redis_url, tmp_path) as service:
        for _ in range(LINES_A_MINUTE + MORE):
            answer = exchange(service.url, b"no HTTP at all\r\n\r\n")
            assert answer is not None
            assert answer.status == 400
            upgrade = head("GET", "/healthz", "Connection: close, Upgrade", "Upgrade: websocket")
            answer = exchange(service.url, upgrade)
            assert answer is not None
            assert answer.status == 200
        lines = [json.loads(each) for each in service.log.read_text("utf-8").splitlines()]
    malformed = [each for each in lines if each["event"] == "request.malformed"]
    assert LINES_A_MINUTE <= len(malformed) < LINES_A_MINUTE + MORE
    assert len(malformed) <= LINES_A_MINUTE + time.monotonic() - began + 1
    assert malformed[0]["status"] == 400
    assert not [each for each in lines if each["logger"].startswith("uvicorn") and each["level"] == "warning"]
    assert len(lines) - len(malformed) < MORE


async def test_an_outage_of_redis_takes_a_bounded_number_of_lines_and_says_how_many_it_left_out(tmp_path: Path) -> None:
    redis = start_redis(tmp_path / "redis")
    try:
        async with serving(redis.url, tmp_path) as api:
            redis.stop()
            with listening() as heard:
                for _ in range(LINES_A_MINUTE + MORE):
                    assert (await api.post("/api/v2/clients", {"client_name": "x"})).status_code == 503
            for event in ("request.unavailable", "audit.not_written"):
                assert len(heard.of(event)) == LINES_A_MINUTE, event
            api.clock.advance(60)
            with listening() as later:
                assert (await api.post("/api/v2/clients", {"client_name": "x"})).status_code == 503
            for event in ("request.unavailable", "audit.not_written"):
                assert later.one(event)["omitted"] == MORE, event
    finally:
        redis.stop()
