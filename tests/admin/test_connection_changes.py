"""What may change of a connection, what never does, and which applications are enabled for it."""

from typing import Any

import pytest

from tests.support.asgi import CREDENTIAL, Api, refused
from tests.support.identity_provider import CLIENT_ID, IdentityProvider
from tests.support.strangers import closed_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def secret_of(api: Api, name: str = "okta") -> str | None:
    """Our secret there, as recorded; no answer shows it."""
    found = await api.resources.connections.by_name(name)
    assert found is not None
    return found.options.client_secret


async def test_a_change_touches_what_it_names_and_nothing_else(api: Api, idp: IdentityProvider) -> None:
    before = await api.connection(idp, "shop")
    path = f"/api/v2/connections/{before['id']}"
    api.clock.advance(1)
    fetched = dict(idp.fetches)
    after = (await api.patch(path, {"display_name": "Okta"})).json()
    assert after == {**before, "display_name": "Okta", "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert (await api.get(path)).json() == after
    assert await secret_of(api) == CREDENTIAL
    assert idp.fetches == fetched, "only new options are held against the identity provider"


@pytest.mark.parametrize(
    ("member", "value"),
    [("name", "other"), ("name", "okta"), ("strategy", "oidc"), ("id", "con_x"), ("created_at", "2026-01-01")],
)
async def test_what_never_changes_is_refused_by_name(api: Api, idp: IdentityProvider, member: str, value: str) -> None:
    before = await api.connection(idp)
    path = f"/api/v2/connections/{before['id']}"
    told = f"`{member}` is not a member" if member == "created_at" else f"`{member}` never changes"
    refused(await api.patch(path, {member: value, "enabled": False}), 400, "invalid_request", told)
    assert (await api.get(path)).json() == before


async def test_options_are_merged_member_by_member(api: Api, idp: IdentityProvider) -> None:
    before = await api.connection(idp)
    path = f"/api/v2/connections/{before['id']}"
    after = (await api.patch(path, {"options": {"scopes": "openid", "global_token_revocation_jwt_sub": "saml"}})).json()
    assert after["options"] == {**before["options"], "scopes": "openid", "global_token_revocation_jwt_sub": "saml"}
    assert await secret_of(api) == CREDENTIAL, "a secret that is not named is kept"
    again = (await api.patch(path, {"options": {"client_secret": "another"}})).json()
    assert again["options"] == after["options"]
    assert await secret_of(api) == "another"


async def test_what_was_configured_beside_discovery_outlives_a_change_of_something_else(
    api: Api, idp: IdentityProvider
) -> None:
    configured = {"token_endpoint": f"{idp.base_url}/other/token", "jwks_uri": f"{idp.base_url}/2/oauth2/v1/keys"}
    before = await api.connection(idp, options=configured)
    path = f"/api/v2/connections/{before['id']}"
    after = (await api.patch(path, {"options": {"scopes": "openid"}})).json()
    assert after["options"] == {**before["options"], "scopes": "openid"}
    assert {name: after["options"][name] for name in configured} == configured
    found = (await api.patch(path, {"options": {"token_endpoint": None}})).json()
    assert found["options"]["token_endpoint"] == f"{idp.base_url}/oauth2/v1/token"
    assert found["options"]["jwks_uri"] == configured["jwks_uri"]


async def test_a_connection_by_hand_can_be_handed_to_discovery(api: Api, idp: IdentityProvider) -> None:
    by_hand = {"discovery_url": None, "issuer": idp.issuer, "authorization_endpoint": f"{idp.base_url}/by/hand"}
    before = await api.connection(idp, options=by_hand)
    path = f"/api/v2/connections/{before['id']}"
    wanted = {"discovery_url": idp.issuer, "authorization_endpoint": None}
    after = (await api.patch(path, {"options": wanted})).json()
    assert after["options"]["authorization_endpoint"] == f"{idp.base_url}/oauth2/v1/authorize"
    assert after["options"]["jwks_uri"] == idp.jwks_uri


async def test_null_unsets_an_option(api: Api, idp: IdentityProvider) -> None:
    options = {"global_token_revocation_jwt_sub": "saml", "global_token_revocation_jwt_iss": ["https://a.example", "b"]}
    before = await api.connection(idp, options=options)
    assert before["options"]["global_token_revocation_jwt_iss"] == ["https://a.example", "b"]
    path = f"/api/v2/connections/{before['id']}"
    unset = {"global_token_revocation_jwt_sub": None, "global_token_revocation_jwt_iss": None, "client_secret": None}
    after = (await api.patch(path, {"options": unset})).json()
    assert after["options"] == {name: value for name, value in before["options"].items() if name not in options}
    assert await secret_of(api) is None


async def test_null_unsets_the_display_name_and_nothing_that_must_be(api: Api, idp: IdentityProvider) -> None:
    before = await api.connection(idp)
    path = f"/api/v2/connections/{before['id']}"
    await api.patch(path, {"display_name": "Okta"})
    assert (await api.patch(path, {"display_name": None})).json()["display_name"] is None
    for name in ("enabled", "enabled_clients", "options"):
        refused(await api.patch(path, {name: None}), 400, "invalid_request", "may be null")
    for name in ("type", "client_id", "scopes", "discovery_url"):
        refused(await api.patch(path, {"options": {name: None}}), 400, "invalid_request", "`options`", name)


async def test_new_options_are_held_against_the_provider_like_first_ones(api: Api, idp: IdentityProvider) -> None:
    before = await api.connection(idp)
    path = f"/api/v2/connections/{before['id']}"
    nowhere = f"http://127.0.0.1:{closed_port()}"
    for options, naming in (
        ({"discovery_url": nowhere}, "discovery document"),
        ({"jwks_uri": f"{nowhere}/keys"}, "jwks_uri"),
        ({"id_token_signed_response_alg": "HS256"}, "id_token_signed_response_alg"),
        ({"surprise": 1}, "surprise"),
        ({"client_id": 7}, "client_id"),
    ):
        refused(await api.patch(path, {"options": options}), 400, "invalid_request", naming)
    assert (await api.get(path)).json() == before
    assert await secret_of(api) == CREDENTIAL


async def test_a_connection_can_move_to_another_provider(api: Api, idp: IdentityProvider) -> None:
    before = await api.connection(idp)
    async with IdentityProvider.running(numbers_from=2) as other:
        path = f"/api/v2/connections/{before['id']}"
        after = (await api.patch(path, {"options": {"discovery_url": other.discovery_url}})).json()
        assert after["options"]["issuer"] == other.issuer
        assert after["options"]["jwks_uri"] == other.jwks_uri
        body = {"sub_id": {"format": "opaque", "id": "nobody"}}
        refused(await api.global_token_revocation(idp, body), 401, "invalid_token")
        refused(await api.global_token_revocation(other, body), 404, "not_found")


async def test_a_disabled_connection_is_shown_as_such_and_can_be_enabled_again(api: Api, idp: IdentityProvider) -> None:
    before = await api.connection(idp)
    path = f"/api/v2/connections/{before['id']}"
    assert (await api.patch(path, {"enabled": False})).json()["enabled"] is False
    body = {"sub_id": {"format": "opaque", "id": "nobody"}}
    refused(await api.global_token_revocation(idp, body), 403, "access_denied", "disabled")
    assert (await api.patch(path, {"enabled": True})).json()["enabled"] is True
    refused(await api.global_token_revocation(idp, body), 404, "not_found")


async def enabled(api: Api, path: str) -> list[Any]:
    answer = await api.get(f"{path}/clients")
    assert answer.status_code == 200
    told = answer.json()
    assert told["next_cursor"] is None
    assert {each["status"] for each in told["items"]} <= {True}
    return [each["client_id"] for each in told["items"]]


async def test_enabled_clients_are_read_and_changed_one_by_one(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop", "wiki")
    await api.client("board")
    path = f"/api/v2/connections/{connection['id']}"
    assert await enabled(api, path) == ["shop", "wiki"]
    changes = [{"client_id": "board", "status": True}, {"client_id": "shop", "status": False}]
    answer = await api.patch(f"{path}/clients", changes)
    assert answer.status_code == 200
    assert answer.json() == {
        "items": [{"client_id": "board", "status": True}, {"client_id": "wiki", "status": True}],
        "next_cursor": None,
    }
    assert await enabled(api, path) == ["board", "wiki"]
    assert (await api.get(path)).json()["enabled_clients"] == ["wiki", "board"]
    # The same again changes nothing.
    assert (await api.patch(f"{path}/clients", changes)).json() == answer.json()
    assert (await api.patch(f"{path}/clients", [])).json() == answer.json()


async def test_enabled_clients_can_be_set_all_at_once(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop", "wiki")
    path = f"/api/v2/connections/{connection['id']}"
    assert (await api.patch(path, {"enabled_clients": ["wiki", "wiki"]})).json()["enabled_clients"] == ["wiki"]
    assert (await api.patch(path, {"enabled_clients": []})).json()["enabled_clients"] == []
    refused(await api.patch(path, {"enabled_clients": ["nobodys"]}), 400, "invalid_request", "nobodys")


async def test_a_list_that_names_a_removed_client_can_be_written_back_as_it_was_read(
    api: Api, idp: IdentityProvider
) -> None:
    connection = await api.connection(idp, "wiki", "board")
    path = f"/api/v2/connections/{connection['id']}"
    await api.delete("/api/v2/clients/wiki")

    read = (await api.get(path)).json()["enabled_clients"]
    assert (await api.patch(path, {"enabled_clients": read})).json()["enabled_clients"] == ["wiki", "board"]

    assert (await api.patch(path, {"enabled_clients": ["board"]})).json()["enabled_clients"] == ["board"]
    refused(await api.patch(path, {"enabled_clients": read}), 400, "invalid_request", "wiki")


async def test_a_client_that_does_not_exist_cannot_be_enabled_but_disabled(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop", "wiki")
    path = f"/api/v2/connections/{connection['id']}/clients"
    changes = [{"client_id": "shop", "status": False}, {"client_id": "nobodys", "status": True}]
    refused(await api.patch(path, changes), 400, "invalid_request", "nobodys")
    assert await enabled(api, path.removesuffix("/clients")) == ["shop", "wiki"]
    await api.delete("/api/v2/clients/wiki")
    assert (await api.patch(path, [{"client_id": "wiki", "status": False}])).status_code == 200
    assert await enabled(api, path.removesuffix("/clients")) == ["shop"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"client_id": "shop", "status": True}, ["shop"], [{"client_id": "shop"}], [{"status": True}], None,
     [{"client_id": "shop", "status": 1}], [{"client_id": "", "status": True}], [[]]],
)  # fmt: skip
async def test_changes_of_another_shape_are_refused(api: Api, idp: IdentityProvider, changes: object) -> None:
    connection = await api.connection(idp, "shop")
    answer = await api.patch(f"/api/v2/connections/{connection['id']}/clients", changes)
    refused(answer, 400, "invalid_request")


async def test_a_disabled_client_can_begin_no_session_and_keeps_the_old_ones(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    path = f"/api/v2/connections/{connection['id']}/clients"
    await api.patch(path, [{"client_id": "shop", "status": False}])
    body = {"connection": "okta", "subject": {"iss": idp.issuer, "sub": CLIENT_ID}, "clients": [{"client_id": "shop"}]}
    refused(await api.post("/api/v2/sessions", body), 403, "access_denied", "not enabled")
    assert (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"] is True
