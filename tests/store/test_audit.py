"""The audit trail in Redis: what an entry holds, what bounds a flood."""

import asyncio
import json
from typing import Any

import pytest

from service.domain.audit import MOST_PEOPLE, Actor, Fact, acts, request_begins
from service.errors import Unavailable
from service.store import keyspace
from service.store.audit import MOST_A_MINUTE, MOST_AN_HOUR, about_people
from service.store.pseudonyms import Pseudonyms
from tests.support.breaks import redis_away
from tests.support.house import House, user_id

ADA, BEN = user_id("ada"), user_id("ben")
REFUSED = Fact(event="message.refused", connection_id="con_1", reason="bad_signature")


async def entries(house: House) -> list[dict[str, Any]]:
    return [json.loads(each.text) for each in await house.resources.trail.page(first="-", last="+", limit=10_000)]


async def tell(house: House, count: int = 1, **members: Any) -> None:
    facts = [Fact(event="operation.done", operation="update_client", resource=f"app-{each}", **members)
             for each in range(count)]  # fmt: skip
    await house.resources.trail.append(facts)


class TestAnEntry:
    async def test_holds_what_happened_who_did_it_and_from_where_and_nothing_that_is_not_there(
        self, house: House
    ) -> None:
        with request_begins(request_id="abc", address="203.0.113.77"):
            acts(Actor(type="operator", id="the-administrators-token"))
            await tell(house)
        (entry,) = await entries(house)
        operator, address = entry["actor"].pop("id"), entry["origin"].pop("address")
        assert entry == {
            "version": 1,
            "event": "operation.done",
            "actor": {"type": "operator"},
            "origin": {"network": "203.0.113.0/24"},
            "request_id": "abc",
            "operation": "update_client",
            "resource": "app-0",
        }
        assert operator.startswith("opr_")
        assert address.startswith("adr_")

    async def test_is_the_services_own_where_no_request_is_under_way(self, house: House) -> None:
        await tell(house)
        (entry,) = await entries(house)
        assert entry["actor"] == {"type": "service"}
        assert "origin" not in entry

    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ],
    )
    async def test_names_the_network_and_never_the_address(self, house: House, address: str, network: str) -> None:
        for _ in range(2):
            with request_begins(request_id="abc", address=address):
                await tell(house)
        first, second = await entries(house)
        assert first["origin"] == second["origin"], "the same address has the same pseudonym"
        assert first["origin"]["network"] == network
        assert address not in str(first)

    async def test_is_dated_by_redis_in_the_order_it_was_appended_in(self, house: House) -> None:
        await tell(house, 3)
        found = await house.resources.trail.page(first="-", last="+", limit=10)
        assert [json.loads(each.text)["resource"] for each in found] == ["app-0", "app-1", "app-2"]
        seconds, _ = await house.resources.record.run("TIME")
        assert abs(found[0].at_ms / 1000 - seconds) < 60

    async def test_of_many_people_is_several_that_name_each_once(self) -> None:
        names = {f"usr_{each}": f"prs_{each:04}" for each in range(MOST_PEOPLE + 1)}
        told = list(about_people(Fact(event="revocation.recorded"), names, total=len(names)))
        assert [len(each.people) for each in told] == [MOST_PEOPLE, 1]
        assert {name for each in told for name in each.people} == set(names.values())
        assert {each.people_total for each in told} == {MOST_PEOPLE + 1}

    async def test_of_nobody_with_a_name_is_one(self) -> None:
        (told,) = about_people(Fact(event="revocation.recorded"), {}, total=2)
        assert (told.people, told.people_total) == ((), 2)

    async def test_that_cannot_be_written_fails_what_it_tells_of(self, house: House) -> None:
        with redis_away(at=1, moment="before"), pytest.raises(Unavailable):
            await tell(house, 2)
        assert value(house, "logoutd_audit_failures_total") == 2
        assert value(house, "logoutd_audit_entries_total") == 0

    async def test_of_what_changes_nothing_that_cannot_be_written_fails_nothing(self, house: House) -> None:
        with redis_away(at=1, moment="before"):
            await house.resources.trail.append_bounded(REFUSED)
        assert value(house, "logoutd_audit_failures_total") == 1


