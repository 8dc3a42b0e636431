"""Logout tokens that could not be verified when they came, kept until they can be. Nothing is done for them before that."""

from dataclasses import dataclass, field
from typing import Final

from service.domain.identifiers import kept_token_id_for
from service.store import keyspace
from service.store.record import Record

KEPT_MS: Final = 86_400_000
"""How long a token is kept, in milliseconds: an identity provider whose keys are out of reach for longer than a day has
stopped signing people in as well."""

FORGOTTEN_MS: Final = KEPT_MS + 3_600_000
"""When Redis forgets one by itself, in milliseconds: later than it is given up, for whoever does that tells of it. Only where no
worker has run in between is there nobody who could."""

MAX_KEPT: Final = 1000
"""Most tokens kept for one connection: they are unverified, and anybody can send some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptToken:
    """One logout token, as it came."""

    kept_id: str
    connection_id: str
    text: str = field(repr=False)
    received_at_ms: int
    looks: int
    """Times somebody has tried to verify it since."""


class KeptTokens:
    """The kept tokens of every connection."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def keep(self, connection_id: str, text: str, *, now_ms: int, look_at_ms: int) -> str | None:
        """Keep a token, once however often it comes; its id. None: its connection has MAX_KEPT of them already.

        Its place comes first, so that not one too many is kept however many come at once; then the due entry: what is kept is
        looked at again, also after a crash at any point from here. A place without a token is filled when that one comes
        again, or is free when that would be forgotten.
        """
        kept_id = kept_token_id_for(connection_id, text)
        key, listed = keyspace.kept(kept_id), keyspace.kept_of(connection_id)
        if await self._record.script("list_kept", [listed], [kept_id, now_ms, FORGOTTEN_MS, MAX_KEPT]) == "full":
            return None
        facts: dict[str, str | int] = {"connection_id": connection_id, "text": text, "received_at_ms": now_ms}
        await self._record.pipeline(
            [
                ("ZADD", keyspace.DUE, "NX", look_at_ms, kept_id),
                *[("HSETNX", key, name, value) for name, value in facts.items()],
                ("PEXPIRE", key, FORGOTTEN_MS),
            ]
        )
        return kept_id

    async def get(self, kept_id: str) -> KeptToken | None:
        """One kept token; None when it has been dropped or its time is over."""
        facts = await self._record.run("HGETALL", keyspace.kept(kept_id))
        if "text" not in facts:
            return None
        return KeptToken(
            kept_id=kept_id,
            connection_id=facts["connection_id"],
            text=facts["text"],
            received_at_ms=int(facts["received_at_ms"]),
            looks=int(facts.get("looks", 0)),
        )

    async def look_again(self, token: KeptToken, *, at_ms: int) -> None:
        """It still cannot be verified."""
        key = keyspace.kept(token.kept_id)
        await self._record.pipeline(
            [
                ("ZADD", keyspace.DUE, at_ms, token.kept_id),
                ("HINCRBY", key, "looks", 1),
                ("PEXPIREAT", key, token.received_at_ms + FORGOTTEN_MS),
            ]
        )

    async def drop(self, kept_id: str, connection_id: str | None) -> None:
        """It has been verified and seen to, or refused, or is gone: nothing is to be looked at any more. The due entry goes
        last, for a crash before that costs one look."""
        await self._record.pipeline(
            [
                ("DEL", keyspace.kept(kept_id)),
                *([("ZREM", keyspace.kept_of(connection_id), kept_id)] if connection_id is not None else []),
                ("ZREM", keyspace.DUE, kept_id),
            ]
        )
