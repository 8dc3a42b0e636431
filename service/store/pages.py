"""Lists in Redis, page by page: a page begins after an entry, not at a number, so that what others add or remove meanwhile
makes no reader miss an entry that stays."""

from dataclasses import dataclass

from service.store.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The last entry of a page: where the next one begins. It may be gone by then."""

    score: int
    member: str


async def page_of(
    record: Record, key: str, *, after: Mark | None, limit: int, newest_first: bool = False
) -> tuple[list[str], Mark | None]:
    """`limit` entries of the sorted set `key` from `after` on, and the mark of the last, or None when it is the list's last.

    In the order of their scores, the lowest first unless `newest_first`; equal ones by their bytes.
    """
    way = "down" if newest_first else "up"
    place = ("", "") if after is None else (after.score, after.member)
    flat = await record.script("page", [key], [way, limit, *place])
    entries = list(zip(flat[::2], flat[1::2], strict=True))[:limit]
    more = len(flat) // 2 > limit
    last = Mark(score=int(float(entries[-1][1])), member=entries[-1][0]) if more else None
    return [member for member, _ in entries], last