class TestPseudonyms:
    async def test_a_person_has_one_from_their_first_sign_in_on(self, house: House) -> None:
        names = house.resources.trail.pseudonyms
        assert await names.of_person(ADA) is None
        await house.sign_in("ada")
        first = await names.of_person(ADA)
        await house.sign_in("ada")
        await house.sign_in("ben")
        assert first is not None
        assert await names.of_people([ADA, BEN, user_id("nobody")]) == {ADA: first, BEN: await names.of_person(BEN)}
        assert await names.of_person(BEN) != first

    async def test_the_key_is_made_once_for_all_processes(self, house: House) -> None:
        others = [Pseudonyms(house.resources.record) for _ in range(5)]
        keys = await asyncio.gather(house.resources.trail.pseudonyms.key(), *(each.key() for each in others))
        assert len(set(keys)) == 1

    async def test_a_key_that_is_given_is_nowhere_in_redis(self, house: House) -> None:
        given = "given-by-the-operator-" * 2
        key = await Pseudonyms(house.resources.record, given=given).key()
        assert key == await Pseudonyms(house.resources.record, given=given).key()
        kept = await house.resources.record.run("GET", keyspace.AUDIT_KEY)
        assert given not in kept
        assert key.hex() not in kept
        await house.sign_in("ada")
        ours = await house.resources.trail.pseudonyms.of_person(ADA)
        assert ours != await Pseudonyms(house.resources.record, given=given).of_person(ADA)

    async def test_another_key_takes_the_place_of_the_one_before_and_says_so(
        self, house: House, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = await Pseudonyms(house.resources.record, given="1" * 32).key()
        second = await Pseudonyms(house.resources.record, given="2" * 32).key()
        assert first != second
        assert "audit.key_changed" in capsys.readouterr().out
        await Pseudonyms(house.resources.record).key()
        assert "audit.key_missing" in capsys.readouterr().out


class TestAFlood:
    async def test_of_one_kind_is_bounded_by_the_minute_and_counted(self, house: House) -> None:
        for _ in range(MOST_A_MINUTE * 3):
            await house.resources.trail.append_bounded(REFUSED)
        assert len(await entries(house)) <= MOST_A_MINUTE * 2, "at most one turn of the minute came between"
        await turn_the_minute(house)
        await house.resources.trail.tell_omitted()
        told = await entries(house)
        written = [each for each in told if each["event"] == "message.refused"]
        omitted = [each for each in told if each["event"] == "entries.omitted"]
        assert len(written) + sum(each["count"] for each in omitted) == MOST_A_MINUTE * 3
        assert omitted[-1]["of"] == "message.refused"
        assert omitted[-1]["connection_id"] == "con_1"
        assert omitted[-1]["since_ms"] > 0
        await house.resources.trail.tell_omitted()
        assert len(await entries(house)) == len(told), "told once"

    async def test_what_was_omitted_is_told_by_the_next_of_its_kind(self, house: House) -> None:
        for _ in range(MOST_A_MINUTE * 2 + 1):
            await house.resources.trail.append_bounded(REFUSED)
        await turn_the_minute(house)
        await house.resources.trail.append_bounded(REFUSED)
        assert [each["event"] for each in await entries(house)][-2:] == ["entries.omitted", "message.refused"]

    async def test_of_one_kind_hides_no_other(self, house: House) -> None:
        for _ in range(MOST_A_MINUTE * 2):
            await house.resources.trail.append_bounded(REFUSED)
        for other in (
            Fact(event="message.refused", connection_id="con_2"),
            Fact(event="message.accepted", connection_id="con_1"),
            Fact(event="operation.refused", operation="update_client"),
        ):
            await house.resources.trail.append_bounded(other)
        assert len({(each["event"], each.get("connection_id")) for each in await entries(house)}) == 4

    async def test_of_every_kind_is_bounded_by_the_hour_summaries_too(self, house: House) -> None:
        kinds = MOST_AN_HOUR // MOST_A_MINUTE + 10
        for kind in range(kinds):
            for _ in range(MOST_A_MINUTE + 1):
                await house.resources.trail.append_bounded(Fact(event="message.refused", connection_id=f"con_{kind}"))
        await turn_the_minute(house)
        await house.resources.trail.tell_omitted()
        assert len(await entries(house)) <= MOST_AN_HOUR * 2, "at most one turn of the hour came between"

    async def test_is_forgotten_when_it_is_over(self, house: House) -> None:
        await house.resources.trail.append_bounded(REFUSED)
        await turn_the_minute(house)
        await house.resources.trail.tell_omitted()
        assert await house.resources.record.run("HKEYS", keyspace.AUDIT_BOUNDS) == ["total"]

    async def test_never_hides_what_changes_something(self, house: House) -> None:
        for _ in range(MOST_A_MINUTE * 2):
            await house.resources.trail.append_bounded(REFUSED)
        await tell(house, MOST_A_MINUTE * 2)
        assert len([each for each in await entries(house) if each["event"] == "operation.done"]) == MOST_A_MINUTE * 2


async def turn_the_minute(house: House) -> None:
    """Whatever was counted was counted a minute ago."""
    bounds = await house.resources.record.run("HGETALL", keyspace.AUDIT_BOUNDS)
    for name, raw in bounds.items():
        kind = json.loads(raw)
        if name != "total":
            await house.resources.record.run(
                "HSET", keyspace.AUDIT_BOUNDS, name, json.dumps({**kind, "since": kind["since"] - 1})
            )


def value(house: House, name: str) -> float:
    return house.resources.numbers.registry.get_sample_value(name) or 0.0


@pytest.mark.parametrize("fields", [{"other": "1"}, {"entry": "no JSON"}, {"entry": "[]"}])
async def test_what_is_no_entry_stops_no_seal_no_trim_and_no_reader(house: House, fields: dict[str, str]) -> None:
    await tell(house)
    await house.resources.record.run("XADD", keyspace.AUDIT_TRAIL, "*", *next(iter(fields.items())))
    await tell(house)
    await house.resources.seals.keep()
    found = await house.resources.seals.verify()
    assert (found.problem, found.seals, found.entries) == (None, 1, 3)
    shown = await house.resources.trail.page(first="-", last="+", limit=10)
    assert [each.members().get("event") for each in shown] == ["operation.done", None, "operation.done", "trail.sealed"]
