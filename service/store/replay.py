"""Which message a `jti` came with: kept as long as the token that carried it could be accepted."""

from service.domain.identifiers import fingerprint
from service.store import keyspace
from service.store.record import Record


class Replays:
    """Messages by connection, issuer and `jti`."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def bind(self, connection_id: str, iss: str, jti: str, *, message: str, until_ms: int) -> bool:
        """Tie a `jti` to a message's fingerprint; False when it is tied to another.

        It marks nothing as consumed: the same message again passes, so that a caller whose first try failed half-way
        may repeat it (OIDC Back-Channel Logout section 2.5 allows that to senders).
        """
        key = keyspace.replay(connection_id, fingerprint(iss, jti))
        _, first = await self._record.pipeline([("SET", key, message, "NX", "PXAT", until_ms), ("GET", key)])
        return bool(first == message)
