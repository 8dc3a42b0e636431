"""Whether the trail is as it was written: every seal proves itself, what comes before it, and where the trail begins."""

import hmac
from dataclasses import dataclass, field
from typing import Final

from service.domain.seal import Seal, Stretch, fingerprint_of, place_of, read_seal
from service.store import keyspace
from service.store.audit import Stored, Trail, readable
from service.store.record import Record

PAGE: Final = 500
"""Entries read at once."""

MOST_AT_ONCE: Final = 20_000
"""About how many entries one call looks at; a stretch is never cut, so it may be more."""

UNSEALED_MS: Final = 300_000
"""Longest time an entry may wait for a seal, in milliseconds: five times as long as workers leave between two."""

MOST_TRIES: Final = 3
"""How often it is begun anew where workers drop the beginning of the trail meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A seal that must be there, as a worker's log or an earlier verification has told it."""

    number: int
    seal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What one call of `verify` found."""

    entries: int
    """Entries that are sealed and as they were written."""
    seals: int
    unverified: int
    """Entries sealed by another key: nothing can be told of them."""
    unsealed: int
    """Entries after the latest seal."""
    newest: Seal | None
    """The newest seal that is proven."""
    problem: str | None
    """What is wrong with the first stretch that is not as it was written, and where; nothing after it was looked at."""
    next_seal: str | None
    """The entry to go on from; None at the trail's end."""


async def verify(record: Record, trail: Trail, *, key: bytes, since: str | None, expected: Expected | None) -> Verified:
    """Look at the trail from its beginning, or from the seal `since`, on. Raises Unavailable."""
    for tries in range(MOST_TRIES):
        latest = await _latest(record, trail)
        walk = _Walk(key=key, latest=latest, since=since, expected=expected)
        found = await walk.through(trail, now_ms=await _now_ms(record))
        if found.problem is None or tries == MOST_TRIES - 1:
            return found
        # What was too old may have been dropped while it was read, at its beginning.
        now = await _latest(record, trail)
        if now == latest:
            return found
        if now.seal is not None and since is not None and not await trail.page(first=since, last=since, limit=1):
            since = now.seal.begins
    raise AssertionError("unreachable: the last try returns")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Latest:
    """Which seal is said to be the latest, and that seal as it stands in the trail, if it does."""

    id: str | None
    seal: Seal | None


async def _latest(record: Record, trail: Trail) -> _Latest:
    told = await record.run_undecoded("HGET", keyspace.AUDIT_SEAL, "id")
    if told is None:
        return _Latest(id=None, seal=None)
    latest = readable(told)
    # Whoever can write there may have written anything: what is no id, Redis would not look for.
    found = () if place_of(latest) is None else await trail.page(first=latest, last=latest, limit=1)
    return _Latest(id=latest, seal=read_seal(found[0].id, found[0].text) if found else None)


