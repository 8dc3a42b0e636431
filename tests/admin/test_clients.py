"""The management API's clients, with the names of RFC 7591."""

import asyncio
import re
from typing import Any

import pytest

from tests.support.asgi import Api, basic, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMBERS = {
    "client_id",
    "client_name",
    "backchannel_logout_uri",
    "backchannel_logout_session_required",
    "id_token_signed_response_alg",
    "delivery_max_concurrent",
    "delivery_rate_per_second",
    "delivery",
    "created_at",
    "updated_at",
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
URI = "https://shop.example.com/logout?tenant=1"

FULL: dict[str, Any] = {
    "client_id": "shop",
    "client_name": "The shop",
    "backchannel_logout_uri": URI,
    "backchannel_logout_session_required": True,
    "id_token_signed_response_alg": "EdDSA",
}


async def test_a_client_is_answered_as_registered_with_its_secret_this_once(api: Api) -> None:
    answer = await api.post("/api/v2/clients", FULL)
    assert answer.status_code == 201
    told = answer.json()
    assert set(told) == MEMBERS | {"client_secret"}
    assert {name: told[name] for name in FULL} == FULL
    assert MOMENT.fullmatch(told["created_at"])
    assert told["created_at"] == told["updated_at"]
    assert re.fullmatch(r"logoutd_cs_[A-Za-z0-9_-]{43,}", told["client_secret"])

    for later in (
        await api.get("/api/v2/clients/shop"),
        await api.get("/api/v2/clients"),
        await api.patch("/api/v2/clients/shop", {"client_name": "Shop"}),
        await api.post("/api/v2/clients", FULL),
    ):
        assert told["client_secret"] not in later.text
        assert "secret" not in later.text


async def test_the_secret_is_not_in_redis_either(api: Api) -> None:
    secret = (await api.client("shop"))["client_secret"]
    redis = api.resources.record.client
    assert secret not in await redis.get("logoutd:client:shop")


async def test_nothing_needs_to_be_said_of_a_client(api: Api) -> None:
    told = (await api.post("/api/v2/clients", {})).json()
    assert re.fullmatch(r"app_[a-z2-7]{26}", told["client_id"])
    assert told["client_name"] is None
    assert told["backchannel_logout_uri"] is None
    assert told["backchannel_logout_session_required"] is False
    assert told["id_token_signed_response_alg"] == "RS256"
    assert (await api.get(f"/api/v2/clients/{told['client_id']}")).status_code == 200


async def test_two_clients_have_two_secrets(api: Api) -> None:
    assert len({(await api.post("/api/v2/clients", {})).json()["client_secret"] for _ in range(5)}) == 5


async def test_a_client_id_is_taken_once_also_when_two_ask_at_once(api: Api) -> None:
    answers = await asyncio.gather(*(api.post("/api/v2/clients", FULL) for _ in range(5)))
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409, 409]
    winner = next(each for each in answers if each.status_code == 201).json()
    for each in answers:
        if each.status_code == 409:
            refused(each, 409, "conflict", "client_id")
    # The secret that was answered is the one that counts.
    asked = await api.introspect("a-token-of-no-meaning", by=basic("shop", winner["client_secret"]))
    assert asked.status_code == 200
    assert [each["client_id"] for each in (await api.get("/api/v2/clients")).json()["items"]] == ["shop"]


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_every_algorithm_there_is_a_key_for_may_be_chosen(api: Api, alg: str) -> None:
    assert (await api.client("shop", id_token_signed_response_alg=alg))["id_token_signed_response_alg"] == alg


@pytest.mark.parametrize("alg", ["none", "HS256", "rs256", "RS512", "", None, 256])
async def test_no_other_algorithm_is_taken(api: Api, alg: object) -> None:
    body = {"id_token_signed_response_alg": alg}
    refused(await api.post("/api/v2/clients", body), 400, "invalid_request", "id_token_signed_response_alg")
    await api.client("shop")
    refused(await api.patch("/api/v2/clients/shop", body), 400, "invalid_request")


@pytest.mark.parametrize(
    "client_id",
    ["", " ", "a b", "caf\xe9", "a/b", "a\n", "a?b", "a#b", "a%b", "x" * 257, "\u0661", 7, ["shop"]],
)
async def test_a_client_id_that_cannot_stand_in_a_url_is_refused(api: Api, client_id: object) -> None:
    refused(await api.post("/api/v2/clients", {"client_id": client_id}), 400, "invalid_request", "client_id")


