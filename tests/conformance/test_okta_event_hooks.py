"""Okta's event hooks, rule by rule: what Okta documents (developer.okta.com, "Event hooks", "Event types", "System Log"), and
what the contract (section 4.3, laws) makes of it. The service stands here without a worker.
"""

from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.domain.okta_events import CLOCK_ALLOWANCE_MS, ENDING_EVENTS, FUTURE_SKEW_MS
from service.receive.okta_event_hook import MAX_BATCH_BYTES, MAX_CHALLENGE_LENGTH, MAX_EVENTS
from service.web.throttles import BURST_S
from tests.support.asgi import AGE_S, Api, refused, serving
from tests.support.hook_door import EMAIL, HookDoor
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import ADMINISTRATOR, HOOK_SECRET, okta_batch, okta_user
from tests.support.tokens import REMOVED

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOSING = sorted(name for name, kind in ENDING_EVENTS.items() if kind.closes_the_account)
OTHERS = sorted(set(ENDING_EVENTS) - set(CLOSING))


@pytest_asyncio.fixture(loop_scope="module")
async def door(module_api: Api, redis_url: str, idp: IdentityProvider) -> HookDoor:
    """A door, with somebody behind it."""
    module_api.clock.advance(AGE_S)
    module_api.secrets.clear()
    return await HookDoor.open(module_api, idp)


# One-time verification request.


async def test_verification_sends_the_challenge_back_as_json(door: HookDoor) -> None:
    answer = await door.verification(**{"X-Okta-Verification-Challenge": 'a "quoted" challenge'})
    assert answer.status_code == 200
    assert answer.json() == {"verification": 'a "quoted" challenge'}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("challenge", [None, "", "x" * (MAX_CHALLENGE_LENGTH + 1)])
async def test_verification_without_a_challenge_or_with_one_too_long_is_400(
    door: HookDoor, challenge: str | None
) -> None:
    headers = {} if challenge is None else {"X-Okta-Verification-Challenge": challenge}
    refused(await door.verification(**headers), 400, "invalid_request", "x-okta-verification-challenge", "1024")
    longest = await door.verification(**{"X-Okta-Verification-Challenge": "x" * MAX_CHALLENGE_LENGTH})
    assert longest.status_code == 200


async def test_verification_of_what_is_not_set_up_is_404(door: HookDoor, idp: IdentityProvider) -> None:
    await door.api.connection(idp, name="no-hook")
    for name in ("no-hook", "nowhere", "no_name"):
        headers = {"X-Okta-Verification-Challenge": "x"}
        answer = await door.api.call("GET", f"/webhooks/okta/connection/{name}", by={}, headers=headers)
        refused(answer, 404, "not_found", "okta_event_hook_secret")


# Authentication: the header and the value an administrator chose.


@pytest.mark.parametrize("authorization", [HOOK_SECRET, f"Bearer {HOOK_SECRET}"])
async def test_authentication_is_the_header_as_it_was_typed(door: HookDoor, authorization: str) -> None:
    answer = await door.send(door.event(), authorization=authorization)
    assert answer.status_code == 200
    assert await door.everything_is_dead()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", HOOK_SECRET[:-1], f"Basic {HOOK_SECRET}", "x" * 9000])
async def test_authentication_that_fails_is_401_and_does_nothing(door: HookDoor, authorization: str | None) -> None:
    refused(await door.send(door.event(), authorization=authorization), 401, "invalid_token")
    assert await door.nothing_happened()


async def test_authentication_answers_all_who_fail_alike(door: HookDoor, idp: IdentityProvider) -> None:
    await door.api.connection(idp, name="no-hook")
    wrong = [
        await door.send(door.event(), authorization="wrong"),
        await door.send(door.event(), name="no-hook"),
        await door.send(door.event(), name="nowhere"),
        await door.send(door.event(), name="no_name"),
        await door.send_body(b"{", authorization="wrong"),
    ]
    assert {(each.status_code, each.content, each.headers["www-authenticate"]) for each in wrong} == {
        (401, wrong[0].content, wrong[0].headers["www-authenticate"])
    }
    assert await door.nothing_happened()


