"""Which message a `jti` came with: kept as long as the token that carried it could be accepted."""

from dataclasses import dataclass
from typing import Final, Literal

from service.domain.identifiers import fingerprint
from service.store import keyspace
from service.store.record import Record

Binding = Literal["ours", "answered_unknown", "another"]
"""What a `jti` is tied to: this message; this message, which named nobody; another one."""

LATE_REPEATS_MS: Final = 600_000
"""How long at least the `jti` of a logout token is remembered, in milliseconds: longer than the pause between two looks at a
token that was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLogout:
    """When the first token of a `jti` was issued, by the identity provider's clock, and until when it could be accepted, which
    tells this `jti` from the same one in a much newer token."""

    issued_at_ms: int
    until_ms: int


class Replays:
    """Messages by connection, issuer and `jti`."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def bind(self, connection_id: str, iss: str, jti: str, *, message: str, until_ms: int) -> Binding:
        """Tie a `jti` to a message's fingerprint, or find what it is tied to.

        It marks nothing as consumed: the same message again passes, so that a caller whose first try failed half-way
        may repeat it (OIDC Back-Channel Logout section 2.5 allows that to senders).
        """
        key = keyspace.replay(connection_id, fingerprint(iss, jti))
        _, first = await self._record.pipeline([("SET", key, message, "NX", "PXAT", until_ms), ("GET", key)])
        if first == message:
            return "ours"
        return "answered_unknown" if first == _unknown(message) else "another"

    async def bind_logout(
        self, connection_id: str, iss: str, jti: str, *, message: str, issued_at_ms: int, until_ms: int, now_ms: int
    ) -> FirstLogout | None:
        """Tie the `jti` of a logout token to what the token asks for, or find what it is tied to; returns the times of the
        first such token. None: it came with another message.

        By what is asked, not by the token's text: a sender may sign a repeat anew and keep its `jti`. One that was kept may
        have expired by now; its repeats come within minutes of it all the same.
        """
        key = keyspace.replay(connection_id, fingerprint("logout", iss, jti))
        value = f"{message} {issued_at_ms} {until_ms}"
        remember_until = max(until_ms, now_ms + LATE_REPEATS_MS)
        _, first = await self._record.pipeline([("SET", key, value, "NX", "PXAT", remember_until), ("GET", key)])
        # Gone in between: its time had come, and this token's is later.
        first_message, first_issued, first_until = (first or value).split(" ")
        if first_message != message:
            return None
        return FirstLogout(issued_at_ms=int(first_issued), until_ms=int(first_until))

    async def remember_unknown(self, connection_id: str, iss: str, jti: str, *, message: str, until_ms: int) -> None:
        """This message named nobody. Should the person come to be known, a repeat of it still has the same answer: it must
        not end a session begun after it."""
        key = keyspace.replay(connection_id, fingerprint(iss, jti))
        await self._record.run("SET", key, _unknown(message), "PXAT", until_ms)


def _unknown(message: str) -> str:
    return f"unknown {message}"
