"""An application leaves a session by itself: it goes on for the others, and nothing is owed to it any more."""

import pytest

from service.store.audit import MOST_A_MINUTE
from tests.support.asgi import SUBJECT, Api, refused
from tests.support.contents import contents, trail
from tests.support.heard import listening
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_application_leaves_and_its_tokens_end_while_the_others_stay(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop", "wiki")
    other = await api.sign_in(idp, "shop")
    dead = [await api.refresh_token(session, "shop", offline=each) for each in (False, True)]
    alive = [await api.refresh_token(session, "wiki"), await api.refresh_token(other, "shop")]
    path = f"/api/v2/sessions/{session['session_id']}"

    answer = await api.delete(f"{path}/clients/shop", by=api.by("shop"))

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert [(await api.introspect(each)).json() for each in dead] == [{"active": False}] * 2
    assert [(await api.introspect(each)).json()["active"] for each in alive] == [True, True]
    shown = (await api.get(path)).json()
    assert (shown["active"], [each["client_id"] for each in shown["clients"]]) == (True, ["wiki"])
    refused(await api.get(path, by=api.by("shop")), 404, "not_found", "no such session")
    hinted = await api.introspect(session["session_id"], by=api.by("shop"), token_type_hint="session")
    assert hinted.json() == {"active": False}
    body = {"session_id": session["session_id"], "client_id": "shop"}
    refused(await api.post("/api/v2/refresh-tokens", body), 400, "invalid_request", "not in this session")
    assert (await api.get("/api/v2/revocations")).json()["items"] == []


async def test_when_the_last_has_left_the_session_stays_until_it_expires(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop", expires_in=60)
    path = f"/api/v2/sessions/{session['session_id']}"
    await api.delete(f"{path}/clients/shop")
    shown = (await api.get(path)).json()
    assert (shown["state"], shown["clients"]) == ("active", [])
    # Single sign-on: the person opens the next application without signing in again, or the same one by another name.
    assert (await api.post(f"{path}/clients", {"client_id": "wiki"})).status_code == 201
    assert (await api.post(f"{path}/clients", {"client_id": "shop", "sid": "anew"})).json()["sid"] == "anew"
    api.clock.advance(60)
    assert (await api.get(path)).json()["state"] == "expired"


async def test_leaving_again_changes_nothing(api: Api, idp: IdentityProvider, redis_url: str) -> None:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop", "wiki")
    await api.refresh_token(session, "shop")
    path = f"/api/v2/sessions/{session['session_id']}/clients"
    with listening() as heard:
        assert (await api.delete(f"{path}/shop")).status_code == 204
    told = {"event": "session.left", "level": "info", "client_id": "shop", "refresh_tokens_ended": 1}
    assert heard.one("session.left").items() >= {**told, "session_id": session["session_id"]}.items()
    (left,) = [each for each in trail(redis_url) if each["event"] == "session.left"]
    assert (left["client_id"], left["actor"]["type"], len(left["people"])) == ("shop", "operator", 1)
    before, entries = contents(redis_url), trail(redis_url)
    for each in ("shop", "never-in-it"):
        assert (await api.delete(f"{path}/{each}")).status_code == 204
    assert (await api.delete(f"{path}/shop", by=api.by("shop"))).status_code == 204
    assert (contents(redis_url), trail(redis_url)) == (before, entries)


async def test_leaving_what_has_ended_over_and_over_fills_no_trail(
    api: Api, idp: IdentityProvider, redis_url: str
) -> None:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop")
    path = f"/api/v2/sessions/{session['session_id']}"
    assert (await api.delete(path)).status_code == 202
    for _ in range(MOST_A_MINUTE * 3):
        assert (await api.delete(f"{path}/clients/shop", by=api.by("shop"))).status_code == 204
    left = [each for each in trail(redis_url) if each["event"] == "session.left"]
    assert 1 <= len(left) <= MOST_A_MINUTE * 2, "at most one turn of the minute came between"


async def test_whatever_an_application_ends_by_leaving_is_told_however_often_others_left_what_had_ended(
    api: Api, idp: IdentityProvider, redis_url: str
) -> None:
    await api.connection(idp, "shop", "wiki")
    ended = await api.sign_in(idp, "shop", "wiki")
    offline = await api.refresh_token(ended, "shop", offline=True)
    api.clock.advance(1)
    assert (await api.backchannel_logout(idp.logout_token(sub=SUBJECT, now_s=api.clock.now_s))).status_code == 200
    api.clock.advance(1)
    expired = await api.sign_in(idp, "shop", expires_in=60)
    api.clock.advance(61)
    shown = [(await api.get(f"/api/v2/sessions/{each['session_id']}")).json() for each in (ended, expired)]
    assert [each["state"] for each in shown] == ["ended", "expired"]
    assert (await api.introspect(offline)).json()["active"], "it outlives the end of its session"
    flooding = f"/api/v2/sessions/{ended['session_id']}/clients/wiki"
    for _ in range(MOST_A_MINUTE * 2):
        assert (await api.delete(flooding, by=api.by("wiki"))).status_code == 204

    for each in (ended, expired):
        leaving = f"/api/v2/sessions/{each['session_id']}/clients/shop"
        assert (await api.delete(leaving, by=api.by("shop"))).status_code == 204

    assert (await api.introspect(offline)).json() == {"active": False}
    left = [each["client_id"] for each in trail(redis_url) if each["event"] == "session.left"]
    assert left.count("shop") == 2


async def test_an_application_leaves_for_itself_only_and_a_session_there_is(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop", "wiki")
    path = f"/api/v2/sessions/{session['session_id']}"
    refused(await api.delete(f"{path}/clients/wiki", by=api.by("shop")), 403, "access_denied", "for itself only")
    assert len((await api.get(path)).json()["clients"]) == 2
    refused(await api.delete("/api/v2/sessions/ses_nothing/clients/shop"), 404, "not_found", "no such session")


async def test_a_client_id_of_all_its_letters_can_leave(api: Api, idp: IdentityProvider) -> None:
    client_id = "https:shop@example.com+a=b~"
    await api.connection(idp, client_id)
    session = await api.sign_in(idp, client_id)
    path = f"/api/v2/sessions/{session['session_id']}"
    assert (await api.delete(f"{path}/clients/{client_id}", by=api.by(client_id))).status_code == 204
    assert (await api.get(path)).json()["clients"] == []
