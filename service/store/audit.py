"""The audit trail: a stream that is only ever appended to, and trimmed by age (`service.store.audit_seals`).

What changes something is always appended, before it is acknowledged: an entry may be there twice after a crash, and is never
missing. What changes nothing, and could be sent by anybody as often as they like, is bounded, and counted beyond.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from service.domain.audit import MOST_PEOPLE, VERSION, Actor, Cause, Fact, cause
from service.errors import Unavailable
from service.store import keyspace
from service.store.pseudonyms import Pseudonyms, of_address, of_operator
from service.store.record import Command, Record, Script
from service.telemetry import BoundedLines, Numbers, get_logger

log = get_logger(__name__)

MOST_A_MINUTE: Final = 10
"""Most entries of one kind (event, door or operation, connection) a minute among those that change nothing."""

MOST_AN_HOUR: Final = 1000
"""Most of them an hour of all kinds together: at 0.4 KB each a flood that never ends takes 10 MB a day, and no more."""

CHUNK: Final = 500
"""Most entries in one round trip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An entry as it stands in the trail: its id, `milliseconds-number` by Redis' clock, and its text."""

    id: str
    text: str

    @property
    def at_ms(self) -> int:
        """When it was appended."""
        return int(self.id.partition("-")[0])

    def members(self) -> dict[str, Any]:
        """What its text says; nothing where somebody put in what is no entry."""
        try:
            told = json.loads(self.text)
            # NaN, infinity and half of a pair of surrogates can be read and not be answered.
            json.dumps(told, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}


class Trail:
    """Writes and reads it."""

    def __init__(self, record: Record, pseudonyms: Pseudonyms, numbers: Numbers, *, lines: BoundedLines) -> None:
        """`lines`: what the log takes of entries that cannot be written. While Redis is away each request has one."""
        self._record = record
        self._numbers = numbers
        self._lines = lines
        self.pseudonyms = pseudonyms

    async def append(self, facts: Sequence[Fact]) -> None:
        """Append these. Raises Unavailable: then what they tell of must not be acknowledged."""
        why = cause()
        try:
            key = await self.pseudonyms.key()
            for start in range(0, len(facts), CHUNK):
                some = facts[start : start + CHUNK]
                commands: list[Command | Script] = [
                    ("XADD", keyspace.AUDIT_TRAIL, "*", "entry", written(each, why, key)) for each in some
                ]
                await self._record.pipeline(commands)
        except Unavailable:
            self._failed(facts)
            raise
        why.entries += len(facts)
        self._numbers.audit_entries.inc(len(facts))

    async def append_bounded(self, fact: Fact) -> None:
        """Append what changes nothing, unless there was too much of it. Never raises: the answer does not depend on it."""
        why = cause()
        parts = {"of": fact.event, "door": why.door, "operation": fact.operation, "connection_id": fact.connection_id}
        kind = ":".join(each or "-" for each in parts.values())
        omitted = {"version": VERSION, "event": "entries.omitted", "actor": {"type": "service"}, **_plain(parts)}
        try:
            text = written(fact, why, await self.pseudonyms.key())
            appended = await self._bounded(kind, text, json.dumps(omitted))
        except Unavailable:
            self._failed([fact])
            return
        why.entries += 1
        self._numbers.audit_entries.inc(appended)

    async def tell_omitted(self) -> None:
        """Append how many entries were left out, where that has not been told yet."""
        await self._bounded()

    async def page(self, *, first: str, last: str, limit: int, newest_first: bool = False) -> tuple[Stored, ...]:
        """Entries from `first` to `last` (ids, `-`, `+`, or `(` and an id that is left out), at most `limit`."""
        command = ("XREVRANGE", last, first) if newest_first else ("XRANGE", first, last)
        found = await self._record.run_undecoded(command[0], keyspace.AUDIT_TRAIL, *command[1:], "COUNT", limit)
        return tuple(Stored(id=each.decode("ascii"), text=_text_in(told)) for each, told in found)

    async def _bounded(self, *entry: str) -> int:
        keys = [keyspace.AUDIT_TRAIL, keyspace.AUDIT_BOUNDS]
        return int(await self._record.script("append_bounded", keys, [MOST_A_MINUTE, MOST_AN_HOUR, *entry]))

    def _failed(self, facts: Sequence[Fact]) -> None:
        self._numbers.audit_failures.inc(len(facts))
        if self._lines.admit():
            log.error("audit.not_written", events=sorted({each.event for each in facts}), **self._lines.omitted())


def readable(raw: bytes | None) -> str:
    """What was read, as text; nothing where it is none. Whoever can write to Redis may have put in anything."""
    with contextlib.suppress(UnicodeDecodeError):
        return (raw or b"").decode()
    return ""


def _text_in(told: Mapping[bytes, bytes]) -> str:
    # With anything beside it, an entry is not as it was written.
    return readable(told[b"entry"]) if set(told) == {b"entry"} else ""


def about_people(fact: Fact, people: Mapping[str, str], *, total: int) -> Iterator[Fact]:
    """`fact` of all these people, as often as it takes to name them."""
    names = sorted(people.values())
    for start in range(0, len(names) or 1, MOST_PEOPLE):
        yield replace(fact, people=tuple(names[start : start + MOST_PEOPLE]), people_total=total)


def written(fact: Fact, why: Cause, key: bytes) -> str:
    """An entry's text."""
    told = {
        "version": VERSION,
        "event": fact.event,
        "actor": _actor(why.actor, key),
        "origin": of_address(key, why.address) if why.address else None,
        "request_id": why.request_id,
        "door": why.door,
        **{each.name: getattr(fact, each.name) for each in fields(fact) if each.name != "event"},
    }
    return json.dumps(_plain(told), separators=(",", ":"))


def _actor(actor: Actor, key: bytes) -> dict[str, Any]:
    name = of_operator(key, actor.id) if actor.type == "operator" and actor.id else actor.id
    return _plain({"type": actor.type, "id": name, "issuer": actor.issuer})


def _plain(members: Mapping[str, Any]) -> dict[str, Any]:
    """Without what there is nothing to say of."""
    return {name: value for name, value in members.items() if value not in (None, (), {})}
