"""`python -m workers`: the worker process. `python -m workers --check`: is the one on this host alive?"""

import asyncio
import signal
import socket
import sys

import uvloop
from redis.asyncio import Redis

from service.domain.clock import SystemClock
from service.errors import Unavailable
from service.keys.ring import SigningKeysError
from service.resources import open_resources, redis_refusal
from service.settings import Settings, SettingsError, load_settings
from service.store.fleet_clock import FleetClock
from service.store.heartbeats import Heartbeats
from service.store.record import Record, open_pool
from service.telemetry import configure_logging, get_logger
from workers.worker import WorkerProcess

log = get_logger(__name__)


def main(arguments: list[str]) -> int:
    """Work until SIGTERM. Returns the exit code: 1 when it refuses to start, with one line on stderr saying why."""
    if arguments not in ([], ["--check"]):
        return _refuse("usage: python -m workers [--check]")
    try:
        settings = load_settings()
        if arguments:
            return 0 if uvloop.run(is_alive(settings)) else _refuse("no fresh heartbeat from a worker on this host")
        return uvloop.run(work(settings))
    except (SettingsError, SigningKeysError) as error:
        return _refuse(str(error))


async def work(settings: Settings) -> int:
    """Open everything, work until SIGTERM or SIGINT, close everything."""
    settings.require("public_url", "signing_keys_file")
    configure_logging(log_format=settings.log_format, log_level=settings.log_level)
    log.info("worker.starting", **settings.summary())
    refusal = await redis_refusal(settings)
    if refusal is not None:
        return _refuse(refusal)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_resources(settings) as resources:
        await WorkerProcess(resources).run(stop)
    return 0


async def is_alive(settings: Settings) -> bool:
    """Whether a worker of this host has been heard of lately: the probe for a worker's container."""
    client = Redis(connection_pool=open_pool(settings.redis_url.get_secret_value(), decode=True, size=1))
    record = Record(client)
    clock = FleetClock(record, SystemClock())
    try:
        await clock.read()  # heartbeats are dated by Redis' clock
        names = await Heartbeats(record).alive(now_ms=clock.now_ms())
    except Unavailable:
        return False
    finally:
        await client.aclose(close_connection_pool=True)
    return any(name.rpartition(":")[0] == socket.gethostname() for name in names)


def _refuse(why: str) -> int:
    print(f"logoutd work: {why}", file=sys.stderr)  # noqa: T201  # a person at a terminal reads this one
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
