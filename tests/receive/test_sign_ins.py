"""The authorization server reports sign-ins; applications join them; they end."""

import asyncio
import re
from typing import Any

import pytest

from service.receive.sign_ins import (
    DEFAULT_LIFETIME_S,
    FUTURE_AUTH_TIME_S,
    MAX_CLIENTS,
    MAX_IDENTIFIERS,
    MAX_LIFETIME_S,
)
from service.web.bodies import moment
from tests.support.asgi import SUBJECT, Api, refused, sign_in_body
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMAIL = {"format": "email", "email": "ada@example.com"}


async def test_a_sign_in_is_answered_with_the_names_each_application_knows_it_by(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop", "wiki")
    body = {
        **sign_in_body(idp),
        "identifiers": [EMAIL],
        "upstream_sid": "upstream-1",
        "auth_time": api.clock.now_s,
        "expires_in": 3600,
        "clients": [{"client_id": "shop", "sub": "ada-at-shop", "sid": "sid-at-shop"}, {"client_id": "wiki"}],
    }
    answer = await api.post("/api/v2/sessions", body)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    session, user = told["session_id"], told["user_id"]
    assert re.fullmatch(r"ses_[a-z2-7]{26}", session)
    assert re.fullmatch(r"usr_[a-z2-7]{26}", user)
    now_ms = api.clock.now_ms()
    assert told == {
        "session_id": session,
        "user_id": user,
        "created_at": moment(now_ms),
        "expires_at": moment(now_ms + 3_600_000),
        "clients": [
            {"client_id": "shop", "sub": "ada-at-shop", "sid": "sid-at-shop"},
            {"client_id": "wiki", "sub": user, "sid": session},
        ],
    }


async def test_a_session_lasts_a_week_unless_said_otherwise(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    told = await api.sign_in(idp, "shop")
    assert told["expires_at"] == moment(api.clock.now_ms() + DEFAULT_LIFETIME_S * 1000)
    longest = await api.sign_in(idp, "shop", expires_in=MAX_LIFETIME_S)
    assert longest["expires_at"] == moment(api.clock.now_ms() + MAX_LIFETIME_S * 1000)


async def test_the_same_person_is_the_same_user_and_each_sign_in_a_session_of_its_own(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop")
    await api.connection(idp, "shop", name="other")
    first, second = await api.sign_in(idp, "shop"), await api.sign_in(idp, "shop")
    assert first["user_id"] == second["user_id"]
    assert first["session_id"] != second["session_id"]
    assert (await api.sign_in(idp, "shop", connection="other"))["user_id"] != first["user_id"]


@pytest.mark.parametrize(
    ("members", "naming"),
    [
        ({"subject": {"iss": "https://a.example"}}, "subject.sub"),
        ({"subject": {"iss": "", "sub": "ada"}}, "subject.iss"),
        ({"subject": {"iss": "https://a.example", "sub": "a\x00b"}}, "sub"),
        ({"subject": {"iss": "https://a.example", "sub": "x" * 1025}}, "subject.sub"),
        ({"subject": {"iss": "https://a.example", "sub": "ada", "email": "x"}}, "subject.email"),
        ({"identifiers": [{"format": "email", "email": "ada"}]}, "email"),
        ({"identifiers": [{"format": "login", "login": "ada"}]}, "not supported"),
        ({"identifiers": [EMAIL] * (MAX_IDENTIFIERS + 1)}, "identifiers"),
        ({"identifiers": ["ada@example.com"]}, "identifiers.0"),
        ({"identifiers": EMAIL}, "identifiers"),
        ({"auth_time": "1700000000"}, "auth_time"),
        ({"auth_time": 1.5}, "auth_time"),
        ({"auth_time": True}, "auth_time"),
        ({"auth_time": -1}, "auth_time"),
        ({"auth_time": 10**30}, "auth_time"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": MAX_LIFETIME_S + 1}, "expires_in"),
        ({"upstream_sid": ""}, "upstream_sid"),
        ({"clients": [{}]}, "clients.0.client_id"),
        ({"clients": [{"client_id": "shop", "sub": ""}]}, "clients.0.sub"),
        ({"clients": [{"client_id": "shop", "secret": "x"}]}, "clients.0.secret"),
        ({"clients": [{"client_id": "shop"}, {"client_id": "shop"}]}, "`clients` names a client twice"),
        ({"clients": [{"client_id": f"c{n}"} for n in range(MAX_CLIENTS + 1)]}, "clients"),
    ],
)
async def test_a_wrong_member_is_named(api: Api, idp: IdentityProvider, members: dict[str, Any], naming: str) -> None:
    await api.connection(idp, "shop")
    body = {**sign_in_body(idp, "shop"), **members}
    refused(await api.post("/api/v2/sessions", body), 400, "invalid_request", naming)


async def test_an_authentication_in_the_future_is_refused_but_for_clocks_that_differ(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop")
    latest = api.clock.now_s + FUTURE_AUTH_TIME_S
    await api.sign_in(idp, "shop", auth_time=latest)
    body = sign_in_body(idp, "shop", auth_time=latest + 1)
    refused(await api.post("/api/v2/sessions", body), 400, "invalid_request", "auth_time", "future")


async def test_only_enabled_clients_that_exist_may_be_in_a_session(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    await api.client("board")
    for others in (["board"], ["shop", "board"], ["nobodys"]):
        body = sign_in_body(idp, *others)
        refused(await api.post("/api/v2/sessions", body), 403, "access_denied", "not enabled")
    await api.delete("/api/v2/clients/wiki")
    body = sign_in_body(idp, "wiki")
    refused(await api.post("/api/v2/sessions", body), 403, "access_denied", "not enabled")


async def test_a_connection_that_does_not_exist_or_is_disabled_takes_no_sign_in(
    api: Api, idp: IdentityProvider
) -> None:
    connection = await api.connection(idp, "shop")
    body = sign_in_body(idp, "shop")
    refused(await api.post("/api/v2/sessions", {**body, "connection": "nobodys"}), 404, "not_found", "connection")
    assert (await api.post("/api/v2/sessions", {**body, "connection": connection["id"]})).status_code == 201
    await api.patch(f"/api/v2/connections/{connection['id']}", {"enabled": False})
    refused(await api.post("/api/v2/sessions", body), 403, "access_denied", "disabled")


async def test_a_sign_in_that_began_before_the_revocation_cannot_finish_after_it(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop")
    began = api.clock.now_s
    session = await api.sign_in(idp, "shop")
    api.clock.advance(5)
    await api.delete(f"/api/v2/users/{session['user_id']}/sessions")
    revoked = api.clock.now_s
    api.clock.advance(5)
    for auth_time in (began, revoked):
        answer = await api.post("/api/v2/sessions", sign_in_body(idp, "shop", auth_time=auth_time))
        refused(answer, 409, "reauthentication_required", "authenticate again")
    listed = (await api.get(f"/api/v2/users/{session['user_id']}/sessions")).json()["items"]
    assert [each["session_id"] for each in listed] == [session["session_id"]]
    await api.sign_in(idp, "shop", auth_time=revoked + 1)
    await api.sign_in(idp, "shop")


async def test_another_application_joins(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki", "board")
    session = await api.sign_in(idp, "shop")
    path = f"/api/v2/sessions/{session['session_id']}"
    named = await api.post(f"{path}/clients", {"client_id": "wiki", "sub": "ada-at-wiki", "sid": "sid-at-wiki"})
    assert named.status_code == 201
    assert named.headers["cache-control"] == "no-store"
    assert named.json() == {"client_id": "wiki", "sub": "ada-at-wiki", "sid": "sid-at-wiki"}
    unnamed = await api.post(f"{path}/clients", {"client_id": "board"})
    assert unnamed.json() == {"client_id": "board", "sub": session["user_id"], "sid": session["session_id"]}
    shown = (await api.get(path)).json()["clients"]
    assert shown == [unnamed.json(), *session["clients"], named.json()]


async def test_joining_again_is_no_error_with_the_same_names_and_one_with_others(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop")
    path = f"/api/v2/sessions/{session['session_id']}/clients"
    body = {"client_id": "wiki", "sub": "ada", "sid": "one"}
    for _ in range(2):
        assert (await api.post(path, body)).json() == body
    for other in (
        {**body, "sub": "grace"},
        {**body, "sid": "two"},
        {"client_id": "wiki"},
        {"client_id": "shop", "sid": "two"},
    ):
        refused(await api.post(path, other), 409, "conflict", "another `sub` or `sid`")
    shown = (await api.get(path.removesuffix("/clients"))).json()["clients"]
    assert shown == [*session["clients"], body]


async def test_who_is_not_enabled_cannot_join(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    await api.client("wiki")
    session = await api.sign_in(idp, "shop")
    path = f"/api/v2/sessions/{session['session_id']}/clients"
    for other in ("wiki", "nobodys"):
        refused(await api.post(path, {"client_id": other}), 403, "access_denied", "not enabled")


async def test_nobody_joins_a_session_that_has_ended_expired_or_never_was(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    ended, expired = await api.sign_in(idp, "shop"), await api.sign_in(idp, "shop", expires_in=60)
    person = await api.sign_in(idp, "shop")
    await api.delete(f"/api/v2/sessions/{ended['session_id']}")
    joining = {"client_id": "wiki"}
    refused(await api.post(f"/api/v2/sessions/{ended['session_id']}/clients", joining), 404, "not_found", "ended")
    api.clock.advance(60)
    refused(await api.post(f"/api/v2/sessions/{expired['session_id']}/clients", joining), 404, "not_found", "ended")
    await api.delete(f"/api/v2/users/{person['user_id']}/sessions")
    refused(await api.post(f"/api/v2/sessions/{person['session_id']}/clients", joining), 404, "not_found", "ended")
    refused(await api.post("/api/v2/sessions/ses_nothing/clients", joining), 404, "not_found", "no such session")


async def test_a_session_whose_connection_is_gone_takes_nobody_in(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop")
    await api.delete(f"/api/v2/connections/{connection['id']}")
    path = f"/api/v2/sessions/{session['session_id']}"
    refused(await api.post(f"{path}/clients", {"client_id": "wiki"}), 404, "not_found", "connection is gone")
    assert (await api.get(path)).json()["active"] is True
    assert (await api.delete(path)).status_code == 202


async def test_a_session_is_shown_as_it_stands(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    made = await api.sign_in(idp, "shop", expires_in=60, auth_time=1_700_000_000, upstream_sid="upstream-1")
    answer = await api.get(f"/api/v2/sessions/{made['session_id']}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        **made,
        "connection_id": connection["id"],
        "active": True,
        "state": "active",
        "ended_at": None,
        "upstream_sid": "upstream-1",
        "auth_time": 1_700_000_000,
    }
    refused(await api.get("/api/v2/sessions/ses_nothing"), 404, "not_found", "no such session")


async def test_ending_a_session_ends_its_tokens_and_no_other(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    first, second = await api.sign_in(idp, "shop"), await api.sign_in(idp, "shop")
    dead = [await api.refresh_token(first, "shop"), await api.refresh_token(first, "shop", offline=True)]
    alive = await api.refresh_token(second, "shop")
    path = f"/api/v2/sessions/{first['session_id']}"

    answer = await api.delete(path)

    assert answer.status_code == 202
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"revocation_id"}
    for token in dead:
        assert (await api.introspect(token)).json() == {"active": False}
    assert (await api.introspect(alive)).json()["active"] is True
    shown = (await api.get(path)).json()
    assert (shown["active"], shown["state"]) == (False, "ended")
    assert shown["ended_at"] == moment(api.clock.now_ms())
    receipt = (await api.get(f"/api/v2/revocations/{answer.json()['revocation_id']}")).json()
    assert (receipt["initiator"], receipt["session_id"]) == ("session_delete", first["session_id"])
    # The person may go on signing in: one session was ended, they were not.
    await api.sign_in(idp, "shop", auth_time=api.clock.now_s - 60)


async def test_what_people_and_sessions_are_called_may_be_any_text(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    for odd in (
        "\U0001f469\u200d\U0001f680",
        "}:session:{",
        'a"b\\c',
        "\u202eada",
        "a\x00b\x7f",
        "]] --",
        "%00",
        "a b",
    ):
        sub = odd.replace("\x00", "")
        body = {
            **sign_in_body(idp, subject={"iss": idp.issuer, "sub": sub}, upstream_sid=odd),
            "clients": [{"client_id": "shop", "sub": odd, "sid": odd}],
        }
        answer = await api.post("/api/v2/sessions", body)
        assert answer.status_code == 201, answer.text
        shown = (await api.get(f"/api/v2/sessions/{answer.json()['session_id']}")).json()
        assert shown["clients"] == [{"client_id": "shop", "sub": odd, "sid": odd}]
        assert shown["upstream_sid"] == odd
        person = (await api.get(f"/api/v2/users/{shown['user_id']}")).json()
        assert person["subject"] == {"iss": idp.issuer, "sub": sub}


async def test_sign_ins_at_once_are_all_kept(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    made = await asyncio.gather(*(api.sign_in(idp, "shop") for _ in range(10)))
    assert len({each["session_id"] for each in made}) == 10
    user = made[0]["user_id"]
    assert len((await api.get(f"/api/v2/users/{user}/sessions")).json()["items"]) == 10
    assert {each["user_id"] for each in made} == {user}
    assert (await api.get(f"/api/v2/users/{user}")).json()["subject"]["sub"] == SUBJECT
