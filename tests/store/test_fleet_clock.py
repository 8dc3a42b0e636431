"""One time for all processes, Redis', whatever the machine's own clock says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.domain.clock import SystemClock
from service.errors import Unavailable
from service.resources import open_resources
from service.settings import Settings
from service.store.fleet_clock import LONGEST_TRIP_S, REMARKABLE_MS, FleetClock
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


class ScriptedRedis(Record):
    """A Redis whose clock, and how long the way to it takes, is written down by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mono_s = 100.0
        self.ahead_s = 1_800_000_000.0
        self.there_s = self.back_s = 0.0
        monkeypatch.setattr("service.store.fleet_clock.time.monotonic", lambda: self.mono_s)

    async def ask(self, _call: Any) -> tuple[str, str]:
        self.mono_s += self.there_s
        seconds, microseconds = divmod(round((self.mono_s + self.ahead_s) * 1_000_000), 1_000_000)
        self.mono_s += self.back_s
        return str(seconds), str(microseconds)


async def test_a_slow_answer_does_not_move_a_clock_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = ScriptedRedis(monkeypatch)
    clock = FleetClock(redis, SystemClock())
    redis.there_s = redis.back_s = 0.001
    assert await clock.read()
    for redis.there_s, redis.back_s in ((0.3, 0.0), (0.0, 0.3), (0.02, 0.001)):
        assert await clock.read()
        assert clock.now_ms() == pytest.approx((redis.mono_s + redis.ahead_s) * 1000, abs=1)


async def test_a_clock_proven_wrong_moves_as_far_as_that_proves(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = ScriptedRedis(monkeypatch)
    clock = FleetClock(redis, SystemClock())
    assert await clock.read()
    for step_s in (+7.0, -7.0):  # an administrator sets the clock of Redis' machine
        redis.ahead_s += step_s
        redis.there_s = redis.back_s = 0.01
        assert await clock.read()
        assert clock.now_ms() == pytest.approx((redis.mono_s + redis.ahead_s) * 1000, abs=10.1)


async def test_an_answer_that_took_longer_than_the_bound_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis = ScriptedRedis(monkeypatch)
    clock = FleetClock(redis, HandClock(1_700_000_000_000))
    redis.back_s = LONGEST_TRIP_S + 0.01
    assert not await clock.read()
    assert clock.now_ms() == 1_700_000_000_000
    redis.back_s = LONGEST_TRIP_S - 0.01
    assert await clock.read()
    assert clock.now_ms() == pytest.approx((redis.mono_s + redis.ahead_s) * 1000, abs=LONGEST_TRIP_S / 2 * 1000)


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
