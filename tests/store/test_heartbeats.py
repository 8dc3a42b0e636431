"""Which workers are alive."""

from service.store import keyspace
from service.store.heartbeats import FORGOTTEN_MS, FRESH_MS, INTERVAL_S
from tests.support.house import House


async def alive(house: House) -> tuple[str, ...]:
    return await house.resources.heartbeats.alive(now_ms=house.clock.now_ms())


async def beat(house: House, worker: str) -> None:
    await house.resources.heartbeats.beat(worker, now_ms=house.clock.now_ms())


async def test_a_worker_is_alive_until_its_heartbeat_is_stale(house: House) -> None:
    assert await alive(house) == ()
    await beat(house, "host:1")
    house.clock.advance(FRESH_MS / 1000)
    assert await alive(house) == ("host:1",)
    house.clock.advance(0.001)
    assert await alive(house) == ()


async def test_each_heartbeat_counts_anew(house: House) -> None:
    for _ in range(10):
        await beat(house, "host:1")
        house.clock.advance(INTERVAL_S)
    assert await alive(house) == ("host:1",)


async def test_a_worker_that_stops_says_so(house: House) -> None:
    await beat(house, "host:1")
    await beat(house, "host:2")
    await house.resources.heartbeats.stop("host:1")
    assert await alive(house) == ("host:2",)


async def test_names_of_workers_long_silent_are_dropped_by_the_others(house: House) -> None:
    await beat(house, "host:1")
    house.clock.advance(FORGOTTEN_MS / 1000)
    await beat(house, "host:2")
    assert await house.resources.record.run("ZRANGE", keyspace.WORKERS, 0, -1) == ["host:2"]


def test_a_worker_may_miss_some_heartbeats() -> None:
    assert FRESH_MS >= 4 * INTERVAL_S * 1000
