"""Refresh tokens as Redis knows them: by hash."""

import json
from dataclasses import dataclass
from typing import Any

from service.domain.identifiers import fingerprint
from service.domain.refresh_token import RefreshToken, hash_token
from service.errors import Conflict, InvalidGrant, InvalidRequest, NotFound
from service.store import keyspace, person_keys
from service.store.people import participation_field, participation_keys
from service.store.record import Record, Script
from service.store.sessions import RETENTION_MS

TAKEN = "this token is registered already"

NOT_HONOURED = "the refresh token is not valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """A token that was spent before and came again: its family is to end, as a revocation. Nothing has been changed yet."""

    token: RefreshToken


class RefreshTokens:
    """The refresh tokens of every session."""

    def __init__(self, record: Record, *, participation_ms: int) -> None:
        self._record = record
        self._participation_ms = participation_ms

    async def issue(
        self, secret: str, token: RefreshToken, *, sid: str, upstream_sid: str | None = None, now_ms: int
    ) -> None:
        """Register `secret` as a refresh token of an active session, which the application knows as `sid` and the identity
        provider as `upstream_sid`.

        Raises NotFound when the session has ended, InvalidRequest when the application is not in it, Conflict when the
        very token is registered already. The owner is written first: a token that is honoured can always be found.
        """
        hashed, user = hash_token(secret), token.user_id
        keep_until = token.family_expires_at_ms + RETENTION_MS
        placed = await self._place(hashed, token.refresh_token_id, user, token.session_id, keep_until)
        facts = {
            "refresh_token_id": token.refresh_token_id,
            "session_id": token.session_id,
            "connection_id": token.connection_id,
            "client_id": token.client_id,
            "scope": token.scope,
            "offline": "1" if token.offline else "0",
            "family_id": token.family_id,
            "issued_at_ms": str(token.issued_at_ms),
            "expires_at_ms": str(token.expires_at_ms),
            "family_expires_at_ms": str(token.family_expires_at_ms),
            "idle_ms": None if token.idle_ms is None else str(token.idle_ms),
        }
        outcome = await self._record.script(
            "issue_refresh_token",
            [
                person_keys.person(user),
                person_keys.sessions(user),
                person_keys.session(user, token.session_id),
                person_keys.session_clients(user, token.session_id),
                person_keys.session_tokens(user, token.session_id),
                person_keys.token(user, hashed),
                person_keys.token_family(user, token.family_id),
                person_keys.family_tokens(user, token.family_id),
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
                token.family_expires_at_ms + self._participation_ms,
            ],
        )
        if outcome == "issued":
            # Its session may outlive its first expiry now; so must the ways to find it.
            ways = [Script("extend_owner", [keyspace.session_owner(token.session_id)], [keep_until])]
            if upstream_sid is not None:
                named = keyspace.upstream_sid(token.connection_id, fingerprint(upstream_sid))
                until_ms = token.family_expires_at_ms + self._participation_ms
                ways.append(Script("extend_owner", [named], [until_ms]))
            await self._record.pipeline(ways)
            return
        await self._take_back(hashed, token.refresh_token_id, placed=placed and outcome != "exists")
        match outcome:
            case "inactive":
                raise NotFound("the session has ended")
            case "not_in_session":
                raise InvalidRequest("the client is not in this session")
            case _:
                raise Conflict(TAKEN)

    async def rotate(
        self, secret: str, client_id: str, successor: str, *, refresh_token_id: str, grace_ms: int, now_ms: int
    ) -> RefreshToken | Reused:
        """Spend `secret`, in one atomic step, and put `successor` in its place; what the successor stands for.

        Of a token that was spent before the answer is Reused, and nothing is changed, until its family has ended: whoever
        asks records that as a revocation, which ends it.
        Within `grace_ms` of being spent it has another successor instead, as long as none has been spent itself: an answer
        may get lost. Raises InvalidGrant when the token is not honoured or not this client's, Conflict when the successor is
        registered already.
        """
        hashed, new_hash = hash_token(secret), hash_token(successor)
        owner = await self._record.run("GET", keyspace.token_owner(hashed))
        if owner is None:
            raise InvalidGrant(NOT_HONOURED)
        user, session_id = owner.split(" ")
        facts = await self._record.run("HGETALL", person_keys.token(user, hashed))
        # Asked here only so that a stranger's token writes nothing; what counts is asked again in the one step.
        if facts.get("client_id") != client_id:
            raise InvalidGrant(NOT_HONOURED)
        keep_until = int(facts["family_expires_at_ms"]) + RETENTION_MS
        placed = await self._place(new_hash, refresh_token_id, user, session_id, keep_until)
        outcome, *flat = await self._record.script(
            "rotate_refresh_token",
            [
                person_keys.person(user),
                person_keys.session(user, session_id),
                person_keys.session_tokens(user, session_id),
                person_keys.token_family(user, facts["family_id"]),
                person_keys.family_tokens(user, facts["family_id"]),
                person_keys.token(user, hashed),
                person_keys.token(user, new_hash),
            ],
            [now_ms, client_id, hashed, new_hash, refresh_token_id, keep_until, grace_ms],
        )
        if outcome == "rotated":
            token = _token(user, _pairs(flat[0]))
            if token.refresh_token_id != refresh_token_id:
                # The same request had been made before, and named its successor then.
                await self._record.run("DEL", keyspace.token_hash(refresh_token_id))
            return token
        await self._take_back(new_hash, refresh_token_id, placed=placed and outcome != "exists")
        match outcome:
            case "reused":
                return Reused(token=_token(user, _pairs(flat[0])))
            case "exists":
                raise Conflict(TAKEN)
            case _:
                raise InvalidGrant(NOT_HONOURED)

    async def find_active(self, secret: str, *, now_ms: int) -> RefreshToken | None:
        """What this token stands for, if it is honoured at this moment; else None, whatever the reason."""
        hashed = hash_token(secret)
        owner = await self._record.run("GET", keyspace.token_owner(hashed))
        if owner is None:
            return None
        user, session_id = owner.split(" ")
        keys = [person_keys.person(user), person_keys.session(user, session_id), person_keys.token(user, hashed)]
        flat = await self._record.ask(Script("read_token", keys, [now_ms]))
        return _token(user, _pairs(flat)) if flat else None

    async def find(self, secret: str) -> RefreshToken | None:
        """What this token stands for or stood for, as long as that is known; whether it is honoured is not asked."""
        hashed = hash_token(secret)
        # Of the primary: that there is none is answered with success to whoever wants it dead.
        owner = await self._record.ask(("GET", keyspace.token_owner(hashed)))
        return None if owner is None else await self._read(owner.split(" ")[0], hashed)

    async def get(self, refresh_token_id: str) -> RefreshToken | None:
        """The token of this name, likewise."""
        found = await self._record.ask(("GET", keyspace.token_hash(refresh_token_id)))
        return None if found is None else await self._read(*found.split(" "))

    async def _read(self, user: str, hashed: str) -> RefreshToken | None:
        facts = await self._record.ask(("HGETALL", person_keys.token(user, hashed)))
        return _token(user, facts) if facts else None

    async def _place(self, hashed: str, name: str, user: str, session_id: str, keep_until: int) -> bool:
        """Write the ways to find a token to be; whether the first was new. Raises Conflict when it is another's."""
        key, owner = keyspace.token_owner(hashed), f"{user} {session_id}"
        placed, found, _ = await self._record.pipeline(
            [
                ("SET", key, owner, "NX", "PXAT", keep_until),
                ("GET", key),
                ("SET", keyspace.token_hash(name), f"{user} {hashed}", "PXAT", keep_until),
            ]
        )
        if found != owner:
            await self._record.run("DEL", keyspace.token_hash(name))
            raise Conflict(TAKEN)
        return bool(placed)

    async def _take_back(self, hashed: str, name: str, *, placed: bool) -> None:
        """Remove the ways to find a token that did not come to be."""
        keys = [keyspace.token_hash(name), *([keyspace.token_owner(hashed)] if placed else [])]
        await self._record.pipeline([("DEL", key) for key in keys])


def _token(user: str, facts: dict[str, str]) -> RefreshToken:
    return RefreshToken(
        refresh_token_id=facts["refresh_token_id"],
        user_id=user,
        connection_id=facts["connection_id"],
        session_id=facts["session_id"],
        client_id=facts["client_id"],
        sub=facts["sub"],
        scope=facts.get("scope"),
        offline=facts["offline"] == "1",
        family_id=facts["family_id"],
        issued_at_ms=int(facts["issued_at_ms"]),
        expires_at_ms=int(facts["expires_at_ms"]),
        family_expires_at_ms=int(facts["family_expires_at_ms"]),
        idle_ms=int(facts["idle_ms"]) if "idle_ms" in facts else None,
    )


def _pairs(flat: list[Any]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
