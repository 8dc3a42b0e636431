"""Changing a record that others may be changing too: the one who read an old one is told, and nothing is undone."""

from dataclasses import replace

from service.domain.application import Application
from service.domain.connection import Connection
from service.errors import Conflict
from service.store.codec import to_json
from service.store.record import Record


async def replace_unchanged(record: Record, key: str, changed: Connection | Application) -> None:
    """Write `changed` with the next revision, if the one it carries is still the record's. Raises Conflict."""
    written = to_json(replace(changed, revision=changed.revision + 1))
    outcome = await record.script("replace_record", [key], [changed.revision, written])
    if outcome != "replaced":
        raise Conflict("it was changed or removed while this request was under way; look at it again and repeat")
