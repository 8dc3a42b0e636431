"""The management API's people: who somebody is, their sessions, the end of them all."""

import pytest

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
    assert first["session_id"] == short["session_id"]
    assert set(first) == set(second) == SESSION
    assert (first["active"], first["state"], first["ended_at"]) == (True, "active", None)
    assert (first["upstream_sid"], first["auth_time"]) == ("upstream-1", api.clock.now_s)
    assert [each["client_id"] for each in second["clients"]] == ["shop", "wiki"]

    api.clock.advance(60)
    first, second = (await api.get(path)).json()["items"]
    assert (first["active"], first["state"], first["ended_at"]) == (False, "expired", None)
    assert (second["active"], second["state"]) == (True, "active")

    await api.delete(f"/api/v2/sessions/{long['session_id']}")
    second = (await api.get(path)).json()["items"][1]
    assert (second["active"], second["state"]) == (False, "ended")
    assert second["ended_at"] is not None


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
