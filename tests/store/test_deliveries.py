"""Deliveries in the record: one worker's at a time, every outcome counted once, the revocation closed by the last."""

import asyncio
from dataclasses import replace
from typing import Literal

import pytest

from service.domain.delivery import Attempt, Delivery
from service.domain.identifiers import delivery_id_for
from service.store import keyspace
from service.store.deliveries import Settlement
from tests.support.house import House, user_id

LEASE_MS = 20_000


def owed(revocation_id: str, client_id: str) -> Delivery:
    return Delivery(
        delivery_id=delivery_id_for(revocation_id, "usr_ada", client_id, "ada", None),
        user_id=user_id("ada"),
        client_id=client_id,
        sub="ada",
        sid=None,
    )


async def planned(house: House, *client_ids: str) -> tuple[str, dict[str, Delivery]]:
    """A revocation that owes these clients a logout token each, in nobody's hands."""
    rid = await house.record_only(house.request("ada"))
    deliveries = {each: owed(rid, each) for each in client_ids}
    await house.resources.revocations.plan(
        await house.receipt(rid),
        list(deliveries.values()),
        sessions_ended=0,
        refresh_tokens_revoked=0,
        now_ms=house.clock.now_ms(),
        lease_until_ms=house.clock.now_ms(),
    )
    return rid, deliveries


async def claim(house: House, rid: str, *delivery_ids: str, lease_ms: int = LEASE_MS) -> set[str]:
    now_ms = house.clock.now_ms()
    found = await house.resources.deliveries.claim(rid, delivery_ids, now_ms=now_ms, lease_until_ms=now_ms + lease_ms)
    return {each.client_id for each in found}


async def settle(house: House, *after: Delivery, lease_until_ms: int) -> list[str]:
    settlements = [Settlement(delivery=each, lease_until_ms=lease_until_ms) for each in after]
    return [*await house.resources.deliveries.settle(settlements, now_ms=house.clock.now_ms())]


def closed(delivery: Delivery, state: Literal["delivered", "dead", "skipped"]) -> Delivery:
    attempt = Attempt(at_ms=1_800_000_000_000, duration_ms=7, status=200)
    return replace(delivery, state=state, attempts=(attempt,), attempt_count=1)


async def test_all_or_those_that_are_named_are_taken_in_hand(house: House) -> None:
    rid, owing = await planned(house, "crm", "mail", "wiki")
    assert await claim(house, rid, owing["mail"].delivery_id) == {"mail"}
    assert await claim(house, rid) == {"crm", "wiki"}
    assert await claim(house, rid) == set()


async def test_what_the_revocation_does_not_owe_cannot_be_taken(house: House) -> None:
    rid, _ = await planned(house, "crm")
    assert await claim(house, rid, "dlv_x_y") == set()
    assert await claim(house, "rev_unknown") == set()


async def test_of_many_that_reach_for_one_delivery_one_has_it(house: House) -> None:
    rid, _ = await planned(house, "crm")
    taken = await asyncio.gather(*(claim(house, rid, lease_ms=LEASE_MS + n) for n in range(10)))
    assert sorted(taken, key=len) == [set()] * 9 + [{"crm"}]


async def test_a_lease_is_good_until_it_ends_and_not_a_millisecond_longer(house: House) -> None:
    rid, _ = await planned(house, "crm")
    await claim(house, rid)
    house.clock.advance((LEASE_MS - 1) / 1000)
    assert await claim(house, rid) == set()
    house.clock.advance(0.001)
    assert await claim(house, rid) == {"crm"}


async def test_what_is_due_later_cannot_be_taken_yet(house: House) -> None:
    rid, owing = await planned(house, "crm")
    await claim(house, rid)
    later = replace(owing["crm"], state="retrying", next_attempt_at_ms=house.clock.now_ms() + 1000)
    await settle(house, later, lease_until_ms=house.clock.now_ms() + LEASE_MS)

    house.clock.advance(0.999)
    assert await claim(house, rid) == set()
    house.clock.advance(0.001)
    assert await claim(house, rid) == {"crm"}


@pytest.mark.parametrize("state", ["delivered", "dead", "skipped"])
async def test_what_is_closed_is_never_taken_again(
    house: House, state: Literal["delivered", "dead", "skipped"]
) -> None:
    rid, owing = await planned(house, "crm", "mail")
    await claim(house, rid)
    await settle(house, closed(owing["crm"], state), lease_until_ms=house.clock.now_ms() + LEASE_MS)
    house.clock.advance(LEASE_MS / 1000)
    assert await claim(house, rid) == {"mail"}


