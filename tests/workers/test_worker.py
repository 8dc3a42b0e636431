"""The worker process: jobs, sweeper and heartbeat together, and what becomes of them when Redis goes away."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from arq.worker import Worker
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError

from service.accept import LOOK_AFTER_MS
from service.domain.clock import SystemClock
from service.embedded_redis import EmbeddedRedis
from service.errors import Unavailable
from service.jobs import QUEUE, Queue
from service.keys.generate import generate_signing_keys
from service.store import keyspace
from service.store.fleet_clock import FleetClock
from service.store.heartbeats import FRESH_MS
from tests.support.heard import Heard, listening
from tests.support.house import House, open_house
from tests.support.processes import logoutd
from tests.support.redis_server import connect, start_redis
from tests.support.strangers import answer, say_and_hold, stranger, wait_then
from workers import worker as worker_module
from workers.__main__ import first_refusal, is_alive, main
from workers.arq_worker import guarded
from workers.revoke import Revoker
from workers.worker import JOB_TIMEOUT_S, MAX_JOBS, QUEUE_READ_LIMIT, worker_name

PATIENCE_S = 10.0
"""How long a worker may take to stop, in seconds, before a test fails."""


@asynccontextmanager
async def working(house: House) -> AsyncIterator[tuple[Heard, asyncio.Event, asyncio.Task[None]]]:
    """A worker process at work: what it logs, the event that stops it, and its task."""
    stop = asyncio.Event()
    with listening() as heard:
        task = asyncio.create_task(house.worker.run(stop))
        try:
            await heard.wait_for("worker.started")
            yield heard, stop, task
        finally:
            stop.set()
            async with asyncio.timeout(PATIENCE_S):
                await task


@pytest.fixture(scope="module")
def lasting_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One that keeps what it was told when it is killed."""
    server = start_redis(tmp_path_factory.mktemp("lasting"), persistent=True)
    yield server
    server.stop()


