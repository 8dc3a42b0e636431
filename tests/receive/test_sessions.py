"""Sessions after their sign-in: other applications join them, they are shown, they are ended."""

import pytest

from service.web.bodies import moment
from tests.support.asgi import Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
        "live_refresh_tokens": 0,
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


async def test_a_session_that_has_ended_can_be_ended_again_and_has_another_receipt(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop", expires_in=60)
    path = f"/api/v2/sessions/{session['session_id']}"
    first = await api.delete(path)
    ended_at = (await api.get(path)).json()["ended_at"]
    api.clock.advance(120)

    again = await api.delete(path)

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() != again.json()
    shown = (await api.get(path)).json()
    assert (shown["state"], shown["ended_at"]) == ("ended", ended_at)
    refused(await api.delete("/api/v2/sessions/ses_nothing"), 404, "not_found", "no such session")


async def test_ending_an_expired_session_ends_the_offline_tokens_that_outlived_it(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop", expires_in=60)
    token = await api.refresh_token(session, "shop", offline=True)
    api.clock.advance(60)
    path = f"/api/v2/sessions/{session['session_id']}"
    assert (await api.get(path)).json()["state"] == "expired"
    assert (await api.introspect(token)).json()["active"] is True

    assert (await api.delete(path)).status_code == 202

    assert (await api.introspect(token)).json() == {"active": False}


async def test_an_application_ends_a_session_that_is_its_own(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    shared, own = await api.sign_in(idp, "shop", "wiki"), await api.sign_in(idp, "shop")
    path = f"/api/v2/sessions/{shared['session_id']}"
    refused(await api.delete(path, by=api.by("shop")), 403, "access_denied", "shared")
    assert (await api.delete(f"{path}/clients/wiki", by=api.by("wiki"))).status_code == 204
    # It is the only one in it now.
    for each in (shared, own):
        answer = await api.delete(f"/api/v2/sessions/{each['session_id']}", by=api.by("shop"))
        assert answer.status_code == 202
        receipt = (await api.get(f"/api/v2/revocations/{answer.json()['revocation_id']}")).json()
        assert receipt["scope"] == {"kind": "session", "session_id": each["session_id"]}
