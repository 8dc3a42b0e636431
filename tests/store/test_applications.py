"""Applications in the record."""

import asyncio
from dataclasses import replace

import pytest

from service.domain.application import Application
from service.errors import Conflict
from tests.support.house import House


async def pages(house: House, limit: int) -> list[list[str]]:
    found, after = [], None
    while not found or after is not None:
        page, after = await house.resources.applications.page(after=after, limit=limit)
        found.append([each.client_id for each in page])
    return found


async def test_an_application_reads_back_as_it_was_registered(house: House) -> None:
    application = Application(
        client_id="crm",
        client_name="CRM",
        client_secret_hash="0" * 64,
        backchannel_logout_uri="https://crm.example.com/logout?a=b",
        backchannel_logout_session_required=True,
        id_token_signed_response_alg="EdDSA",
        created_at_ms=1,
        updated_at_ms=2,
    )
    await house.resources.applications.add(application)
    assert await house.resources.applications.get("crm") == application
    assert await house.resources.applications.get("CRM") is None


async def test_a_client_id_is_given_once(house: House) -> None:
    first = await house.application("crm", "https://a.example.com")
    with pytest.raises(Conflict):
        await house.application("crm", "https://b.example.com")
    assert await house.resources.applications.get("crm") == first
    assert await pages(house, 10) == [["crm"]]


async def test_of_many_that_ask_for_a_client_id_at_once_one_has_it(house: House) -> None:
    outcomes = await asyncio.gather(
        *(house.application("crm", f"https://{n}.example.com") for n in range(10)), return_exceptions=True
    )
    registered = [each for each in outcomes if isinstance(each, Application)]
    assert [await house.resources.applications.get("crm")] == registered


async def test_several_are_read_at_once_and_unknown_ones_left_out(house: House) -> None:
    crm, mail = await house.application("crm"), await house.application("mail")
    found = await house.resources.applications.get_many(["mail", "crm", "crm", "wiki"])
    assert found == {"crm": crm, "mail": mail}
    assert await house.resources.applications.get_many([]) == {}


async def test_an_application_is_replaced_and_one_that_is_gone_is_not_brought_back(house: House) -> None:
    crm = await house.application("crm")
    await house.resources.applications.replace(replace(crm, client_name="CRM"))
    changed = replace(crm, client_name="CRM", revision=2)
    assert await house.resources.applications.get("crm") == changed

    await house.resources.applications.remove("crm")
    with pytest.raises(Conflict):
        await house.resources.applications.replace(changed)

    assert await house.resources.applications.get("crm") is None
    assert await pages(house, 10) == [[]]


async def test_of_many_changes_at_once_one_is_made_and_the_others_are_told(house: House) -> None:
    crm = await house.application("crm")
    changes = [replace(crm, client_name=f"CRM {n}") for n in range(10)]

    outcomes = await asyncio.gather(
        *(house.resources.applications.replace(each) for each in changes), return_exceptions=True
    )

    (made,) = [each for each, outcome in zip(changes, outcomes, strict=True) if outcome is None]
    assert await house.resources.applications.get("crm") == replace(made, revision=2)


async def test_the_same_registration_or_change_again_after_a_lost_reply_is_no_conflict(house: House) -> None:
    crm = await house.application("crm")
    await house.resources.applications.add(crm)
    for _ in range(2):
        await house.resources.applications.replace(replace(crm, client_name="CRM"))
    assert await house.resources.applications.get("crm") == replace(crm, client_name="CRM", revision=2)


async def test_applications_are_listed_by_creation_in_pages(house: House) -> None:
    for each in ("c", "a", "b"):
        await house.application(each)
        house.clock.advance(1)
    assert await pages(house, 2) == [["c", "a"], ["b"]]
    assert await pages(house, 3) == [["c", "a", "b"]]