@pytest.fixture
async def lasting(lasting_redis: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[House]:
    """A house on a Redis that can be killed and started again."""
    lasting_redis.start()
    async with open_house(lasting_redis.url, tmp_path) as house:
        await house.resources.record.run("FLUSHALL")
        yield house


async def names_of_jobs(house: House) -> list[str]:
    return [name.decode() for name in await house.resources.queue_redis.zrange(QUEUE, 0, -1)]


async def test_what_is_accepted_while_it_works_is_told_and_what_was_before_too(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        before = await house.revoke("ada")
        async with working(house) as (heard, _, _):
            await heard.wait_for("delivery.attempted")
            await house.sign_in("ada", "crm")
            meanwhile = await house.revoke("ada")
            await heard.wait_for("delivery.attempted", times=2)
    for rid in (before, meanwhile):
        assert (await house.receipt(rid)).state == "completed"
    assert await names_of_jobs(house) == []


async def test_it_says_that_it_is_alive_until_it_stops(house: House) -> None:
    alive = house.resources.heartbeats.alive
    async with working(house):
        async with asyncio.timeout(PATIENCE_S):
            while not await alive(now_ms=house.clock.now_ms()):  # noqa: ASYNC110 - Redis tells nobody when one comes
                await asyncio.sleep(0)
        assert await alive(now_ms=house.clock.now_ms()) == (f"{socket.gethostname()}:{os.getpid()}",)
    assert await alive(now_ms=house.clock.now_ms()) == ()


async def test_a_machine_whose_clock_is_far_off_has_a_healthy_worker(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FleetClock(house.resources.record, SystemClock())
    await clock.read()
    await house.resources.heartbeats.beat(f"{socket.gethostname()}:1", now_ms=clock.now_ms())
    monkeypatch.setattr(SystemClock, "now_ms", lambda _self: clock.now_ms() + 3_600_000)
    assert await is_alive(house.resources.settings)


async def test_it_sweeps_by_itself(house: House) -> None:
    await house.sign_in("ada", "gone")
    rid = await house.revoke("ada")
    await house.resources.queue_redis.delete(QUEUE, *(await house.resources.queue_redis.keys("arq:*")))
    async with working(house) as (heard, _, _):
        house.clock.advance(LOOK_AFTER_MS / 1000)
        await heard.wait_for("revocation.planned")
    assert (await house.receipt(rid)).state == "completed"


async def test_it_queues_what_it_has_taken_off_the_due_index_before_it_stops(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rids = {await house.record_only(house.request("ada")) for _ in range(3)}
    asked, go_on, revoke = asyncio.Event(), asyncio.Event(), Queue.revoke

    async def slowly(queue: Queue, rid: str, **how: Any) -> bool:
        asked.set()
        await go_on.wait()
        return await revoke(queue, rid, **how)

    monkeypatch.setattr(Queue, "revoke", slowly)
    async with working(house) as (heard, stop, task):
        await asked.wait()
        stop.set()
        await heard.wait_for("worker.stopping")
        go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            await task
    assert {name.partition(":")[0] for name in await names_of_jobs(house)} == rids


async def test_a_job_that_ended_with_its_redis_is_run_again_at_once(
    lasting: House, lasting_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not only when arq holds it to be that of a killed worker."""
    begun: asyncio.Queue[str] = asyncio.Queue()
    going = asyncio.Event()

    async def begin(_revoker: Revoker, rid: str) -> None:
        await begun.put(rid)
        await going.wait()

    monkeypatch.setattr(Revoker, "revoke", begin)
    rid = await lasting.revoke("ada")
    async with working(lasting) as (heard, _, _):
        async with asyncio.timeout(PATIENCE_S):
            assert await begun.get() == rid
            lasting_redis.kill()
            await heard.wait_for("job.end_not_queued")
            going.set()
            lasting_redis.start()
            assert await begun.get() == rid


async def test_a_job_whose_end_could_not_be_written_is_run_again_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: asyncio.Queue[str] = asyncio.Queue()
    finish, failures = Worker.finish_job, iter([RedisConnectionError("lost")])

    async def begin(_revoker: Revoker, rid: str) -> None:
        await begun.put(rid)

    async def fail_once(worker: Worker, *args: Any, **how: Any) -> None:
        for failure in failures:
            raise failure
        await finish(worker, *args, **how)

    monkeypatch.setattr(Revoker, "revoke", begin)
    monkeypatch.setattr(Worker, "finish_job", fail_once)
    rid = await house.revoke("ada")
    async with working(house), asyncio.timeout(PATIENCE_S):
        assert [await begun.get() for _ in range(2)] == [rid] * 2


async def test_it_lets_what_is_under_way_end_before_it_stops(house: House) -> None:
    answering = asyncio.Event()
    async with stranger(wait_then(answering, answer())) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        async with working(house) as (heard, stop, task):
            await app.seen(1)
            stop.set()
            await heard.wait_for("worker.stopping")
            assert not task.done()
            answering.set()
            async with asyncio.timeout(PATIENCE_S):
                await task
            assert [each["event"] for each in heard.lines][-1] == "worker.stopped"
    assert (await house.delivery(rid)).state == "delivered"


async def test_it_does_not_wait_for_ever_for_an_application(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "GRACE_S", 0.05)
    async with stranger(say_and_hold(b"")) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        async with working(house) as (_, stop, task):
            await app.seen(1)
            stop.set()
            async with asyncio.timeout(2):
                await task
        assert house.resources.outbound.in_use == 0
    assert (await house.delivery(rid)).state == "pending"
    assert (await house.delivery(rid)).delivery_id in await house.due()


async def test_when_redis_was_away_it_goes_on_by_itself(lasting: House, lasting_redis: EmbeddedRedis) -> None:
    async with stranger(answer()) as app:
        await lasting.application("crm", app.url())
        await lasting.sign_in("ada", "crm")
        async with working(lasting) as (heard, _, _):
            lasting_redis.kill()
            await heard.wait_for("worker.queue_lost")
            await heard.wait_for("worker.record_lost")
            with pytest.raises(Unavailable):
                await lasting.revoke("ada")
            lasting_redis.start()

            rid = await lasting.revoke("ada")
            lasting.clock.advance(
                LOOK_AFTER_MS / 1000
            )  # should its job have been lost: that is what the sweeper is for
            await heard.wait_for("delivery.attempted")
            assert {each["level"] for each in heard.of("worker.queue_lost")} == {"warning"}
    assert (await lasting.receipt(rid)).state == "completed"
    assert len(app.requests) == 1


async def test_what_was_queued_before_redis_was_killed_is_done_after(
    lasting: House, lasting_redis: EmbeddedRedis
) -> None:
    async with stranger(answer()) as app:
        await lasting.application("crm", app.url())
        await lasting.sign_in("ada", "crm")
        rid = await lasting.revoke("ada")
        lasting_redis.kill()
        async with working(lasting) as (heard, _, _):
            await heard.wait_for("worker.queue_lost")
            lasting_redis.start()
            lasting.clock.advance(LOOK_AFTER_MS / 1000)
            await heard.wait_for("delivery.attempted")
    assert (await lasting.receipt(rid)).state == "completed"
    assert len(app.requests) == 1


async def test_it_stops_while_redis_is_away(lasting: House, lasting_redis: EmbeddedRedis) -> None:
    async with working(lasting) as (heard, stop, task):
        lasting_redis.kill()
        await heard.wait_for("worker.queue_lost")
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await task
        assert heard.of("worker.heartbeat_left")
        assert heard.of("worker.stopped")


async def test_a_queue_entry_it_cannot_read_does_not_end_it(house: House) -> None:
    await house.resources.queue_redis.zadd(QUEUE, {b"\xff": 1})
    async with working(house) as (heard, _, _):
        await heard.wait_for("worker.queue_lost")
        line = heard.of("worker.queue_lost")[0]
        assert (line["error"], line["exc_info"]) == ("UnicodeDecodeError", True)
        await house.resources.queue_redis.zrem(QUEUE, b"\xff")
        await house.sign_in("ada", "gone")
        await house.revoke("ada")
        await heard.wait_for("revocation.planned")


@pytest.mark.parametrize(
    "body",
    [b"\x80\x04K\x01.", b"{}", b"[]", json.dumps({"t": 1, "f": "unheard_of", "a": [], "k": {}, "et": 1}).encode()],
    ids=["pickle", "empty", "list", "unknown job"],
)
async def test_a_job_that_is_none_of_ours_is_dropped(house: House, body: bytes) -> None:
    await house.resources.queue_redis.set("arq:job:strange", body)
    await house.resources.queue_redis.zadd(QUEUE, {b"strange": 1})
    await house.run_queue()
    assert await names_of_jobs(house) == []
    assert await house.resources.queue_redis.exists("arq:job:strange") == 0


async def test_a_job_that_fails_ends_well_for_the_queue_and_is_logged() -> None:
    async def away() -> None:
        raise Unavailable("the record cannot be reached (ConnectionError)")

    async def fault() -> None:
        raise ZeroDivisionError

    with listening() as heard:
        await guarded(away)({})
        await guarded(fault)({})

    assert heard.one("job.record_lost")["level"] == "warning"
    assert heard.one("job.fault")["level"] == "error"


async def test_a_job_whose_work_fails_is_off_the_queue_and_its_work_still_due(house: House) -> None:
    await house.sign_in("ada", "gone")
    rid = await house.revoke("ada")
    await house.resources.record.run("SET", keyspace.deliveries(rid), "in the way")
    with listening() as heard:
        await house.run_queue()
    assert heard.of("job.record_lost")
    assert await names_of_jobs(house) == []
    assert rid in await house.due()

    await house.resources.record.run("DEL", keyspace.deliveries(rid))
    house.clock.advance(60)
    await house.worker.sweeper.sweep()
    await house.run_queue()
    assert (await house.receipt(rid)).state == "completed"


async def test_every_line_of_a_job_names_its_revocation(house: House) -> None:
    rids = []
    for name in ("ada", "bob"):
        await house.sign_in(name, "gone")
        rids.append(await house.revoke(name))
        await house.resources.record.run("SET", keyspace.deliveries(rids[-1]), "in the way")
    with listening() as heard:
        await house.run_queue()
    assert {each["revocation_id"] for each in heard.of("job.record_lost")} == set(rids)


async def test_due_deliveries_whose_receipt_has_expired_are_forgotten(house: House) -> None:
    gone = ["dlv_gone_1", "dlv_gone_2"]
    await house.resources.schedule.look_at(gone, at_ms=0)
    await house.worker.sweeper.sweep()
    await house.run_queue()
    assert await house.due() == {}


async def test_a_loop_survives_whatever_its_work_does(house: House) -> None:
    outcomes: list[Exception | None] = [Unavailable("away"), ZeroDivisionError(), None]
    done = asyncio.Event()

    async def act() -> None:
        outcome = outcomes.pop(0) if outcomes else None
        if outcome is not None:
            raise outcome
        done.set()

    with listening() as heard:
        loop = asyncio.create_task(house.worker._repeat(act, 0.0))
        async with asyncio.timeout(PATIENCE_S):
            await done.wait()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    assert [each["event"] for each in heard.lines] == ["worker.record_lost", "worker.fault"]
    assert {each["act"] for each in heard.lines} == {"act"}


def test_a_workers_name_is_its_host_and_process() -> None:
    assert worker_name() == f"{socket.gethostname()}:{os.getpid()}"


def test_the_queue_is_read_far_beyond_the_jobs_of_a_fleet_and_jobs_are_short() -> None:
    assert QUEUE_READ_LIMIT >= 30 * MAX_JOBS
    assert JOB_TIMEOUT_S <= 15


async def test_a_worker_started_while_redis_is_away_looks_at_it_before_it_begins(tmp_path: Path) -> None:
    redis = EmbeddedRedis(tmp_path / "redis", persistent=False)
    async with open_house(redis.url, tmp_path) as house:
        stop = asyncio.Event()
        with listening() as heard:
            looking = asyncio.create_task(first_refusal(house.resources.settings, stop))
            await heard.wait_for("redis.finding")
            assert not looking.done(), "it is away, which is no reason to refuse"
            redis.start()
            with closing(connect(redis)) as client:
                client.config_set("maxmemory-policy", "allkeys-lru")
            try:
                async with asyncio.timeout(PATIENCE_S):
                    refusal = await looking
            finally:
                redis.stop()
    assert refusal is not None
    assert "allkeys-lru" in refusal


async def test_a_worker_that_waits_for_redis_stops_when_it_is_told_to(tmp_path: Path) -> None:
    async with open_house(f"unix://{tmp_path}/nobody.sock", tmp_path) as house:
        stop = asyncio.Event()
        with listening() as heard:
            looking = asyncio.create_task(first_refusal(house.resources.settings, stop))
            await heard.wait_for("redis.finding")
            stop.set()
            async with asyncio.timeout(PATIENCE_S):
                assert await looking is None


@contextmanager
def started_without_redis(folder: Path, keys: str) -> Iterator["subprocess.Popen[str]"]:
    """`logoutd work` as it is run, where there is no Redis."""
    (folder / "keys.json").write_text(keys, "utf-8")
    settings = {
        "PUBLIC_URL": "https://logout.example.com",
        "SIGNING_KEYS_FILE": str(folder / "keys.json"),
        "REDIS_URL": f"unix://{folder}/nobody.sock",
    }
    process = logoutd("work", environment={f"LOGOUTD_{name}": value for name, value in settings.items()})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_worker_with_keys_it_cannot_use_says_so_and_ends_while_redis_is_away(tmp_path: Path) -> None:
    """It looked for Redis for ever, and said nothing of its keys until that was back."""
    with started_without_redis(tmp_path, "{}") as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert said.startswith("logoutd work: ")
    assert "keys" in said


def test_a_worker_told_to_stop_while_it_waits_for_redis_opens_nothing_and_ends_with_0(tmp_path: Path) -> None:
    with started_without_redis(tmp_path, json.dumps(generate_signing_keys())) as process:
        assert process.stderr is not None
        while "redis.finding" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "worker.stopped" in said
    assert "worker.started" not in said


@pytest.mark.parametrize(
    ("rights", "password", "why"),
    [
        (["+@all"], "another", "redis: it refuses our user name or password"),
        (["+@all", "-info"], "secret", "redis: our user may not run INFO; grant it"),
    ],
)
async def test_a_worker_that_redis_denies_what_it_needs_is_refused_and_waits_for_nothing(
    tmp_path: Path, rights: list[str], password: str, why: str
) -> None:
    """It answers, so it was not away: nobody learned of a wrong password but from a warning each few seconds."""
    redis = start_redis(tmp_path / "redis", persistent=False)
    try:
        with closing(connect(redis)) as client:
            client.execute_command("ACL", "SETUSER", "ours", "on", ">secret", "~*", "&*", *rights)
        async with open_house(redis.url, tmp_path) as house:
            url = SecretStr(redis.url.replace("unix://", f"unix://ours:{password}@"))
            settings = house.resources.settings.model_copy(update={"redis_url": url})
            async with asyncio.timeout(PATIENCE_S):
                assert await first_refusal(settings, asyncio.Event()) == why
    finally:
        redis.stop()


async def test_the_probe_asks_for_a_worker_of_this_host(house: House) -> None:
    settings, beat = house.resources.settings, house.resources.heartbeats.beat
    now_ms = house.clock.now_ms()
    assert not await is_alive(settings)
    await beat("another-host:1", now_ms=now_ms)
    assert not await is_alive(settings)
    await beat(f"{socket.gethostname()}:1", now_ms=now_ms - FRESH_MS - 60_000)
    assert not await is_alive(settings)
    await beat(f"{socket.gethostname()}:2", now_ms=now_ms)
    assert await is_alive(settings)


async def test_without_redis_the_probe_says_no(tmp_path: Path) -> None:
    async with open_house(f"unix://{tmp_path}/nobody.sock", tmp_path) as house:
        assert not await is_alive(house.resources.settings)


def test_an_argument_nobody_knows_is_refused_with_how_to_call_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cheque"]) == 1
    assert "usage: python -m workers [--check]" in capsys.readouterr().err
