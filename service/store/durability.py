"""Waiting until what was written is on disk or on replicas, before its success is told (Redis `WAIT` and `WAITAOF`).

Redis answers a write from memory. Where its machine dies at that moment, or a replica takes over that had not heard of the
write, it is gone. Who waits here is answered later, and has it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from service.errors import Unavailable
from service.store import keyspace
from service.store.record import Command, Record

RETRY_AFTER_S: Final = 5
"""When a caller may ask again whose write has not got there yet, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """What is waited for. Nothing: `fsync` False and `replicas` 0."""

    fsync: bool = False
    """Whether the append-only file of the primary, and of each replica counted, must have been synced to disk (Redis 7.2)."""
    replicas: int = 0
    """How many replicas must have it."""
    timeout_ms: int = 1000
    """Longest wait, in milliseconds."""

    def __bool__(self) -> bool:
        """Whether anything is waited for."""
        return self.fsync or self.replicas > 0


class Durability:
    """Waits for a whole process: whoever asks while one wait is under way shares the next, so that a slow disk costs every
    caller one sync and not a connection each."""

    def __init__(self, record: Record, awaited: Awaited) -> None:
        self._record = record
        self._awaited = awaited
        self._asking: list[_Asked] = []
        self._waiter: asyncio.Task[None] | None = None

    async def reached(self, key: str, field: str) -> None:
        """Return once a hash's field, written before by anybody, is where it was asked to be. Raises Unavailable when it does
        not get there in time, or is not there any more: a replica has taken over without it."""
        if not self._awaited:
            return
        await self._reached(("HEXISTS", key, field), bool)

    async def history(self) -> str:
        """Which history of writes Redis goes on with: another one from the moment a replica has taken over. Asked before
        something is written that leaves nothing to look for, and handed to `reached_since`. Raises Unavailable."""
        if not self._awaited:
            return ""
        return _history_in(await self._record.run(*_WHICH_HISTORY))

    async def reached_since(self, history: str) -> None:
        """Return once everything that was written since `history` was asked for is where it was asked to be. Raises Unavailable
        when it does not get there in time, or a replica has taken over meanwhile, which may not have had it."""
        if self._awaited:
            await self._reached(_WHICH_HISTORY, lambda answer: _history_in(answer) == history)

    async def same_history(self, history: str) -> None:
        """The same where something later has been waited for already: that is behind all of it in one order, unless a replica has
        taken over in between. Raises Unavailable then."""
        if self._awaited and await self.history() != history:
            raise Unavailable("a replica has taken over meanwhile; ask again", retry_after=RETRY_AFTER_S)

    async def _reached(self, look: Command, is_there: Callable[[Any], bool]) -> None:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(_Asked(look=look, is_there=is_there, told=told))
        if self._waiter is None or self._waiter.done():
            self._waiter = asyncio.create_task(self._wait_for_all())
        await told

    async def _wait_for_all(self) -> None:
        while self._asking:
            asked, self._asking = self._asking, []
            try:
                # What is written through another connection does not count for WAIT. A write of our own does, and all before
                # it with it: replicas and the file have one order. After the mark, so that a replica that takes over between
                # is caught: what it has not, nobody is told.
                reached, found = await self._wait([each.look for each in asked])
            except Unavailable as error:
                reached, found, why = False, [], str(error)
            except Exception as error:  # each caller is to learn of it, whatever it is  # noqa: BLE001
                for each in asked:
                    if not each.told.done():
                        each.told.set_exception(error)
                continue
            else:
                why = "what was written has not reached as many disks or replicas as it must; ask again"
            for place, each in enumerate(asked):
                if each.told.done():
                    continue
                if reached and each.is_there(found[place]):
                    each.told.set_result(None)
                else:
                    each.told.set_exception(Unavailable(why, retry_after=RETRY_AFTER_S))

    async def _wait(self, looks: list[Command]) -> tuple[bool, list[Any]]:
        awaited = self._awaited
        calls: list[Command] = [("HINCRBY", keyspace.STATISTICS, "waits", 1)]
        calls += looks
        if awaited.fsync:
            calls.append(("WAITAOF", 1, awaited.replicas, awaited.timeout_ms))
        else:
            calls.append(("WAIT", awaited.replicas, awaited.timeout_ms))
        _, *there, answer = await self._record.pipeline(calls)
        if awaited.fsync:
            local, replicas = answer
            reached = local >= 1 and replicas >= awaited.replicas
        else:
            reached = answer >= awaited.replicas
        return reached, there


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Somebody who waits: what shows that their write is still there, and where they are told."""

    look: Command
    is_there: Callable[[Any], bool]
    told: asyncio.Future[None]


_WHICH_HISTORY: Final[Command] = ("INFO", "replication")


def _history_in(info: dict[str, Any]) -> str:
    return str(info.get("master_replid", ""))
