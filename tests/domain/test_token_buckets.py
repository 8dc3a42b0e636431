"""Allowances that refill, by a clock turned by hand."""

import pytest

from service.domain.token_buckets import Remembered, TokenBuckets
from tests.support.clock import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_so_many_may_be_taken_at_once_and_then_as_many_as_refill(clock: HandClock) -> None:
    buckets = TokenBuckets(clock, per_second=2, burst=3)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.5)
    clock.advance(0.25)
    assert buckets.wait_s("a") == pytest.approx(0.25)
    clock.advance(0.25)
    assert buckets.wait_s("a") == 0
    assert buckets.take("a") == 0
    assert buckets.take("a") > 0


def test_a_bucket_does_not_grow_beyond_its_burst(clock: HandClock) -> None:
    buckets = TokenBuckets(clock, per_second=2, burst=3)
    buckets.take("a")
    clock.advance(3600)
    assert [buckets.take("a") == 0 for _ in range(4)] == [True, True, True, False]


def test_each_key_has_its_own(clock: HandClock) -> None:
    buckets = TokenBuckets(clock, per_second=1, burst=1)
    assert buckets.take("a") == buckets.take("b") == 0
    assert buckets.take("a") > 0


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing(clock: HandClock) -> None:
    buckets = TokenBuckets(clock, per_second=1, burst=2)
    buckets.take("a")
    clock.advance(-3600)
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(1)
    clock.advance(1)
    assert buckets.take("a") == 0


def test_keys_are_remembered_in_bounded_number_and_the_least_used_begins_anew(clock: HandClock) -> None:
    buckets = TokenBuckets(clock, per_second=1, burst=1, most=2)
    for key in ("a", "b", "c"):
        buckets.take(key)
    assert len(buckets) == 2
    assert [buckets.wait_s(key) > 0 for key in ("a", "b", "c")] == [False, True, True]


def test_what_was_seen_is_remembered_for_a_while_and_in_bounded_number(clock: HandClock) -> None:
    seen = Remembered(clock, for_ms=1000, most=2)
    for key in ("a", "b", "c"):
        seen.add(key)
    assert len(seen) == 2
    assert [key in seen for key in ("a", "b", "c")] == [False, True, True]
    clock.advance(0.5)
    seen.add("b")
    clock.advance(0.5)
    assert [key in seen for key in ("b", "c")] == [True, False]