async def test_a_settled_delivery_reads_back_to_the_letter_and_is_let_go(house: House) -> None:
    rid, owing = await planned(house, "crm")
    await claim(house, rid)
    after = replace(
        owing["crm"],
        state="retrying",
        attempts=(Attempt(at_ms=1, duration_ms=2, status=503), Attempt(at_ms=3, duration_ms=4, error="timeout")),
        attempt_count=2,
        first_attempt_at_ms=1,
    )

    assert await settle(house, after, lease_until_ms=house.clock.now_ms() + LEASE_MS) == ["notifying"]

    assert await house.deliveries(rid) == (after,)
    assert await claim(house, rid) == {"crm"}


async def test_whoever_lost_the_lease_to_another_settles_nothing(house: House) -> None:
    rid, owing = await planned(house, "crm")
    await claim(house, rid)
    lost = house.clock.now_ms() + LEASE_MS
    house.clock.advance(LEASE_MS / 1000)
    await claim(house, rid)

    assert await settle(house, closed(owing["crm"], "dead"), lease_until_ms=lost) == ["lost"]

    assert await house.delivery(rid) == owing["crm"]
    assert (await house.receipt(rid)).state == "notifying"


async def test_a_lease_that_has_run_out_unnoticed_is_still_good_for_the_outcome(house: House) -> None:
    rid, owing = await planned(house, "crm")
    await claim(house, rid)
    lease_until_ms = house.clock.now_ms() + LEASE_MS
    house.clock.advance(10 * LEASE_MS / 1000)

    assert await settle(house, closed(owing["crm"], "delivered"), lease_until_ms=lease_until_ms) == ["completed"]


async def test_the_same_outcome_again_counts_once(house: House) -> None:
    rid, owing = await planned(house, "crm", "mail")
    await claim(house, rid)
    lease_until_ms = house.clock.now_ms() + LEASE_MS
    answers = [await settle(house, closed(owing["crm"], "dead"), lease_until_ms=lease_until_ms) for _ in range(2)]
    assert answers == [["notifying"], ["notifying"]]
    assert (await house.receipt(rid)).state == "notifying"


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        (("delivered", "delivered", "delivered"), "completed"),
        (("delivered", "skipped", "delivered"), "completed"),
        (("skipped", "skipped", "skipped"), "completed"),
        (("dead", "delivered", "delivered"), "incomplete"),
        (("delivered", "delivered", "dead"), "incomplete"),
        (("dead", "skipped", "dead"), "incomplete"),
    ],
)
async def test_the_last_outcome_closes_the_revocation(
    house: House, outcomes: tuple[Literal["delivered", "dead", "skipped"], ...], state: str
) -> None:
    clients = ("crm", "mail", "wiki")
    rid, owing = await planned(house, *clients)
    await claim(house, rid)
    lease_until_ms = house.clock.now_ms() + LEASE_MS
    states = []
    for client_id, outcome in zip(clients, outcomes, strict=True):
        house.clock.advance(0.1)
        states += await settle(house, closed(owing[client_id], outcome), lease_until_ms=lease_until_ms)

    assert states == ["notifying", "notifying", state]
    found = await house.receipt(rid)
    assert (found.state, found.completed_at_ms) == (state, house.clock.now_ms())


async def test_many_outcomes_are_written_at_once_each_for_its_own_revocation(house: House) -> None:
    (first, crm), (second, mail) = await planned(house, "crm"), await planned(house, "mail", "wiki")
    for each in (first, second):
        await claim(house, each)

    states = await settle(
        house,
        closed(mail["mail"], "delivered"),
        closed(crm["crm"], "dead"),
        closed(mail["wiki"], "delivered"),
        lease_until_ms=house.clock.now_ms() + LEASE_MS,
    )

    assert states == ["notifying", "incomplete", "completed"]
    assert await settle(house, lease_until_ms=0) == []


async def test_what_a_receipt_owed_that_has_expired_is_not_written_down(house: House) -> None:
    rid, owing = await planned(house, "crm")
    await claim(house, rid)
    await house.resources.record.run("DEL", keyspace.revocation(rid))
    lease_until_ms = house.clock.now_ms() + LEASE_MS
    assert await settle(house, closed(owing["crm"], "delivered"), lease_until_ms=lease_until_ms) == ["lost"]


async def test_settling_at_the_same_time_closes_the_revocation_once(house: House) -> None:
    clients = [f"app-{n:02}" for n in range(20)]
    rid, owing = await planned(house, *clients)
    await claim(house, rid)
    lease_until_ms = house.clock.now_ms() + LEASE_MS

    states = await asyncio.gather(
        *(settle(house, closed(owing[each], "delivered"), lease_until_ms=lease_until_ms) for each in clients)
    )

    assert sorted(states) == [["completed"]] + [["notifying"]] * 19


async def test_deliveries_are_listed_in_an_order_that_does_not_change(house: House) -> None:
    rid, _ = await planned(house, "wiki", "crm", "mail")
    assert [each.client_id for each in await house.deliveries(rid)] == ["crm", "mail", "wiki"]
    assert await house.deliveries("rev_unknown") == ()
