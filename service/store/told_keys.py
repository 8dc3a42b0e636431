"""Which signing keys the audit trail was told of last."""

import json
from collections.abc import Sequence

from service.store import keyspace
from service.store.record import Record


class ToldKeys:
    """What is public of them: `kid`, algorithm, and where each is in its life."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def latest(self) -> tuple[str, ...]:
        """Those; nothing where none were told yet."""
        found = await self._record.run("GET", keyspace.AUDIT_SIGNING_KEYS)
        return () if found is None else tuple(json.loads(found))

    async def note(self, keys: Sequence[str]) -> None:
        """These were told."""
        await self._record.run("SET", keyspace.AUDIT_SIGNING_KEYS, json.dumps(keys))
