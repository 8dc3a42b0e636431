"""Dead letters: the deliveries that were given up, found without looking through receipts.

A list says where to look, the receipt says what is true. The receipt is written first; an entry that is missing after a crash
is put right with the next look at its revocation, one that is out of date is passed over by whoever reads it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.domain.delivery import Delivery
from service.domain.identifiers import revocation_id_of
from service.store import keyspace
from service.store.codec import from_json
from service.store.pages import Mark, page_of
from service.store.record import Command, Record, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that was given up, and the connection its revocation came through."""

    delivery: Delivery
    dead_at_ms: int
    connection_id: str

    @property
    def revocation_id(self) -> str:
        """The revocation it belongs to."""
        return revocation_id_of(self.delivery.delivery_id)


class DeadLetters:
    """All of them, each application's and each connection's. `keep_ms`: how long each stays, which its receipt outlives."""

    def __init__(self, record: Record, *, keep_ms: int) -> None:
        self._record = record
        self._keep_ms = keep_ms

    async def add(self, deliveries: Iterable[Delivery]) -> None:
        """Enter those of these that are dead. Entering one again changes nothing."""
        dead = [(each, each.dead_at_ms) for each in deliveries if each.state == "dead" and each.dead_at_ms is not None]
        if not dead:
            return
        homes = await self._connections_of([each for each, _ in dead])
        calls: list[Command | Script] = []
        for (each, dead_at_ms), connection_id in zip(dead, homes, strict=True):
            if connection_id is None:
                # Its receipt is gone, such as that of somebody who was erased: what it stands for cannot be found.
                continue
            for key in self._lists(each.client_id, connection_id):
                calls.append(("ZADD", key, dead_at_ms, each.delivery_id))
                calls.append(("ZREMRANGEBYSCORE", key, "-inf", dead_at_ms - self._keep_ms))
                if key != keyspace.DEAD_LETTERS:
                    # Of a removed application or connection nobody adds any more, and so nobody prunes.
                    calls.append(Script("extend_owner", [key], [dead_at_ms + self._keep_ms]))
        await self._record.pipeline(calls)

    async def drop(self, deliveries: Iterable[tuple[Delivery, int]]) -> None:
        """Take out those that were dead, each with the latest moment it can have been; what has died since stays in."""
        every = list(deliveries)
        homes = await self._connections_of([each for each, _ in every])
        await self._record.pipeline(
            [
                Script("drop_up_to", [key], [up_to_ms, each.delivery_id])
                for (each, up_to_ms), connection_id in zip(every, homes, strict=True)
                for key in self._lists(each.client_id, connection_id)
            ]
        )

    async def page(
        self,
        *,
        client_id: str | None = None,
        connection_id: str | None = None,
        since_ms: int = 0,
        after: Mark | None,
        limit: int,
        now_ms: int,
    ) -> tuple[tuple[DeadLetter, ...], Mark | None]:
        """From the one that died last on, of an application or a connection or all, and where the next page begins.

        `limit` entries are read; those that are out of date or that another filter drops leave the page shorter.
        """
        key = keyspace.DEAD_LETTERS
        if client_id is not None:
            key = keyspace.dead_letters_of_client(client_id)
        elif connection_id is not None:
            key = keyspace.dead_letters_of_connection(connection_id)
        oldest_ms = max(since_ms, now_ms - self._keep_ms + 1)
        ids, following = await page_of(self._record, key, after=after, limit=limit, newest_first=True)
        if following is not None and following.score < oldest_ms:
            following = None
        named = [(each, revocation_id_of(each)) for each in ids]
        calls = [("HGET", keyspace.deliveries(rid), each) for each, rid in named]
        calls += [("HGET", keyspace.revocation(rid), "connection_id") for _, rid in named]
        found = await self._record.pipeline(calls)
        letters = []
        for raw, home in zip(found[: len(named)], found[len(named) :], strict=True):
            if raw is not None and home is not None and connection_id in {None, home}:
                delivery = from_json(Delivery, raw)
                if delivery.state == "dead" and (delivery.dead_at_ms or 0) >= oldest_ms:
                    letters.append(
                        DeadLetter(delivery=delivery, dead_at_ms=delivery.dead_at_ms or 0, connection_id=home)
                    )
        return tuple(letters), following

    async def count(self, *, client_id: str | None = None, now_ms: int) -> int:
        """How many there are, of an application or in all, as their list has it."""
        key = keyspace.DEAD_LETTERS if client_id is None else keyspace.dead_letters_of_client(client_id)
        return int(await self._record.run("ZCOUNT", key, now_ms - self._keep_ms + 1, "+inf"))

    async def forget_old(self, *, now_ms: int) -> None:
        """Drop those that were kept long enough. Lists of one application or connection are pruned as they grow, and go all at
        once when their latest has been kept long enough."""
        await self._record.run("ZREMRANGEBYSCORE", keyspace.DEAD_LETTERS, "-inf", now_ms - self._keep_ms)

    async def _connections_of(self, deliveries: Sequence[Delivery]) -> list[str | None]:
        keys = [keyspace.revocation(revocation_id_of(each.delivery_id)) for each in deliveries]
        return await self._record.pipeline([("HGET", key, "connection_id") for key in keys])

    def _lists(self, client_id: str, connection_id: str | None) -> list[str]:
        lists = [keyspace.DEAD_LETTERS, keyspace.dead_letters_of_client(client_id)]
        return lists if connection_id is None else [*lists, keyspace.dead_letters_of_connection(connection_id)]
