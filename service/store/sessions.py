"""Sign-ins as Redis knows them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.domain.session import Participant, Session, SignIn
from service.errors import Conflict, NotFound, ReauthenticationRequired
from service.store import keyspace, person_keys
from service.store.pages import Mark, page_of
from service.store.people import participation_field, participation_keys
from service.store.pseudonyms import new_salt
from service.store.record import Record, Script

DAY_MS: Final = 86_400_000
"""A day, in milliseconds."""

RETENTION_MS: Final = DAY_MS
"""How long an expired or ended session can still be read as such, in milliseconds."""


TOO_EARLY: Final = "the person was signed out at or after `auth_time`; they have to authenticate again"


class Sessions:
    """The sessions of every person. `participation_ms`: how long past expiry an application is taken to hold one."""

    def __init__(self, record: Record, *, participation_ms: int) -> None:
        self._record = record
        self._participation_ms = participation_ms

    async def require_later_sign_in(self, user_id: str, auth_time_s: int | None) -> None:
        """Raise ReauthenticationRequired when the person was revoked at or after the moment they authenticated."""
        if auth_time_s is None:
            return
        ended = await self._record.run("HMGET", person_keys.person(user_id), "revoked_at_ms", "logged_out_through_ms")
        if any(each is not None and auth_time_s * 1000 <= int(each) for each in ended):
            raise ReauthenticationRequired(TOO_EARLY)

    async def open(self, sign_in: SignIn, *, now_ms: int) -> bool:
        """Record a sign-in. Whether the person's identifiers must be registered once more: they were erased meanwhile. Raises
        ReauthenticationRequired when it began before the person's last revocation (law 5).

        The person's identifiers must have been registered before (`People.register`).
        """
        user, session_id = sign_in.user_id, sign_in.session_id
        keep_until = sign_in.expires_at_ms + RETENTION_MS
        await self._record.run("SET", keyspace.session_owner(session_id), user, "PXAT", keep_until)
        facts = {
            "connection_id": sign_in.connection_id,
            "created_at_ms": str(now_ms),
            "upstream_sid": sign_in.upstream_sid,
            "auth_time": None if sign_in.auth_time_s is None else str(sign_in.auth_time_s),
        }
        outcome = await self._record.script(
            "open_session",
            [
                person_keys.person(user),
                person_keys.identifiers(user),
                person_keys.sessions(user),
                person_keys.session(user, session_id),
                person_keys.session_clients(user, session_id),
                person_keys.ended_sids(user),
                *participation_keys(user),
            ],
            [
                now_ms,
                "" if sign_in.auth_time_s is None else sign_in.auth_time_s * 1000,
                session_id,
                sign_in.expires_at_ms,
                keep_until,
                json.dumps(
                    {
                        "connection_id": sign_in.connection_id,
                        "iss": sign_in.iss,
                        "sub": sign_in.sub,
                        "audit_salt": new_salt(),
                    }
                ),
                json.dumps([json.dumps(each.to_json(), sort_keys=True) for each in sign_in.identifiers]),
                json.dumps({name: value for name, value in facts.items() if value is not None}),
                json.dumps(
                    [
                        [each.client_id, *self._entries(session_id, each, sign_in.expires_at_ms)]
                        for each in sign_in.participants
                    ]
                ),
            ],
        )
        if outcome == "reauthenticate":
            await self._record.run("DEL", keyspace.session_owner(session_id))
            raise ReauthenticationRequired(TOO_EARLY)
        return bool(outcome == "opened_anew")

    async def join(self, session: Session, participant: Participant, *, now_ms: int) -> None:
        """Let another application join. Raises NotFound when the session is not honoured any more, Conflict when the
        application is in it already under another `sub` or `sid`."""
        user, session_id = session.user_id, session.session_id
        field, client, entry = self._entries(session_id, participant, session.expires_at_ms)
        outcome = await self._record.script(
            "join_session",
            [
                person_keys.person(user),
                person_keys.session(user, session_id),
                person_keys.session_clients(user, session_id),
                *participation_keys(user),
            ],
            [now_ms, participant.client_id, field, client, entry],
        )
        if outcome == "inactive":
            raise NotFound("the session has ended")
        if outcome != "joined":
            raise Conflict("the client is in this session already, under another `sub` or `sid`")

    async def leave(self, session: Session, participant: Participant) -> int:
        """Let an application leave: its refresh tokens of this session end, offline ones too, and it is owed no logout
        token for it. How many tokens that were. The session goes on for the others, also when there are none.

        When a revocation came first, it is owed one all the same. Nothing happens when it has left before.
        """
        user, session_id = session.user_id, session.session_id
        field, client, _ = self._entries(session_id, participant, session.expires_at_ms)
        ended = await self._record.script(
            "leave_session",
            [
                person_keys.person(user),
                person_keys.session(user, session_id),
                person_keys.session_clients(user, session_id),
                person_keys.session_tokens(user, session_id),
                *participation_keys(user),
            ],
            [participant.client_id, client, field],
        )
        await self._record.pipeline([("DEL", keyspace.token_owner(hashed)) for hashed in ended])
        return len(ended)

    async def get(self, session_id: str) -> Session | None:
        """One session as it stands, ended and expired ones included until they are forgotten; None when unknown."""
        user = await self._record.run("GET", keyspace.session_owner(session_id))
        if user is None:
            return None
        return _session(session_id, user, await self._record.ask(Script(*self._reading(user, session_id))))

    async def of_person(
        self, user_id: str, *, after: Mark | None, limit: int
    ) -> tuple[tuple[Session, ...], Mark | None]:
        """A person's sessions, those that last longest first, of `limit` list entries after one, and where the next page
        begins; expired ones included while they are remembered. One that comes to last longer moves to the front."""
        key = person_keys.sessions(user_id)
        ids, following = await page_of(self._record, key, after=after, limit=limit, newest_first=True)
        found = await self._record.pipeline([Script(*self._reading(user_id, session_id)) for session_id in ids])
        read = [_session(session_id, user_id, answer) for session_id, answer in zip(ids, found, strict=True)]
        return tuple(each for each in read if each is not None), following

    async def live_tokens(
        self, user_id: str, session_ids: Sequence[str], *, now_ms: int
    ) -> dict[str, Mapping[str, Sequence[int]]]:
        """When each refresh token that is honoured now was issued, in milliseconds: of each of these sessions of a person, by
        application. Whether the application is still registered is not asked.

        It costs a read for each token; of callers that come often, nobody needs it.
        """
        if not session_ids:
            return {}
        answer = await self._record.script("survey_sessions", [person_keys.person(user_id)], [now_ms, *session_ids])
        return {each["id"]: each["live_tokens"] for each in json.loads(answer)}

    def _reading(self, user_id: str, session_id: str) -> tuple[str, list[str], list[str | int | float]]:
        keys = [
            person_keys.person(user_id),
            person_keys.session(user_id, session_id),
            person_keys.session_clients(user_id, session_id),
            person_keys.cutoffs(user_id),
        ]
        return "read_session", keys, []

    def _entries(self, session_id: str, participant: Participant, expires_at_ms: int) -> tuple[str, str, str]:
        """The participation field, the client's names in the session, and what is remembered of its part."""
        remembered: dict[str, Any] = {
            "sub": participant.sub,
            "session_id": session_id,
            "until_ms": expires_at_ms + self._participation_ms,
        }
        return (
            participation_field(participant.client_id, participant.sid, session_id),
            json.dumps({"sub": participant.sub, "sid": participant.sid}),
            json.dumps(remembered),
        )


def _session(session_id: str, user_id: str, answer: list[list[str]]) -> Session | None:
    if not answer:
        return None
    facts, clients = _pairs(answer[0]), _pairs(answer[1])
    return Session(
        session_id=session_id,
        user_id=user_id,
        connection_id=facts["connection_id"],
        created_at_ms=int(facts["created_at_ms"]),
        expires_at_ms=int(facts["expires_at_ms"]),
        ended_at_ms=int(facts["ended_at_ms"]) if "ended_at_ms" in facts else None,
        upstream_sid=facts.get("upstream_sid"),
        auth_time_s=int(facts["auth_time"]) if "auth_time" in facts else None,
        participants=tuple(
            Participant(client_id=client_id, **json.loads(raw)) for client_id, raw in sorted(clients.items())
        ),
    )


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
