"""Forgetting who somebody is. What was revoked of them stays so, those who are still to be told are told, and the audit trail
stays as it is: its pseudonym of them leads to nobody any more.

1. at once    the identifiers, the upstream name, the salt of the pseudonym
2. in time    the receipts they are in, each once it is finished, with its dead letters: until then they say whom to tell of
              whom; then what applications held of them that were never told

What is left under the user_id is that everything of theirs has ended, for longer than any session or token could last. A later
sign-in of the same person begins anew, with another pseudonym.
"""

import json
from collections.abc import Sequence
from typing import Final

from service.domain.delivery import Delivery
from service.domain.subject import SubjectIdentifier, parse_identifier
from service.store import keyspace, person_keys
from service.store.codec import from_json
from service.store.dead_letters import DeadLetters
from service.store.people import People, identifier_key, participation_keys
from service.store.record import Record, Script

ERASED_MS: Final = 402 * 86_400_000
"""How long it is remembered that somebody's sessions have ended, in milliseconds: none, and no token, can last longer."""

BATCH: Final = 100
"""Most people seen to at once, and most receipts of one of them."""


class Erasures:
    """Everybody who was erased, until their last receipt is."""

    def __init__(self, record: Record, people: People, dead_letters: DeadLetters) -> None:
        self._record = record
        self._people = people
        self._dead_letters = dead_letters

    async def erase(self, user_id: str, connection_id: str, *, now_ms: int) -> bool:
        """Step 1, once everything they hold has been revoked. False when they have signed in since: then they are as they were,
        and known by all their names."""
        raw = await self._record.run("SMEMBERS", person_keys.identifiers(user_id))
        await self._record.pipeline(
            [
                ("ZADD", keyspace.ERASED, now_ms, user_id),
                *(("SREM", identifier_key(connection_id, each), user_id) for each in _identifiers(raw)),
            ]
        )
        outcome = await self._record.script(
            "erase_person",
            [person_keys.person(user_id), person_keys.identifiers(user_id)],
            [now_ms, now_ms + ERASED_MS],
        )
        if outcome == "erased":
            return True
        # By all names they have now: the sign-in that came between may have been registered before ours were taken away.
        now_named = await self._record.run("SMEMBERS", person_keys.identifiers(user_id))
        await self._people.register(user_id, connection_id, _identifiers(now_named))
        await self._record.run("ZREM", keyspace.ERASED, user_id)
        return False

    async def forget_receipts(self) -> int:
        """Step 2, as far as it can be done now; how many people are done with."""
        offset, done = 0, 0
        while True:
            flat = await self._record.run("ZRANGE", keyspace.ERASED, offset, offset + BATCH - 1, "WITHSCORES")
            some = list(zip(flat[::2], flat[1::2], strict=True))
            gone = [each for each, score in some if await self._forget_receipts_of(each, until_ms=int(score))]
            if gone:
                await self._record.run("ZREM", keyspace.ERASED, *gone)
            if len(some) < BATCH:
                return done + len(gone)
            offset, done = offset + len(some) - len(gone), done + len(gone)

    async def _forget_receipts_of(self, user_id: str, *, until_ms: int) -> bool:
        """Of what they were in before they were erased; whether that is all gone."""
        listed = person_keys.revocations(user_id)
        while ids := await self._record.run("ZRANGEBYSCORE", listed, "-inf", until_ms, "LIMIT", 0, BATCH):
            await self._forget_dead_letters(user_id, ids)
            finished = await self._record.pipeline(
                [
                    Script(
                        "forget_in_receipt",
                        [keyspace.revocation(each), keyspace.deliveries(each), keyspace.leases(each)],
                        [user_id],
                    )
                    for each in ids
                ]
            )
            gone = [each for each, is_gone in zip(ids, finished, strict=True) if is_gone]
            if gone:
                await self._record.run("ZREM", listed, *gone)
            if len(gone) < len(ids):
                return False
        await self._record.script("forget_erased", [person_keys.person(user_id), *participation_keys(user_id)], [])
        return True

    async def _forget_dead_letters(self, user_id: str, revocation_ids: Sequence[str]) -> None:
        """Before the receipts: only they say which those are."""
        states = await self._record.pipeline([("HGET", keyspace.revocation(each), "state") for each in revocation_ids])
        finished = [each for each, state in zip(revocation_ids, states, strict=True) if state == "incomplete"]
        asked = [("HVALS", keyspace.deliveries(each)) for each in finished]
        every = [from_json(Delivery, raw) for texts in await self._record.pipeline(asked) for raw in texts]
        theirs = [each for each in every if each.user_id == user_id and each.state == "dead"]
        await self._dead_letters.drop((each, each.dead_at_ms) for each in theirs if each.dead_at_ms is not None)


def _identifiers(raw: "set[str] | list[str]") -> list[SubjectIdentifier]:
    return [parse_identifier(json.loads(each)) for each in raw]
