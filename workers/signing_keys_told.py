"""Telling the audit trail which keys logout tokens are signed with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.audit import Fact
from service.keys.ring import KeyRing
from service.store.audit import Trail
from service.store.told_keys import ToldKeys


@dataclass(kw_only=True)
class KeysTeller:
    """Tells of the signing keys when they change: another file, or a key whose time has come. All processes read one file, so
    what one of them has told no other tells again."""

    key_ring: KeyRing
    told_keys: ToldKeys
    trail: Trail
    _seen: Sequence[str] = field(default=())

    async def tell(self) -> None:
        """Tell of them, where they are others than this process and the trail have known. Raises Unavailable."""
        places = self.key_ring.keys.places(now_s=self.key_ring.now_s)
        keys = tuple(f"{each.kid} {each.algorithm} {each.state}" for each in places)
        if keys == self._seen:
            return
        if await self.told_keys.latest() != keys:
            await self.trail.append([Fact(event="signing_keys.changed", keys=keys)])
            await self.told_keys.note(keys)
        self._seen = keys