async def _now_ms(record: Record) -> int:
    seconds, microseconds = await record.run("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One look, entry by entry."""

    key: bytes
    latest: _Latest
    since: str | None
    expected: Expected | None
    _stretch: Stretch = field(init=False)
    _at: Seal | None = None
    """The seal that the stretch comes after."""
    _proven: Seal | None = None
    _first_unsealed: Stored | None = None
    _entries: int = 0
    _seals: int = 0
    _unverified: int = 0
    _looked_at: int = 0

    def __post_init__(self) -> None:
        self._stretch = Stretch(self.key)

    async def through(self, trail: Trail, *, now_ms: int) -> Verified:
        """To the end, or for as long as one call takes."""
        problem = self._fault_of_the_latest()
        if problem:
            return self._found(problem=problem)
        first = self.since or "-"
        while found := await trail.page(first=first, last="+", limit=PAGE):
            for each in found:
                problem = self._add(each)
                if problem:
                    return self._found(problem=problem)
                if self._at is not None and self._at.id == each.id and self._looked_at >= MOST_AT_ONCE:
                    return self._found(next_seal=each.id)
            first = f"({found[-1].id}"
        return self._found(problem=self._at_the_end(now_ms), unsealed=self._stretch.count)

    def _fault_of_the_latest(self) -> str | None:
        """Why the seal that says what is to be there cannot be relied on. Without it nothing could."""
        latest = self.latest
        if latest.id is None:
            return None
        if latest.seal is None:
            return f"the latest seal, {latest.id}, is not there"
        if not latest.seal.is_by(self.key):
            return (
                f"the latest seal, {latest.id}, is by the key {latest.seal.key}, and ours is {fingerprint_of(self.key)}"
            )
        if not latest.seal.is_proven(self.key):
            return f"the latest seal, {latest.id}, is not as it was written"
        return None

    def _add(self, entry: Stored) -> str | None:
        is_first = self._at is None and not self._stretch.count
        if is_first and self._is_wrong_beginning(entry):
            return f"the beginning is not as it was written: {entry.id} stands where something else did"
        if entry.members().get("event") != "trail.sealed":
            self._first_unsealed = self._first_unsealed or entry
            self._stretch.add(entry.id, entry.text)
            return None
        seal = read_seal(entry.id, entry.text)
        problem = f"{entry.id} is no seal" if seal is None else self._fault(seal, is_first=is_first)
        if seal is None or problem:
            return problem
        self._pass(seal, counts=not is_first)
        return None

    def _is_wrong_beginning(self, entry: Stored) -> bool:
        if self.since is not None:
            return entry.id != self.since
        latest = self.latest.seal
        return latest is not None and entry.id != latest.begins

    def _fault(self, seal: Seal, *, is_first: bool) -> str | None:
        """What is wrong with a seal, at its place. What the one the trail begins with stands for cannot be looked at again."""
        where = f"between {self._at.id if self._at else 'the beginning'} and {seal.id}"
        latest, before = self.latest.seal, (self._at.number, self._at.seal) if self._at else (0, "")
        if not is_first and (seal.number - 1, seal.previous) != before:
            return f"{where}: not as it was written (seal {seal.number} does not follow the one before it)"
        if seal.is_by(self.key):
            if not seal.is_proven(self.key):
                return f"{where}: not as it was written (seal {seal.number})"
            digest = self._stretch.digest()
            if not is_first and not (hmac.compare_digest(seal.digest, digest) and seal.count == self._stretch.count):
                return f"{where}: not as it was written"
        elif latest is not None and seal.number >= latest.key_since:
            return f"{where}: not as it was written (seal {seal.number} is by a key that is not in use)"
        return self._unexpected(seal, is_first=is_first)

    def _unexpected(self, seal: Seal, *, is_first: bool) -> str | None:
        wanted = self.expected
        if wanted is None:
            return None
        if seal.number == wanted.number and not hmac.compare_digest(seal.seal, wanted.seal):
            return f"seal {seal.number} at {seal.id} is not the one that was expected"
        if is_first and self.since is None and seal.number > wanted.number:
            return (
                f"seal {wanted.number}, which was expected, is not there any more: the trail begins with {seal.number}"
            )
        return None

    def _pass(self, seal: Seal, *, counts: bool) -> None:
        if counts:
            # The seal before is one of them: this one stands for it.
            sealed = self._stretch.count + (self._at is not None)
            self._looked_at += sealed
            if seal.is_by(self.key):
                self._entries, self._seals = self._entries + sealed, self._seals + 1
            else:
                self._unverified += sealed
        if seal.is_by(self.key):
            self._proven = seal
        self._at, self._stretch, self._first_unsealed = seal, Stretch(self.key), None

    def _at_the_end(self, now_ms: int) -> str | None:
        latest, at, wanted = self.latest, self._at, self.expected
        if latest.id is None and at is not None:
            return f"which seal is the latest is not told any more; {at.id} is the last one there"
        if latest.seal is not None and (at is None or at.number < latest.seal.number):
            return f"the latest seal, {latest.id}, is not there"
        if wanted is not None and (at is None or at.number < wanted.number):
            return f"seal {wanted.number}, which was expected, is not there"
        waiting = self._first_unsealed
        if waiting is not None and now_ms - waiting.at_ms > UNSEALED_MS:
            return f"from {waiting.id} on nothing is sealed"
        return None

    def _found(self, *, problem: str | None = None, next_seal: str | None = None, unsealed: int = 0) -> Verified:
        return Verified(
            entries=self._entries,
            seals=self._seals,
            unverified=self._unverified,
            unsealed=unsealed,
            newest=self._proven,
            problem=problem,
            next_seal=next_seal,
        )
