"""Waiting until what was written is on disk or on replicas, before its success is told (Redis `WAIT` and `WAITAOF`).

Redis answers a write from memory. Where its machine dies at that moment, or a replica takes over that had not heard of the
write, it is gone. Who waits here is answered later, and has it.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

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
        self._asking: list[tuple[str, str, asyncio.Future[None]]] = []
        self._waiter: asyncio.Task[None] | None = None

    async def reached(self, key: str, field: str) -> None:
        """Return once a hash's field, written before by anybody, is where it was asked to be. Raises Unavailable when it does
        not get there in time, or is not there any more: a replica has taken over without it."""
        if not self._awaited:
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append((key, field, told))
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
                reached, found = await self._wait([(key, field) for key, field, _ in asked])
            except Unavailable as error:
                reached, found, why = False, [], str(error)
            except Exception as error:  # each caller is to learn of it, whatever it is  # noqa: BLE001
                for _, _, told in asked:
                    if not told.done():
                        told.set_exception(error)
                continue
            else:
                why = "what was written has not reached as many disks or replicas as it must; ask again"
            for place, (_, _, told) in enumerate(asked):
                if told.done():
                    continue
                if reached and found[place]:
                    told.set_result(None)
                else:
                    told.set_exception(Unavailable(why, retry_after=RETRY_AFTER_S))

    async def _wait(self, fields: list[tuple[str, str]]) -> tuple[bool, list[bool]]:
        awaited = self._awaited
        calls: list[Command] = [("HINCRBY", keyspace.STATISTICS, "waits", 1)]
        calls += [("HEXISTS", key, field) for key, field in fields]
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
        return reached, [bool(each) for each in there]
