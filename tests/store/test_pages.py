"""Pages of a sorted set: a walk finds every entry that stays, once, whatever others add and remove meanwhile."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.store.pages import Mark, page_of
from tests.support.house import House

KEY = "logoutd:connections"

MEMBERS = st.text(alphabet="aAbBzZ09-_.:~", min_size=1, max_size=4)
ENTRIES = st.dictionaries(MEMBERS, st.integers(0, 3), max_size=12)


async def fill(house: House, entries: dict[str, int]) -> None:
    await house.resources.record.run("DEL", KEY)
    for member, score in entries.items():
        await house.resources.record.run("ZADD", KEY, score, member)


async def walk(house: House, limit: int, *, newest_first: bool = False) -> list[list[str]]:
    pages: list[list[str]] = []
    after: Mark | None = None
    while not pages or after is not None:
        page, after = await page_of(house.resources.record, KEY, after=after, limit=limit, newest_first=newest_first)
        pages.append(page)
    return pages


@pytest.mark.parametrize("newest_first", [False, True])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(entries=ENTRIES, limit=st.integers(1, 5))
async def test_a_walk_has_every_entry_once_in_the_order_of_scores_and_bytes(
    house: House, newest_first: bool, entries: dict[str, int], limit: int
) -> None:
    await fill(house, entries)
    pages = await walk(house, limit, newest_first=newest_first)

    in_order = sorted(entries, key=lambda each: (entries[each], each.encode()), reverse=newest_first)
    assert [member for page in pages for member in page] == in_order
    assert all(len(page) == limit for page in pages[:-1])


@pytest.mark.parametrize("newest_first", [False, True])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), entries=ENTRIES, limit=st.integers(1, 3))
async def test_no_walk_misses_or_repeats_an_entry_that_stays(
    house: House, newest_first: bool, data: st.DataObject, entries: dict[str, int], limit: int
) -> None:
    """Between two pages anything else may be removed, the last of the page before too, and anything added."""
    await fill(house, entries)
    staying = set(data.draw(st.lists(st.sampled_from(sorted(entries)), unique=True))) if entries else set()
    seen: list[str] = []
    after: Mark | None = None
    while not seen or after is not None:
        page, after = await page_of(house.resources.record, KEY, after=after, limit=limit, newest_first=newest_first)
        seen += page
        for member in data.draw(st.lists(MEMBERS, max_size=4)):
            if member not in entries:
                await house.resources.record.run("ZADD", KEY, data.draw(st.integers(0, 3)), member)
            elif member not in staying:
                await house.resources.record.run("ZREM", KEY, member)
        if after is not None and after.member not in staying:
            await house.resources.record.run("ZREM", KEY, after.member)
        if not page:
            break

    assert staying <= set(seen)
    assert len([each for each in seen if each in staying]) == len(staying)


async def test_a_mark_before_or_after_everything_is_a_beginning_or_an_end(house: House) -> None:
    await fill(house, {"a": 5, "b": 5})
    record = house.resources.record
    for newest_first, first, last in ((False, Mark(score=4, member="z"), Mark(score=6, member="a")),
                                      (True, Mark(score=6, member="a"), Mark(score=4, member="z"))):  # fmt: skip
        found, following = await page_of(record, KEY, after=first, limit=5, newest_first=newest_first)
        assert sorted(found) == ["a", "b"]
        assert following is None
        assert await page_of(record, KEY, after=last, limit=5, newest_first=newest_first) == ([], None)
