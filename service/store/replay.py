"""Which message a `jti` came with: kept as long as the token that carried it could be accepted."""

from typing import Literal

from service.domain.identifiers import fingerprint
from service.store import keyspace
from service.store.record import Record

Binding = Literal["ours", "answered_unknown", "another"]
"""What a `jti` is tied to: this message; this message, which named nobody; another one."""


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

    async def bind_logout(self, connection_id: str, iss: str, jti: str, *, message: str, until_ms: int) -> int | None:
        """Tie the `jti` of a logout token to what the token asks for, or find what it is tied to; returns until when the first
        such token could be accepted, which tells this `jti` from the same one in a much newer token. None: it came with
        another message.

        By what is asked, not by the token's text: a sender may sign a repeat anew and keep its `jti`.
        """
        key = keyspace.replay(connection_id, fingerprint("logout", iss, jti))
        value = f"{message} {until_ms}"
        _, first = await self._record.pipeline([("SET", key, value, "NX", "PXAT", until_ms), ("GET", key)])
        # Gone in between: its time had come, and this token's is later.
        first_message, _, first_until = (first or value).partition(" ")
        return int(first_until) if first_message == message else None

    async def remember_unknown(self, connection_id: str, iss: str, jti: str, *, message: str, until_ms: int) -> None:
        """This message named nobody. Should the person come to be known, a repeat of it still has the same answer: it must
        not end a session begun after it."""
        key = keyspace.replay(connection_id, fingerprint(iss, jti))
        await self._record.run("SET", key, _unknown(message), "PXAT", until_ms)


def _unknown(message: str) -> str:
    return f"unknown {message}"
