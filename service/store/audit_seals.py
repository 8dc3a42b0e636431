"""Seals: what was written to the trail cannot be changed, taken out, put in or moved without that being seen.

About once a minute a worker appends a seal (`service.domain.seal`): it proves itself, the entries since the seal before, that
seal, and where the trail begins. A chain that each entry carries a link of would cost every writer a script that hashes, with
SHA-1, which is all Redis has; this costs one reader a look at each entry, and cannot be made anew without the key. Entries
after the latest seal are not sealed yet.

What is too old is dropped by the script that sets a seal, which says what the trail begins with from then on: nobody else can
drop anything unseen. What no seal can tell is that everything behind an older one is gone, or the whole trail: so each worker
remembers the newest seal it has seen, and sets none where that is missing.
"""

import json
from dataclasses import dataclass
from typing import Final

from service.domain.audit import Fact, cause
from service.domain.seal import Seal, Stretch, make_seal, place_after, place_of, read_seal
from service.errors import Unavailable
from service.store import keyspace
from service.store.audit import Trail, readable, written
from service.store.audit_verification import PAGE, Expected, Verified, verify
from service.store.record import Record
from service.store.statistics import Statistics
from service.telemetry import get_logger

log = get_logger(__name__)

MOST_TRIES: Final = 20
"""How often a seal is tried that others come before, each time with what they appended; the next minute brings another."""

SEAL_MS: Final = 60_000
"""Least time between two seals, in milliseconds: for about so long what was appended can be changed unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What the next seal is made with and comes after."""

    key: bytes
    pointer: bytes
    """The id of the latest seal, as it is told, or nothing."""
    latest: Seal | None


@dataclass(slots=True)
class _Unsealed:
    """The entries since the latest seal, as far as they have been read."""

    entries: Stretch
    last: str = ""
    first: str = ""
    """The first of the trail, where no seal says it yet."""

    async def read(self, trail: Trail) -> None:
        """Read what has come since."""
        while found := await trail.page(first=f"({self.last}" if self.last else "-", last="+", limit=PAGE):
            self.first = self.first or found[0].id
            for each in found:
                self.entries.add(each.id, each.text)
            self.last = found[-1].id


