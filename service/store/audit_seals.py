"""Seals: what was written to the trail cannot be changed, taken out, put in or moved without that being seen.

About once a minute a worker appends a seal: an HMAC-SHA-256, by the deployment's key, over every entry since the seal before
(that one included) and over the seal before. So each seal vouches for the whole trail up to it. A chain that each entry carries
a link of would cost every writer a script that hashes, with SHA-1, which is all Redis has; this costs one reader a look at
each entry, and cannot be made anew without the key. Entries after the latest seal are not sealed yet.

Only whole stretches, from seal to seal, are ever trimmed: what is left begins with a seal and proves itself.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Final

from service.domain.audit import Fact, cause
from service.store import keyspace
from service.store.audit import Stored, Trail, written
from service.store.record import Record
from service.telemetry import get_logger

log = get_logger(__name__)

PAGE: Final = 500
"""Entries read at once."""

MOST_TRIES: Final = 20
"""How often a seal is tried that others come before, each time with what they appended; the next minute brings another."""

SEAL_MS: Final = 60_000
"""Least time between two seals, in milliseconds: for so long what was appended can be changed unseen."""

MOST_AT_ONCE: Final = 20_000
"""About how many entries one call of `verify` looks at; a stretch is never cut, so it may be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What one call of `verify` found."""

    entries: int
    """Entries that are sealed and as they were written."""
    seals: int
    unsealed: int
    """Entries after the latest seal."""
    problem: str | None
    """What is wrong with the first stretch that is not as it was written, and where; nothing after it was looked at."""
    next_seal: str | None
    """The entry to go on from; None at the trail's end."""


@dataclass(slots=True, kw_only=True)
class _Stretch:
    """Entries from one seal to the next, as they are read."""

    key: bytes
    before: str
    """The seal before, or nothing at the very beginning."""
    count: int = 0
    _digest: "hmac.HMAC" = field(init=False)

    def __post_init__(self) -> None:
        self._digest = hmac.new(self.key, self.before.encode(), hashlib.sha256)

    def add(self, entry: Stored) -> None:
        for part in (entry.id, entry.text):
            raw = part.encode()
            self._digest.update(len(raw).to_bytes(8, "big") + raw)
        self.count += 1

    def seal(self) -> str:
        return self._digest.hexdigest()


class Seals:
    """Sets and verifies seals, and trims by them. `keep_ms`: how long entries are kept."""

    def __init__(self, record: Record, trail: Trail, *, keep_ms: int) -> None:
        self._record = record
        self._trail = trail
        self._keep_ms = keep_ms

    async def seal(self) -> bool:
        """Seal what has been appended since the latest seal; whether there was anything, and it could be done."""
        key = await self._trail.pseudonyms.key()
        found: dict[str, str] = await self._record.run("HGETALL", keyspace.AUDIT_SEAL)
        before = found.get("id", "")
        stretch = _Stretch(key=key, before=found.get("seal", ""))
        last = ""
        for _ in range(MOST_TRIES):
            while entries := await self._trail.page(first=_after(last, before), last="+", limit=PAGE):
                for each in entries:
                    stretch.add(each)
                last = entries[-1].id
            if not last or last == before:
                return False
            if await self._set(stretch, last, before):
                log.info("audit.sealed", seal=stretch.seal(), entries=stretch.count, through=last)
                return True
        return False

    async def _set(self, stretch: _Stretch, last: str, before: str) -> bool:
        told = json.loads(written(Fact(event="trail.sealed"), cause(), stretch.key))
        text = json.dumps({**told, "seal": stretch.seal(), "count": stretch.count}, separators=(",", ":"))
        keys = [keyspace.AUDIT_TRAIL, keyspace.AUDIT_SEAL]
        return bool(await self._record.script("seal_trail", keys, [last, before, stretch.seal(), text]))

    async def verify(self, *, since: str | None = None) -> Verified:
        """Look at the trail from its beginning, or from the seal `next_seal` of the call before, on."""
        key = await self._trail.pseudonyms.key()
        latest = await self._record.run("HGET", keyspace.AUDIT_SEAL, "id")
        first = since or "-"
        entries = seals = 0
        stretch = _Stretch(key=key, before="")
        at_seal: str | None = None
        while found := await self._trail.page(first=first, last="+", limit=PAGE):
            for each in found:
                told = each.members()
                is_seal = told.get("event") == "trail.sealed"
                # What the beginning of the trail, or of this call, was sealed with cannot be made again, and was.
                begins = is_seal and at_seal is None and stretch.count == 0
                if is_seal and not begins:
                    if not hmac.compare_digest(str(told.get("seal")), stretch.seal()):
                        problem = f"between {at_seal or 'the beginning'} and {each.id}: not as it was written"
                        return Verified(entries=entries, seals=seals, unsealed=0, problem=problem, next_seal=None)
                    entries, seals = entries + stretch.count, seals + 1
                if is_seal:  # it ends one stretch and begins the next
                    if entries >= MOST_AT_ONCE:
                        return Verified(entries=entries, seals=seals, unsealed=0, problem=None, next_seal=each.id)
                    at_seal, stretch = each.id, _Stretch(key=key, before=str(told.get("seal")))
                stretch.add(each)
            first = f"({found[-1].id}"
        missing = latest is not None and at_seal != latest
        return Verified(
            entries=entries,
            seals=seals,
            unsealed=stretch.count - (at_seal is not None),
            problem=f"the latest seal, {latest}, is not there" if missing else None,
            next_seal=None,
        )

    async def trim(self, *, now_ms: int) -> None:
        """Drop what is older than `keep_ms`, in whole stretches."""
        last = str(now_ms - self._keep_ms)
        while found := await self._trail.page(first="-", last=last, limit=PAGE, newest_first=True):
            for each in found:
                if each.members().get("event") == "trail.sealed":
                    await self._record.run("XTRIM", keyspace.AUDIT_TRAIL, "MINID", each.id)
                    return
            last = f"({found[-1].id}"

    async def keep(self) -> None:
        """What is to be done about once a minute, by whichever worker comes first."""
        latest = await self._record.run("HGET", keyspace.AUDIT_SEAL, "id")
        now_ms = await self._now_ms()
        if latest is not None and now_ms - Stored(id=latest, text="").at_ms < SEAL_MS:
            return
        await self._trail.tell_omitted()
        await self.seal()
        await self.trim(now_ms=now_ms)

    async def _now_ms(self) -> int:
        """By Redis' clock, which dates the entries."""
        seconds, microseconds = await self._record.run("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000


def _after(last: str, before: str) -> str:
    """Where to read on: after what was read, at the seal before, or at the beginning."""
    return f"({last}" if last else before or "-"
