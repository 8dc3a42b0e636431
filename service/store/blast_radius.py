"""How many people a connection's identity provider may have signed out within a window, and what is held beyond that.

One count for all processes, decided in one atomic step: of two requests for the last place, one passes. A hold ends by an
operator's hand alone. What is asked meanwhile has been verified, is not in force, and is kept to be put into force or forgotten.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from service.domain.revocation import RevocationRequest
from service.store import keyspace
from service.store.codec import from_json, to_json
from service.store.record import Command, Record, Script

MAX_HELD: Final = 10_000
"""Most requests kept for one connection; further ones are refused all the same. A request is some hundred bytes."""

MAX_HELD_PEOPLE: Final = 100_000
"""Most people they may be about, one request's added to another's: each is kept with all its people, some 30 bytes each."""

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

    async def count(
        self, request: RevocationRequest, *, now_ms: int, tell: Callable[[], Awaitable[None]] | None = None
    ) -> Verdict:
        """Count the people of a request, unless they are too many: then the connection is held.

        It is listed, and told of by `tell`, before it is held: a crash between leaves one on the list, and in the audit trail,
        that is not held yet, and never a hold that nobody is told of. Where `tell` fails it is not held, nor does this pass.
        """
        verdict = await self._hold_or_pass(request, now_ms=now_ms, listed=False)
        if verdict == "unlisted":
            await self._record.run("ZADD", keyspace.HELD_CONNECTIONS, "NX", now_ms, request.connection_id)
            if tell is not None:
                await tell()
            verdict = await self._hold_or_pass(request, now_ms=now_ms, listed=True)
        return cast("Verdict", verdict)

    async def _hold_or_pass(self, request: RevocationRequest, *, now_ms: int, listed: bool) -> str:
        connection_id = request.connection_id
        verdict: str = await self._record.script(
            "hold_or_pass",
            [keyspace.counted_people(connection_id), keyspace.hold(connection_id)],
            [now_ms, self._window_ms, self._people, int(listed), *dict.fromkeys(request.user_ids)],
        )
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

    async def forget(self, request: RevocationRequest) -> None:
        """It is in force."""
        connection_id = request.connection_id
        await self._record.script(
            "forget_held",
            [keyspace.hold(connection_id), keyspace.held(connection_id)],
            [request.revocation_id, len(dict.fromkeys(request.user_ids))],
        )

    async def release(self, connection_id: str, *, discard: bool) -> tuple[int, int]:
        """End the hold, unless something is kept that is not to be discarded; how many such requests there are, and how many
        were discarded."""
        keys = (keyspace.counted_people, keyspace.hold, keyspace.held, keyspace.held_people)
        # It stays on the list: taken off now, it might be off when the next hold begins.
        left, discarded = await self._record.script(
            "release_hold", [of(connection_id) for of in keys], ["1" if discard else "0"]
        )
        return int(left), int(discarded)

    async def count_held(self) -> int:
        """How many connections are held, of those that ever were."""
        listed = await self._record.run("ZRANGE", keyspace.HELD_CONNECTIONS, 0, -1)
        return sum(await self._record.pipeline([("EXISTS", keyspace.hold(each)) for each in listed]))