async def test_authentication_comes_before_403_and_that_before_the_body(door: HookDoor) -> None:
    await door.api.patch(f"/api/v2/connections/{door.connection_id}", {"enabled": False})
    refused(await door.send(door.event(), authorization="wrong"), 401, "invalid_token")
    refused(await door.send(door.event()), 403, "access_denied", "disabled")
    refused(await door.send_body(b"{"), 403, "access_denied")


async def test_authentication_goes_by_the_newest_secret_and_none_closes_the_door(door: HookDoor) -> None:
    path = f"/api/v2/connections/{door.connection_id}"
    changed = await door.api.patch(path, {"options": {"okta_event_hook_secret": "another-secret"}})
    assert changed.status_code == 200
    assert "another-secret" not in changed.text
    refused(await door.send(door.event()), 401, "invalid_token")
    assert (await door.send(door.event("user.session.start"), authorization="another-secret")).status_code == 200
    await door.api.patch(path, {"options": {"okta_event_hook_secret": None}})
    refused(await door.send(door.event(), authorization="another-secret"), 401, "invalid_token")
    assert await door.nothing_happened()


async def test_a_secret_that_no_header_carries_is_refused_where_it_is_set(door: HookDoor) -> None:
    for secret in ("geheim\xe4\xe4\xe4", " surrounded ", "short", "x" * 257):
        body = {"options": {"okta_event_hook_secret": secret}}
        answer = await door.api.patch(f"/api/v2/connections/{door.connection_id}", body)
        refused(answer, 400, "invalid_request", "okta_event_hook_secret")
        assert secret not in answer.text


# Event delivery request.


async def test_delivery_is_200_once_everything_is_in_force(door: HookDoor) -> None:
    assert await door.told(door.event()) == (1, 0)
    assert await door.everything_is_dead()
    (receipt,) = await door.receipts()
    assert (receipt["initiator"], receipt["reason"]) == ("okta_event_hook", "user.session.clear")
    assert (receipt["user_ids"], receipt["state"]) == ([door.user_id], "accepted")


@pytest.mark.parametrize(
    ("body", "naming"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"data": NaN}', "NaN"),
        (b'{"data": {}, "data": {}}', "same member twice"),
        (b'{"data": "\xff"}', "UTF-8"),
        ([], "JSON object"),
        (None, "JSON object"),
        ({}, "`data.events`"),
        ({"data": []}, "`data.events`"),
        ({"data": {"events": {}}}, "`data.events`"),
        ({"data": {"events": []}}, "`data.events`"),
        ({"data": {"events": [{}] * (MAX_EVENTS + 1)}}, "at most 500 events"),
    ],
)
async def test_delivery_of_no_events_is_400_and_named(door: HookDoor, body: Any, naming: str) -> None:
    refused(await door.send_body(body), 400, "invalid_request", naming)
    assert await door.nothing_happened()


async def test_delivery_of_the_most_events_is_read(door: HookDoor) -> None:
    starts = [{"eventType": "user.session.start"}] * (MAX_EVENTS - 1)
    assert await door.told(*starts, door.event()) == (1, MAX_EVENTS - 1)
    assert await door.everything_is_dead()


async def test_delivery_of_more_than_a_mebibyte_is_413_and_of_less_is_read(door: HookDoor) -> None:
    # A batch is not the 64 KiB of everything else: one refused with 4xx never comes again.
    long = door.event(debugContext={"debugData": "x" * (MAX_BATCH_BYTES - 4000)})
    longer = door.event(debugContext={"debugData": "x" * MAX_BATCH_BYTES})
    refused(await door.send(longer), 413, "request_too_large", "1024 KiB")
    assert await door.nothing_happened()
    assert await door.told(long) == (1, 0)
    assert await door.everything_is_dead()


