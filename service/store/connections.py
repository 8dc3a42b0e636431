"""Connections as Redis knows them: by name, for the name is what their doors carry."""

from typing import cast

from service.domain.connection import Connection
from service.errors import Conflict
from service.store import keyspace
from service.store.changes import replace_unchanged
from service.store.codec import from_json, to_json
from service.store.pages import Mark, page_of
from service.store.record import Record


class Connections:
    """Every connection."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def add(self, connection: Connection) -> None:
        """Record a new one. Raises Conflict when the name is taken.

        The list entry and the id come first: what they point to may be missing, what exists can always be found.
        """
        await self._record.pipeline(
            [
                ("ZADD", keyspace.CONNECTIONS, connection.created_at_ms, connection.id),
                ("SET", keyspace.connection_name(connection.id), connection.name),
            ]
        )
        key = keyspace.connection(connection.name)
        _, stored = await self._record.pipeline([("SET", key, to_json(connection), "NX"), ("GET", key)])
        # Not whether SET did it: sent again after a lost reply it finds what it wrote itself.
        if stored is None or from_json(Connection, stored).id != connection.id:
            await self._record.pipeline(
                [
                    ("ZREM", keyspace.CONNECTIONS, connection.id),
                    ("DEL", keyspace.connection_name(connection.id)),
                ]
            )
            raise Conflict("a connection of this name exists already")

    async def by_name(self, name: str) -> Connection | None:
        """The connection a door is named after."""
        raw = await self._record.run("GET", keyspace.connection(name))
        return from_json(Connection, raw) if raw else None

    async def get(self, connection_id: str) -> Connection | None:
        """The connection of this id."""
        name = await self._record.run("GET", keyspace.connection_name(connection_id))
        found = await self.by_name(name) if name else None
        # A name whose creation lost the race for it belongs to another id.
        return found if found and found.id == connection_id else None

    async def replace(self, connection: Connection) -> None:
        """Record it as it is now, its `revision` as it was read. Its name and id never change. Raises Conflict when it has
        been changed or removed meanwhile: what another administrator did is not undone by what this one had read."""
        await replace_unchanged(self._record, keyspace.connection(connection.name), connection)

    async def remove(self, connection: Connection) -> None:
        """Forget it: its doors answer as if it had never been."""
        await self._record.pipeline(
            [
                ("DEL", keyspace.connection(connection.name)),
                ("DEL", keyspace.connection_name(connection.id)),
                ("ZREM", keyspace.CONNECTIONS, connection.id),
                ("ZREM", keyspace.HELD_CONNECTIONS, connection.id),
                *(
                    ("DEL", of(connection.id))
                    for of in (keyspace.counted_people, keyspace.hold, keyspace.held, keyspace.held_people)
                ),
            ]
        )

    async def page(self, *, after: Mark | None, limit: int) -> tuple[tuple[Connection, ...], Mark | None]:
        """Connections by creation, of `limit` list entries after one, and where the next page begins; entries without a
        connection are left out."""
        ids, following = await page_of(self._record, keyspace.CONNECTIONS, after=after, limit=limit)
        names = await self._record.pipeline([("GET", keyspace.connection_name(each)) for each in ids])
        found = await self._record.pipeline([("GET", keyspace.connection(each)) for each in names if each])
        return tuple(from_json(Connection, cast("str", raw)) for raw in found if raw), following
