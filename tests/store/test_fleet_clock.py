"""One time for all processes, Redis', whatever the machine's own clock says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.domain.clock import SystemClock
from service.embedded_redis import EmbeddedRedis
from service.errors import Unavailable
from service.resources import open_resources
from service.settings import Settings
from service.store import keyspace
from service.store.fleet_clock import LONGEST_TRIP_S, REMARKABLE_MS, FleetClock
from service.store.record import Record, open_pool
from tests.support.asgi import NOBODY, SUBJECT, serving
from tests.support.clock import HandClock
from tests.support.heard import listening
from tests.support.house import signing_keys
from tests.support.identity_provider import IdentityProvider
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
    redis.back_s = LONGEST_TRIP_S - 0.01
    assert await clock.read()
    told_ms = clock.now_ms() - redis.mono_s * 1000
    redis.ahead_s += 7.0
    redis.back_s = LONGEST_TRIP_S + 0.01
    assert not await clock.read()
    assert clock.now_ms() - redis.mono_s * 1000 == pytest.approx(told_ms, abs=1)
    redis.back_s = LONGEST_TRIP_S - 0.01
    assert await clock.read()
    assert clock.now_ms() == pytest.approx((redis.mono_s + redis.ahead_s) * 1000, abs=LONGEST_TRIP_S * 1000)


async def test_the_first_answer_counts_however_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = ScriptedRedis(monkeypatch)
    clock = FleetClock(redis, HandClock(1_700_000_000_000))
    redis.back_s = 4 * LONGEST_TRIP_S
    assert not await clock.read()
    assert clock.now_ms() == pytest.approx((redis.mono_s + redis.ahead_s) * 1000, abs=2.1 * LONGEST_TRIP_S * 1000)


async def test_until_redis_has_told_there_is_no_time_and_a_process_starts_all_the_same(tmp_path: Path) -> None:
    client = Redis(connection_pool=open_pool(f"unix://{tmp_path}/nobody.sock", decode=True, size=1))
    clock = FleetClock(Record(client), HandClock(1_800_000_000_000))
    with listening() as heard:
        await clock.start()
    assert [each["event"] for each in heard.lines] == ["clock.not_read"]
    with pytest.raises(Unavailable, match="has not been read"):
        clock.now_ms()
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
        assert worker.verifier.clock is fleet is not resources.clock
        worker.notifier.close()


@pytest.mark.parametrize("wrong_by_s", [-3600, 3600])
async def test_everything_a_service_dates_is_dated_by_it_from_the_first_request_on(
    redis_url: str, tmp_path: Path, wrong_by_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = SystemClock().now_ms
    machine = HandClock(right() + wrong_by_s * 1000)
    monkeypatch.setattr(SystemClock, "now_ms", lambda _self: machine.now_ms())
    async with (
        IdentityProvider.running() as idp,
        serving(redis_url, tmp_path, clock=machine, own_clocks=True) as api,
    ):
        r = api.resources
        await api.connection(idp, "crm")
        session_id = (await api.sign_in(idp, "crm"))["session_id"]
        token = await api.refresh_token({"session_id": session_id}, "crm", expires_in=60)
        assert (await api.introspect(token)).json()["active"], "issued by one clock, and asked for by the same"
        idp.rotate()
        idp.broken.add("keys")
        logout = idp.logout_token(sub=SUBJECT, now_s=right() // 1000)
        assert (await api.backchannel_logout(logout)).status_code == 503
        connection, application = await r.connections.by_name("okta"), await r.applications.get("crm")
        session, issued = await r.sessions.get(session_id), await r.refresh_tokens.find(token)
        assert connection is not None
        assert application is not None
        assert session is not None
        assert issued is not None
        (kept_id,) = await r.record.run("ZRANGE", keyspace.kept_of(connection.id), 0, -1)
        kept = await r.kept_tokens.get(kept_id)
        assert kept is not None
    dated = {
        "session": session.created_at_ms,
        "refresh token": issued.issued_at_ms,
        "connection": connection.created_at_ms,
        "client": application.created_at_ms,
        "kept logout token": kept.received_at_ms,
    }
    assert {what for what, at_ms in dated.items() if abs(at_ms - right()) > 60_000} == set()


async def test_a_service_started_while_redis_is_away_dates_nothing_until_it_has_its_clock(tmp_path: Path) -> None:
    redis = EmbeddedRedis(tmp_path / "redis", persistent=False)
    async with serving(redis.url, tmp_path, own_clocks=True) as api:
        assert (await api.get("/readyz", by=NOBODY)).status_code == 503
        assert "logoutd_record_up 0.0" in (await api.get("/metrics", by=NOBODY)).text
        redis.start()
        try:
            clock = api.resources.fleet_clock
            assert isinstance(clock, FleetClock)
            assert await clock.read()
            assert (await api.get("/readyz", by=NOBODY)).status_code == 200
            assert (await api.post("/api/v2/clients", {"client_id": "wiki"})).status_code == 201
            assert "logoutd_record_up 1.0" in (await api.get("/metrics", by=NOBODY)).text
        finally:
            redis.stop()
