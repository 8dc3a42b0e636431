"""Forgetting who somebody is. What was revoked of them stays so, those who are still to be told are told, and the audit trail
stays as it is: its pseudonym of them leads to nobody any more.

1. at once    the identifiers, the upstream name, the salt of the pseudonym
2. in time    the receipts they are in, each once it is finished, with its dead letters: until then they say whom to tell of
              whom; then what applications held of them that were never told

`logoutd:erased` names each before step 1 is done, so that a crash between leaves nobody unseen. Whether it was done is told by
the person alone, and nothing is forgotten of whom it was not.

What is left under the user_id is that everything of theirs has ended, for longer than any session or token could last. A later
sign-in of the same person begins anew, with another pseudonym.
"""

import json
from collections.abc import Sequence
from typing import Final

from service.domain.clock import Clock
from service.domain.delivery import Delivery
from service.domain.subject import SubjectIdentifier, parse_identifier
from service.store import keyspace, person_keys
from service.store.codec import from_json
from service.store.dead_letters import DeadLetters
from service.store.people import People, identifier_key, participation_keys
from service.store.record import Record, Script

ERASED_MS: Final = 402 * 86_400_000
"""How long it is remembered that somebody's sessions have ended, in milliseconds: none, and no token, can last longer."""

UNDER_WAY_MS: Final = 600_000
"""How long an erasure may be under way, in milliseconds: longer than any call takes, and any two clocks are apart."""

BATCH: Final = 100
"""Most people seen to at once, and most receipts of one of them."""


class Erasures:
    """Everybody who was erased, until their last receipt is."""

    def __init__(self, record: Record, people: People, dead_letters: DeadLetters, *, clock: Clock) -> None:
        self._record = record
        self._people = people
        self._dead_letters = dead_letters
        self._clock = clock

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
        await self._know_again(user_id, connection_id)
        # One that came earlier, and whose receipts are not gone yet, keeps the entry.
        if not await self._record.run("HEXISTS", person_keys.person(user_id), "erased_at_ms"):
            await self._done([(user_id, now_ms)])
        return False

    async def forget_receipts(self) -> int:
        """Step 2, as far as it can be done now; how many people are done with."""
        offset, done = 0, 0
        while True:
            flat = await self._record.run("ZRANGE", keyspace.ERASED, offset, offset + BATCH - 1, "WITHSCORES")
            some = [(user_id, int(at_ms)) for user_id, at_ms in zip(flat[::2], flat[1::2], strict=True)]
            told = await self._record.pipeline(
                [("HMGET", person_keys.person(user_id), "erased_at_ms", "connection_id") for user_id, _ in some]
            )
            gone = [
                (user_id, at_ms)
                for (user_id, at_ms), (erased_at_ms, connection_id) in zip(some, told, strict=True)
                if await self._is_done(user_id, at_ms, erased_at_ms=int(erased_at_ms or 0), connection_id=connection_id)
            ]
            await self._done(gone)
            if len(some) < BATCH:
                return done + len(gone)
            offset, done = offset + len(some) - len(gone), done + len(gone)

    async def _is_done(self, user_id: str, at_ms: int, *, erased_at_ms: int, connection_id: str | None) -> bool:
        """Forget what they were in up to the moment they were erased, which may be long before this was begun; whether nothing
        is left to do."""
        if erased_at_ms and not await self._forget_receipts_of(user_id, until_ms=erased_at_ms):
            return False
        if erased_at_ms >= at_ms:
            return True
        # Begun and not done: it is under way, or they had signed in, or whoever did it was killed, and had taken names away.
        if self._clock.now_ms() - at_ms < UNDER_WAY_MS:
            return False
        if connection_id is not None:
            await self._know_again(user_id, connection_id)
        return True

    async def _know_again(self, user_id: str, connection_id: str) -> None:
        """By all names they have now: a sign-in that came between may have been registered before ours were taken away."""
        named = await self._record.run("SMEMBERS", person_keys.identifiers(user_id))
        await self._people.register(user_id, connection_id, _identifiers(named))

    async def _done(self, entries: Sequence[tuple[str, int]]) -> None:
        """Nothing is left to do for these, unless it was begun anew since."""
        if entries:
            flat = [part for user_id, at_ms in entries for part in (at_ms, user_id)]
            await self._record.script("drop_up_to", [keyspace.ERASED], flat)

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
