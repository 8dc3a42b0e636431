"""A seal of the audit trail: what it vouches for, how it is made and how it is proved. No I/O.

An entry like the others, whose text ends in an HMAC-SHA-256, by the deployment's key, over its own id and all of its text
before that. So each proves itself, whatever is around it. Its text has a digest of the entries since the seal before, that
seal, its own number, and where the trail begins: so it vouches for the whole trail up to it.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_ENDS: Final = re.compile(r',"seal":"(?P<seal>[0-9a-f]{64})"\}', re.ASCII)
"""How the text of every seal ends, and of nothing else that is one."""

_PLACE: Final = re.compile(r"(?P<at_ms>[0-9]{1,20})-(?P<number>[0-9]{1,20})", re.ASCII)

_MOST: Final = 2**64 - 1
"""The greatest number that Redis takes in either part of an id."""

_SEAL_LENGTH: Final = len(',"seal":""}') + 64

FINGERPRINT_DIGITS: Final = 16
"""Hexadecimal digits that tell one key from another: 64 bits, of which nothing follows."""


def fingerprint_of(key: bytes) -> str:
    """Which key it is, for everybody to see."""
    return hmac.new(key, b"which key", hashlib.sha256).hexdigest()[:FINGERPRINT_DIGITS]


def place_of(entry_id: str) -> tuple[int, int] | None:
    """An entry's id as what can be compared; None where it is none."""
    found = _PLACE.fullmatch(entry_id)
    place = None if found is None else (int(found["at_ms"]), int(found["number"]))
    return None if place is None or max(place) > _MOST else place


def place_after(place: tuple[int, int]) -> tuple[int, int]:
    """The least place after this one."""
    at_ms, number = place
    return (at_ms, number + 1) if number < _MOST else (at_ms + 1, 0)


@dataclass(slots=True)
class Stretch:
    """The entries between two seals, as they are read."""

    key: bytes
    count: int = 0
    _digest: "hmac.HMAC" = field(init=False)

    def __post_init__(self) -> None:
        self._digest = hmac.new(self.key, b"entries", hashlib.sha256)

    def add(self, entry_id: str, text: str) -> None:
        """One more; length-prefixed, so that nothing moves from one to the next."""
        for part in (entry_id, text):
            raw = part.encode()
            self._digest.update(len(raw).to_bytes(8, "big") + raw)
        self.count += 1

    def digest(self) -> str:
        """Of those so far."""
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a seal says."""

    id: str
    text: str
    number: int
    """1, 2, 3 …: of every seal of this trail, those that are dropped by now too."""
    previous: str
    """The seal before; nothing for the first."""
    begins: str
    """The first entry of the trail once this was set: before it there is nothing any more."""
    count: int
    digest: str
    """Of the entries since the seal before, which are `count`."""
    key: str
    """Fingerprint of the key it was made with."""
    key_since: int
    """The number of the first seal from which on all are by that key."""
    seal: str

    def is_by(self, key: bytes) -> bool:
        """Whether it says that it was made with this key."""
        return self.key == fingerprint_of(key)

    def is_proven(self, key: bytes) -> bool:
        """Whether it was made with this key, for this place, and says what it said then."""
        return self.is_by(key) and hmac.compare_digest(self.seal, _seal(key, self.id, self.text[:-_SEAL_LENGTH] + "}"))


def make_seal(
    entry: Mapping[str, Any], *, key: bytes, entry_id: str, begins: str, stretch: Stretch, before: Seal | None
) -> Seal:
    """The seal over `stretch`, after the seal `before`. `entry`: what every entry says, as far as it is known."""
    number = before.number + 1 if before else 1
    told = {
        "number": number,
        "previous": before.seal if before else "",
        "begins": begins,
        "count": stretch.count,
        "digest": stretch.digest(),
        "key": fingerprint_of(key),
        "key_since": before.key_since if before and before.is_by(key) else number,
    }
    body = json.dumps({**entry, **told}, separators=(",", ":"))
    seal = _seal(key, entry_id, body)
    made = read_seal(entry_id, f'{body[:-1]},"seal":"{seal}"}}')
    if made is None:
        raise AssertionError("a seal that was just made can be read")
    return made


def read_seal(entry_id: str, text: str) -> Seal | None:
    """What an entry says as a seal; nothing where it is none. Whether it is true is another question (`is_proven`)."""
    ending = _ENDS.fullmatch(text[-_SEAL_LENGTH:])
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if ending is None or not isinstance(told, dict) or told.get("event") != "trail.sealed":
        return None
    numbers = [told.get(each) for each in ("number", "count", "key_since")]
    words = [told.get(each) for each in ("previous", "begins", "digest", "key")]
    if not all(type(each) is int for each in numbers) or not all(isinstance(each, str) for each in words):
        return None
    if place_of(entry_id) is None or place_of(told["begins"]) is None:
        return None
    members = ("number", "count", "key_since", "previous", "begins", "digest", "key")
    return Seal(id=entry_id, text=text, seal=ending["seal"], **{each: told[each] for each in members})


def _seal(key: bytes, entry_id: str, body: str) -> str:
    digest = hmac.new(key, b"seal", hashlib.sha256)
    for part in (entry_id, body):
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()
