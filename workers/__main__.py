"""`python -m workers`: the worker process. `python -m workers --check`: is the one on this host alive?"""

import asyncio
import contextlib
import signal
import socket
import sys
from typing import Final

import uvloop
from redis.asyncio import Redis

from service.domain.clock import SystemClock
from service.errors import Unavailable
from service.keys.ring import SigningKeysError, load_key_ring
from service.resources import look_at_redis, open_resources
from service.settings import Settings, SettingsError, load_settings
from service.store.fleet_clock import FleetClock
from service.store.heartbeats import Heartbeats
from service.store.record import Record, open_pool
from service.telemetry import configure_logging, get_logger
from workers.worker import LONGEST_PAUSE_S, WorkerProcess, worker_name

log = get_logger(__name__)

LOOK_AGAIN_S: Final = 0.2
"""Pause before Redis is looked at again that did not answer at the start, in seconds; twice as long each time."""


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
    """Open everything, work until SIGTERM or SIGINT, close everything; the exit code. Raises SettingsError, SigningKeysError."""
    settings.require("public_url", "signing_keys_file")
    if settings.signing_keys_file is not None:
        # Before Redis is waited for: what it says of these changes nothing.
        load_key_ring(settings.signing_keys_file)
    configure_logging(log_format=settings.log_format, log_level=settings.log_level)
    log.info("worker.starting", **settings.summary())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    refusal = await first_refusal(settings, stop)
    if refusal is not None:
        return _refuse(refusal)
    if stop.is_set():
        log.info("worker.stopped", worker=worker_name())
        return 0
    async with open_resources(settings) as resources:
        await WorkerProcess(resources).run(stop)
    return 0


async def first_refusal(settings: Settings, stop: asyncio.Event) -> str | None:
    """Why this worker must not work with this Redis, or cannot, or None: as soon as that answers, or `stop` is set.

    Nothing can be done before, and what evicts or cannot be waited for must not be begun with just because it was away when the
    worker started. The service goes on asking by itself, at each /readyz.
    """
    pause_s = LOOK_AGAIN_S
    while not stop.is_set():
        look = await look_at_redis(settings)
        if look.answered or look.denied:
            return look.refusal or look.denied
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
    return None


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
