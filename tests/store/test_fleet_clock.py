"""One time for all processes, Redis', whatever the machine's own clock says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.domain.clock import SystemClock
from service.errors import Unavailable
from service.resources import open_resources
from service.settings import Settings
from service.store.fleet_clock import REMARKABLE_MS, FleetClock
from service.store.record import Record, open_pool
from tests.support.clock import HandClock
from tests.support.heard import listening
from tests.support.house import signing_keys
from tests.support.waiting import eventually
from workers.worker import WorkerProcess

TOLERANCE_MS = 1_000
"""How far a reading may be off on a busy machine."""


@pytest.fixture
async def record(redis_url: str) -> AsyncIterator[Record]:
    client = Redis(connection_pool=open_pool(redis_url, decode=True, size=4))
    yield Record(client)
    await client.aclose(close_connection_pool=True)


async def redis_now_ms(record: Record) -> int:
    """What Redis' clock says."""
    seconds, microseconds = await record.run("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


@pytest.mark.parametrize("wrong_by_s", [-3600, -5, 0, 5, 3600])
async def test_two_processes_whose_clocks_differ_read_the_same_time(record: Record, wrong_by_s: float) -> None:
    machine = HandClock(SystemClock().now_ms() + round(wrong_by_s * 1000))
    clock = FleetClock(record, machine)
    assert await clock.read()
    assert abs(clock.now_ms() - await redis_now_ms(record)) < TOLERANCE_MS


async def test_it_goes_on_by_itself_between_two_readings(record: Record) -> None:
    clock = FleetClock(record, SystemClock())
    assert await clock.read()
    first = clock.now_ms()
    eventually(clock.now_ms, lambda now_ms: now_ms >= first + 20)
    assert abs(clock.now_ms() - await redis_now_ms(record)) < TOLERANCE_MS


async def test_until_redis_has_told_it_is_the_machines(tmp_path: Path) -> None:
    client = Redis(connection_pool=open_pool(f"unix://{tmp_path}/nobody.sock", decode=True, size=1))
    clock = FleetClock(Record(client), HandClock(1_800_000_000_000))
    with pytest.raises(Unavailable):
        await clock.read()
    assert clock.now_ms() == 1_800_000_000_000
    await client.aclose(close_connection_pool=True)


async def test_a_machine_whose_clock_is_far_off_is_told_of_once(record: Record) -> None:
    machine = HandClock(SystemClock().now_ms() + 10 * REMARKABLE_MS)
    clock = FleetClock(record, machine)
    with listening() as heard:
        for _ in range(3):
            await clock.read()
    (line,) = [each for each in heard.lines if each["event"] == "clock.apart"]
    assert abs(line["apart_ms"] - 10 * REMARKABLE_MS) < TOLERANCE_MS


async def test_leases_and_due_times_go_by_it_and_tokens_of_others_by_the_machines(
    redis_url: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(signing_keys("ES256")), encoding="utf-8")
    settings = Settings.model_validate(
        {"public_url": "https://logout.example.com", "signing_keys_file": keys, "redis_url": redis_url}
    )
    async with open_resources(settings) as resources:
        worker = WorkerProcess(resources)
        fleet = resources.fleet_clock
        assert isinstance(fleet, FleetClock)
        assert worker.notifier.clock is worker.sweeper.clock is worker.revoker.clock is resources.sink.clock is fleet
        assert worker.verifier.clock is resources.clock is not fleet
        worker.notifier.close()
