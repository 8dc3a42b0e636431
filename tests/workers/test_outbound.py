import ipaddress
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.retry_schedule import MAX_RETRY_AFTER_S
from service.outbound import Outbound, open_outbound
from tests.support.clock import HandClock
from tests.support.strangers import Behaviour, answer, hang_up, say_and_hold, stranger
from workers.outbound import judge, parse_retry_after, post_logout_token

TOKEN = "eyJ.eyJ.sig"

NOW_MS = 1_445_412_000_000
"""Wed, 21 Oct 2015 07:20:00 GMT."""

LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"),)


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with open_outbound(allowed_networks=LOOPBACK, deadline_s=1) as opened:
        yield opened


async def test_the_token_is_the_one_form_parameter(outbound: Outbound) -> None:
    async with stranger(answer(200)) as app:
        await post_logout_token(outbound, uri=app.url(), token=TOKEN)
    assert [request.body for request in app.requests] == [b"logout_token=eyJ.eyJ.sig"]
    assert app.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("status", [200, 204])
async def test_200_and_204_are_success(outbound: Outbound, status: int) -> None:
    async with stranger(answer(status, retry_after="7")) as app:
        outcome = await post_logout_token(outbound, uri=app.url(), token=TOKEN)
    assert (outcome.status, outcome.error, outcome.verdict, outcome.retry_after_s) == (status, None, "delivered", None)


@pytest.mark.parametrize(
    ("status", "verdict", "error"),
    [
        (101, "rejected", "unexpected_status"),
        (201, "rejected", "unexpected_status"),
        (202, "rejected", "unexpected_status"),
        (206, "rejected", "unexpected_status"),
        (301, "rejected", "redirect"),
        (302, "rejected", "redirect"),
        (304, "rejected", "redirect"),
        (308, "rejected", "redirect"),
        (400, "rejected", "rejected"),
        (401, "rejected", "rejected"),
        (404, "rejected", "rejected"),
        (410, "rejected", "rejected"),
        (499, "rejected", "rejected"),
        (408, "try_later", "request_timeout"),
        (425, "try_later", "too_early"),
        (429, "try_later", "too_many_requests"),
        (500, "try_later", "server_error"),
        (501, "try_later", "server_error"),
        (503, "try_later", "server_error"),
        (599, "try_later", "server_error"),
        (999, "try_later", "server_error"),
    ],
)
def test_every_other_status_is_final_or_worth_another_try(status: int, verdict: str, error: str) -> None:
    assert judge(status) == (verdict, error)


@given(st.integers(min_value=100, max_value=999))
def test_only_success_is_without_a_code(status: int) -> None:
    verdict, error = judge(status)
    assert (verdict == "delivered") == (error is None) == (status in {200, 204})


@pytest.mark.parametrize(("status", "expected"), [(503, 7.0), (429, 7.0), (408, 7.0), (400, None), (302, None)])
async def test_retry_after_counts_only_where_there_is_another_try(
    outbound: Outbound, status: int, expected: float | None
) -> None:
    async with stranger(answer(status, retry_after="7")) as app:
        outcome = await post_logout_token(outbound, uri=app.url(), token=TOKEN)
    assert outcome.retry_after_s == expected


async def test_a_date_to_retry_after_is_measured_by_our_clock(outbound: Outbound) -> None:
    async with stranger(answer(503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")) as app:
        outcome = await post_logout_token(outbound, uri=app.url(), token=TOKEN, clock=HandClock(NOW_MS))
    assert (outcome.verdict, outcome.error, outcome.retry_after_s) == ("try_later", "server_error", 480.0)


@pytest.mark.parametrize(("behaviour", "error"), [(say_and_hold(b""), "timeout"), (hang_up, "read_error")])
async def test_no_answer_is_worth_another_try_and_the_time_it_took_is_told(
    outbound: Outbound, behaviour: Behaviour, error: str
) -> None:
    async with stranger(behaviour) as app:
        outcome = await post_logout_token(outbound, uri=app.url(), token=TOKEN)
    assert (outcome.status, outcome.error, outcome.verdict, outcome.retry_after_s) == (None, error, "try_later", None)
    assert (outcome.duration_ms >= 1000) == (error == "timeout")


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("http://10.0.0.1/logout", "blocked_address"),
        ("http://8.8.8.8/logout", "blocked_address"),
        ("http://127.1/logout", "invalid_url"),
        ("logout", "invalid_url"),
        ("https://nobody.invalid/logout", "dns_error"),
    ],
)
async def test_an_application_that_cannot_be_called_may_be_mended_in_time(
    outbound: Outbound, uri: str, error: str
) -> None:
    outcome = await post_logout_token(outbound, uri=uri, token=TOKEN)
    assert (outcome.status, outcome.error, outcome.verdict) == (None, error, "try_later")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("3601", MAX_RETRY_AFTER_S),
        ("9" * 60, MAX_RETRY_AFTER_S),
        ("Wed, 21 Oct 2015 07:20:30 GMT", 30.0),
        ("Wednesday, 21-Oct-15 07:20:30 GMT", 30.0),
        ("Wed Oct 21 07:20:30 2015", 30.0),
        ("Wed, 21 Oct 2015 07:19:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("NaN", None),
        ("+1", None),
        ("١٢", None),
        ("soon", None),
        ("Wed, 99 Oct 2015 07:20:30 GMT", None),
        ("9" * 65, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_capped_or_it_is_ignored(text: str | None, expected: float | None) -> None:
    assert parse_retry_after(text, now_ms=NOW_MS) == expected


@given(
    st.text(max_size=70)
    | st.from_regex(
        r"[A-Z][a-z]{2}, [0-9]{1,3} (Jan|Oct) [0-9]{1,6} [0-9:]{1,9} ([A-Z]{3}|[+-][0-9]{1,6})", fullmatch=True
    )
)
def test_no_retry_after_breaks_anything_or_asks_for_more_than_the_cap(text: str) -> None:
    wait_s = parse_retry_after(text, now_ms=NOW_MS)
    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S
