"""How an application is told: what is shown of it, and an operator's pause and resume."""

from typing import Any

import pytest

from service.admin.client_delivery import MAX_REASON_LENGTH
from service.domain.client_health import FIRST_PROBE_MS, OPENS_AFTER
from service.store.client_health import Report
from service.web.bodies import moment
from tests.support.asgi import NOBODY, Api, basic, refused
from tests.support.identity_provider import IdentityProvider
from tests.support.strangers import answer, stranger
from workers.worker import WorkerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

WELL: dict[str, Any] = {
    "state": "active",
    "reason": None,
    "since": None,
    "breaker": "closed",
    "failing_since": None,
    "next_probe_at": None,
    "waiting": 0,
}


async def fail(api: Api, client_id: str, times: int) -> None:
    """Have so many attempts find nobody."""
    healths = api.resources.client_healths
    for number in range(times):
        report = Report(client_id=client_id, attempt=f"{api.clock.now_ms()}:{number}", answered=False)
        await healths.report([report], now_ms=api.clock.now_ms())


async def delivery_of(api: Api, client_id: str) -> dict[str, Any]:
    told: dict[str, Any] = (await api.get(f"/api/v2/clients/{client_id}")).json()["delivery"]
    return told


async def test_of_an_application_nothing_is_known_of_all_is_well(api: Api) -> None:
    made = await api.client("shop")
    assert made["delivery"] == WELL
    (listed,) = (await api.get("/api/v2/clients")).json()["items"]
    assert listed["delivery"] == WELL


async def test_one_that_fails_shows_since_when_and_when_it_is_tried_again(api: Api) -> None:
    await api.client("shop")
    await fail(api, "shop", OPENS_AFTER)
    told = await delivery_of(api, "shop")
    assert (told["state"], told["breaker"], told["waiting"]) == ("active", "open", 0)
    assert told["failing_since"] is not None
    assert told["next_probe_at"] is not None
    api.clock.advance(FIRST_PROBE_MS / 1000)
    assert (await delivery_of(api, "shop"))["breaker"] == "half_open"


async def test_one_that_rests_shows_until_when_for_as_long_as_that_is_so(api: Api) -> None:
    await api.client("shop")
    now_ms = api.clock.now_ms()
    rest = Report(client_id="shop", attempt="a", answered=None, rest_until_ms=now_ms + 7_000)
    await api.resources.client_healths.report([rest], now_ms=now_ms)
    told = await delivery_of(api, "shop")
    assert (told["breaker"], told["next_probe_at"]) == ("closed", moment(now_ms + 7_000))
    api.clock.advance(7)
    assert await delivery_of(api, "shop") == WELL


async def test_paused_it_says_so_and_why_and_resumed_it_is_as_before(api: Api) -> None:
    await api.client("shop")
    paused = await api.post("/api/v2/clients/shop/pause", {"reason": "CHG-1, the database moves"})
    assert paused.status_code == 200
    told = paused.json()["delivery"]
    assert (told["state"], told["reason"]) == ("paused", "CHG-1, the database moves")
    assert told["since"] is not None

    api.clock.advance(60)
    again = (await api.post("/api/v2/clients/shop/pause", {"reason": "CHG-2"})).json()["delivery"]
    assert again == {**told, "reason": "CHG-2"}

    resumed = await api.post("/api/v2/clients/shop/resume", None)
    assert resumed.status_code == 200
    assert resumed.json()["delivery"] == WELL
    assert (await api.post("/api/v2/clients/shop/resume", None)).json() == resumed.json()


async def test_a_reason_may_be_left_out_and_so_may_the_body(api: Api) -> None:
    await api.client("shop")
    for body in ({}, None, {"reason": None}):
        answered = await api.post("/api/v2/clients/shop/pause", body)
        assert (answered.status_code, answered.json()["delivery"]["reason"]) == (200, None)


@pytest.mark.parametrize("reason", ["", "x" * (MAX_REASON_LENGTH + 1), 7])
async def test_a_reason_is_text_of_some_length(api: Api, reason: object) -> None:
    await api.client("shop")
    refused(await api.post("/api/v2/clients/shop/pause", {"reason": reason}), 400, "invalid_request", "reason")
    refused(await api.post("/api/v2/clients/shop/pause", {"why": "x"}), 400, "invalid_request", "why")
    assert await delivery_of(api, "shop") == WELL


@pytest.mark.parametrize("word", ["pause", "resume"])
async def test_only_the_administrator_may_and_only_what_is_there(api: Api, word: str) -> None:
    shop = await api.client("shop")
    assert (await api.post(f"/api/v2/clients/shop/{word}", None, by=NOBODY)).status_code == 401
    its_own = basic("shop", shop["client_secret"])
    assert (await api.post(f"/api/v2/clients/shop/{word}", None, by=its_own)).status_code == 401
    refused(await api.post(f"/api/v2/clients/nobody/{word}", None), 404, "not_found")


