"""Revocations in the record: written once, planned once, listed, and forgotten when their time is up."""

import asyncio
from dataclasses import replace

import pytest

from service.domain.clock import SystemClock
from service.domain.delivery import Delivery
from service.domain.identifiers import delivery_id_for
from service.domain.revocation import Revocation
from service.errors import Unavailable
from service.store import keyspace
from service.store.deliveries import Settlement
from service.store.pages import Mark
from tests.support.house import CONNECTION, DAY_S, House, user_id

ADA = user_id("ada")
LEASE_MS = 20_000


def owed(revocation_id: str, client_id: str, state: str = "pending") -> Delivery:
    return Delivery(
        delivery_id=delivery_id_for(revocation_id, ADA, client_id, f"{client_id}|ada", None),
        user_id=ADA,
        client_id=client_id,
        sub=f"{client_id}|ada",
        sid=None,
        state="skipped" if state == "skipped" else "pending",
    )


async def plan(house: House, revocation: Revocation, *deliveries: Delivery, sessions_ended: int = 1) -> bool:
    now_ms = house.clock.now_ms()
    return await house.resources.revocations.plan(
        revocation,
        deliveries,
        sessions_ended=sessions_ended,
        refresh_tokens_revoked=2,
        now_ms=now_ms,
        lease_until_ms=now_ms + LEASE_MS,
    )


async def test_a_revocation_reads_back_as_it_was_asked_for(house: House) -> None:
    rid = await house.record_only(house.request("ada", "bob"))

    found = await house.receipt(rid)

    assert (found.revocation_id, found.connection_id) == (rid, CONNECTION)
    assert found.user_ids == (ADA, user_id("bob"))
    assert (found.initiator, found.reason, found.session_id) == ("global_token_revocation", None, None)
    assert (found.state, found.accepted_at_ms) == ("accepted", house.clock.now_ms())
    assert (found.revoked_at_ms, found.completed_at_ms) == (None, None)
    assert (found.sessions_ended, found.refresh_tokens_revoked) == (0, 0)


async def test_one_that_was_never_recorded_is_none(house: House) -> None:
    assert await house.resources.revocations.get("rev_unknown") is None


async def test_recording_it_again_finds_the_first_and_changes_no_list(house: House) -> None:
    request = house.request("ada")
    await house.record_only(request)
    first, due = await house.receipt(request.revocation_id), await house.due()
    house.clock.advance(60)

    again = await house.resources.revocations.record(
        request, now_ms=house.clock.now_ms(), look_at_ms=house.clock.now_ms()
    )

    assert again == first
    assert await house.due() == due
    assert await house.resources.schedule.opened_at(request.revocation_id) == first.accepted_at_ms


async def test_recorded_many_times_at_once_it_is_one(house: House) -> None:
    request = house.request("ada")

    found = await asyncio.gather(
        *(house.resources.revocations.record(request, now_ms=house.clock.now_ms() + n, look_at_ms=0) for n in range(10))
    )

    assert len({each.accepted_at_ms for each in found}) == 1
    assert await house.open_revocations() == {request.revocation_id}


async def test_it_is_in_the_due_index_before_it_is_anywhere_else(house: House) -> None:
    request = house.request("ada")
    await house.resources.record.run("SET", keyspace.revocation(request.revocation_id), "in the way")

    with pytest.raises(Unavailable):
        await house.record_only(request)

    assert set(await house.due()) == {request.revocation_id}


