"""What a revocation covers of a person: read before anything is deleted, and forgotten once that is written down."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.domain.delivery_plan import Target
from service.domain.revocation import OneSession, Scope, SessionsBegunBy
from service.store import keyspace, person_keys
from service.store.people import arrived_ms, chunks, participation_keys
from service.store.record import Record, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session of which a revocation ended something."""

    session_id: str
    ended: bool
    """The session itself, and its ordinary refresh tokens."""
    offline_ended: bool
    """Its offline refresh tokens."""
    active: bool
    """It was honoured until this revocation."""
    token_hashes: tuple[str, ...]
    """The tokens this revocation ended."""
    live_tokens: int
    """How many of them were honoured until then."""


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
    partly: SessionsBegunBy | None = None
    """What was meant, where that was not all up to the revocation."""
    prompt: bool = False
    """Whether the message that asked for that had come at once (`PROMPT_MS`)."""


class Covered:
    """What revocations cover."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def snapshot(
        self, user_ids: Sequence[str], revocation_id: str, *, now_ms: int, scope: Scope
    ) -> dict[str, Snapshot]:
        """What the revocation covers of each of these people; those it has not been cut off for are left out.

        In several steps, which changes nothing: what is covered was settled by the cut-off, and none of it can come back.
        """
        session_id = scope.session_id if isinstance(scope, OneSession) else None
        found: dict[str, Snapshot] = {}
        for chunk in chunks(user_ids):
            raw = await self._record.pipeline(
                [
                    Script(
                        "snapshot_targets",
                        [
                            person_keys.participation(user_id),
                            person_keys.cutoffs(user_id),
                            person_keys.logouts(user_id),
                        ],
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
                [("ZRANGE", person_keys.sessions(user_id), 0, -1) for user_id in user_ids]
            )
        asked = [
            (user_id, chunk) for user_id, every in zip(user_ids, ids, strict=True) for chunk in chunks(every) if chunk
        ]
        found: dict[str, list[EndedSession]] = {user_id: [] for user_id in user_ids}
        for some in chunks(asked):
            raw = await self._record.pipeline(
                [
                    Script(
                        "snapshot_sessions",
                        [person_keys.person(user_id), person_keys.cutoffs(user_id)],
                        [revocation_id, now_ms, *chunk],
                    )
                    for user_id, chunk in some
                ]
            )
            for (user_id, _), answer in zip(some, raw, strict=True):
                found[user_id] += [
                    EndedSession(
                        session_id=each["id"],
                        ended=each["ended"],
                        offline_ended=each["offline_ended"],
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
        for some in chunks(hashes):
            tokens = [person_keys.token(user_id, each) for each in some]
            named += await self._record.pipeline([("HGET", each, "refresh_token_id") for each in tokens])
        for chunk in chunks(sessions):
            listed = [
                {
                    "id": each.session_id,
                    "ended": each.ended,
                    "offline_ended": each.offline_ended,
                    "tokens": each.token_hashes,
                }
                for each in chunk
            ]
            await self._record.script(
                "forget_sessions",
                [person_keys.person(user_id), person_keys.sessions(user_id)],
                [revocation_id, ended_at_ms, json.dumps(listed)],
            )
        ways = [keyspace.token_owner(each) for each in hashes]
        ways += [keyspace.token_hash(each) for each in named if each is not None]
        for some in chunks(ways):
            await self._record.pipeline([("DEL", way) for way in some])

    async def let_go(self, user_ids: Sequence[str], revocation_id: str) -> None:
        """Drop a partial cut-off, once what it ended is noted on every session (`forget`)."""
        for chunk in chunks(user_ids):
            await self._record.pipeline([("HDEL", person_keys.logouts(each), revocation_id) for each in chunk])

    async def forget_participation(self, told: Iterable[Told], *, now_ms: int) -> None:
        """Drop what applications held, now that they have been told: one step for each person and revocation.

        What a newer sign-in has added since stays.
        """
        groups: dict[tuple[str, str, str | None, SessionsBegunBy | None, bool], list[Told]] = defaultdict(list)
        for each in told:
            groups[each.user_id, each.revocation_id, each.session_id, each.partly, each.prompt].append(each)
        await self._record.pipeline(
            [
                Script(
                    "forget_participation",
                    [person_keys.cutoffs(user_id), person_keys.logout_cutoffs(user_id), *participation_keys(user_id)],
                    [
                        revocation_id,
                        session_id or "",
                        json.dumps([[each.client_id, each.sub, each.sid or ""] for each in group]),
                        partial_cut(partly, prompt=prompt),
                        now_ms,
                    ],
                )
                for (user_id, revocation_id, session_id, partly, prompt), group in groups.items()
            ]
        )


def partial_cut(scope: SessionsBegunBy | None, *, prompt: bool) -> str:
    """A partial cut-off as the scripts know it, but for the stamp it reaches through."""
    if scope is None:
        return ""
    cut = {
        "begun_by_ms": scope.begun_by_ms,
        "sid": scope.upstream_sid,
        "or_without_sid": scope.or_without_sid,
        "arrived_ms": arrived_ms(scope),
    }
    return json.dumps(
        {name: value for name, value in cut.items() if value is not None}
        | {"offline": scope.offline_too, "prompt": prompt}
    )
