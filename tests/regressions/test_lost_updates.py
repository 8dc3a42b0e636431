"""Two administrators at once, and answers lost on the way: no change undoes another, none is refused for its own echo."""

import asyncio
import itertools
from dataclasses import replace
from functools import partial

import pytest

from service.errors import Conflict
from tests.support.asgi import Api, refused
from tests.support.house import House
from tests.support.identity_provider import IdentityProvider
from tests.support.pauses import paused


async def test_of_two_changes_of_one_reading_of_a_connection_the_second_is_refused(house: House) -> None:
    connections = house.resources.connections
    await connections.add(house.connection())
    one, other = await connections.get("con_okta"), await connections.get("con_okta")
    assert one
    assert other

    await connections.replace(replace(one, enabled=False))
    with pytest.raises(Conflict, match="changed"):
        await connections.replace(replace(other, enabled_clients=("crm",)))

    found = await connections.get("con_okta")
    assert found
    assert (found.enabled, found.enabled_clients) == (False, ())
    await connections.replace(replace(found, enabled_clients=("crm",)))
    found = await connections.get("con_okta")
    assert found
    assert (found.enabled, found.enabled_clients) == (False, ("crm",))


async def test_of_two_changes_of_one_reading_of_an_application_the_second_is_refused(house: House) -> None:
    applications = house.resources.applications
    await house.application("crm", "https://crm.example.com/logout")
    one, other = await applications.get("crm"), await applications.get("crm")
    assert one
    assert other

    await applications.replace(replace(one, backchannel_logout_session_required=True))
    with pytest.raises(Conflict, match="changed"):
        await applications.replace(replace(other, client_name="CRM"))

    found = await applications.get("crm")
    assert found
    assert (found.backchannel_logout_session_required, found.client_name) == (True, None)


async def test_a_change_that_is_sent_again_after_a_lost_reply_is_no_conflict(house: House) -> None:
    connections, applications = house.resources.connections, house.resources.applications
    await connections.add(house.connection())
    application = await house.application("crm")
    connection = await connections.get("con_okta")
    assert connection

    for _ in range(2):
        await connections.replace(replace(connection, display_name="Okta"))
        await applications.replace(replace(application, client_name="CRM"))

    found = await connections.get("con_okta")
    assert found
    assert found.display_name == "Okta"
    renamed = await applications.get("crm")
    assert renamed
    assert renamed.client_name == "CRM"


async def test_a_connection_whose_creation_is_sent_again_exists_once_and_is_found(house: House) -> None:
    connections, connection = house.resources.connections, house.connection()
    for _ in range(2):
        await connections.add(connection)
    with pytest.raises(Conflict, match="exists already"):
        await connections.add(house.connection(id="con_other"))

    assert await connections.get("con_okta") == connection
    assert await connections.by_name("okta") == connection
    assert await connections.get("con_other") is None
    assert await connections.page(after=None, limit=10) == ((connection,), None)


async def test_an_application_whose_creation_is_sent_again_exists_once_and_is_found(house: House) -> None:
    applications = house.resources.applications
    application = await house.application("crm")
    await applications.add(application)
    with pytest.raises(Conflict, match="exists already"):
        await applications.add(replace(application, client_secret_hash="of another secret"))

    assert await applications.get("crm") == application
    assert await applications.page(after=None, limit=10) == ((application,), None)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_change_that_waits_for_the_identity_provider_does_not_undo_a_quicker_one(
    api: Api, idp: IdentityProvider
) -> None:
    connection = await api.connection(idp, "shop")
    path = f"/api/v2/connections/{connection['id']}"
    idp.hang("discovery")
    slow = asyncio.create_task(api.patch(path, {"options": {"scopes": "openid email"}}))
    await idp.fetched("discovery", idp.fetches["discovery"] + 1)
    assert (await api.patch(path, {"enabled": False})).status_code == 200
    idp.resume()

    refused(await slow, 409, "conflict", "changed")

    told = (await api.get(path)).json()
    assert told["enabled"] is False
    assert told["options"] == connection["options"]


CHANGES = [
    ("PATCH", "/api/v2/connections/okta", {"display_name": "Okta"}),
    ("PATCH", "/api/v2/connections/okta/clients", [{"client_id": "wiki", "status": False}]),
    ("PATCH", "/api/v2/clients/shop", {"client_name": "Shop"}),
    ("POST", "/api/v2/clients/shop/secret", None),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_change_undoes_none_that_came_between_at_whatever_moment(
    api: Api, idp: IdentityProvider, method: str, path: str, body: object
) -> None:
    """It is refused when it had read what was there before, and counts beside the other when it had not."""
    await api.connection(idp, "shop", "wiki")
    of_client = "clients/shop" in path
    thing = "/api/v2/clients/shop" if of_client else "/api/v2/connections/okta"
    member = "backchannel_logout_session_required" if of_client else "enabled"
    statuses = set()
    for at in itertools.count(1):
        wanted = not (await api.get(thing)).json()[member]
        with paused(at=at) as pause:
            answer = await pause.around(api.call(method, path, body), partial(api.patch, thing, {member: wanted}))
        if answer.status_code != 200:
            refused(answer, 409, "conflict", "changed")
        assert (await api.get(thing)).json()[member] is wanted
        statuses.add(answer.status_code)
        if not pause.happened:
            break
    assert statuses == {200, 409}
