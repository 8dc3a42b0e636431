"""The one way to Redis: scripts by their hash, pipelines, and every failure as `Unavailable`."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.embedded_redis import EmbeddedRedis
from service.errors import Unavailable
from service.store import person_keys
from service.store import record as record_module
from service.store.record import Record, Script, open_pool

ARGUMENTS = ["rev_1", 1000, 1000, "0", 0]


@pytest.fixture
async def record(redis_url: str) -> AsyncIterator[Record]:
    client = Redis(connection_pool=open_pool(redis_url, decode=True))
    yield Record(client)
    await client.aclose(close_connection_pool=True)


def cut_off(name: str = "ada") -> Script:
    keys = [person_keys.person(name), person_keys.cutoffs(name), person_keys.revocations(name)]
    return Script("cut_off", keys, ARGUMENTS)


async def calls(record: Record) -> dict[str, int]:
    counted = await record.client.info("commandstats")
    return {name: counted.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha")}


async def test_a_script_is_sent_whole_once_and_then_by_its_hash(record: Record) -> None:
    await record.client.config_resetstat()
    for name in ("ada", "bob", "cy"):
        assert await record.script("cut_off", cut_off(name).keys, ARGUMENTS) == 1
    assert (await calls(record))["eval"] == 1
    assert (await calls(record))["evalsha"] == 3  # the first of them in vain


async def test_a_script_redis_has_forgotten_is_sent_whole_again(record: Record) -> None:
    await record.script("cut_off", cut_off("ada").keys, ARGUMENTS)
    await record.client.script_flush()
    assert await record.script("cut_off", cut_off("bob").keys, ARGUMENTS) == 1
    await record.client.script_flush()
    assert await record.pipeline([cut_off("cy")]) == [1]


async def test_a_pipeline_runs_commands_and_scripts_in_their_order(record: Record) -> None:
    await record.pipeline([cut_off("bob")])
    key = person_keys.person("ada")
    assert await record.pipeline(
        [("EXISTS", key), cut_off("ada"), ("HGET", key, "revoked_at_ms"), cut_off("ada"), cut_off("cy")]
    ) == [0, 1, "1000", 0, 1]
    assert await record.pipeline([]) == []


async def test_a_pipeline_whose_scripts_redis_has_forgotten_runs_each_once_after_the_commands(record: Record) -> None:
    key = person_keys.person("ada")
    assert await record.pipeline(
        [("INCR", "n"), cut_off("ada"), ("EXISTS", key), cut_off("ada"), cut_off("bob"), ("INCR", "n")]
    ) == [1, 1, 0, 0, 1, 2]


async def test_what_redis_refuses_is_unavailable_in_every_form(record: Record) -> None:
    await record.run("SET", person_keys.person("ada"), "in the way")
    with pytest.raises(Unavailable):
        await record.run("HGETALL", person_keys.person("ada"))
    with pytest.raises(Unavailable):
        await record.script("cut_off", cut_off().keys, ARGUMENTS)
    with pytest.raises(Unavailable):
        await record.pipeline([("GET", "n"), cut_off()])


async def test_a_refusal_within_a_pipeline_keeps_nothing_else_of_it_from_running(record: Record) -> None:
    await record.run("SET", person_keys.person("ada"), "in the way")
    with pytest.raises(Unavailable):
        await record.pipeline([("INCR", "n"), cut_off("ada"), ("INCR", "n")])
    assert await record.run("GET", "n") == "2"


async def test_the_reason_names_the_kind_of_failure_and_nothing_of_the_url() -> None:
    client = Redis(connection_pool=open_pool("redis://somebody:hunter2@127.0.0.1:1/0", decode=True))
    record = Record(client)
    for call in (
        record.run("GET", "a"),
        record.script("cut_off", cut_off().keys, ARGUMENTS),
        record.pipeline([("GET", "a")]),
    ):
        with pytest.raises(Unavailable) as caught:
            await call
        assert str(caught.value) == "the record cannot be reached (ConnectionError)"
        assert caught.value.retry_after > 0
    await client.aclose(close_connection_pool=True)


async def test_a_redis_that_hangs_is_unavailable_in_time_and_good_again_when_it_goes_on(
    redis_server: EmbeddedRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "SOCKET_TIMEOUT_S", 0.05)
    client = Redis(connection_pool=open_pool(redis_url, decode=True))
    record = Record(client)
    await record.run("SET", "a", "1")
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await record.run("GET", "a")
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    assert await record.run("GET", "a") == "1"
    await client.aclose(close_connection_pool=True)


async def test_no_call_takes_longer_than_a_caller_waits_whatever_its_retries_do(
    redis_server: EmbeddedRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "CALL_TIMEOUT_S", 0.05)
    client = Redis(connection_pool=open_pool(redis_url, decode=True))
    record = Record(client)
    await record.run("SET", "a", "1")
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(record_module.SOCKET_TIMEOUT_S / 2):
            for call in (record.run("GET", "a"), record.script(cut_off().name, cut_off().keys, ARGUMENTS)):
                with pytest.raises(Unavailable, match="TimeoutError"):
                    await call
            with pytest.raises(Unavailable, match="TimeoutError"):
                await record.pipeline([("GET", "a"), cut_off()])
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    assert await record.run("GET", "a") == "1"
    await client.aclose(close_connection_pool=True)


async def test_more_calls_than_connections_wait_for_one_instead_of_failing(redis_url: str) -> None:
    client = Redis(connection_pool=open_pool(redis_url, decode=True, size=2))
    record = Record(client)
    await asyncio.gather(*(record.run("INCR", "n") for _ in range(50)))
    assert await record.run("GET", "n") == "50"
    await client.aclose(close_connection_pool=True)


async def test_calls_that_are_cancelled_leave_every_connection_usable(redis_url: str) -> None:
    client = Redis(connection_pool=open_pool(redis_url, decode=True, size=2))
    record = Record(client)
    for _ in range(20):
        asking = [asyncio.create_task(record.pipeline([("GET", f"{n}"), cut_off(f"{n}")])) for n in range(4)]
        await asyncio.sleep(0)  # lets them begin
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    assert await asyncio.gather(*(record.run("ECHO", f"{n}") for n in range(20))) == [f"{n}" for n in range(20)]
    await client.aclose(close_connection_pool=True)
