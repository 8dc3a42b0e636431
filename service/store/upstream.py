"""What the identity provider's own sessions are to us: whose they are, and that they have been logged out.

A logout token may name an upstream session (`sid`) without its person, or come while the sign-in it ends is still on its
way to us. The order of steps is what makes that safe: a sign-in first registers its names here and then reads the marks,
a logout first leaves its mark and then reads the names. One of the two always sees the other.
"""

from collections.abc import Sequence
from typing import Final

from service.domain.identifiers import fingerprint
from service.store import keyspace
from service.store.people import SIGN_IN_MS
from service.store.record import Record

_LATEST: Final = "at"


class UpstreamSessions:
    """The upstream sessions of every connection."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def register(
        self, connection_id: str, *, iss: str, sub: str, sid: str | None, user_id: str, keep_until_ms: int
    ) -> int | None:
        """Let an upstream `sid` name this person's sessions, at least until a moment; returns the latest logout that was
        marked of it or of the person, or of a session of the person's that may be this one, in milliseconds of the identity
        provider's clock."""
        if sid is not None:
            # Not in one pipeline with what follows: a script that Redis has forgotten runs after all the rest.
            await self._record.script(
                "name_by_sid", [keyspace.upstream_sid(connection_id, fingerprint(sid))], [user_id, keep_until_ms]
            )
        marks = _marks(
            connection_id, [("sub", iss, sub), ("sub without sid", iss, sub) if sid is None else ("sid", iss, sid)]
        )
        answers = await self._record.pipeline([("ZSCORE", mark, _LATEST) for mark in marks])
        found = [int(float(each)) for each in answers if each is not None]
        return max(found, default=None)

    async def people(self, connection_id: str, sid: str) -> frozenset[str]:
        """Everybody who has had a session of this upstream `sid`."""
        return frozenset(await self._record.ask(("SMEMBERS", keyspace.upstream_sid(connection_id, fingerprint(sid)))))

    async def mark_logged_out(
        self, connection_id: str, *, iss: str, sub: str | None, sid: str | None, at_ms: int
    ) -> None:
        """Remember for a day that an upstream session, or with no `sid` all of a person, was logged out at a moment of the
        identity provider's clock. Comes before asking who that is.

        With both, a sign-in of the person that is reported without a `sid` may be the one meant.
        """
        named = [] if sid is None else [("sid", iss, sid)]
        named += [] if sub is None else [("sub" if sid is None else "sub without sid", iss, sub)]
        marks = _marks(connection_id, named)
        await self._record.pipeline(
            [each for mark in marks for each in (("ZADD", mark, "GT", at_ms, _LATEST), ("PEXPIRE", mark, SIGN_IN_MS))]
        )


def _marks(connection_id: str, named: Sequence[tuple[str, str, str]]) -> list[str]:
    return [keyspace.upstream_logout(connection_id, fingerprint(*each)) for each in named]
