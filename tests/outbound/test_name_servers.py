"""Name servers of every bad kind, over UDP and TCP, asked by the system's own resolver."""

from typing import Any

import pytest

from service.outbound.client import ATTEMPT_DEADLINE_S
from service.outbound.connections import LOOKUP_SHARE, MAX_ADDRESSES
from tests.support.name_server import HERE, MANY, calls_to_hostile_names

LOOKUP_S = ATTEMPT_DEADLINE_S * LOOKUP_SHARE

BUSY_S = 1.0
"""What a busy machine may add, in seconds."""


@pytest.fixture(scope="module")
def calls() -> dict[str, list[dict[str, Any]]]:
    names = ("app.test", "late.test", "never.test", "app.test", "many.test", "second.test", "first.test")
    return calls_to_hostile_names(*names, *["changing.test"] * 4, "nobody.test")


def test_a_name_that_is_answered_is_reached(calls: dict[str, list[dict[str, Any]]]) -> None:
    assert [(each["result"], each["to"]) for each in calls["app.test"]] == [(204, [HERE])] * 2


@pytest.mark.parametrize("name", ["late.test", "never.test"])
def test_an_answer_that_comes_late_or_never_costs_half_a_deadline_and_no_connection(
    calls: dict[str, list[dict[str, Any]]], name: str
) -> None:
    (call,) = calls[name]
    assert (call["result"], call["to"]) == ("dns_timeout", [])
    assert LOOKUP_S <= call["took_s"] < LOOKUP_S + BUSY_S


def test_of_a_thousand_addresses_few_are_tried(calls: dict[str, list[dict[str, Any]]]) -> None:
    (call,) = calls["many.test"]
    assert call["result"] == "connect_error"
    assert len(call["to"]) == MAX_ADDRESSES
    assert set(call["to"]) <= set(MANY)
    assert call["took_s"] < LOOKUP_S


@pytest.mark.parametrize("name", ["second.test", "first.test"])
def test_a_forbidden_address_beside_an_allowed_one_is_never_connected_to(
    calls: dict[str, list[dict[str, Any]]], name: str
) -> None:
    (call,) = calls[name]
    assert (call["result"], call["to"]) == (204, [HERE])


def test_an_answer_that_changes_is_checked_each_time(calls: dict[str, list[dict[str, Any]]]) -> None:
    found = [(each["result"], each["to"]) for each in calls["changing.test"]]
    assert found == [(204, [HERE]), ("blocked_address", [])] * 2


def test_a_name_that_has_no_address_is_a_dns_error(calls: dict[str, list[dict[str, Any]]]) -> None:
    assert [each["result"] for each in calls["nobody.test"]] == ["dns_error"]
