from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.retry_schedule import FIRST_STEP_S, LEAST_SHARE, LONGEST_STEP_S, WINDOW_S, RetrySchedule
from workers.backoff import next_attempt_ms

NOW_MS = 1_760_000_000_000

counts = st.integers(min_value=1, max_value=10_000)
chances = st.floats(min_value=0, max_value=1, exclude_max=True)
waits = st.none() | st.floats(min_value=0, max_value=3600)
elapsed = st.integers(min_value=0, max_value=int(WINDOW_S * 1000))


def _pause_ms(attempt_count: int, chance: float, retry_after_s: float | None = None) -> int:
    due = next_attempt_ms(
        attempt_count=attempt_count,
        first_attempt_ms=NOW_MS,
        now_ms=NOW_MS,
        retry_after_s=retry_after_s,
        random=lambda: chance,
    )
    assert due is not None
    return due - NOW_MS


def _attempts(chance: float) -> tuple[int, int]:
    """How many attempts a delivery gets that always fails at once, and when the last one is, in ms from the first."""
    now_ms, count = NOW_MS, 1
    while True:
        due = next_attempt_ms(
            attempt_count=count, first_attempt_ms=NOW_MS, now_ms=now_ms, retry_after_s=None, random=lambda: chance
        )
        if due is None:
            return count, now_ms - NOW_MS
        assert due > now_ms
        now_ms, count = due, count + 1


def test_steps_double_from_a_second_to_an_hour() -> None:
    assert [_pause_ms(count, 0.9999999) / 1000 for count in range(1, 16)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        512,
        1024,
        2048,
        3600,
        3600,
        3600,
    ]


@given(counts, chances)
def test_between_half_and_the_whole_of_a_step_is_waited(count: int, chance: float) -> None:
    whole_ms = min(FIRST_STEP_S * 2.0 ** min(count - 1, 60), LONGEST_STEP_S) * 1000
    assert whole_ms * LEAST_SHARE <= _pause_ms(count, chance) <= whole_ms


@given(counts, chances)
def test_the_pause_never_shrinks_as_attempts_fail(count: int, chance: float) -> None:
    assert _pause_ms(count + 1, chance) >= _pause_ms(count, chance)


@given(counts, chances, st.floats(min_value=0, max_value=3600))
def test_retry_after_is_a_floor_and_never_hastens(count: int, chance: float, retry_after_s: float) -> None:
    pause_ms = _pause_ms(count, chance, retry_after_s)
    assert pause_ms >= retry_after_s * 1000
    assert pause_ms >= _pause_ms(count, chance)
    assert pause_ms in {_pause_ms(count, chance), -int(-retry_after_s * 1000 // 1)}


@given(counts, chances, waits, elapsed)
def test_nothing_is_ever_due_after_the_window_or_before_now(
    count: int, chance: float, retry_after_s: float | None, elapsed_ms: int
) -> None:
    now_ms = NOW_MS + elapsed_ms
    due = next_attempt_ms(
        attempt_count=count,
        first_attempt_ms=NOW_MS,
        now_ms=now_ms,
        retry_after_s=retry_after_s,
        random=lambda: chance,
    )
    assert due is None or now_ms < due <= NOW_MS + WINDOW_S * 1000


def test_the_last_moment_of_the_window_is_still_inside() -> None:
    def due(now_ms: int) -> int | None:
        return next_attempt_ms(
            attempt_count=1, first_attempt_ms=0, now_ms=now_ms, retry_after_s=2.0, random=lambda: 0.0
        )

    end_ms = int(WINDOW_S * 1000)
    assert due(end_ms - 2000) == end_ms
    assert due(end_ms - 1999) is None


@given(chances)
def test_a_day_of_failures_is_a_bounded_number_of_attempts_spread_over_the_day(chance: float) -> None:
    count, last_ms = _attempts(chance)
    assert 35 <= count <= 61
    assert last_ms > (WINDOW_S - LONGEST_STEP_S) * 1000


def test_a_clock_set_back_does_not_end_a_delivery() -> None:
    assert (
        next_attempt_ms(
            attempt_count=3,
            first_attempt_ms=NOW_MS,
            now_ms=NOW_MS - 60_000,
            retry_after_s=None,
            random=lambda: 0.5,
        )
        == NOW_MS - 60_000 + 3000
    )


schedules = st.tuples(
    st.floats(min_value=0.1, max_value=3600),
    st.floats(min_value=0.1, max_value=86_400),
    st.floats(min_value=0.01, max_value=720),
).map(
    lambda drawn: RetrySchedule(
        first_step_s=drawn[0], longest_step_s=max(drawn[0], drawn[1]), window_s=max(drawn[0], drawn[1], drawn[2] * 3600)
    )
)


def test_a_chosen_schedule_has_its_steps_and_its_end() -> None:
    chosen = RetrySchedule(first_step_s=5, longest_step_s=30, window_s=120)
    now_ms, pauses = NOW_MS, []
    while True:
        due = next_attempt_ms(
            attempt_count=len(pauses) + 1,
            first_attempt_ms=NOW_MS,
            now_ms=now_ms,
            retry_after_s=None,
            random=lambda: 0.9999999,
            schedule=chosen,
        )
        if due is None:
            break
        pauses.append((due - now_ms) / 1000)
        now_ms = due
    assert pauses == [5, 10, 20, 30, 30]
    assert chosen.steps_s == (5, 10, 20, 30)
    assert chosen.fewest_attempts == 1 + len(pauses)


def test_the_schedule_as_it_comes_is_shown_in_a_few_steps() -> None:
    as_it_comes = RetrySchedule()
    assert as_it_comes.steps_s == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600)
    assert as_it_comes.fewest_attempts == 35


@settings(max_examples=200)
@given(schedules)
def test_what_is_shown_of_a_schedule_is_what_is_done(schedule: RetrySchedule) -> None:
    shown = schedule.steps_s
    assert 1 <= len(shown) <= 22
    assert list(shown) == sorted(shown)
    assert shown[-1] <= schedule.longest_step_s
    assert sum(shown) <= schedule.window_s + 1e-6
    elapsed_s, count = 0.0, 1
    while count <= 5_000 and elapsed_s + schedule.step_s(count) <= schedule.window_s:
        elapsed_s, count = elapsed_s + schedule.step_s(count), count + 1
    # Sums of floats differ in their last digits, and one more or less may fit.
    assert count > 5_000 or abs(count - schedule.fewest_attempts) <= 1
