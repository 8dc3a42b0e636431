"""Looking after what was redelivered until it is finished, and keeping the list of dead letters right.

A worker that closes a revocation writes the record first and takes its entries out of the indexes after. Stopped between the
two for as long as it takes somebody to redeliver, it takes out the entries of the redelivery. Nobody else would find that out.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from service.domain.clock import Clock
from service.domain.delivery import OPEN
from service.store.backlogs import Backlogs
from service.store.dead_letters import DeadLetters
from service.store.deliveries import Deliveries
from service.store.redeliveries import Redeliveries
from service.store.revocations import Revocations

BATCH: Final = 200
"""Revocations looked at together."""

LOOK_AFTER_MS: Final = 60_000
"""Age at which a redelivery is looked at, in milliseconds: by then it was tried once, and hints that were late have come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivered:
    """What that takes."""

    clock: Clock
    revocations: Revocations
    deliveries: Deliveries
    dead_letters: DeadLetters
    redeliveries: Redeliveries
    backlogs: Backlogs

    async def tidy(self) -> None:
        """Look at every redelivery that is not finished, and drop dead letters that were listed long enough."""
        now_ms = self.clock.now_ms()
        await self.dead_letters.forget_old(now_ms=now_ms)
        before_ms = now_ms - LOOK_AFTER_MS
        offset, found = 0, BATCH
        while found == BATCH:
            rids = await self.redeliveries.unsettled(before_ms=before_ms, offset=offset, limit=BATCH)
            for rid in rids:
                offset += await self._look_at(rid, before_ms=before_ms, now_ms=now_ms)
            found = len(rids)

    async def _look_at(self, revocation_id: str, *, before_ms: int, now_ms: int) -> bool:
        """Whether it is to be looked at again."""
        revocation = await self.revocations.get(revocation_id)
        every = await self.deliveries.of_revocation(revocation_id)
        await self.dead_letters.add(every)
        await self.dead_letters.drop(
            (each, each.redelivered_at_ms[-1]) for each in every if each.state != "dead" and each.redelivered_at_ms
        )
        still_open = [each for each in every if each.state in OPEN]
        if revocation is None or not still_open:
            await self.redeliveries.settled(revocation_id, before_ms=before_ms)
            return False
        owed: dict[str, list[str]] = defaultdict(list)
        for each in still_open:
            owed[each.client_id].append(each.delivery_id)
        # What waits in a backlog has its turn there.
        await self.backlogs.restore(owed, at_ms=now_ms)
        await self.redeliveries.reopen(revocation_id, now_ms=now_ms)
        return True
