"""Connections: Auth0's shape, made from what the identity provider itself says; shown without secrets."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.support.asgi import CREDENTIAL, PUBLIC_URL, Api, connection_body, refused
from tests.support.identity_provider import CLIENT_ID, IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMBERS = {
    "id",
    "name",
    "strategy",
    "display_name",
    "options",
    "enabled_clients",
    "enabled",
    "created_at",
    "updated_at",
    "global_token_revocation_endpoint",
    "backchannel_logout_uri",
    "okta_event_hook_uri",
}
DISCOVERED = {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"}


async def test_a_connection_by_discovery_is_answered_with_what_was_found(api: Api, idp: IdentityProvider) -> None:
    answer = await api.post("/api/v2/connections", connection_body(idp))
    assert answer.status_code == 201
    told = answer.json()
    assert set(told) == MEMBERS
    assert re.fullmatch(r"con_[a-z2-7]{26}", told["id"])
    assert told["name"] == "okta"
    assert told["strategy"] == "oidc"
    assert told["display_name"] is None
    assert told["enabled"] is True
    assert told["enabled_clients"] == []
    assert told["options"] == {
        "type": "back_channel",
        "client_id": CLIENT_ID,
        "scopes": "openid profile",
        "discovery_url": idp.discovery_url,
        "issuer": idp.issuer,
        "authorization_endpoint": f"{idp.base_url}/oauth2/v1/authorize",
        "token_endpoint": f"{idp.base_url}/oauth2/v1/token",
        "jwks_uri": idp.jwks_uri,
    }
    assert told["global_token_revocation_endpoint"] == (f"{PUBLIC_URL}/oauth/global-token-revocation/connection/okta")
    assert told["backchannel_logout_uri"] == f"{PUBLIC_URL}/oauth/backchannel-logout/connection/okta"
    assert told["okta_event_hook_uri"] == f"{PUBLIC_URL}/webhooks/okta/connection/okta"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["created_at"])
    assert told["created_at"] == told["updated_at"]
    assert (await api.get(f"/api/v2/connections/{told['id']}")).json() == told
    assert (await api.get("/api/v2/connections")).json() == {"items": [told], "next_cursor": None}
    assert idp.fetches["keys"] == 1
    assert 1 <= idp.fetches["discovery"] <= 2


async def test_our_secret_there_never_comes_back(api: Api, idp: IdentityProvider) -> None:
    answers = [await api.post("/api/v2/connections", connection_body(idp))]
    path = f"/api/v2/connections/{answers[0].json()['id']}"
    answers += [
        await api.get(path),
        await api.get("/api/v2/connections"),
        await api.patch(path, {"display_name": "Okta"}),
        await api.patch(path, {"options": {"client_secret": CREDENTIAL + "-2"}}),
        await api.patch(path, {"options": {"client_secret": CREDENTIAL, "surprise": 1}}),
        await api.post("/api/v2/connections", connection_body(idp)),
        await api.get(f"{path}/clients"),
    ]
    for each in answers:
        assert CREDENTIAL not in each.text
        assert "client_secret" not in each.text
    assert CREDENTIAL in (await api.resources.record.client.get("logoutd:connection:okta"))


@pytest.mark.parametrize("kind", ["front_channel", "back_channel"])
@pytest.mark.parametrize("by", ["discovery", "issuer"])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", ""])
async def test_auth0s_four_requests_work_as_its_page_has_them(
    api: Api, idp: IdentityProvider, kind: str, by: str, content_type: str
) -> None:
    options: dict[str, Any] = {"type": kind, "client_id": CLIENT_ID, "scopes": "openid profile"}
    if by == "discovery":
        options["discovery_url"] = idp.discovery_url
    else:
        options |= {"issuer": idp.issuer, "authorization_endpoint": f"{idp.issuer}/authorize"}
    if kind == "back_channel":
        options["client_secret"] = CREDENTIAL
    elif by == "issuer":
        options["token_endpoint"] = f"{idp.issuer}/oauth/token"
    raw = json.dumps({"strategy": "oidc", "name": "CONNECTION-NAME", "options": options}).encode()
    answer = await api.call("POST", "/api/v2/connections", raw=raw, headers={"Content-Type": content_type})
    assert answer.status_code == 201, answer.text
    assert answer.json()["options"]["issuer"] == idp.issuer
    assert answer.json()["options"]["type"] == kind


async def test_by_hand_and_without_jwks_uri_nothing_is_fetched_until_a_key_is_needed(
    api: Api, idp: IdentityProvider
) -> None:
    options = {
        "discovery_url": None,
        "issuer": idp.issuer,
        "authorization_endpoint": f"{idp.base_url}/oauth2/v1/authorize",
    }
    told = await api.connection(idp, options=options)
    assert not set(told["options"]) & {"jwks_uri", "discovery_url", "token_endpoint"}
    assert idp.fetches == {}
    body = {"sub_id": {"format": "opaque", "id": "nobody"}}
    refused(await api.global_token_revocation(idp, body), 404, "not_found")
    assert idp.fetches == {"discovery": 1, "keys": 1}


async def test_the_issuer_alone_is_enough_of_a_discovery_url(api: Api) -> None:
    for path in ("", "/", "/tenant"):
        async with IdentityProvider.running(path=path) as idp:
            name = f"okta{path.replace('/', '-')}"
            told = await api.connection(idp, name=name, options={"discovery_url": idp.issuer})
            assert told["options"]["issuer"] == idp.issuer
            assert told["options"]["jwks_uri"] == idp.jwks_uri


async def test_what_is_given_besides_discovery_wins_over_what_is_found(api: Api, idp: IdentityProvider) -> None:
    given = {
        "token_endpoint": f"{idp.base_url}/other/token",
        "authorization_endpoint": f"{idp.base_url}/other/authorize",
    }
    told = await api.connection(idp, options=given)
    assert {name: told["options"][name] for name in given} == given
    assert told["options"]["jwks_uri"] == idp.jwks_uri


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a_b", "a.b", "a/b", "caf\xe9", "x" * 129, "okta\n", "\u0661", "%41", None, 7, ["okta"]],
)
async def test_a_name_that_cannot_stand_in_a_url_is_refused(api: Api, idp: IdentityProvider, name: object) -> None:
    body = {**connection_body(idp), "name": name}
    refused(await api.post("/api/v2/connections", body), 400, "invalid_request", "`name`")
    assert idp.fetches == {}


@pytest.mark.parametrize("name", ["x" * 128, "-", "0", "Okta-EU-2"])
async def test_a_name_may_be_letters_digits_and_hyphens(api: Api, idp: IdentityProvider, name: str) -> None:
    told = await api.connection(idp, name=name)
    assert told["global_token_revocation_endpoint"].endswith(f"/connection/{name}")


async def test_a_name_is_taken_once(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp)
    refused(await api.post("/api/v2/connections", connection_body(idp)), 409, "conflict", "name")
    await api.connection(idp, name="Okta")


async def test_of_two_that_want_a_name_at_once_one_has_it(api: Api, idp: IdentityProvider) -> None:
    body = connection_body(idp)
    answers = await asyncio.gather(*(api.post("/api/v2/connections", body) for _ in range(2)))
    assert sorted(each.status_code for each in answers) == [201, 409]
    loser = next(each for each in answers if each.status_code == 409)
    refused(loser, 409, "conflict", "name")
    (only,) = (await api.get("/api/v2/connections")).json()["items"]
    assert only == next(each for each in answers if each.status_code == 201).json()
    assert (await api.get(f"/api/v2/connections/{only['id']}")).json() == only


@pytest.mark.parametrize(
    ("members", "naming"),
    [
        ({"strategy": "saml"}, "strategy"),
        ({"strategy": None}, "strategy"),
        ({"enabled": "yes"}, "enabled"),
        ({"enabled_clients": "shop"}, "enabled_clients"),
        ({"enabled_clients": ["shop"]}, "does not exist: shop"),
        ({"display_name": ""}, "display_name"),
        ({"options": None}, "options"),
        ({"realms": ["okta"]}, "realms"),
        ({"id": "con_mine"}, "id"),
    ],
)
async def test_a_wrong_member_is_named(api: Api, idp: IdentityProvider, members: dict[str, Any], naming: str) -> None:
    body = {**connection_body(idp), **members}
    refused(await api.post("/api/v2/connections", body), 400, "invalid_request", naming)


@pytest.mark.parametrize(
    ("options", "naming"),
    [
        ({"type": "side_channel"}, "options.type"),
        ({"type": None}, "options.type"),
        ({"client_id": None}, "options.client_id"),
        ({"client_id": ""}, "options.client_id"),
        ({"scopes": ["openid"]}, "options.scopes"),
        ({"discovery_url": None}, "`discovery_url`, or `issuer` and `authorization_endpoint`"),
        ({"discovery_url": None, "issuer": "https://idp.example.com"}, "authorization_endpoint"),
        ({"discovery_url": "not a url"}, "discovery_url"),
        ({"discovery_url": "ftp://idp.example.com"}, "discovery_url"),
        ({"discovery_url": "https://10.0.0.1"}, "discovery_url"),
        ({"jwks_uri": "https://10.0.0.1/keys"}, "jwks_uri"),
        ({"token_endpoint": "http://idp.example.com/#x"}, "token_endpoint"),
        ({"id_token_signed_response_alg": "HS256"}, "id_token_signed_response_alg"),
        ({"id_token_signed_response_alg": "none"}, "id_token_signed_response_alg"),
        ({"global_token_revocation_jwt_iss": 7}, "global_token_revocation_jwt_iss"),
        ({"global_token_revocation_jwt_sub": ["a"]}, "global_token_revocation_jwt_sub"),
        ({"surprise": 1}, "options.surprise"),
    ],
)
async def test_a_wrong_option_is_named(api: Api, idp: IdentityProvider, options: dict[str, Any], naming: str) -> None:
    body = connection_body(idp, options=options)
    refused(await api.post("/api/v2/connections", body), 400, "invalid_request", naming)
    assert (await api.get("/api/v2/connections")).json()["items"] == []


async def test_enabled_clients_are_kept_once_and_in_order(api: Api, idp: IdentityProvider) -> None:
    told = await api.connection(idp, "wiki", "shop", "wiki")
    assert told["enabled_clients"] == ["wiki", "shop"]


async def test_a_removed_connection_is_gone_with_its_door_and_its_name_is_free(api: Api, idp: IdentityProvider) -> None:
    first = await api.connection(idp)
    path = f"/api/v2/connections/{first['id']}"
    answer = await api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    for gone in (
        await api.get(path),
        await api.patch(path, {}),
        await api.delete(path),
        await api.get(f"{path}/clients"),
        await api.patch(f"{path}/clients", []),
    ):
        refused(gone, 404, "not_found", "no such connection")
    assert (await api.get("/api/v2/connections")).json()["items"] == []
    refused(await api.global_token_revocation(idp, {"sub_id": {}}), 401, "invalid_token")
    second = await api.connection(idp)
    assert second["id"] != first["id"]
    refused(await api.get(path), 404, "not_found")


async def test_a_connection_may_be_named_where_its_id_may_be(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "notes")
    assert (await api.get("/api/v2/connections/okta")).json() == connection
    changed = await api.patch("/api/v2/connections/okta", {"display_name": "Okta"})
    assert (changed.status_code, changed.json()["id"]) == (200, connection["id"])
    listed = await api.get("/api/v2/connections/okta/clients")
    assert listed.json()["items"] == [{"client_id": "notes", "status": True}]
    assert (await api.post("/api/v2/connections/okta/test")).status_code == 200
    assert (await api.delete("/api/v2/connections/okta")).status_code == 204
    refused(await api.get(f"/api/v2/connections/{connection['id']}"), 404, "not_found", "no such connection")
