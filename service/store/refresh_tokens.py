"""Refresh tokens as Redis knows them: by hash."""

import json

from service.domain.refresh_token import RefreshToken, hash_token
from service.errors import Conflict, InvalidRequest, NotFound
from service.store import keyspace
from service.store.people import participation_field, participation_keys
from service.store.record import Record
from service.store.sessions import RETENTION_MS


class RefreshTokens:
    """The refresh tokens of every session."""

    def __init__(self, record: Record, *, participation_ms: int) -> None:
        self._record = record
        self._participation_ms = participation_ms

    async def issue(self, secret: str, token: RefreshToken, *, sid: str, now_ms: int) -> None:
        """Register `secret` as a refresh token of an active session, which the application knows as `sid`.

        Raises NotFound when the session has ended, InvalidRequest when the application is not in it, Conflict when the
        very token is registered already. The owner is written first: a token that is honoured can always be found.
        """
        hashed, user = hash_token(secret), token.user_id
        keep_until = token.expires_at_ms + RETENTION_MS
        owner = f"{user} {token.session_id}"
        key = keyspace.token_owner(hashed)
        placed, found = await self._record.pipeline([("SET", key, owner, "NX", "PXAT", keep_until), ("GET", key)])
        if found != owner:
            raise Conflict("this token is registered already")
        facts = {
            "refresh_token_id": token.refresh_token_id,
            "session_id": token.session_id,
            "connection_id": token.connection_id,
            "client_id": token.client_id,
            "scope": token.scope,
            "offline": "1" if token.offline else "0",
            "issued_at_ms": str(token.issued_at_ms),
            "expires_at_ms": str(token.expires_at_ms),
        }
        outcome = await self._record.script(
            "issue_refresh_token",
            [
                keyspace.person(user),
                keyspace.person_sessions(user),
                keyspace.session(user, token.session_id),
                keyspace.session_clients(user, token.session_id),
                keyspace.session_tokens(user, token.session_id),
                keyspace.token(user, hashed),
                *participation_keys(user),
            ],
            [
                now_ms,
                token.client_id,
                hashed,
                token.session_id,
                keep_until,
                json.dumps({name: value for name, value in facts.items() if value is not None}),
                participation_field(token.client_id, sid, token.session_id),
                token.expires_at_ms + self._participation_ms,
            ],
        )
        if outcome == "issued":
            # Its session may outlive its first expiry now; so must the way to find it.
            await self._record.script("extend_owner", [keyspace.session_owner(token.session_id)], [keep_until])
            return
        if placed and outcome != "exists":
            await self._record.run("DEL", key)
        match outcome:
            case "inactive":
                raise NotFound("the session has ended")
            case "not_in_session":
                raise InvalidRequest("the client is not in this session")
            case _:
                raise Conflict("this token is registered already")

    async def find_active(self, secret: str, *, now_ms: int) -> RefreshToken | None:
        """What this token stands for, if it is honoured at this moment; else None, whatever the reason."""
        hashed = hash_token(secret)
        owner = await self._record.run("GET", keyspace.token_owner(hashed))
        if owner is None:
            return None
        user, session_id = owner.split(" ")
        flat = await self._record.script(
            "read_token",
            [keyspace.person(user), keyspace.session(user, session_id), keyspace.token(user, hashed)],
            [now_ms],
        )
        if not flat:
            return None
        facts = dict(zip(flat[::2], flat[1::2], strict=True))
        return RefreshToken(
            refresh_token_id=facts["refresh_token_id"],
            user_id=user,
            connection_id=facts["connection_id"],
            session_id=session_id,
            client_id=facts["client_id"],
            sub=facts["sub"],
            scope=facts.get("scope"),
            offline=facts["offline"] == "1",
            issued_at_ms=int(facts["issued_at_ms"]),
            expires_at_ms=int(facts["expires_at_ms"]),
        )