async def test_delivery_may_hold_several_events_of_several_people(door: HookDoor, idp: IdentityProvider) -> None:
    ben = await door.api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": "00u2ben"})
    events = [
        door.event("user.session.start"),
        door.event(),
        door.event("user.lifecycle.suspend", target=[okta_user("00u2ben", "ben@example.com")]),
        door.event("user.lifecycle.deactivate", target=[okta_user("00u3cy", "cy@example.com")]),
    ]
    assert await door.told(*events) == (2, 2)
    assert await door.everything_is_dead()
    assert await door.is_over(ben["session_id"])
    assert {each["reason"] for each in await door.receipts()} == {"user.session.clear", "user.lifecycle.suspend"}


@pytest.mark.parametrize(
    "broken",
    [None, 7, [], {}, {"eventType": 7}, {"uuid": REMOVED}, {"uuid": "x" * 257}, {"target": {}}, {"target": [{}] * 101}],
)
async def test_delivery_with_an_event_that_cannot_be_read_does_the_others(door: HookDoor, broken: Any) -> None:
    bent = door.event("user.session.end", **broken) if isinstance(broken, dict) and broken else broken
    assert await door.told(bent, door.event()) == (1, 1)
    assert await door.everything_is_dead()


async def test_delivery_of_events_that_end_nothing_is_acknowledged(door: HookDoor) -> None:
    types = ["user.session.start", "user.lifecycle.create", "user.mfa.factor.reset_all", "user.risk.change", "ada@x.y"]
    assert await door.told(*(door.event(each) for each in types)) == (0, len(types))
    assert await door.nothing_happened()


async def test_delivery_that_comes_too_soon_is_503_for_a_4xx_would_lose_it(redis_url: str, tmp_path: Path) -> None:
    """Okta tries again after 5xx alone, and once."""
    async with serving(redis_url, tmp_path, door_requests_per_second=1) as api, IdentityProvider.running() as provider:
        door = await HookDoor.open(api, provider)
        answers = [await door.send(door.event("user.session.start")) for _ in range(BURST_S + 1)]
        assert [each.status_code for each in answers] == [200] * BURST_S + [503]
        refused(answers[-1], 503, "temporarily_unavailable", "more than it may")
        assert answers[-1].headers["retry-after"] == "1"
        assert 'outcome="too_many_requests"' in (await api.get("/metrics")).text
        api.clock.advance(1)
        assert (await door.send(door.event())).json() == {"revocations": 1, "ignored": 0}


async def test_delivery_is_read_whatever_its_content_type(door: HookDoor) -> None:
    by = {"Authorization": HOOK_SECRET, "Content-Type": "text/plain"}
    answer = await door.api.call("POST", "/webhooks/okta/connection/okta", okta_batch(door.event()), by=by)
    assert answer.status_code == 200
    assert await door.everything_is_dead()


# Event types.


@pytest.mark.parametrize("event_type", ENDING_EVENTS)
async def test_event_type_of_the_table_ends_everything_the_person_has(door: HookDoor, event_type: str) -> None:
    assert await door.told(door.event(event_type)) == (1, 0)
    assert await door.everything_is_dead()


async def test_event_type_of_a_self_service_sign_out_means_the_actor(door: HookDoor) -> None:
    assert await door.told(door.event("user.session.end", actor=okta_user(), target=None)) == (1, 0)
    assert await door.everything_is_dead()


async def test_event_type_of_a_lock_means_the_actor_and_is_a_failure(door: HookDoor) -> None:
    outcome = {"result": "FAILURE", "reason": "LOCKED_OUT"}
    assert await door.told(door.event("user.account.lock", actor=okta_user(), target=None, outcome=outcome)) == (1, 0)
    assert await door.everything_is_dead()


async def test_event_type_of_what_is_done_to_somebody_never_means_the_administrator(
    door: HookDoor, idp: IdentityProvider
) -> None:
    root = await door.api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": ADMINISTRATOR["id"]})
    assert await door.told(*(door.event(each) for each in ENDING_EVENTS)) == (len(ENDING_EVENTS), 0)
    assert await door.told(door.event("user.lifecycle.deactivate", target=None)) == (0, 1)
    assert not await door.is_over(root["session_id"])


@pytest.mark.parametrize("event_type", ["user.session.clear", "user.account.update_password", "user.lifecycle.suspend"])
async def test_event_type_whose_outcome_is_a_failure_did_not_happen(door: HookDoor, event_type: str) -> None:
    assert await door.told(door.event(event_type, outcome={"result": "FAILURE"})) == (0, 1)
    assert await door.nothing_happened()


