"""Dead letters: every delivery that dies is on the lists, and goes from them when it is tried anew or its time is over."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.delivery import Attempt, Delivery
from service.domain.identifiers import delivery_id_for
from service.errors import Unavailable
from service.store import keyspace
from service.store.dead_letters import DeadLetter
from service.store.pages import Mark
from tests.support.breaks import Moment, redis_away
from tests.support.contents import lifetimes_ms
from tests.support.house import CONNECTION, DAY_S, House, open_house, user_id
from tests.support.strangers import answer, stranger
from workers.ledger import Entry
from workers.notify import LEASE_MS
from workers.redelivered import LOOK_AFTER_MS
from workers.sweep import HEAL_AFTER_MS


async def die(house: House, *names: str, client_id: str = "crm") -> list[str]:
    """One person after the other is signed out, and the application refuses; the deliveries, by death."""
    found = []
    async with stranger(answer(400)) as app:
        if await house.resources.applications.get(client_id) is None:
            await house.application(client_id, app.url())
        else:
            known = await house.resources.applications.get(client_id)
            assert known is not None
            await house.resources.applications.replace(replace(known, backchannel_logout_uri=app.url()))
        for name in names:
            await house.sign_in(name, client_id)
            revocation = await house.work_off(await house.revoke(name))
            assert revocation.state == "incomplete"
            found.append((await house.delivery(revocation.revocation_id)).delivery_id)
            house.clock.advance(1)
    return found


async def listed(house: House, **which: object) -> list[str]:
    """Every page of a list, two entries at a time."""
    found: list[DeadLetter] = []
    after: Mark | None = None
    while True:
        some, after = await house.resources.dead_letters.page(
            after=after,
            limit=2,
            now_ms=house.clock.now_ms(),
            **which,  # type: ignore[arg-type]  # the test's own
        )
        found += some
        if after is None:
            return [each.delivery.delivery_id for each in found]


async def count(house: House, client_id: str | None = None) -> int:
    return await house.resources.dead_letters.count(client_id=client_id, now_ms=house.clock.now_ms())


async def test_what_died_last_is_listed_first(house: House) -> None:
    dead = await die(house, "ada", "ben", "cem", "dot", "eve")
    assert await listed(house) == dead[::-1]
    assert await count(house) == 5
    (newest, *_), _ = await house.resources.dead_letters.page(after=None, limit=1, now_ms=house.clock.now_ms())
    assert newest.connection_id == CONNECTION
    assert newest.dead_at_ms == newest.delivery.dead_at_ms
    assert (newest.delivery.state, newest.delivery.reason) == ("dead", "rejected")


async def test_they_are_listed_by_application_connection_and_time(house: House) -> None:
    crm, mail = await die(house, "ada", "ben", "cem"), await die(house, "dot", "eve", client_id="mail")
    assert await listed(house, client_id="crm") == crm[::-1]
    assert await listed(house, client_id="mail") == mail[::-1]
    assert (await count(house, "crm"), await count(house, "mail"), await count(house, "wiki")) == (3, 2, 0)
    assert await listed(house, connection_id=CONNECTION) == [*mail[::-1], *crm[::-1]]
    assert await listed(house, connection_id="con_other") == []
    assert await listed(house, client_id="crm", connection_id="con_other") == []
    died_at = (await house.resources.redeliveries.read([crm[1]]))[crm[1]].delivery.dead_at_ms
    assert died_at is not None
    assert await listed(house, since_ms=died_at) == [*mail[::-1], crm[2], crm[1]]
    assert await listed(house, client_id="crm", since_ms=died_at + 1) == [crm[2]]


async def test_what_is_delivered_skipped_or_open_is_not_listed(house: House) -> None:
    async with stranger(answer(200)) as polite, stranger(answer(503)) as down:
        await house.application("crm", polite.url())
        await house.application("mail", down.url())
        await house.application("wiki", None)
        await house.sign_in("ada", "crm", "mail", "wiki")
        await house.work_off(await house.revoke("ada"))
    assert await listed(house) == []
    assert await count(house) == 0


async def test_after_its_days_it_is_off_the_list_and_in_its_receipt(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path, dead_letter_days=2, receipt_days=3) as house:
        (old,) = await die(house, "ada")
        house.clock.advance(DAY_S)
        (new,) = await die(house, "ben")
        house.clock.advance(DAY_S - 3)
        assert await listed(house) == [new, old]
        house.clock.advance(1)

        assert await listed(house) == await listed(house, client_id="crm") == [new]
        assert (await count(house), await count(house, "crm")) == (1, 1)
        assert len(await house.resources.record.run("ZRANGE", keyspace.DEAD_LETTERS, 0, -1)) == 2
        await house.worker.redelivered.tidy()
        assert await house.resources.record.run("ZRANGE", keyspace.DEAD_LETTERS, 0, -1) == [new]
        assert (await house.resources.redeliveries.read([old]))[old].delivery.state == "dead"
        assert (await house.resources.redeliverer.one(old)).redelivered == 1


async def test_an_applications_list_is_pruned_as_it_grows_and_goes_with_its_latest(
    redis_url: str, tmp_path: Path
) -> None:
    async with open_house(redis_url, tmp_path, dead_letter_days=2) as house:
        await die(house, "ada")
        house.clock.advance(2 * DAY_S)
        (new,) = await die(house, "ben")
        for key in (keyspace.dead_letters_of_client("crm"), keyspace.dead_letters_of_connection(CONNECTION)):
            assert await house.resources.record.run("ZRANGE", key, 0, -1) == [new]
            # The house's clock is two days ahead of Redis' own by now.
            assert 3.9 * DAY_S < lifetimes_ms(redis_url)[key] / 1000 < 4.1 * DAY_S


async def leased(house: House, *clients: str) -> Entry:
    """Deliveries in a worker's hands, and the death of the first."""
    rid = await house.record_only(house.request("ada"))
    revocation, lease_until_ms = await house.receipt(rid), house.clock.now_ms() + LEASE_MS
    every = [
        Delivery(
            delivery_id=delivery_id_for(rid, user_id("ada"), each, f"{each}|ada", None),
            user_id=user_id("ada"),
            client_id=each,
            sub=f"{each}|ada",
            sid=None,
        )
        for each in clients
    ]
    await house.resources.revocations.mark_revoked(rid, at_ms=house.clock.now_ms())
    # Read once a process, and so no step of a write.
    await house.resources.trail.pseudonyms.key()
    await house.resources.revocations.plan(
        revocation,
        every,
        sessions_ended=0,
        refresh_tokens_revoked=0,
        now_ms=house.clock.now_ms(),
        lease_until_ms=lease_until_ms,
    )
    attempt = Attempt(at_ms=house.clock.now_ms(), duration_ms=1, error="connect_timeout")
    dead = replace(every[0], state="dead", reason="gave_up", attempts=(attempt,), attempt_count=1)
    return Entry(revocation=revocation, before=every[0], after=dead, lease_until_ms=lease_until_ms)


