"""Connections in the record: by name for their doors, by id for everything else."""

import asyncio
from dataclasses import replace

import pytest

from service.errors import Conflict
from tests.support.house import House


async def pages(house: House, limit: int) -> list[list[str]]:
    found, after = [], None
    while not found or after is not None:
        page, after = await house.resources.connections.page(after=after, limit=limit)
        found.append([each.name for each in page])
    return found


async def test_a_connection_is_found_by_its_name_and_its_id(house: House) -> None:
    connection = house.connection(id="con_1", name="Okta-1")
    await house.resources.connections.add(connection)
    assert await house.resources.connections.by_name("Okta-1") == connection
    assert await house.resources.connections.get("con_1") == connection
    assert await house.resources.connections.by_name("okta-1") is None
    assert await house.resources.connections.get("Okta-1") is None


async def test_a_name_is_given_once_and_a_refused_connection_leaves_nothing(house: House) -> None:
    first = house.connection(id="con_1")
    await house.resources.connections.add(first)
    with pytest.raises(Conflict):
        await house.resources.connections.add(house.connection(id="con_2"))
    assert await house.resources.connections.by_name("okta") == first
    assert await house.resources.connections.get("con_1") == first
    assert await house.resources.connections.get("con_2") is None
    assert await pages(house, 10) == [["okta"]]


async def test_of_many_that_ask_for_a_name_at_once_one_has_it(house: House) -> None:
    asking = [house.connection(id=f"con_{n}") for n in range(10)]

    outcomes = await asyncio.gather(*(house.resources.connections.add(each) for each in asking), return_exceptions=True)

    (winner,) = [each for each, outcome in zip(asking, outcomes, strict=True) if outcome is None]
    assert await house.resources.connections.by_name("okta") == winner
    assert [each.id for each in (await house.resources.connections.page(after=None, limit=20))[0]] == [winner.id]


async def test_a_connection_is_replaced_and_one_that_is_gone_is_not_brought_back(house: House) -> None:
    connection = house.connection()
    await house.resources.connections.add(connection)
    changed = replace(connection, enabled=False, enabled_clients=("crm",))
    await house.resources.connections.replace(changed)
    assert await house.resources.connections.get(connection.id) == replace(changed, revision=2)

    await house.resources.connections.remove(changed)
    with pytest.raises(Conflict):
        await house.resources.connections.replace(replace(changed, revision=2))

    assert await house.resources.connections.by_name("okta") is None
    assert await house.resources.connections.get(connection.id) is None
    assert await pages(house, 10) == [[]]


async def test_whoever_changes_what_another_has_changed_meanwhile_is_told(house: House) -> None:
    connection = house.connection()
    await house.resources.connections.add(connection)
    await house.resources.connections.replace(replace(connection, enabled=False))
    with pytest.raises(Conflict):
        await house.resources.connections.replace(replace(connection, enabled_clients=("crm",)))
    assert await house.resources.connections.by_name("okta") == replace(connection, enabled=False, revision=2)


async def test_the_same_creation_or_change_again_after_a_lost_reply_is_no_conflict(house: House) -> None:
    connection = house.connection()
    for _ in range(2):
        await house.resources.connections.add(connection)
    for _ in range(2):
        await house.resources.connections.replace(replace(connection, enabled=False))
    assert await house.resources.connections.by_name("okta") == replace(connection, enabled=False, revision=2)


async def test_the_name_of_one_that_is_gone_may_be_given_again(house: House) -> None:
    await house.resources.connections.add(house.connection(id="con_1"))
    await house.resources.connections.remove(house.connection(id="con_1"))
    await house.resources.connections.add(house.connection(id="con_2"))
    assert await house.resources.connections.get("con_1") is None
    assert (await house.resources.connections.by_name("okta")) == house.connection(id="con_2")


async def test_connections_are_listed_by_creation_in_pages(house: House) -> None:
    for each in ("c", "a", "b"):
        await house.resources.connections.add(house.connection(id=f"con_{each}", name=each))
        house.clock.advance(1)
    assert await pages(house, 2) == [["c", "a"], ["b"]]
    assert await pages(house, 3) == [["c", "a", "b"]]