async def test_event_type_of_universal_logout_counts_although_an_application_was_not_reached(door: HookDoor) -> None:
    event = door.event("user.authentication.universal_logout", outcome={"result": "FAILURE", "reason": "503"})
    assert await door.told(event) == (1, 0)
    assert await door.everything_is_dead()


# Target: by Okta's id, by login, by e-mail, within the connection (law 4).


async def test_target_is_known_by_okta_id_as_an_opaque_identifier(door: HookDoor, idp: IdentityProvider) -> None:
    names = [{"format": "opaque", "id": "00u2ben"}]
    ben = await door.api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": "ben"}, identifiers=names)
    event = door.event(target=[okta_user("00u2ben", "nobody@example.com")])
    assert await door.told(event) == (1, 0)
    assert await door.is_over(ben["session_id"])
    assert not await door.is_over()


@pytest.mark.parametrize(
    ("sub", "names", "login"),
    [
        ("ben", [{"format": "email", "email": "ben@example.com"}], "Ben@EXAMPLE.com"),
        ("ben", [{"format": "opaque", "id": "ben.lovelace"}], "ben.lovelace"),
        ("ben", [{"format": "account", "uri": "acct:ben@example.com"}], "ben@Example.com"),
        ("ben@example.com", [], "ben@example.com"),
    ],
)
async def test_target_whose_id_is_not_known_is_known_by_login(
    door: HookDoor, idp: IdentityProvider, sub: str, names: list[dict[str, str]], login: str
) -> None:
    ben = await door.api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": sub}, identifiers=names)
    assert await door.told(door.event(target=[okta_user("00u2ben", login)])) == (1, 0)
    assert await door.is_over(ben["session_id"])
    assert not await door.is_over()


async def test_target_whose_id_is_known_is_nobody_else_who_has_the_address(
    door: HookDoor, idp: IdentityProvider
) -> None:
    ben = await door.api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": "00u2ben"}, identifiers=[EMAIL])
    assert await door.told(door.event()) == (1, 0)
    assert await door.everything_is_dead()
    assert not await door.is_over(ben["session_id"])


async def test_target_is_everybody_who_has_the_address_when_the_id_is_not_known(
    door: HookDoor, idp: IdentityProvider
) -> None:
    ben = await door.api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": "00u2ben"}, identifiers=[EMAIL])
    assert await door.told(door.event(target=[okta_user("00u9elsewhere")])) == (1, 0)
    assert await door.everything_is_dead()
    assert await door.is_over(ben["session_id"])


async def test_target_is_known_under_each_issuer_of_the_connection(door: HookDoor) -> None:
    custom = "https://login.example.com"
    options = {"options": {"global_token_revocation_jwt_iss": [custom]}}
    assert (await door.api.patch(f"/api/v2/connections/{door.connection_id}", options)).status_code == 200
    ben = await door.api.sign_in(door.idp, "shop", subject={"iss": custom, "sub": "00u2ben"})
    assert await door.told(door.event(target=[okta_user("00u2ben", "unknown")])) == (1, 0)
    assert await door.is_over(ben["session_id"])


async def test_target_that_is_not_known_is_acknowledged_and_the_next_sign_in_is_not_its_affair(
    door: HookDoor, idp: IdentityProvider
) -> None:
    event = door.event(target=[okta_user("00u2ben", "ben@example.com")])
    assert await door.told(event) == (0, 1)
    door.api.clock.advance(5)
    ben = await door.api.sign_in(
        idp, "shop", subject={"iss": idp.issuer, "sub": "00u2ben"}, auth_time=door.api.clock.now_s
    )
    assert await door.told(event) == (1, 0)
    assert not await door.is_over(ben["session_id"])