@pytest.mark.parametrize("client_id", ["x" * 256, "https:a", "a.b-c_d~e:f@g=h+i", "0oa1exampleClient"])
async def test_a_client_id_may_be_what_other_servers_mint(api: Api, client_id: str) -> None:
    await api.client(client_id)
    path = f"/api/v2/clients/{client_id}"
    assert (await api.get(path)).json()["client_id"] == client_id
    assert (await api.delete(path)).status_code == 204


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "shop",
        "/logout",
        "ftp://shop.example.com/",
        "javascript:alert(1)",
        "https://",
        "https://shop.example.com/#top",
        "https://user:password@shop.example.com/",
        "http://shop.example.com/logout\n",
        "https://10.0.0.1/logout",
        "https://169.254.169.254/latest",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://shop.example.com:99999/",
        "https://shop.example.com/" + "x" * 2100,
        "https://caf\xe9.example/",
        7,
    ],
)
async def test_a_logout_uri_that_could_never_be_called_is_refused(api: Api, uri: object) -> None:
    body = {"backchannel_logout_uri": uri}
    refused(await api.post("/api/v2/clients", body), 400, "invalid_request", "backchannel_logout_uri")
    await api.client("shop", backchannel_logout_uri=URI)
    refused(await api.patch("/api/v2/clients/shop", body), 400, "invalid_request", "backchannel_logout_uri")
    assert (await api.get("/api/v2/clients/shop")).json()["backchannel_logout_uri"] == URI


async def test_a_plain_http_address_is_taken_inside_the_operators_networks(api: Api) -> None:
    await api.client("inside", backchannel_logout_uri="http://127.0.0.1:9/logout")
    outside = {"backchannel_logout_uri": "http://93.184.216.34/logout"}
    refused(await api.post("/api/v2/clients", outside), 400, "invalid_request", "plain http")


async def test_a_change_touches_what_it_names_and_nothing_else(api: Api) -> None:
    before = await api.client(**FULL)
    api.clock.advance(1.5)
    changed = (await api.patch("/api/v2/clients/shop", {"client_name": "Shop"})).json()
    assert changed == {
        **{name: before[name] for name in MEMBERS},
        "client_name": "Shop",
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] > before["updated_at"]
    assert (await api.get("/api/v2/clients/shop")).json() == {**changed, "dead_letters": 0}
    assert (await api.introspect("a-token-of-no-meaning", by=api.by("shop"))).status_code == 200


async def test_every_member_but_the_client_id_can_change(api: Api) -> None:
    await api.client("shop")
    wanted = {name: value for name, value in FULL.items() if name != "client_id"}
    changed = (await api.patch("/api/v2/clients/shop", wanted)).json()
    assert {name: changed[name] for name in wanted} == wanted


async def test_null_unsets_a_name_and_an_address_and_nothing_else(api: Api) -> None:
    await api.client(**FULL)
    changed = (await api.patch("/api/v2/clients/shop", {"client_name": None, "backchannel_logout_uri": None})).json()
    assert changed["client_name"] is None
    assert changed["backchannel_logout_uri"] is None
    for name in ("backchannel_logout_session_required", "id_token_signed_response_alg"):
        refused(await api.patch("/api/v2/clients/shop", {name: None}), 400, "invalid_request", "may not be null")
    assert {**changed, "dead_letters": 0} == (await api.get("/api/v2/clients/shop")).json()


@pytest.mark.parametrize("member", ["client_id", "client_secret", "created_at"])
async def test_what_never_changes_is_refused_by_name(api: Api, member: str) -> None:
    await api.client("shop")
    told = "`client_id` never changes" if member == "client_id" else f"`{member}` is not a member"
    refused(await api.patch("/api/v2/clients/shop", {member: "shop"}), 400, "invalid_request", told)


async def test_a_change_of_nothing_is_no_error(api: Api) -> None:
    before = await api.client("shop")
    after = (await api.patch("/api/v2/clients/shop", {})).json()
    assert {**after, "updated_at": ""} == {**{name: before[name] for name in MEMBERS}, "updated_at": ""}


async def test_a_removed_client_is_gone_and_its_name_is_free(api: Api) -> None:
    first = await api.client("shop")
    answer = await api.delete("/api/v2/clients/shop")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    for gone in (
        await api.get("/api/v2/clients/shop"),
        await api.patch("/api/v2/clients/shop", {}),
        await api.delete("/api/v2/clients/shop"),
    ):
        refused(gone, 404, "not_found", "no such client")
    assert (await api.get("/api/v2/clients")).json()["items"] == []
    second = await api.client("shop")
    assert second["client_secret"] != first["client_secret"]


async def test_clients_are_listed_in_the_order_they_came(api: Api) -> None:
    for name in ("wiki", "shop", "board"):
        await api.client(name)
        api.clock.advance(1)
    listed = (await api.get("/api/v2/clients")).json()["items"]
    assert [each["client_id"] for each in listed] == ["wiki", "shop", "board"]
    assert all(set(each) == MEMBERS for each in listed)
