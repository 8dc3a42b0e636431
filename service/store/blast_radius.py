"""How many people a connection's identity provider may have signed out within a window, and what is held beyond that.

One count for all processes, decided in one atomic step: of two requests for the last place, one passes. A hold ends by an
operator's hand alone. What is asked meanwhile has been verified, is not in force, and is kept to be put into force or forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from service.domain.revocation import RevocationRequest
from service.store import keyspace
from service.store.codec import from_json, to_json
from service.store.record import Command, Record, Script

MAX_HELD: Final = 10_000
"""Most requests kept for one connection; further ones are refused all the same. A request is some hundred bytes."""

MAX_HELD_PEOPLE: Final = 100_000
"""Most people they may be about, together."""

Verdict = Literal["passed", "began", "held"]
"""passed: it may be put into force. began: the connection is held from this request on. held: it was held before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A connection that is held."""

    since_ms: int
    people: int
    """Of the requests that are kept."""
    requests: int
    not_kept: int
    """Requests that came when there were too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRequest:
    """A verified request that is not in force."""

    request: RevocationRequest
    held_at_ms: int


class BlastRadius:
    """The count and the holds of every connection. `people`: most within `window_ms`; 0, and nothing is counted or held."""

    def __init__(self, record: Record, *, people: int, window_ms: int) -> None:
        self._record = record
        self._people = people
        self._window_ms = window_ms

    @property
    def is_on(self) -> bool:
        """Whether anything is counted."""
        return self._people > 0

    async def count(self, request: RevocationRequest, *, now_ms: int) -> Verdict:
        """Count the people of a request, unless they are too many: then the connection is held."""
        connection_id = request.connection_id
        verdict: Verdict = await self._record.script(
            "hold_or_pass",
            [keyspace.counted_people(connection_id), keyspace.hold(connection_id)],
            [now_ms, self._window_ms, self._people, *dict.fromkeys(request.user_ids)],
        )
        if verdict != "passed":
            # Each time: the first may have been cut short between the two.
            await self._record.run("ZADD", keyspace.HELD_CONNECTIONS, "NX", now_ms, connection_id)
        return verdict

    async def keep(self, request: RevocationRequest, *, now_ms: int) -> bool:
        """Keep a request of a held connection, once however often it comes; False: there are too many."""
        connection_id = request.connection_id
        written = to_json(HeldRequest(request=request, held_at_ms=now_ms))
        kept = await self._record.script(
            "keep_held",
            [keyspace.hold(connection_id), keyspace.held(connection_id), keyspace.held_people(connection_id)],
            [MAX_HELD, MAX_HELD_PEOPLE, request.revocation_id, written, *dict.fromkeys(request.user_ids)],
        )
        return bool(kept)

    async def holds(self, connection_ids: Sequence[str]) -> dict[str, Hold]:
        """Those of these connections that are held, and what is."""
        calls: list[Command | Script] = []
        for each in connection_ids:
            calls += [
                ("HGETALL", keyspace.hold(each)),
                ("HLEN", keyspace.held(each)),
                ("SCARD", keyspace.held_people(each)),
            ]
        answers = await self._record.pipeline(calls)
        return {
            connection_id: Hold(
                since_ms=int(hold["since_ms"]),
                people=people,
                requests=requests,
                not_kept=int(hold.get("not_kept", 0)),
            )
            for connection_id, hold, requests, people in zip(
                connection_ids, answers[::3], answers[1::3], answers[2::3], strict=True
            )
            if hold
        }

    async def kept(self, connection_id: str, *, most: int) -> tuple[HeldRequest, ...]:
        """What is kept, the oldest first, and at most so many."""
        every = await self._record.run("HVALS", keyspace.held(connection_id))
        found = sorted((from_json(HeldRequest, raw) for raw in every), key=lambda each: each.held_at_ms)
        return tuple(found[:most])

    async def forget(self, connection_id: str, revocation_id: str) -> None:
        """It is in force."""
        await self._record.run("HDEL", keyspace.held(connection_id), revocation_id)

    async def release(self, connection_id: str, *, discard: bool) -> tuple[int, int]:
        """End the hold, unless something is kept that is not to be discarded; how many such requests there are, and how many
        were discarded."""
        keys = (keyspace.counted_people, keyspace.hold, keyspace.held, keyspace.held_people)
        left, discarded = await self._record.script(
            "release_hold", [of(connection_id) for of in keys], ["1" if discard else "0"]
        )
        if left == 0:
            await self._record.run("ZREM", keyspace.HELD_CONNECTIONS, connection_id)
        return int(left), int(discarded)

    async def count_held(self) -> int:
        """How many connections are held."""
        return int(await self._record.run("ZCARD", keyspace.HELD_CONNECTIONS))