class Seals:
    """Sets and verifies seals, and trims by them. `keep_ms`: how long entries are kept."""

    def __init__(self, record: Record, trail: Trail, *, keep_ms: int) -> None:
        self._record = record
        self._trail = trail
        self._keep_ms = keep_ms
        self._newest: Seal | None = None
        """The newest that this process has set or found."""
        self._refused = ""
        """Why none was set the last time."""

    async def seal(self, *, now_ms: int | None = None) -> bool:
        """Seal what has been appended since the latest seal, and drop what is too old; whether there was anything, and it
        could be done. `now_ms`: by Redis' clock, where it was asked already."""
        now_ms = await self._now_ms() if now_ms is None else now_ms
        looked = await self._look()
        if looked is None:
            return False
        before = looked.latest
        stretch = _Unsealed(Stretch(looked.key), last=before.id if before else "")
        trim_to = await self._too_old(before.begins, now_ms) if before else ""
        after = max((now_ms, 0), await self._last_place())
        for _ in range(MOST_TRIES):
            await stretch.read(self._trail)
            if not stretch.entries.count and not trim_to:
                return False
            # From the last look at what is there to here nothing is asked: among writers that do not stop there is little time.
            seal = self._make(
                stretch, looked, begins=trim_to or (before.begins if before else stretch.first), after=after
            )
            keys = [keyspace.AUDIT_TRAIL, keyspace.AUDIT_SEAL]
            outcome = await self._record.script(
                "seal_trail", keys, [stretch.last, looked.pointer, seal.id, seal.text, trim_to]
            )
            if outcome == -1:
                return False
            if outcome:
                self._newest = seal
                log.info("audit.sealed", number=seal.number, seal=seal.seal, entries=seal.count, through=stretch.last)
                return True
        log.warning("audit.seal_overtaken", tries=MOST_TRIES, entries=stretch.entries.count)
        return False

    async def verify(self, *, since: str | None = None, expected: Expected | None = None) -> Verified:
        """Look at the trail from its beginning, or from the seal `next_seal` of the call before, on. Raises Unavailable."""
        key = await self._trail.pseudonyms.key_now()
        return await verify(self._record, self._trail, key=key, since=since, expected=expected)

    async def keep(self) -> None:
        """What is to be done about once a minute, by whichever worker comes first."""
        latest = readable(await self._record.run_undecoded("HGET", keyspace.AUDIT_SEAL, "id"))
        now_ms = await self._now_ms()
        # One of a time to come holds up no other: nobody but a stranger dates entries.
        place = place_of(latest)
        if place is not None and 0 <= now_ms - place[0] < SEAL_MS:
            await self._look()
            return
        await self._trail.tell_omitted()
        await self.seal(now_ms=now_ms)

    async def _look(self) -> "_Looked | None":
        """Look at the latest seal, and remember it; None where none may be set after it."""
        key = await self._trail.pseudonyms.sealing_key()
        if key is None:
            self._refuse("key_of_another", "audit.not_sealed")
            return None
        pointer, latest = await self._latest(key)
        missing = await self._missing(latest, key)
        if missing:
            if self._refuse(missing, "audit.cut_back"):
                try:
                    await Statistics(self._record).count_cut_back()
                except Unavailable:
                    # Said again, and counted, the next time: what is not counted alarms nobody.
                    self._refused = ""
                    raise
            return None
        self._newest, self._refused = latest, ""
        return _Looked(key=key, pointer=pointer, latest=latest)

    async def _latest(self, key: bytes) -> tuple[bytes, Seal | None]:
        """The latest seal's id as it is told, and that seal, unless it says that it is by this key and is not."""
        pointer, text = await self._record.run_undecoded("HMGET", keyspace.AUDIT_SEAL, "id", "entry")
        seal = read_seal(readable(pointer), readable(text))
        is_one = seal is not None and (seal.is_proven(key) or not seal.is_by(key))
        return pointer or b"", seal if is_one else None

    async def _missing(self, latest: Seal | None, key: bytes) -> str:
        """Why the newest seal this process knows is not one of those that the latest stands for; nothing where it is."""
        newest = self._newest
        if newest is None or latest == newest:
            return ""
        if latest is None:
            return "no_seal"
        if latest.number <= newest.number:
            return "older_seal" if latest.number < newest.number else "another_seal"
        if newest.is_by(key) and not latest.is_by(key):
            # Nobody else has a key to seal with: this deployment's is still the one that sealed before.
            return "seal_by_another_key"
        if _after(latest.begins) > _after(newest.id):
            return ""
        found = await self._trail.page(first=newest.id, last=newest.id, limit=1)
        return "" if [each.text for each in found] == [newest.text] else "seal_taken_out"

    def _make(self, stretch: "_Unsealed", looked: "_Looked", *, begins: str, after: tuple[int, int]) -> Seal:
        at_ms, number = max(after, _after(stretch.last))
        return make_seal(
            json.loads(written(Fact(event="trail.sealed"), cause(), looked.key)),
            key=looked.key,
            entry_id=f"{at_ms}-{number}",
            begins=begins,
            stretch=stretch.entries,
            before=looked.latest,
        )

    async def _too_old(self, first: str, now_ms: int) -> str:
        """The latest seal that is older than entries are kept for, where it is not what the trail begins with."""
        last = str(now_ms - self._keep_ms)
        while found := await self._trail.page(first=f"({first}", last=last, limit=PAGE, newest_first=True):
            for each in found:
                if read_seal(each.id, each.text) is not None:
                    return each.id
            last = f"({found[-1].id}"
        return ""

    async def _last_place(self) -> tuple[int, int]:
        """What is after all there ever were, those that are gone too: no id is given twice."""
        if not await self._record.run("EXISTS", keyspace.AUDIT_TRAIL):
            return (0, 0)
        flat = await self._record.run("XINFO", "STREAM", keyspace.AUDIT_TRAIL)
        told = dict(zip(flat[::2], flat[1::2], strict=True))
        return _after(told["last-generated-id"])

    def _refuse(self, why: str, event: str) -> bool:
        """Say so, once; whether it was the first time."""
        is_new, self._refused = self._refused != why, why
        if is_new:
            log.error(event, reason=why, number=self._newest.number if self._newest else None)
        return is_new

    async def _now_ms(self) -> int:
        """By Redis' clock, which dates the entries."""
        seconds, microseconds = await self._record.run("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000


def _after(entry_id: str) -> tuple[int, int]:
    """The least place after this one."""
    return place_after(place_of(entry_id) or (0, 0))
