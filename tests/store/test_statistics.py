"""The fleet's counters."""

import pytest

from service.store.statistics import TOLD_BUCKETS_S
from tests.support.house import House


async def count(
    house: House,
    *,
    deliveries: tuple[str, ...] = (),
    attempts: tuple[str, ...] = (),
    told_s: tuple[float, ...] = (),
) -> None:
    await house.resources.statistics.count(deliveries=deliveries, attempts=attempts, told_s=told_s)


async def test_nothing_was_counted_before_anything_happened(house: House) -> None:
    await count(house)
    totals = await house.resources.statistics.totals()
    assert (totals.deliveries, totals.attempts, totals.told_buckets) == ({}, {}, {})
    assert (totals.told_sum_s, totals.told_count) == (0.0, 0)


async def test_outcomes_and_results_add_up(house: House) -> None:
    await count(house, deliveries=("delivered", "dead"), attempts=("2xx", "4xx"))
    await count(house, deliveries=("delivered",), attempts=("2xx", "timeout"))
    totals = await house.resources.statistics.totals()
    assert totals.deliveries == {"delivered": 2, "dead": 1}
    assert totals.attempts == {"2xx": 2, "4xx": 1, "timeout": 1}


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, "0.01"), (0.01, "0.01"), (0.0101, "0.025"), (60.0, "60.0"), (86400.0, "86400.0"), (86400.1, "+Inf")],
)
async def test_a_time_goes_into_the_least_bucket_that_holds_it(house: House, seconds: float, bucket: str) -> None:
    await count(house, told_s=(seconds,))
    totals = await house.resources.statistics.totals()
    assert totals.told_buckets == {bucket: 1}
    assert totals.told_count == 1
    assert totals.told_sum_s == pytest.approx(seconds)


async def test_the_sum_of_many_times_is_theirs(house: House) -> None:
    await count(house, told_s=(0.5, 1.25, 90_000.0))
    await count(house, told_s=(0.000001,))
    totals = await house.resources.statistics.totals()
    assert totals.told_count == sum(totals.told_buckets.values()) == 4
    assert totals.told_sum_s == pytest.approx(90_001.750001)


def test_the_buckets_are_in_order() -> None:
    assert list(TOLD_BUCKETS_S) == sorted(set(TOLD_BUCKETS_S))
