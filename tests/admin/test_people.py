"""The management API's people: who somebody is, their sessions, the end of them all."""

import pytest

from service.store.erasures import Erasures
from tests.support.asgi import SUBJECT, Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSION = {
    "session_id",
    "user_id",
    "connection_id",
    "active",
    "state",
    "created_at",
    "expires_at",
    "ended_at",
    "upstream_sid",
    "auth_time",
    "clients",
    "live_refresh_tokens",
}


async def test_a_person_is_shown_with_every_name_they_were_registered_with(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    email = {"format": "email", "email": "Ada.Lovelace@EXAMPLE.com"}
    phone = {"format": "phone_number", "phone_number": "+12065550100"}
    session = await api.sign_in(idp, "shop", identifiers=[email])
    await api.sign_in(idp, "shop", identifiers=[{"format": "aliases", "identifiers": [phone, email]}])
    answer = await api.get(f"/api/v2/users/{session['user_id']}")
    assert answer.status_code == 200
    told = answer.json()
    identifiers = sorted(told.pop("identifiers"), key=str)
    assert told == {
        "user_id": session["user_id"],
        "connection_id": connection["id"],
        "subject": {"iss": idp.issuer, "sub": SUBJECT},
        "created_at": session["created_at"],
        "last_revoked_at": None,
    }
    own = {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT}
    assert identifiers == sorted([email, phone, own], key=str)


async def test_a_persons_sessions_are_listed_as_each_stands(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    short = await api.sign_in(idp, "shop", expires_in=60, upstream_sid="upstream-1", auth_time=api.clock.now_s)
    long = await api.sign_in(idp, "shop", "wiki")
    path = f"/api/v2/users/{short['user_id']}/sessions"
    first, second = (await api.get(path)).json()["items"]
    assert [first["session_id"], second["session_id"]] == [long["session_id"], short["session_id"]]
    assert set(first) == set(second) == SESSION
    assert (second["active"], second["state"], second["ended_at"]) == (True, "active", None)
    assert (second["upstream_sid"], second["auth_time"]) == ("upstream-1", api.clock.now_s)
    assert [each["client_id"] for each in first["clients"]] == ["shop", "wiki"]

    api.clock.advance(60)
    first, second = (await api.get(path)).json()["items"]
    assert (first["active"], first["state"]) == (True, "active")
    assert (second["active"], second["state"], second["ended_at"]) == (False, "expired", None)

    await api.delete(f"/api/v2/sessions/{long['session_id']}")
    first = (await api.get(path)).json()["items"][0]
    assert (first["active"], first["state"]) == (False, "ended")
    assert first["ended_at"] is not None


async def test_each_session_says_how_many_refresh_tokens_are_honoured_in_it(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop", "wiki", expires_in=60)
    for client_id, offline in (("shop", False), ("shop", True), ("wiki", False), ("wiki", True)):
        await api.refresh_token(session, client_id, offline=offline)
    await api.sign_in(idp, "shop", expires_in=3600)
    path = f"/api/v2/users/{session['user_id']}/sessions"

    async def counted() -> list[int]:
        return [each["live_refresh_tokens"] for each in (await api.get(path)).json()["items"]]

    # Offline tokens make it the session that is kept longest.
    assert await counted() == [4, 0]
    api.clock.advance(60)
    assert await counted() == [2, 0]
    one = f"/api/v2/sessions/{session['session_id']}"
    assert (await api.get(one)).json()["live_refresh_tokens"] == 2
    own = (await api.get(one, by=api.by("wiki"))).json()
    assert (own["live_refresh_tokens"], [each["client_id"] for each in own["clients"]]) == (1, ["wiki"])
    await api.delete(one)
    assert await counted() == [0, 0]


async def test_only_those_that_are_honoured_or_only_the_others(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    expired, ended, alive = [await api.sign_in(idp, "shop", expires_in=seconds) for seconds in (60, 600, 3600)]
    await api.delete(f"/api/v2/sessions/{ended['session_id']}")
    api.clock.advance(60)
    path = f"/api/v2/users/{alive['user_id']}/sessions"

    async def listed(query: str) -> list[str]:
        answer = await api.get(f"{path}{query}")
        assert answer.json()["next_cursor"] is None
        return [each["session_id"] for each in answer.json()["items"]]

    every = [each["session_id"] for each in (alive, ended, expired)]
    assert await listed("") == every
    assert await listed("?active=true") == every[:1]
    assert await listed("?active=false") == every[1:]
    # A page that a filter leaves empty is not the last.
    first = (await api.get(f"{path}?active=false&limit=1")).json()
    assert (first["items"], first["next_cursor"] is None) == ([], False)


@pytest.mark.parametrize("query", ["active=", "active=yes", "active=True", "active=1", "active=true&active=true"])
async def test_whether_they_are_honoured_is_asked_with_true_or_false(
    api: Api, idp: IdentityProvider, query: str
) -> None:
    await api.connection(idp, "shop")
    user = (await api.sign_in(idp, "shop"))["user_id"]
    refused(await api.get(f"/api/v2/users/{user}/sessions?{query}"), 400, "invalid_request", "`true` or `false`")


async def test_ending_a_persons_sessions_ends_all_of_them_at_once(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    sessions = [await api.sign_in(idp, "shop"), await api.sign_in(idp, "wiki")]
    tokens = [
        await api.refresh_token(sessions[0], "shop"),
        await api.refresh_token(sessions[1], "wiki", offline=True),
    ]
    other = await api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": "00u2grace"})
    kept = await api.refresh_token(other, "shop")
    user = sessions[0]["user_id"]

    answer = await api.delete(f"/api/v2/users/{user}/sessions")

    assert answer.status_code == 202
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"revocation_id"}
    for token in tokens:
        assert (await api.introspect(token)).json() == {"active": False}
    assert (await api.introspect(kept)).json()["active"] is True
    listed = (await api.get(f"/api/v2/users/{user}/sessions")).json()["items"]
    assert [each["state"] for each in listed] == ["ended", "ended"]
    assert (await api.get(f"/api/v2/users/{user}")).json()["last_revoked_at"] is not None
    receipt = (await api.get(f"/api/v2/revocations/{answer.json()['revocation_id']}")).json()
    assert (receipt["initiator"], receipt["user_ids"], receipt["session_id"]) == ("user_sessions_delete", [user], None)


async def test_a_person_nobody_knows_is_404(api: Api) -> None:
    refused(await api.get("/api/v2/users/usr_nobody"), 404, "not_found", "no such user")
    refused(await api.get("/api/v2/users/usr_nobody/sessions"), 404, "not_found", "no such user")
    refused(await api.delete("/api/v2/users/usr_nobody/sessions"), 404, "not_found", "no such user")


async def test_a_person_is_erased(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    email = {"format": "email", "email": "ada@example.com"}
    session = await api.sign_in(idp, "shop", identifiers=[email])
    token = await api.refresh_token(session, "shop", offline=True)
    path = f"/api/v2/users/{session['user_id']}"
    answer = await api.delete(path)
    assert answer.status_code == 202
    receipt = (await api.get(f"/api/v2/revocations/{answer.json()['revocation_id']}")).json()
    assert (receipt["initiator"], receipt["user_ids"]) == ("user_delete", [session["user_id"]])
    assert (await api.introspect(token)).json() == {"active": False}
    for again in (api.get(path), api.get(f"{path}/sessions"), api.delete(path)):
        refused(await again, 404, "not_found", "no such user")
    refused(await api.post("/api/v2/revocations", {"connection": "okta", "subject": email}), 404, "not_found")
    assert (await api.global_token_revocation(idp, {"sub_id": email})).status_code == 404
    told = [each for each in (await api.get("/api/v2/audit")).json()["items"] if "people" in each]
    assert [each["event"] for each in told] == ["person.erased", "revocation.recorded"]
    assert len({*told[0]["people"], *told[1]["people"]}) == 1
    refused(await api.get(f"/api/v2/audit?user_id={session['user_id']}"), 404, "not_found", "any more")


async def test_a_person_who_comes_back_while_they_are_erased_is_not(
    api: Api, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    erase, back = Erasures.erase, []

    async def meanwhile(self: Erasures, user_id: str, connection_id: str, *, now_ms: int) -> bool:
        back.append(await api.sign_in(idp, "shop"))
        return await erase(self, user_id, connection_id, now_ms=now_ms)

    monkeypatch.setattr(Erasures, "erase", meanwhile)
    path = f"/api/v2/users/{session['user_id']}"
    refused(await api.delete(path), 409, "conflict", "signed in again")
    monkeypatch.undo()
    told = (await api.get(f"/api/v2/audit?user_id={session['user_id']}")).json()["items"]
    assert [(each["event"], each.get("operation"), each.get("reason")) for each in told] == [
        ("operation.failed", "erase_user", "conflict"),
        ("person.erased", None, None),
        ("revocation.recorded", None, None),
    ], "the trail does not say that they were erased"
    assert (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["state"] == "ended"
    assert (await api.get(f"/api/v2/sessions/{back[0]['session_id']}")).json()["state"] == "active"
    assert (await api.get(path)).status_code == 200
    assert (await api.delete(path)).status_code == 202
