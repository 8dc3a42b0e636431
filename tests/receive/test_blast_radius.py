"""Too many people through one connection: held and not acknowledged at every door, until an operator says what it was."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.receive.okta_event_hook import AT_ONCE
from tests.support.asgi import NOBODY, Api, basic, refused, serving
from tests.support.heard import listening
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event, okta_user

MOST = 2
PEOPLE = ("ada", "ben", "cyd", "dee")


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(redis_url, tmp_path, blast_radius_people=MOST, blast_radius_window_seconds=60) as opened:
        yield opened


@pytest.fixture
async def idp() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider.running() as running:
        yield running


@pytest.fixture
async def sessions(api: Api, idp: IdentityProvider) -> dict[str, str]:
    """Everybody signed in to the shop through one connection, a minute ago."""
    await api.connection(idp, "shop", options={"okta_event_hook_secret": HOOK_SECRET})
    found = {each: (await sign_in(api, idp, each))["session_id"] for each in PEOPLE}
    api.clock.advance(60)
    return found


async def sign_in(api: Api, idp: IdentityProvider, name: str) -> dict[str, Any]:
    email = {"format": "email", "email": f"{name}@example.com"}
    subject = {"iss": idp.issuer, "sub": name}
    return await api.sign_in(idp, "shop", subject=subject, identifiers=[email], auth_time=api.clock.now_s)


async def ask(api: Api, idp: IdentityProvider, door: str, name: str) -> httpx.Response:
    """One person, by one of the doors."""
    match door:
        case "global_token_revocation":
            body = {"sub_id": {"format": "email", "email": f"{name}@example.com"}}
            return await api.global_token_revocation(idp, body)
        case "backchannel_logout":
            return await api.backchannel_logout(idp.logout_token(sub=name, now_s=api.clock.now_s))
        case _:
            events = okta_batch(event(api, name))
            return await api.call("POST", hook_path("okta"), events, by={"Authorization": HOOK_SECRET})


def event(api: Api, name: str) -> dict[str, Any]:
    return okta_event("user.session.clear", at_ms=api.clock.now_ms(), target=[okta_user(name, f"{name}@example.com")])


async def honoured(api: Api, sessions: dict[str, str]) -> list[str]:
    """Whose sessions are."""
    return [name for name, each in sessions.items() if (await api.get(f"/api/v2/sessions/{each}")).json()["active"]]


async def hold(api: Api) -> dict[str, Any] | None:
    told = (await api.get("/api/v2/connections/okta")).json().get("hold")
    listed = (await api.get("/api/v2/connections")).json()["items"][0].get("hold")
    assert told == listed
    return told


async def told_of_the_hold(api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    """What the audit trail has of it, from the first on: who, and how many."""
    counts = ("people_total", "initiator", "applied", "discarded", "left")
    return [
        (each["event"], each["actor"]["type"], {name: each[name] for name in counts if name in each})
        for each in reversed((await api.get("/api/v2/audit")).json()["items"])
        if each["event"] in {"connection.held", "connection.released"}
    ]


async def release(api: Api, *, apply: bool) -> dict[str, int]:
    answer = await api.post("/api/v2/connections/okta/release", {"apply": apply})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def held_connections(api: Api) -> float:
    text = (await api.get("/metrics", by=NOBODY)).text
    (family,) = [each for each in text_string_to_metric_families(text) if each.name == "logoutd_connections_held"]
    return family.samples[0].value


DOORS = ("global_token_revocation", "backchannel_logout", "okta_event_hook")


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_beyond_is_not_acknowledged_not_in_force_and_kept(
    api: Api, idp: IdentityProvider, sessions: dict[str, str], door: str
) -> None:
    for name in PEOPLE[:MOST]:
        assert (await ask(api, idp, door, name)).is_success
    with listening() as heard:
        for name in PEOPLE[MOST:]:
            api.clock.advance(0.001)
            answer = await ask(api, idp, door, name)
            refused(answer, 503, "temporarily_unavailable", "held until an operator releases it")
            assert answer.headers["retry-after"] == "60"
    assert await honoured(api, sessions) == ["cyd", "dee"]
    began = heard.one("connection.held")
    assert (began["level"], began["initiator"]) == ("error", door)
    assert not any("example.com" in str(each) for each in heard.lines if "held" in each["event"])
    told = await hold(api)
    assert told is not None
    assert (told["people"], told["requests"], told["not_kept"]) == (2, 2, 0)
    assert await held_connections(api) == 1
    assert len((await api.get("/api/v2/revocations")).json()["items"]) == MOST


@pytest.mark.parametrize("door", DOORS)
async def test_an_operator_puts_what_was_held_into_force(
    api: Api, idp: IdentityProvider, sessions: dict[str, str], door: str
) -> None:
    for name in PEOPLE:
        api.clock.advance(0.001)
        await ask(api, idp, door, name)
    assert await release(api, apply=True) == {"applied": 2, "left": 0}
    assert await told_of_the_hold(api) == [
        ("connection.held", "connection", {"people_total": 1, "initiator": door}),
        ("connection.released", "operator", {"applied": 2, "discarded": 0, "left": 0}),
    ]
    assert await honoured(api, sessions) == []
    assert await hold(api) is None
    assert await held_connections(api) == 0
    receipts = (await api.get("/api/v2/revocations")).json()["items"]
    assert [each["initiator"] for each in receipts] == [door] * 4
    # And counts anew.
    assert (await ask(api, idp, door, "ada")).is_success


async def test_an_operator_forgets_what_was_held(api: Api, idp: IdentityProvider, sessions: dict[str, str]) -> None:
    for name in PEOPLE:
        api.clock.advance(0.001)
        await ask(api, idp, "global_token_revocation", name)
    assert await release(api, apply=False) == {"applied": 0, "left": 0}
    assert await told_of_the_hold(api) == [
        ("connection.held", "connection", {"people_total": 1, "initiator": "global_token_revocation"}),
        ("connection.released", "operator", {"applied": 0, "discarded": 2, "left": 0}),
    ]
    assert await honoured(api, sessions) == ["cyd", "dee"]
    assert await hold(api) is None
    assert (await ask(api, idp, "global_token_revocation", "cyd")).status_code == 204


async def test_what_is_put_into_force_late_ends_nothing_begun_since(
    api: Api, idp: IdentityProvider, sessions: dict[str, str]
) -> None:
    """Law 5."""
    for name in PEOPLE:
        await ask(api, idp, "global_token_revocation", name)
    api.clock.advance(300)
    since = (await sign_in(api, idp, "cyd"))["session_id"]
    await release(api, apply=True)
    assert await honoured(api, {**sessions, "since": since}) == ["since"]


async def test_what_was_answered_with_success_is_so_again_while_the_connection_is_held(
    api: Api, idp: IdentityProvider, sessions: dict[str, str]
) -> None:
    body = {"sub_id": {"format": "email", "email": "ada@example.com"}}
    path = "/oauth/global-token-revocation/connection/okta"
    token = idp.assertion(audience=f"https://logout.example.com{path}", alg="ES256", now_s=api.clock.now_s)
    assert (await api.global_token_revocation(idp, body, assertion=token)).status_code == 204
    for name in PEOPLE[1:]:
        await ask(api, idp, "global_token_revocation", name)
    assert (await api.global_token_revocation(idp, body, assertion=token)).status_code == 204
    told = await hold(api)
    assert told is not None
    assert told["requests"] == 2
    # A new request about her is held like all others.
    assert (await ask(api, idp, "global_token_revocation", "ada")).status_code == 503


async def test_the_same_request_is_kept_once_and_succeeds_once_it_is_in_force(
    api: Api, idp: IdentityProvider, sessions: dict[str, str]
) -> None:
    batch = okta_batch(*(event(api, name) for name in PEOPLE))
    for _ in range(3):
        answer = await api.call("POST", hook_path("okta"), batch, by={"Authorization": HOOK_SECRET})
        assert answer.status_code == 503
    told = await hold(api)
    assert told is not None
    assert told["people"] == told["requests"] == 2
    assert len(await honoured(api, sessions)) == 2
    await release(api, apply=True)
    answer = await api.call("POST", hook_path("okta"), batch, by={"Authorization": HOOK_SECRET})
    assert answer.json() == {"revocations": 4, "ignored": 0}


async def test_operators_and_applications_are_never_held(
    api: Api, idp: IdentityProvider, sessions: dict[str, str]
) -> None:
    for name in PEOPLE:
        await ask(api, idp, "global_token_revocation", name)
    assert await honoured(api, sessions) == ["cyd", "dee"]
    subject = {"format": "email", "email": "cyd@example.com"}
    assert (await api.post("/api/v2/revocations", {"connection": "okta", "subject": subject})).status_code == 202
    assert (await api.delete(f"/api/v2/sessions/{sessions['dee']}", by=api.by("shop"))).status_code == 202
    assert await honoured(api, sessions) == []


async def test_a_connection_that_is_removed_takes_its_hold_along(
    api: Api, idp: IdentityProvider, sessions: dict[str, str]
) -> None:
    for name in PEOPLE:
        await ask(api, idp, "global_token_revocation", name)
    assert (await api.delete("/api/v2/connections/okta")).status_code == 204
    assert await held_connections(api) == 0
    await api.connection(idp, "shop")
    assert await hold(api) is None


async def test_the_count_is_the_windows(api: Api, idp: IdentityProvider, sessions: dict[str, str]) -> None:
    for name in PEOPLE:
        assert (await ask(api, idp, "global_token_revocation", name)).status_code == 204
        api.clock.advance(31)
    assert await honoured(api, sessions) == []


async def test_without_the_setting_nobody_is_counted(redis_url: str, tmp_path: Path, idp: IdentityProvider) -> None:
    async with serving(redis_url, tmp_path) as api:
        await api.connection(idp, "shop")
        for number in range(30):
            await sign_in(api, idp, f"person-{number}")
            assert (await ask(api, idp, "global_token_revocation", f"person-{number}")).status_code == 204
        assert [each async for each in api.resources.record.client.scan_iter("logoutd:blast-radius:*")] == []


async def test_a_release_is_the_administrators_and_says_what_is_wrong_with_it(
    api: Api, idp: IdentityProvider, sessions: dict[str, str]
) -> None:
    path = "/api/v2/connections/okta/release"
    refused(await api.post(path, {"apply": True}, by=basic("shop", "x")), 401, "invalid_token")
    refused(await api.post(path, {}), 400, "invalid_request", "`apply` is missing")
    refused(await api.post("/api/v2/connections/nothing/release", {"apply": True}), 404, "not_found")
    assert await release(api, apply=True) == {"applied": 0, "left": 0}
    assert await told_of_the_hold(api) == [], "there was none"


async def test_a_batch_of_events_larger_than_what_is_tried_at_once_is_kept_whole(
    api: Api, idp: IdentityProvider
) -> None:
    """Okta sends a batch at most once more: what the hold does not have is lost."""
    await api.connection(idp, "shop", options={"okta_event_hook_secret": HOOK_SECRET})
    names = [f"person-{number}" for number in range(2 * AT_ONCE + 5)]
    for each in names:
        await sign_in(api, idp, each)
    api.clock.advance(60)
    batch = okta_batch(*(event(api, each) for each in names))
    answer = await api.call("POST", hook_path("okta"), batch, by={"Authorization": HOOK_SECRET})
    refused(answer, 503, "temporarily_unavailable", "held until an operator releases it")
    told = await hold(api)
    assert told is not None
    assert (told["people"], told["not_kept"]) == (len(names) - MOST, 0)
    assert (await release(api, apply=True))["applied"] == len(names) - MOST
