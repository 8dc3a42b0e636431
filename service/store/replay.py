"""Which message a `jti` came with: kept as long as the token that carried it, or a copy, could be accepted."""

from dataclasses import dataclass, replace
from typing import Literal

from service.domain.identifiers import fingerprint
from service.store import keyspace
from service.store.record import Record

Binding = Literal["ours", "answered_unknown", "another"]
"""What a `jti` is tied to: this message; this message, which named nobody; another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """What is remembered of a logout token under its `jti`."""

    message: str
    """A fingerprint of what it asks for."""
    issued_at_ms: int
    until_ms: int
    """From when it is refused whatever it says; tells this `jti` from the same one in a much newer token."""
    named_nobody: bool = False


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
        self, connection_id: str, iss: str, jti: str, *, token: LogoutToken, remembered_until_ms: int
    ) -> LogoutToken | None:
        """Tie the `jti` of a logout token to what the token asks for, or find what it is tied to: the first token that came
        with it, which is what counts. None: that asked for something else.

        By what is asked, not by the token's text: a sender may sign a repeat anew and keep its `jti`.
        """
        key = keyspace.replay(connection_id, fingerprint("logout", iss, jti))
        value = _written(token)
        _, found = await self._record.pipeline([("SET", key, value, "NX", "PXAT", remembered_until_ms), ("GET", key)])
        # Gone in between: its time had come, and this token's is later.
        message, issued_at, until, named_nobody = (found or value).split(" ")
        if message != token.message:
            return None
        return LogoutToken(
            message=message, issued_at_ms=int(issued_at), until_ms=int(until), named_nobody=named_nobody == "1"
        )

    async def remember_logout_of_nobody(
        self, connection_id: str, iss: str, jti: str, *, token: LogoutToken, remembered_until_ms: int
    ) -> None:
        """This one named nobody, and was answered so. A repeat has the same answer, whoever has come to be known since."""
        key = keyspace.replay(connection_id, fingerprint("logout", iss, jti))
        value = _written(replace(token, named_nobody=True))
        await self._record.run("SET", key, value, "XX", "PXAT", remembered_until_ms)

    async def remember_unknown(self, connection_id: str, iss: str, jti: str, *, message: str, until_ms: int) -> None:
        """This message named nobody. Should the person come to be known, a repeat of it still has the same answer: it must
        not end a session begun after it."""
        key = keyspace.replay(connection_id, fingerprint(iss, jti))
        await self._record.run("SET", key, _unknown(message), "PXAT", until_ms)


def _unknown(message: str) -> str:
    return f"unknown {message}"


def _written(token: LogoutToken) -> str:
    return f"{token.message} {token.issued_at_ms} {token.until_ms} {int(token.named_nobody)}"
