"""The one way to Redis: single commands, pipelines and the scripts of `lua/`; every failure to reach it is `Unavailable`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.client import NEVER_DECODE
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import Unavailable, WrongRecord
from service.store.pool import PrimaryPool, losing_connections

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

ASKS: Final = 2
"""Times a question for the primary is put: whoever answered first may have been demoted, and its name lead to another by now."""

Argument = str | bytes | int | float
Command = Sequence[Argument]


@dataclass(frozen=True, slots=True)
class Script:
    """A call of `lua/{name}.lua`, as a pipeline takes it beside commands."""

    name: str
    keys: Sequence[str]
    args: Sequence[Argument]


def open_pool(url: str, *, decode: bool, size: int = POOL_SIZE) -> PrimaryPool:
    """A pool that waits instead of failing when it is empty, and reconnects instead of failing when Redis restarts or is a
    replica all at once."""
    # redis-py 5 checks a server's certificate and not that it is this server's, unless told to.
    encrypted = {"ssl_check_hostname": True} if url.startswith("rediss:") else {}
    pool: PrimaryPool = PrimaryPool.from_url(
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
    pool.connection_class = losing_connections(pool.connection_class, pool)
    return pool


class Record:
    """Our own record in Redis: the truth, of which everything else is a hint."""

    def __init__(self, client: "Redis") -> None:
        self.client = client
        self._pool = cast("PrimaryPool", client.connection_pool)  # redis-py's types do not know which
        self._sources = _load_scripts()
        # Redis names a script by its SHA-1 (EVALSHA); nothing rests on that hash being hard to forge.
        self._names = {
            name: sha1(source.encode(), usedforsecurity=False).hexdigest() for name, source in self._sources.items()
        }
        # redis-py types each command as either sync or async; the one call it is all built on is enough here.
        self._execute: Callable[..., Awaitable[Any]] = client.execute_command

    async def run(self, *command: Argument) -> Any:
        """Run one command."""
        return await self._run(*command)

    async def run_undecoded(self, *command: Argument) -> Any:
        """Run one command whose answer may be no UTF-8: bytes, as Redis sends them."""
        return await self._run(*command, **{NEVER_DECODE: True})

    async def _run(self, *command: Argument, **options: Any) -> Any:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._execute(*command, **options)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
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

    async def ask(self, call: Command | Script) -> Any:
        """Run one command or script that reads, and take the answer of the primary alone: for answers by which somebody is
        let in or told that nothing is left to end, and for Redis' clock. Raises Unavailable where a replica answers.

        A write fails on a replica, and so finds out by itself (`service.store.pool`). A primary that was demoted and lives on
        would be read from for as long as its connections do, and knows of nothing that came or was revoked since.
        """
        return (await self._ask([call]))[0]

    async def ask_all(self, calls: Sequence[Command | Script]) -> list[Any]:
        """The same of several, in one round trip."""
        return await self._ask(calls) if calls else []

    async def _ask(self, calls: Sequence[Command | Script]) -> list[Any]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                for _ in range(ASKS):
                    generation = self._pool.generation
                    role, *answers = await self._beside_role(calls)
                    for each in answers:
                        if isinstance(each, Exception):
                            raise each
                    # Where our user may not ask, it is not known, and is as without asking; `service.store.health` tells of it.
                    if isinstance(role, ResponseError) or role[0] == "master":
                        return answers
                    self._pool.forsake(generation)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error
        raise Unavailable("the record cannot be reached (a replica answers)")

    async def _beside_role(self, calls: Sequence[Command | Script]) -> list[Any]:
        """What it is, and its answers, through one connection."""
        answers = await self._send(
            [("ROLE",), *(self._by_hash(each) if isinstance(each, Script) else each for each in calls)]
        )
        if not any(isinstance(each, NoScriptError) for each in answers):
            return answers
        return await self._send(
            [("ROLE",), *(self._by_source(each) if isinstance(each, Script) else each for each in calls)]
        )

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
        answers = await self._send([self._by_hash(each) if isinstance(each, Script) else each for each in calls])
        for place, answer in enumerate(answers):
            call = calls[place]
            if isinstance(answer, NoScriptError) and isinstance(call, Script):
                answers[place] = await self._execute(*self._by_source(call))
            elif isinstance(answer, Exception):
                raise answer
        return answers

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        """What each answers, errors too."""
        async with self.client.pipeline(transaction=False) as pipe:
            for each in commands:
                pipe.execute_command(*each)
            return list(await pipe.execute(raise_on_error=False))

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
    # Of a script it is somewhere in what Redis says.
    if isinstance(error, ResponseError) and "WRONGTYPE" in str(error):
        return WrongRecord("a record is not of the kind that is to be stored there")
    # The class alone: redis-py's messages may hold the URL.
    return Unavailable(f"the record cannot be reached ({type(error).__name__})")