async def test_a_state_cannot_be_set_by_a_change(api: Api) -> None:
    await api.client("shop")
    refused(
        await api.patch("/api/v2/clients/shop", {"delivery": {"state": "paused"}}), 400, "invalid_request", "delivery"
    )


async def test_a_new_address_is_tried_at_once(api: Api) -> None:
    await api.client("shop", backchannel_logout_uri="http://127.0.0.1:9/old")
    await fail(api, "shop", OPENS_AFTER)
    changed = await api.patch("/api/v2/clients/shop", {"client_name": "The shop"})
    assert changed.json()["delivery"]["breaker"] == "open"
    changed = await api.patch("/api/v2/clients/shop", {"backchannel_logout_uri": "http://127.0.0.1:9/new"})
    assert changed.json()["delivery"]["breaker"] == "half_open"


async def test_a_client_registered_anew_is_not_paused(api: Api) -> None:
    await api.client("shop")
    await api.post("/api/v2/clients/shop/pause", None)
    await api.delete("/api/v2/clients/shop")
    assert (await api.client("shop"))["delivery"] == WELL


async def test_while_it_is_paused_receipts_say_so_and_afterwards_it_is_told(api: Api, idp: IdentityProvider) -> None:
    worker = WorkerProcess(api.resources)
    async with stranger(answer(200)) as app:
        await api.client("shop", backchannel_logout_uri=app.url(), id_token_signed_response_alg="ES256")
        await api.connection(idp, "shop")
        await api.post("/api/v2/clients/shop/pause", {"reason": "maintenance"})
        session = await api.sign_in(idp, "shop")
        revoked = (await api.delete(f"/api/v2/sessions/{session['session_id']}")).json()["revocation_id"]
        await worker.create_arq_worker(burst=True).async_run()
        await worker.notifier.drain(10)

        (owed,) = (await api.get(f"/api/v2/revocations/{revoked}")).json()["deliveries"]
        assert (owed["state"], owed["reason"], owed["attempts"]) == ("pending", "paused", [])
        assert (await delivery_of(api, "shop"))["waiting"] == 1

        await api.post("/api/v2/clients/shop/resume", None)
        (owed,) = (await api.get(f"/api/v2/revocations/{revoked}")).json()["deliveries"]
        assert (owed["state"], owed["reason"]) == ("pending", "busy")
        while await worker.sweeper.sweep():
            await worker.create_arq_worker(burst=True).async_run()
            await worker.notifier.drain(10)
        receipt = (await api.get(f"/api/v2/revocations/{revoked}")).json()
    assert receipt["state"] == "completed"
    assert receipt["deliveries"][0]["state"] == "delivered"
    assert "reason" not in receipt["deliveries"][0]
    assert len(app.requests) == 1
    worker.notifier.close()


async def test_how_many_are_held_is_a_figure_without_their_names(api: Api) -> None:
    for name in ("shop", "wiki", "mail"):
        await api.client(name)
    await api.post("/api/v2/clients/shop/pause", None)
    await fail(api, "wiki", OPENS_AFTER)
    told = (await api.get("/metrics", by=NOBODY)).text
    for state, count in (("paused", 1), ("circuit_open", 1), ("suspended", 0)):
        assert f'logoutd_clients_held{{state="{state}"}} {count}.0' in told
    assert "logoutd_waiting_deliveries 0.0" in told
    assert 'logoutd_queue_age_seconds{lane="bulk"} 0.0' in told
    assert "wiki" not in told


LIMITS: dict[str, Any] = {"delivery_max_concurrent": 2, "delivery_rate_per_second": 0.5}


async def test_limits_are_registered_shown_changed_and_unset(api: Api) -> None:
    made = await api.client("shop", **LIMITS)
    assert {name: made[name] for name in LIMITS} == LIMITS
    changed = (await api.patch("/api/v2/clients/shop", {"delivery_rate_per_second": 10})).json()
    assert (changed["delivery_max_concurrent"], changed["delivery_rate_per_second"]) == (2, 10)
    unset = (await api.patch("/api/v2/clients/shop", dict.fromkeys(LIMITS))).json()
    assert {name: unset[name] for name in LIMITS} == dict.fromkeys(LIMITS)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("delivery_max_concurrent", 0),
        ("delivery_max_concurrent", 1025),
        ("delivery_max_concurrent", 1.5),
        ("delivery_max_concurrent", "2"),
        ("delivery_max_concurrent", True),
        ("delivery_rate_per_second", 0),
        ("delivery_rate_per_second", 0.001),
        ("delivery_rate_per_second", 1000.1),
        ("delivery_rate_per_second", "1"),
    ],
)
async def test_a_limit_that_is_none_is_refused_by_name(api: Api, member: str, value: object) -> None:
    await api.client("shop")
    refused(await api.patch("/api/v2/clients/shop", {member: value}), 400, "invalid_request", member)
    refused(await api.post("/api/v2/clients", {"client_id": "new", member: value}), 400, "invalid_request", member)
