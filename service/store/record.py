"""The one way to Redis: single commands, pipelines and the scripts of `lua/`; every failure to reach it is `Unavailable`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
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

CALL_TIMEOUT_S: Final = 4.0
"""Longest time one call takes, in seconds, everything included: the wait for a connection, retries, a Redis that accepts
and does not answer. A door must be able to say 503 before its caller gives up."""

Command = Sequence[str | int | float]


@dataclass(frozen=True, slots=True)
class Script:
    """A call of `lua/{name}.lua`, as a pipeline takes it beside commands."""

    name: str
    keys: Sequence[str]
    args: Sequence[str | int | float]


def open_pool(url: str, *, decode: bool, size: int = POOL_SIZE) -> BlockingConnectionPool:
    """A pool that waits instead of failing when it is empty, and reconnects instead of failing when Redis restarts."""
    # redis-py 5 checks a server's certificate and not that it is this server's, unless told to.
    encrypted = {"ssl_check_hostname": True} if url.startswith("rediss:") else {}
    pool = BlockingConnectionPool.from_url(
        url,
        **encrypted,
        max_connections=size,
        timeout=CONNECT_TIMEOUT_S,
        decode_responses=decode,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        # redis-py's own health check runs inside its reconnect, which runs its health check: against a Redis that accepts
        # and does not answer it never ends. Retries notice a dead connection as well.
        health_check_interval=0,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), RETRIES),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
    pool.connection_class = _losing_connections(pool.connection_class)
    return pool


def _losing_connections(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """That kind of connection, which says so when it is lost just before something is sent.

    uvloop says then that "the handler is closed", by a RuntimeError that redis-py takes for a fault and neither retries nor
    names: a Redis that restarts would be answered with 500.
    """

    class LosingConnection(kind):  # type: ignore[misc, valid-type]  # one class for each kind there is
        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - its
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                raise RedisConnectionError("closed while something was sent") from error

    return LosingConnection


class Record:
    """Our own record in Redis: the truth, of which everything else is a hint."""

    def __init__(self, client: "Redis") -> None:
        self.client = client
        self._sources = _load_scripts()
        # Redis names a script by its SHA-1 (EVALSHA); nothing rests on that hash being hard to forge.
        self._names = {
            name: sha1(source.encode(), usedforsecurity=False).hexdigest() for name, source in self._sources.items()
        }
        # redis-py types each command as either sync or async; the one call it is all built on is enough here.
        self._execute: Callable[..., Awaitable[Any]] = client.execute_command

    async def run(self, *command: str | float) -> Any:
        """Run one command."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._execute(*command)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def script(self, name: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Run `lua/{name}.lua`; its header states KEYS, ARGV and what it returns."""
        call = Script(name, keys, args)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                try:
                    return await self._execute(*self._by_hash(call))
                except NoScriptError:
                    return await self._execute(*self._by_source(call))
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def pipeline(self, calls: Sequence[Command | Script]) -> list[Any]:
        """Run several commands and scripts in one round trip, in this order, each by itself: no transaction.

        Scripts that Redis does not know (any more) run after all the rest, in their own order: whoever needs a command
        done before a script may put both into one pipeline, whoever needs it done after one may not.
        """
        if not calls:
            return []
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._pipeline(calls)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def _pipeline(self, calls: Sequence[Command | Script]) -> list[Any]:
        async with self.client.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.execute_command(*(self._by_hash(call) if isinstance(call, Script) else call))
            answers = list(await pipe.execute(raise_on_error=False))
        for place, answer in enumerate(answers):
            call = calls[place]
            if isinstance(answer, NoScriptError) and isinstance(call, Script):
                answers[place] = await self._execute(*self._by_source(call))
            elif isinstance(answer, Exception):
                raise answer
        return answers

    def _by_hash(self, call: Script) -> Command:
        return ("EVALSHA", self._names[call.name], len(call.keys), *call.keys, *call.args)

    def _by_source(self, call: Script) -> Command:
        """How a script is sent that Redis does not know (any more): after a restart, a flush, a failover."""
        return ("EVAL", self._sources[call.name], len(call.keys), *call.keys, *call.args)


def _load_scripts() -> Mapping[str, str]:
    folder = files("service.store").joinpath("lua")
    sources = {each.name.removesuffix(".lua"): each.read_text("utf-8") for each in folder.iterdir()}
    shared = sources.pop("prelude")
    return {name: f"{shared}\n{source}" for name, source in sources.items()}


def _unavailable(error: Exception) -> Unavailable:
    # The class alone: redis-py's messages may hold the URL.
    return Unavailable(f"the record cannot be reached ({type(error).__name__})")
