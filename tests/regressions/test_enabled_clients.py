"""A connection's clients, enabled a few at a time, are no more in the end than enabled all at once."""

import pytest

from service.admin.connection_bodies import MAX_ENABLED_CLIENTS
from service.domain.application import Application
from tests.support.asgi import Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_enabling_one_client_more_than_the_limit_is_refused_and_changes_nothing(
    api: Api, idp: IdentityProvider
) -> None:
    names = [f"app-{number}" for number in range(MAX_ENABLED_CLIENTS + 1)]
    for name in names:
        await api.resources.applications.add(
            Application(client_id=name, client_secret_hash=name, created_at_ms=0, updated_at_ms=0)
        )
    path = f"/api/v2/connections/{(await api.connection(idp))['id']}"
    full, last = names[:-1], names[-1]
    assert (await api.patch(path, {"enabled_clients": full})).status_code == 200

    one_more = await api.patch(f"{path}/clients", [{"client_id": last, "status": True}])

    refused(one_more, 400, "invalid_request", str(MAX_ENABLED_CLIENTS))
    assert (await api.get(path)).json()["enabled_clients"] == full
    instead = [{"client_id": full[0], "status": False}, {"client_id": last, "status": True}]
    assert (await api.patch(f"{path}/clients", instead)).status_code == 200
    assert (await api.get(path)).json()["enabled_clients"] == [*full[1:], last]