async def write(house: House, entry: Entry) -> None:
    """Have it written down, which may not come to its end."""
    with suppress(Unavailable):
        await house.worker.notifier.ledger.write(entry)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(1, 10))
async def test_a_worker_that_dies_at_any_moment_of_its_write_leaves_nothing_unlisted(
    house: House, at: int, moment: Moment
) -> None:
    async with stranger(answer(400)) as app:
        await house.application("crm", app.url())
        entry = await leased(house, "crm")
        with redis_away(at=at, moment=moment) as broken:
            await write(house, entry)
        assert broken.happened == (at <= 8)
        # Another worker comes, as often as it takes.
        for _ in range(3):
            house.clock.advance(HEAL_AFTER_MS / 1000 + 1)
            await house.worker.sweeper.tidy()
            await house.worker.sweeper.sweep()
            await house.run_queue()

    rid = entry.revocation.revocation_id
    assert (await house.delivery(rid)).state == "dead"
    assert await listed(house) == [entry.after.delivery_id]
    assert (await house.receipt(rid)).state == "incomplete"
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_one_that_died_with_its_worker_is_listed_though_its_revocation_goes_on(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("mail", app.url())
        entry = await leased(house, "crm", "mail")
        with redis_away(at=4, moment="before"):  # recorded as dead, and not listed
            await write(house, entry)
        house.clock.advance(LEASE_MS / 1000)
        await house.worker.sweeper.sweep()
        await house.run_queue()
    assert await listed(house) == [entry.after.delivery_id]
    assert (await house.receipt(entry.revocation.revocation_id)).state == "notifying"


async def test_the_last_that_died_with_its_worker_is_listed_though_the_due_index_was_deleted(house: House) -> None:
    entry = await leased(house, "crm")
    with redis_away(at=4, moment="before"):  # recorded as dead, and not listed
        await write(house, entry)
    await house.resources.record.run("DEL", keyspace.DUE)
    house.clock.advance(HEAL_AFTER_MS / 1000 + 1)
    await house.worker.sweeper.tidy()
    await house.worker.sweeper.sweep()
    await house.run_queue()
    assert await listed(house) == [entry.after.delivery_id]
    assert await house.open_revocations() == set()


async def test_an_entry_that_is_out_of_date_is_passed_over_and_put_right(house: House) -> None:
    (dead,) = await die(house, "ada")
    stored = (await house.resources.redeliveries.read([dead]))[dead].delivery
    await house.resources.redeliverer.one(dead)
    assert await count(house) == 0
    # A worker that read it while it was dead comes late.
    await house.resources.deliveries.relist([stored])

    assert await listed(house) == []
    assert await count(house) == 1
    house.clock.advance(LOOK_AFTER_MS / 1000)
    await house.worker.redelivered.tidy()
    assert await count(house) == await count(house, "crm") == 0


async def test_what_has_died_again_is_not_taken_off_for_its_first_death(house: House) -> None:
    (dead,) = await die(house, "ada")
    first = (await house.resources.redeliveries.read([dead]))[dead].delivery
    assert first.dead_at_ms is not None
    await house.resources.redeliverer.one(dead)
    async with stranger(answer(400)) as app:
        known = await house.resources.applications.get("crm")
        assert known is not None
        await house.resources.applications.replace(replace(known, backchannel_logout_uri=app.url()))
        await house.run_queue()
    second = (await house.resources.redeliveries.read([dead]))[dead].delivery
    assert second.dead_at_ms is not None
    assert second.dead_at_ms > first.dead_at_ms

    await house.resources.dead_letters.drop([(first, first.dead_at_ms)])

    assert await listed(house) == [dead]
