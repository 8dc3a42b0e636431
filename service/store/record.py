"""The one way to Redis: single commands, pipelines and the scripts of `lua/`; every failure to reach it is `Unavailable`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import Unavailable

SOCKET_TIMEOUT_S: Final = 2.0
"""Longest wait for one reply, in seconds: a door must be able to answer 503 before its caller gives up."""

CONNECT_TIMEOUT_S: Final = 1.0
"""Longest wait for a connection, in seconds."""

POOL_SIZE: Final = 64
"""Connections per process; further commands wait up to `CONNECT_TIMEOUT_S` for one."""

RETRIES: Final = 2
"""Times a command is sent again when its connection breaks. Every write here is harmless when repeated: ids are made by
the caller, scripts look before they leap."""

HEALTH_CHECK_INTERVAL_S: Final = 15
"""A connection idle for longer is pinged before use, in seconds: firewalls forget quiet connections."""

Command = Sequence[str | int | float]


def open_pool(url: str, *, decode: bool, size: int = POOL_SIZE) -> BlockingConnectionPool:
    """A pool that waits instead of failing when it is empty, and reconnects instead of failing when Redis restarts."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=size,
        timeout=CONNECT_TIMEOUT_S,
        decode_responses=decode,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        health_check_interval=HEALTH_CHECK_INTERVAL_S,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), RETRIES),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )


class Record:
    """Our own record in Redis: the truth, of which everything else is a hint."""

    def __init__(self, client: "Redis") -> None:
        self.client = client
        self._sources = _load_scripts()
        self._hashes: dict[str, str] = {}
        # redis-py types each command as either sync or async; the two calls it is all built on are enough here.
        self._execute: Callable[..., Awaitable[Any]] = client.execute_command

    async def run(self, *command: str | float) -> Any:
        """Run one command."""
        try:
            return await self._execute(*command)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def pipeline(self, commands: Sequence[Command], *, atomic: bool = False) -> list[Any]:
        """Run several commands in one round trip; `atomic` wraps them in MULTI (one hash tag only)."""
        if not commands:
            return []
        try:
            async with self.client.pipeline(transaction=atomic) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute())
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def script(self, name: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Run `lua/{name}.lua`; its header states KEYS, ARGV and what it returns."""
        try:
            if name not in self._hashes:
                self._hashes[name] = await self._execute("SCRIPT LOAD", self._sources[name])
            try:
                return await self._execute("EVALSHA", self._hashes[name], len(keys), *keys, *args)
            except NoScriptError:
                # Redis was restarted or its script cache flushed.
                return await self._execute("EVAL", self._sources[name], len(keys), *keys, *args)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error


def _load_scripts() -> Mapping[str, str]:
    folder = files("service.store").joinpath("lua")
    sources = {each.name.removesuffix(".lua"): each.read_text("utf-8") for each in folder.iterdir()}
    shared = sources.pop("prelude")
    return {name: f"{shared}\n{source}" for name, source in sources.items()}


def _unavailable(error: Exception) -> Unavailable:
    # The class alone: redis-py's messages may hold the URL.
    return Unavailable(f"the record cannot be reached ({type(error).__name__})")
