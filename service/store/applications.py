"""Applications as Redis knows them."""

from collections.abc import Iterable
from typing import Final, cast

from service.domain.application import Application
from service.errors import Conflict
from service.store import keyspace
from service.store.backlogs import entry_of
from service.store.changes import replace_unchanged
from service.store.codec import from_json, to_json
from service.store.pages import Mark, page_of
from service.store.record import Record, Script

REMOVED_MS: Final = 60_000
"""How long it is remembered that an application was removed, in milliseconds: what attempts under way say of it comes within
their lease, which is shorter."""


class Applications:
    """Every registered application."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def add(self, application: Application) -> None:
        """Record a new one. Raises Conflict when its client_id is taken."""
        await self._record.run("ZADD", keyspace.CLIENTS, "NX", application.created_at_ms, application.client_id)
        key = keyspace.client(application.client_id)
        _, stored, _ = await self._record.pipeline(
            [
                ("SET", key, to_json(application), "NX"),
                ("GET", key),
                # Of the same client_id as one that was removed just now: this one is not.
                ("DEL", keyspace.client_removed(application.client_id)),
            ]
        )
        # Not whether SET did it: sent again after a lost reply it finds what it wrote itself.
        if stored is None or from_json(Application, stored).client_secret_hash != application.client_secret_hash:
            raise Conflict("a client of this client_id exists already")

    async def get(self, client_id: str) -> Application | None:
        """The application of this client_id."""
        raw = await self._record.run("GET", keyspace.client(client_id))
        return from_json(Application, raw) if raw else None

    async def get_many(self, client_ids: Iterable[str]) -> dict[str, Application]:
        """Those of these client_ids that exist."""
        wanted = sorted(set(client_ids))
        found = await self._record.pipeline([("GET", keyspace.client(each)) for each in wanted])
        return {name: from_json(Application, raw) for name, raw in zip(wanted, found, strict=True) if raw}

    async def replace(self, application: Application) -> None:
        """Record it as it is now, its `revision` as it was read. Raises Conflict when it has been changed or removed
        meanwhile."""
        await replace_unchanged(self._record, keyspace.client(application.client_id), application)

    async def remove(self, client_id: str) -> None:
        """Forget it, and whether it can be told. Deliveries still owed to it become `skipped`, with the reason
        `client_deleted`: those that wait are looked at now."""
        forget = Script(
            "forget_client",
            [
                keyspace.DUE,
                keyspace.backlog(client_id),
                keyspace.client_health(client_id),
                keyspace.CLIENT_STATES,
                keyspace.client_removed(client_id),
            ],
            [client_id, entry_of(client_id), REMOVED_MS],
        )
        # In this order: whoever looks must find it gone.
        await self._record.pipeline(
            [("DEL", keyspace.client(client_id)), ("ZREM", keyspace.CLIENTS, client_id), forget]
        )

    async def page(self, *, after: Mark | None, limit: int) -> tuple[tuple[Application, ...], Mark | None]:
        """Applications by creation, of `limit` list entries after one, and where the next page begins; entries without an
        application are left out."""
        ids, following = await page_of(self._record, keyspace.CLIENTS, after=after, limit=limit)
        found = await self._record.pipeline([("GET", keyspace.client(each)) for each in ids])
        return tuple(from_json(Application, cast("str", raw)) for raw in found if raw), following
