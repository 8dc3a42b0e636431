"""The authorization server reports sign-ins: what is taken, what is refused, what is answered."""

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
