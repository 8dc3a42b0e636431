"""Dead letters over the management API: listed, counted, tried anew, or refused with the reason."""

from typing import Any

import pytest

from service.domain.retry_schedule import MAX_RETRY_AFTER_S
from service.redeliver import BATCH
from service.web.bodies import moment
from tests.support.asgi import Api, refused
from tests.support.dead_letters import let_die
from tests.support.identity_provider import IdentityProvider
from workers.worker import WorkerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = "/api/v2/deliveries?state=dead"


async def give_up(api: Api, idp: IdentityProvider, client_id: str = "shop", sub: str = "00u1ada") -> tuple[str, str]:
    """Somebody is signed out and one application is not told; the revocation and the delivery."""
    session = await api.sign_in(idp, client_id, subject={"iss": idp.issuer, "sub": sub})
    answer = await api.delete(f"/api/v2/users/{session['user_id']}/sessions")
    rid = answer.json()["revocation_id"]
    return rid, await let_die(api.resources, rid, client_id)


async def items(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api.get(f"{LIST}{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_dead_letter_says_all_that_is_asked_of_it(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    rid, delivery_id = await give_up(api, idp)
    receipt = (await api.get(f"/api/v2/revocations/{rid}")).json()
    (row,) = receipt["deliveries"]

    assert await items(api) == [
        {
            "delivery_id": delivery_id,
            "revocation_id": rid,
            "connection_id": connection["id"],
            "client_id": "shop",
            "reason": "rejected",
            "dead_at": receipt["completed_at"],
            "attempt_count": 1,
            "last_attempt": row["attempts"][-1],
        }
    ]
    assert (await api.get("/api/v2/clients/shop")).json()["dead_letters"] == 1
    assert "logoutd_dead_letters 1.0" in (await api.get("/metrics")).text


async def test_the_list_is_narrowed_and_walked(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop", "wiki")
    dead = []
    for number, client_id in enumerate(("shop", "wiki", "shop", "wiki", "shop")):
        dead.append((await give_up(api, idp, client_id, f"00u{number}"))[1])
        api.clock.advance(60)
    newest = dead[::-1]

    assert [each["delivery_id"] for each in await items(api)] == newest
    assert [each["delivery_id"] for each in await items(api, "&client_id=shop")] == newest[::2]
    for named in ("okta", connection["id"]):
        assert len(await items(api, f"&connection={named}")) == 5
        assert len(await items(api, f"&connection={named}&client_id=wiki")) == 2
    since = (await items(api))[2]["dead_at"]
    assert [each["delivery_id"] for each in await items(api, f"&since={since}")] == newest[:3]
    assert await items(api, f"&since={since.replace('Z', '%2B00:00')}") == await items(api, f"&since={since}")
    assert await items(api, f"&since={since.replace('Z', '+00:00')}") == await items(api, f"&since={since}")

    walked: list[str] = []
    query: str | None = "&limit=2"
    while query is not None:
        page = (await api.get(LIST + query)).json()
        walked += [each["delivery_id"] for each in page["items"]]
        if len(walked) == 2:
            # What is redelivered meanwhile moves nothing.
            assert (await api.post(f"/api/v2/deliveries/{walked[0]}/redeliver")).status_code == 202
        query = None if page["next_cursor"] is None else f"&limit=2&cursor={page['next_cursor']}"
    assert walked == newest


@pytest.mark.parametrize(
    ("query", "naming"),
    [
        ("", "`state` must be `dead`"),
        ("?state=delivered", "receipts"),
        ("?state=dead&since=yesterday", "`since` must be an RFC 3339 time"),
        ("?state=dead&since=2026-01-31", "`since`"),
        ("?state=dead&since=2026-01-31T09:00:00", "`since`"),
        ("?state=dead&since=2026-02-31T09:00:00Z", "`since`"),
        ("?state=dead&since=1769850000", "`since`"),
        ("?state=dead&application=shop", "`application`"),
        ("?state=dead&limit=0", "`limit`"),
        ("?state=dead&cursor=x", "`cursor`"),
    ],
)
async def test_what_is_asked_wrongly_is_refused(api: Api, query: str, naming: str) -> None:
    refused(await api.get(f"/api/v2/deliveries{query}"), 400, "invalid_request", naming)


async def test_the_dead_letters_of_no_connection_are_not_found(api: Api) -> None:
    refused(await api.get(f"{LIST}&connection=nobodys"), 404, "not_found", "no such connection")


@pytest.mark.parametrize(
    "since", ["1990-12-31T23:59:60Z", "2016-12-31t15:59:60.123456789-08:00", "0001-01-01T00:00:00Z"]
)
async def test_a_leap_second_a_small_letter_and_the_beginning_of_time_are_times(api: Api, since: str) -> None:
    assert await items(api, f"&since={since}") == []


async def test_one_is_redelivered_and_its_receipt_open_again(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    rid, delivery_id = await give_up(api, idp)
    api.clock.advance(60)

    answer = await api.post(f"/api/v2/deliveries/{delivery_id}/redeliver")

    assert answer.status_code == 202
    receipt = (await api.get(f"/api/v2/revocations/{rid}")).json()
    assert answer.json() == {"revocation_id": rid, "deliveries": receipt["deliveries"], "not_redelivered": []}
    (row,) = receipt["deliveries"]
    assert (row["state"], row["delivery_id"], len(row["attempts"])) == ("pending", delivery_id, 1)
    assert "reason" not in row
    assert row["redelivered_at"] == [receipt["redelivered_at"]]
    assert (receipt["state"], receipt["completed_at"]) == ("notifying", None)
    assert await items(api) == []
    assert (await api.get("/api/v2/clients/shop")).json()["dead_letters"] == 0
    again = await api.post(f"/api/v2/deliveries/{delivery_id}/redeliver", {"force": True})
    refused(again, 409, "conflict", "being tried already")


async def test_those_of_a_revocation_are(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    rid, delivery_id = await give_up(api, idp)
    answer = await api.post(f"/api/v2/revocations/{rid}/redeliver", {})
    assert [each["delivery_id"] for each in answer.json()["deliveries"]] == [delivery_id]
    refused(await api.post(f"/api/v2/revocations/{rid}/redeliver"), 409, "conflict", "none of its deliveries is dead")


async def test_those_of_a_client_since_a_moment_are_some_with_each_call(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    await give_up(api, idp, "shop", "00u-before")
    await give_up(api, idp, "wiki", "00u-other")
    api.clock.advance(60)
    since = moment(api.clock.now_ms())
    for number in range(BATCH + 3):
        await give_up(api, idp, "shop", f"00u{number}")
        api.clock.advance(0.01)
    body: dict[str, Any] = {"since": since}

    first = await api.post("/api/v2/clients/shop/redeliver", body)
    assert first.status_code == 202
    assert (first.json()["redelivered"], first.json()["not_redelivered"]) == (BATCH, [])
    second = (await api.post("/api/v2/clients/shop/redeliver", {**body, "cursor": first.json()["next_cursor"]})).json()
    assert second == {"client_id": "shop", "redelivered": 3, "not_redelivered": [], "next_cursor": None}

    assert (await api.post("/api/v2/clients/shop/redeliver", body)).json()["redelivered"] == 0
    assert len(await items(api, "&client_id=shop")) == 1, "what died before that moment stays"
    assert len(await items(api, "&client_id=wiki")) == 1


async def test_what_cannot_be_redelivered_is_told_with_the_reason(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    rid, delivery_id = await give_up(api, idp)
    await api.patch("/api/v2/clients/shop", {"backchannel_logout_uri": None})
    told = (await api.post("/api/v2/clients/shop/redeliver", {"since": "2000-01-01T00:00:00Z"})).json()
    assert told["redelivered"] == 0
    assert [(each["delivery_id"], each["reason"]) for each in told["not_redelivered"]] == [
        (delivery_id, "no_logout_uri")
    ]
    assert "backchannel_logout_uri" in told["not_redelivered"][0]["error_description"]
    refused(await api.post(f"/api/v2/revocations/{rid}/redeliver"), 409, "conflict", "no `backchannel_logout_uri`")
    await api.delete("/api/v2/clients/shop")
    refused(await api.post(f"/api/v2/deliveries/{delivery_id}/redeliver"), 409, "conflict", "not registered")
    assert len(await items(api)) == 1


async def test_what_was_skipped_is_sent_by_force_once_it_can_be(api: Api, idp: IdentityProvider) -> None:
    await api.client("shop", backchannel_logout_uri=None)
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    rid = (await api.delete(f"/api/v2/sessions/{session['session_id']}")).json()["revocation_id"]
    await WorkerProcess(api.resources).revoker.revoke(rid)
    (row,) = (await api.get(f"/api/v2/revocations/{rid}")).json()["deliveries"]
    assert (row["state"], row["reason"]) == ("skipped", "no_logout_uri")
    path = f"/api/v2/deliveries/{row['delivery_id']}/redeliver"
    refused(await api.post(path), 409, "conflict", "`force`")
    refused(await api.post(path, {"force": True}), 409, "conflict", "no `backchannel_logout_uri`")
    await api.patch("/api/v2/clients/shop", {"backchannel_logout_uri": "https://shop.example.com/logout"})
    refused(await api.post(path, {"force": False}), 409, "conflict", "`force`")

    assert (await api.post(path, {"force": True})).json()["deliveries"][0]["state"] == "pending"
    assert (await api.get(f"/api/v2/revocations/{rid}")).json()["state"] == "notifying"


@pytest.mark.parametrize(
    ("path", "naming"),
    [
        ("/api/v2/deliveries/dlv_nothing_x/redeliver", "delivery"),
        ("/api/v2/deliveries/nothing/redeliver", "delivery"),
        ("/api/v2/revocations/rev_nothing/redeliver", "revocation"),
    ],
)
async def test_what_is_not_there_is_not_found(api: Api, path: str, naming: str) -> None:
    refused(await api.post(path), 404, "not_found", f"no such {naming}")
    unknown = await api.post("/api/v2/clients/nobody/redeliver", {"since": "2026-01-31T09:00:00Z"})
    refused(unknown, 404, "not_found", "no such client")


@pytest.mark.parametrize(
    ("path", "body", "naming"),
    [
        ("/api/v2/deliveries/dlv_nothing_x/redeliver", {"force": "yes"}, "`force`"),
        ("/api/v2/deliveries/dlv_nothing_x/redeliver", [], "object"),
        ("/api/v2/revocations/rev_nothing/redeliver", {"force": True}, "`force` is for one delivery"),
        ("/api/v2/clients/shop/redeliver", {}, "`since` is missing"),
        ("/api/v2/clients/shop/redeliver", {"since": "36h"}, "`since` must be an RFC 3339 time"),
        ("/api/v2/clients/shop/redeliver", {"since": "2026-01-31T09:00:00Z", "cursor": "x"}, "`cursor`"),
    ],
)
async def test_a_body_that_is_wrong_is_refused(api: Api, path: str, body: object, naming: str) -> None:
    await api.client("shop")
    refused(await api.post(path, body), 400, "invalid_request", naming)


async def test_the_schedule_is_shown_as_the_settings_have_it(api: Api) -> None:
    told = (await api.get("/api/v2/delivery-schedule")).json()
    assert told == {
        "steps_seconds": [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600],
        "then_every_seconds": 3600,
        "window_seconds": 86_400,
        "attempts": 35,
        "least_share": 0.5,
        "longest_retry_after_seconds": MAX_RETRY_AFTER_S,
    }