async def test_the_moment_it_was_in_force_is_noted_once(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    for moment in (1_000, 2_000):
        await house.resources.revocations.mark_revoked(rid, at_ms=moment)
    assert (await house.receipt(rid)).revoked_at_ms == 1_000


async def test_the_first_plan_holds_and_its_maker_has_the_deliveries_in_hand(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    revocation = await house.receipt(rid)
    planned = owed(rid, "crm"), owed(rid, "mail"), owed(rid, "wiki", "skipped")

    assert await plan(house, revocation, *planned)
    assert not await plan(house, revocation, owed(rid, "other"), sessions_ended=99)

    assert set(await house.deliveries(rid)) == set(planned)
    found = await house.receipt(rid)
    assert (found.state, found.sessions_ended, found.refresh_tokens_revoked) == ("notifying", 1, 2)
    now_ms = house.clock.now_ms()
    taken = await house.resources.deliveries.claim(rid, now_ms=now_ms, lease_until_ms=now_ms + 1)
    assert taken == ()


async def test_planned_by_two_at_once_one_plan_holds(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    revocation = await house.receipt(rid)

    first = await asyncio.gather(*(plan(house, revocation, owed(rid, "crm"), sessions_ended=n) for n in range(10)))

    assert sum(first) == 1
    assert (await house.receipt(rid)).sessions_ended == first.index(True)


async def test_every_open_delivery_is_due_when_its_lease_ends_even_without_a_plan(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    revocation, lease_ends_ms = await house.receipt(rid), house.clock.now_ms() + LEASE_MS
    crm, wiki = owed(rid, "crm"), owed(rid, "wiki", "skipped")
    await house.resources.record.run("SET", keyspace.deliveries(rid), "in the way")

    with pytest.raises(Unavailable):
        await plan(house, revocation, crm, wiki)

    assert await house.due() == {rid: revocation.accepted_at_ms, crm.delivery_id: lease_ends_ms}


@pytest.mark.parametrize("states", [[], ["skipped"], ["skipped", "skipped"]])
async def test_a_plan_with_nobody_to_tell_completes_it(house: House, states: list[str]) -> None:
    rid = await house.record_only(house.request("ada"))
    house.clock.advance(0.25)

    await plan(house, await house.receipt(rid), *(owed(rid, f"app-{n}", each) for n, each in enumerate(states)))

    found = await house.receipt(rid)
    assert (found.state, found.completed_at_ms) == ("completed", house.clock.now_ms())


async def test_a_closed_revocation_is_on_no_list_of_work(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    await house.resources.revocations.close(rid)
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_a_repeat_of_a_finished_one_is_on_no_list_of_work_either(house: House) -> None:
    request = house.request("ada")
    rid = await house.record_only(request)
    await plan(house, await house.receipt(rid))
    await house.resources.revocations.close(rid)

    again = await house.resources.revocations.record(request, now_ms=house.clock.now_ms(), look_at_ms=0)

    assert again.state == "completed"
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_receipts_are_listed_from_the_newest_on_in_pages(house: House) -> None:
    rids = []
    for _ in range(5):
        rids.append(await house.record_only(house.request("ada")))
        house.clock.advance(1)

    async def page(after: Mark | None, limit: int, state: str | None = None) -> tuple[list[str], Mark | None]:
        found, following = await house.resources.revocations.page(
            connection_id=None, user_id=None, state=state, after=after, limit=limit
        )
        return [each.revocation_id for each in found], following

    first, after_first = await page(None, 2)
    second, after_second = await page(after_first, 2)
    assert (first, second) == ([rids[4], rids[3]], [rids[2], rids[1]])
    assert await page(after_second, 2) == ([rids[0]], None)
    assert await page(None, 5) == ([*reversed(rids)], None)
    await plan(house, await house.receipt(rids[3]))
    assert await page(None, 2, "completed") == ([rids[3]], after_first)
    assert await page(after_first, 3, "completed") == ([], None)


async def test_receipts_are_listed_by_connection_and_by_person(house: House) -> None:
    ada, bob = await house.revoke("ada"), await house.revoke("bob")
    both = await house.revoke("ada", "bob")

    async def listed(connection_id: str | None = None, name: str | None = None) -> set[str]:
        found, _ = await house.resources.revocations.page(
            connection_id=connection_id, user_id=user_id(name) if name else None, state=None, after=None, limit=10
        )
        return {each.revocation_id for each in found}

    assert await listed(CONNECTION) == {ada, bob, both}
    assert await listed("con_other") == set()
    assert await listed(name="ada") == {ada, both}
    assert await listed(CONNECTION, "bob") == {bob, both}
    assert await listed("con_other", "bob") == set()


async def test_redis_forgets_a_receipt_when_its_days_are_over_counted_from_its_end(house: House) -> None:
    rid = await house.record_only(house.request("ada"))
    owing = owed(rid, "crm")
    lease_until_ms = house.clock.now_ms() + LEASE_MS
    assert await plan(house, await house.receipt(rid), owing)
    keys = [keyspace.revocation(rid), keyspace.deliveries(rid)]
    for key in keys:
        # What is owed is not forgotten, however long nobody works.
        assert await house.resources.record.run("PTTL", key) == -1

    house.clock.advance(DAY_S)
    told = replace(owing, state="delivered")
    settled = Settlement(delivery=told, lease_until_ms=lease_until_ms)
    assert await house.resources.deliveries.settle([settled], now_ms=house.clock.now_ms()) == ["completed"]

    until_ms = house.clock.now_ms() + house.resources.settings.receipt_days * DAY_S * 1000
    for key in keys:
        left_ms = await house.resources.record.run("PTTL", key)
        # Redis counts by its own clock, a day behind the one turned here.
        assert abs(left_ms - (until_ms - SystemClock().now_ms())) < 10_000


async def test_the_lists_forget_receipts_when_their_days_are_over(house: House) -> None:
    await house.resources.connections.add(house.connection())
    old = await house.record_only(house.request("ada"))
    house.clock.advance(house.resources.settings.receipt_days * DAY_S + 0.001)
    new = await house.record_only(house.request("ada"))

    await house.resources.revocations.forget_old(now_ms=house.clock.now_ms())

    for key in (keyspace.REVOCATIONS, keyspace.revocations_of_connection(CONNECTION)):
        assert await house.resources.record.run("ZRANGE", key, 0, -1) == [new]
    assert old in await house.open_revocations()  # that list forgets nothing unfinished