async def test_target_of_another_connection_is_nobody_here(door: HookDoor, idp: IdentityProvider) -> None:
    await door.api.connection(idp, "shop", name="other", options={"okta_event_hook_secret": "the-others-secret"})
    answer = await door.send(door.event(), name="other", authorization="the-others-secret")
    assert answer.json() == {"revocations": 0, "ignored": 1}
    refused(await door.send(door.event(), name="other"), 401, "invalid_token")
    assert await door.nothing_happened()


# At least once, in any order (law 5).


async def test_repeats_are_answered_alike_and_change_nothing(door: HookDoor) -> None:
    event = door.event()
    assert [await door.told(event) for _ in range(3)] == [(1, 0)] * 3
    assert await door.told(event, event, event) == (3, 0)
    assert len(await door.receipts()) == 1


async def test_repeats_after_a_new_sign_in_do_not_end_it(door: HookDoor, idp: IdentityProvider) -> None:
    for event_type in OTHERS:
        event = door.event(event_type)
        await door.told(event)
        door.api.clock.advance(5)
        again = await door.api.sign_in(idp, "shop", auth_time=door.api.clock.now_s)
        assert await door.told(event) == (1, 0)
        assert not await door.is_over(again["session_id"]), event_type


@pytest.mark.parametrize("with_auth_time", [True, False])
async def test_a_late_event_ends_what_had_begun_by_then_and_nothing_newer(
    door: HookDoor, idp: IdentityProvider, *, with_auth_time: bool
) -> None:
    members = {"auth_time": door.api.clock.now_s} if with_auth_time else {}
    newer = await door.api.sign_in(idp, "shop", **members)
    token = await door.api.refresh_token(newer, "shop", offline=True)
    door.api.clock.advance(3600)
    assert await door.told(door.event("user.session.clear", ago_s=3601)) == (1, 0)
    assert await door.everything_is_dead()
    assert not await door.is_over(newer["session_id"])
    assert await door.is_active(token)


@pytest.mark.parametrize("event_type", ENDING_EVENTS)
async def test_a_minute_is_allowed_where_an_account_closes_and_none_elsewhere(
    door: HookDoor, idp: IdentityProvider, event_type: str
) -> None:
    within = await door.api.sign_in(idp, "shop", auth_time=door.api.clock.now_s)
    after = await door.api.sign_in(idp, "shop", auth_time=door.api.clock.now_s + 1)
    assert await door.told(door.event(event_type, ago_s=CLOCK_ALLOWANCE_MS / 1000)) == (1, 0)
    assert await door.everything_is_dead()
    assert await door.is_over(within["session_id"]) is (event_type in CLOSING)
    assert not await door.is_over(after["session_id"])


@pytest.mark.parametrize("when", [REMOVED, None, "yesterday", "2027-01-15"])
async def test_an_event_that_does_not_say_when_it_happened_is_of_the_moment_it_arrives(
    door: HookDoor, when: Any
) -> None:
    event = door.event("user.session.end", published=when)
    assert await door.told(event) == (1, 0)
    assert await door.everything_is_dead()
    door.api.clock.advance(5)
    again = await door.api.sign_in(door.idp, "shop", auth_time=door.api.clock.now_s)
    assert await door.told(event) == (1, 0)
    assert not await door.is_over(again["session_id"])


async def test_an_event_of_the_future_does_not_reach_sessions_that_are_yet_to_begin(door: HookDoor) -> None:
    assert await door.told(door.event("user.session.end", ago_s=-86_400)) == (1, 0)
    assert await door.everything_is_dead()
    door.api.clock.advance(FUTURE_SKEW_MS / 1000 + 1)
    again = await door.api.sign_in(door.idp, "shop", auth_time=door.api.clock.now_s)
    assert not await door.is_over(again["session_id"])


async def test_a_sign_in_that_had_begun_by_then_and_is_reported_late_is_refused(door: HookDoor) -> None:
    began = door.api.clock.now_s
    door.api.clock.advance(5)
    assert await door.told(door.event()) == (1, 0)
    body = {
        "connection": "okta",
        "subject": {"iss": door.idp.issuer, "sub": "00u1ada"},
        "clients": [{"client_id": "shop"}],
    }
    late = await door.api.post("/api/v2/sessions", {**body, "auth_time": began})
    refused(late, 409, "reauthentication_required")
