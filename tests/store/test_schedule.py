"""The due index: nothing in it is lost by being looked at, only by being done."""

import asyncio

from service.store import keyspace
from service.store.schedule import Backlog
from tests.support.house import House


async def claim(house: House, *, hidden_ms: int = 20_000, limit: int = 100) -> tuple[str, ...]:
    now_ms = house.clock.now_ms()
    return await house.resources.schedule.claim(now_ms=now_ms, hidden_until_ms=now_ms + hidden_ms, limit=limit)


async def test_what_is_overdue_is_taken_in_the_order_it_was_due(house: House) -> None:
    schedule, now_ms = house.resources.schedule, house.clock.now_ms()
    await schedule.look_at(["b"], at_ms=now_ms - 1)
    await schedule.look_at(["c"], at_ms=now_ms)
    await schedule.look_at(["a"], at_ms=now_ms - 2)
    await schedule.look_at(["d"], at_ms=now_ms + 1)
    assert await claim(house) == ("a", "b", "c")
    house.clock.advance(0.001)
    assert await claim(house) == ("d",)


async def test_what_was_taken_is_hidden_and_comes_up_again(house: House) -> None:
    await house.resources.schedule.look_at(["a"], at_ms=house.clock.now_ms())
    assert await claim(house, hidden_ms=20_000) == ("a",)
    house.clock.advance(19.999)
    assert await claim(house) == ()
    house.clock.advance(0.001)
    assert await claim(house) == ("a",)


async def test_no_more_are_taken_than_asked_for(house: House) -> None:
    await house.resources.schedule.look_at([f"{n}" for n in range(5)], at_ms=house.clock.now_ms())
    assert [await claim(house, limit=2) for _ in range(4)] == [("0", "1"), ("2", "3"), ("4",), ()]


async def test_sweepers_at_the_same_time_take_each_entry_once(house: House) -> None:
    names = [f"{n:02}" for n in range(50)]
    await house.resources.schedule.look_at(names, at_ms=house.clock.now_ms())
    taken = await asyncio.gather(*(claim(house, limit=7) for _ in range(10)))
    assert sorted(name for each in taken for name in each) == names


async def test_what_is_done_does_not_come_up_again(house: House) -> None:
    schedule = house.resources.schedule
    await schedule.look_at(["a", "b"], at_ms=house.clock.now_ms())
    await claim(house)
    await schedule.done(["a"])
    await schedule.done([])
    house.clock.advance(60)
    assert await claim(house) == ("b",)


async def test_looking_again_sets_a_new_time_unless_only_absent_ones_are_meant(house: House) -> None:
    schedule, now_ms = house.resources.schedule, house.clock.now_ms()
    await schedule.look_at(["a", "b"], at_ms=now_ms + 1000)
    await schedule.look_at(["a"], at_ms=now_ms + 500)
    await schedule.look_at_if_absent(["b", "c"], at_ms=now_ms + 200)
    await schedule.look_at([], at_ms=now_ms)
    await schedule.look_at_if_absent([], at_ms=now_ms)
    assert await house.due() == {"c": now_ms + 200, "a": now_ms + 500, "b": now_ms + 1000}


async def test_after_attempts_everything_is_put_right_at_once(house: House) -> None:
    schedule, now_ms = house.resources.schedule, house.clock.now_ms()
    finished, going_on = await house.revoke("ada"), await house.revoke("bob")
    await schedule.look_at(["done", "later"], at_ms=now_ms)

    await schedule.settle(finished=[finished], done=["done"], due={"later": now_ms + 5000, "new": now_ms + 6000})
    await schedule.settle(finished=[], done=[], due={})

    assert await house.open_revocations() == {going_on}
    due = await house.due()
    # What a finished one has ended may still be to be forgotten.
    assert set(due) == {finished, going_on, "later", "new"}
    assert (due["later"], due["new"]) == (now_ms + 5000, now_ms + 6000)


async def test_unfinished_revocations_are_found_by_age(house: House) -> None:
    rids = []
    for _ in range(3):
        rids.append(await house.record_only(house.request("ada")))
        house.clock.advance(10)
    schedule = house.resources.schedule
    second_ms = (await house.receipt(rids[1])).accepted_at_ms

    assert await schedule.open_since(before_ms=second_ms, offset=0, limit=10) == (rids[0], rids[1])
    assert await schedule.open_since(before_ms=second_ms, offset=0, limit=1) == (rids[0],)
    assert await schedule.open_since(before_ms=second_ms, offset=1, limit=1) == (rids[1],)
    assert await schedule.opened_at(rids[1]) == second_ms
    assert await schedule.opened_at("rev_unknown") is None


async def test_the_backlog_is_how_much_and_since_when(house: House) -> None:
    schedule = house.resources.schedule
    empty = Backlog(open_revocations=0, due_entries=0, oldest_open_ms=None, most_overdue_ms=None)
    assert await schedule.backlog() == empty
    first_ms = house.clock.now_ms()
    await house.record_only(house.request("ada"))
    house.clock.advance(10)
    await house.record_only(house.request("ada"))
    await schedule.look_at(["dlv_x_y"], at_ms=first_ms - 5)
    assert await schedule.backlog() == Backlog(
        open_revocations=2, due_entries=3, oldest_open_ms=first_ms, most_overdue_ms=first_ms - 5
    )


async def test_times_are_whole_numbers_in_digits(house: House) -> None:
    await house.resources.schedule.look_at(["a"], at_ms=house.clock.now_ms())
    await claim(house)
    score = await house.resources.record.run("EVAL", "return redis.call('ZSCORE', KEYS[1], 'a')", 1, keyspace.DUE)
    assert score == str(house.clock.now_ms() + 20_000)


async def test_what_is_looked_at_sooner_is_neither_put_off_nor_entered_anew(house: House) -> None:
    schedule, now_ms = house.resources.schedule, house.clock.now_ms()
    await schedule.look_at(["later"], at_ms=now_ms + 200)
    await schedule.look_at(["sooner"], at_ms=now_ms - 200)
    await schedule.look_at_sooner(["later", "sooner", "gone"], at_ms=now_ms)
    await schedule.look_at_sooner([], at_ms=now_ms)
    assert await house.due() == {"later": now_ms, "sooner": now_ms - 200}
