"""People as Redis knows them: who an identifier names, and the one step that ends everything of theirs."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from service.domain.identifiers import fingerprint
from service.domain.subject import SubjectIdentifier
from service.errors import CannotBeEnded
from service.store import keyspace
from service.store.families import Families
from service.store.record import Command, Record, Script

T = TypeVar("T")

MAX_PEOPLE: Final = 10_000
"""Most people a subject may name before a revocation of it is refused. All are signed out, for of the two errors that is the
safe one; this many are more than one job can see to, and no person's name."""

CHUNK: Final = 500
"""Most people, sessions or tokens in one round trip: Redis serves others in between."""

LATE_MARGIN_MS: Final = 1000
"""How far a cut-off completed after a crash reaches past its acceptance, in milliseconds: the clocks of two machines
differ by so much, and of the two errors signing out one sign-in too many is the safe one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person, as known through one connection."""

    user_id: str
    connection_id: str
    iss: str
    sub: str
    created_at_ms: int
    revoked_at_ms: int | None
    identifiers: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session a revocation covers."""

    session_id: str
    active: bool
    token_hashes: tuple[str, ...]
    live_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An application that may hold a session because of what a revocation covers."""

    client_id: str
    sub: str
    sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a revocation covers of one person, before anything is deleted."""

    sessions: tuple[EndedSession, ...]
    targets: tuple[Target, ...]
    tokens_ended: int = 0
    """Refresh tokens that were ended, but no session with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An application that has been told of a revocation. `sid` None: of every session of `sub`."""

    user_id: str
    revocation_id: str
    client_id: str
    sub: str
    sid: str | None
    session_id: str | None
    """The one session that was meant; None: all of them up to the revocation."""


class People:
    """The people of every connection."""

    def __init__(self, record: Record, *, receipt_ms: int) -> None:
        self._record = record
        self._receipt_ms = receipt_ms
        self.families = Families(record, receipt_ms=receipt_ms)

    async def register(self, user_id: str, connection_id: str, identifiers: Sequence[SubjectIdentifier]) -> None:
        """Let each identifier name this person within the connection.

        Comes before the sign-in is recorded: from its first moment a session can be found by every name given for it.
        """
        await self._record.pipeline(
            [("SADD", _identifier_key(connection_id, each), user_id) for each in identifiers],
        )

    async def resolve(self, connection_id: str, identifiers: Sequence[SubjectIdentifier]) -> tuple[str, ...]:
        """Everyone these identifiers name within this connection, and nobody else (law 4); empty when unknown.

        An `opaque` identifier may also be a user_id of ours. Raises CannotBeEnded when one names more than `MAX_PEOPLE`.
        """
        commands: list[Command | Script] = [("SMEMBERS", _identifier_key(connection_id, each)) for each in identifiers]
        opaque = [each.value[0] for each in identifiers if each.format == "opaque"]
        commands += [("HGET", keyspace.person(user_id), "connection_id") for user_id in opaque]
        answers = await self._record.pipeline(commands)
        named: set[str] = set()
        for members in answers[: len(identifiers)]:
            named.update(members)
        named.update(
            user_id for user_id, home in zip(opaque, answers[len(identifiers) :], strict=True) if home == connection_id
        )
        if len(named) > MAX_PEOPLE:
            raise CannotBeEnded(f"the subject names more than {MAX_PEOPLE} people")
        return tuple(sorted(named))

    async def get(self, user_id: str) -> Person | None:
        """One person, or None."""
        fields, identifiers = await self._record.pipeline(
            [("HGETALL", keyspace.person(user_id)), ("SMEMBERS", keyspace.person_identifiers(user_id))]
        )
        if "connection_id" not in fields:
            return None
        return Person(
            user_id=user_id,
            connection_id=fields["connection_id"],
            iss=fields["iss"],
            sub=fields["sub"],
            created_at_ms=int(fields["created_at_ms"]),
            revoked_at_ms=int(fields["revoked_at_ms"]) if "revoked_at_ms" in fields else None,
            identifiers=tuple(json.loads(each) for each in sorted(identifiers)),
        )

    async def cut_off(
        self, user_ids: Sequence[str], revocation_id: str, *, now_ms: int, accepted_at_ms: int, late: bool = False
    ) -> None:
        """End everything each of these people holds, in one atomic O(1) step a person.

        `late`: completing a revocation that was recorded but, a crash between, never cut off and never acknowledged.
        """
        moment = accepted_at_ms + LATE_MARGIN_MS if late else accepted_at_ms
        arguments: list[str | int] = [revocation_id, now_ms, moment, "1" if late else "0", now_ms - self._receipt_ms]
        for chunk in _chunks(user_ids):
            await self._record.pipeline(
                [
                    Script(
                        "cut_off",
                        [keyspace.person(user_id), keyspace.cutoffs(user_id), keyspace.person_revocations(user_id)],
                        arguments,
                    )
                    for user_id in chunk
                ]
            )

    async def end_session(
        self, user_id: str, session_id: str, revocation_id: str, *, now_ms: int, accepted_at_ms: int
    ) -> None:
        """End one session and its tokens."""
        await self._record.script(
            "end_session",
            [keyspace.person(user_id), keyspace.person_revocations(user_id), keyspace.session(user_id, session_id)],
            [revocation_id, now_ms, accepted_at_ms, now_ms - self._receipt_ms],
        )

    async def snapshot(
        self, user_ids: Sequence[str], revocation_id: str, *, now_ms: int, session_id: str | None
    ) -> dict[str, Snapshot]:
        """What the revocation covers of each of these people; those it has not been cut off for are left out.

        In several steps, which changes nothing: what is covered was settled by the cut-off, and none of it can come back.
        """
        found: dict[str, Snapshot] = {}
        for chunk in _chunks(user_ids):
            raw = await self._record.pipeline(
                [
                    Script(
                        "snapshot_targets",
                        [keyspace.participation(user_id), keyspace.cutoffs(user_id)],
                        [revocation_id, now_ms, session_id or ""],
                    )
                    for user_id in chunk
                ]
            )
            covered = [user_id for user_id, targets in zip(chunk, raw, strict=True) if targets]
            sessions = await self._covered_sessions(covered, revocation_id, now_ms=now_ms, session_id=session_id)
            for user_id, targets in zip(chunk, raw, strict=True):
                if targets:
                    # Redis writes an empty Lua table as {}, a filled one as a list; either is gone through the same way.
                    told = tuple(Target(**each) for each in json.loads(targets))
                    found[user_id] = Snapshot(sessions=tuple(sessions[user_id]), targets=told)
        return found

    async def _covered_sessions(
        self, user_ids: Sequence[str], revocation_id: str, *, now_ms: int, session_id: str | None
    ) -> dict[str, list[EndedSession]]:
        ids: list[list[str]] = [[session_id]] * len(user_ids) if session_id is not None else []
        if session_id is None:
            ids = await self._record.pipeline(
                [("ZRANGE", keyspace.person_sessions(user_id), 0, -1) for user_id in user_ids]
            )
        asked = [
            (user_id, chunk) for user_id, every in zip(user_ids, ids, strict=True) for chunk in _chunks(every) if chunk
        ]
        found: dict[str, list[EndedSession]] = {user_id: [] for user_id in user_ids}
        for some in _chunks(asked):
            raw = await self._record.pipeline(
                [
                    Script(
                        "snapshot_sessions",
                        [keyspace.person(user_id), keyspace.cutoffs(user_id)],
                        [revocation_id, now_ms, "0" if session_id is None else "1", *chunk],
                    )
                    for user_id, chunk in some
                ]
            )
            for (user_id, _), answer in zip(some, raw, strict=True):
                found[user_id] += [
                    EndedSession(
                        session_id=each["id"],
                        active=each["active"],
                        token_hashes=tuple(each["tokens"]),
                        live_tokens=each["live_tokens"],
                    )
                    for each in json.loads(answer)
                ]
        return found

    async def forget(
        self, user_id: str, revocation_id: str, sessions: Sequence[EndedSession], *, ended_at_ms: int
    ) -> None:
        """Delete what is dead already: refresh tokens, and the ways to find them."""
        hashes = [hashed for each in sessions for hashed in each.token_hashes]
        named: list[str | None] = []
        for some in _chunks(hashes):
            tokens = [keyspace.token(user_id, each) for each in some]
            named += await self._record.pipeline([("HGET", each, "refresh_token_id") for each in tokens])
        for chunk in _chunks(sessions):
            await self._record.script(
                "forget_sessions",
                [keyspace.person(user_id), keyspace.person_sessions(user_id)],
                [revocation_id, ended_at_ms, *(each.session_id for each in chunk)],
            )
        ways = [keyspace.token_owner(each) for each in hashes]
        ways += [keyspace.token_hash(each) for each in named if each is not None]
        for some in _chunks(ways):
            await self._record.pipeline([("DEL", way) for way in some])

    async def forget_participation(self, told: Iterable[Told]) -> None:
        """Drop what applications held, now that they have been told: one step for each person and revocation.

        What a newer sign-in has added since stays.
        """
        groups: dict[tuple[str, str, str | None], list[Told]] = defaultdict(list)
        for each in told:
            groups[each.user_id, each.revocation_id, each.session_id].append(each)
        await self._record.pipeline(
            [
                Script(
                    "forget_participation",
                    [keyspace.cutoffs(user_id), *participation_keys(user_id)],
                    [
                        revocation_id,
                        session_id or "",
                        json.dumps([[each.client_id, each.sub, each.sid or ""] for each in group]),
                    ],
                )
                for (user_id, revocation_id, session_id), group in groups.items()
            ]
        )


def participation_keys(user_id: str) -> tuple[str, str, str]:
    """What is remembered of a person's part in applications, and the two indexes of it, as the scripts take them."""
    return (
        keyspace.participation(user_id),
        keyspace.participation_until(user_id),
        keyspace.participation_counts(user_id),
    )


def participation_field(client_id: str, sid: str, session_id: str) -> str:
    """The name of an application's part in a session among all a person takes part in. The session's own id is in it: an
    application may know two sessions, one after the other, by the same `sid`."""
    return json.dumps([client_id, sid, session_id])


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _identifier_key(connection_id: str, identifier: SubjectIdentifier) -> str:
    return keyspace.identifier(connection_id, fingerprint(identifier.format, *identifier.value))
