"""An identity provider signs somebody out with a logout token: what ends, what lives on, and which application hears what."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.authorization_server import FORM, Connection, Receipt, Session, deliveries_by_client
from tests.support.story import Person, Story, by_email


def log_out(
    story: Story, connection: Connection, *, sub: str | None = None, sid: str | None = None, **claims: Any
) -> httpx.Response:
    """Send a logout token of this moment, unless `claims` say otherwise."""
    token = story.idp.logout_token(sub=sub, sid=sid, client_id=connection.client_id, claims=claims)
    story.server.secrets.add(token)
    answer = story.server.http.post(connection.logout_uri, data={"logout_token": token})
    assert answer.headers["cache-control"] == "no-store"
    return answer


def newest_receipt(story: Story, session: Session) -> Receipt:
    """The receipt of the newest revocation of whose session that was, once it is closed."""
    head = story.server.revocations_of(session.user_id)[0]
    return story.server.wait_for_receipt(head["revocation_id"])


def test_an_upstream_session_ends_on_its_device_and_its_applications_are_told_of_that_one(story: Story) -> None:
    server = story.server
    web, mail, desk = story.application("web"), story.application("mail"), story.application("desk")
    connection, ada = story.connection(web, mail, desk), story.person("ada")
    laptop = story.sign_in(ada, connection, web, mail, upstream_sid="laptop")
    phone = story.sign_in(ada, connection, web, desk, upstream_sid="phone")
    tokens = {each: server.refresh_token(each_session, web) for each, each_session in (("l", laptop), ("p", phone))}

    assert log_out(story, connection, sid="laptop").status_code == 200

    # At once, whether or not a worker has come to it yet.
    assert [story.is_over(each) for each in (laptop, phone)] == [True, False]
    assert {each: server.is_active(token) for each, token in tokens.items()} == {"l": False, "p": True}
    receipt = newest_receipt(story, laptop)
    assert (receipt["initiator"], receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (
        "backchannel_logout",
        1,
        1,
    )
    assert set(deliveries_by_client(receipt)) == {web.client_id, mail.client_id}
    for application in (web, mail):
        (told,) = application.party.tokens
        assert (told.claims["sub"], told.claims["sid"]) == laptop.names[application.client_id]
    assert desk.party.received == []


def test_a_person_ends_on_every_device_and_each_application_is_told_once(story: Story) -> None:
    web, strict = story.application("web"), story.application("strict", backchannel_logout_session_required=True)
    connection, ada, ben = story.connection(web, strict), story.person("ada"), story.person("ben")
    devices = [story.sign_in(ada, connection, web, strict, upstream_sid=each) for each in ("laptop", "phone")]
    his = story.sign_in(ben, connection, web, upstream_sid="laptop")

    assert log_out(story, connection, sub=ada.sub).status_code == 200

    assert [story.is_over(each) for each in (*devices, his)] == [True, True, False]
    assert newest_receipt(story, devices[0])["sessions_ended"] == 2
    (told,) = web.party.tokens
    assert told.claims["sub"] == devices[0].user_id
    assert "sid" not in told.claims
    assert {each.claims["sid"] for each in strict.party.tokens} == {each.session_id for each in devices}


def test_a_token_with_both_ends_the_session_it_names(story: Story) -> None:
    web = story.application("web")
    connection, ada = story.connection(web), story.person("ada")
    laptop, phone = (story.sign_in(ada, connection, web, upstream_sid=each) for each in ("laptop", "phone"))
    assert log_out(story, connection, sub=ada.sub, sid="phone").status_code == 200
    assert [story.is_over(each) for each in (laptop, phone)] == [False, True]
    newest_receipt(story, phone)
    assert [each.claims["sid"] for each in web.party.tokens] == [phone.session_id]


def test_offline_access_outlives_the_logout_and_not_the_global_revocation(story: Story) -> None:
    server = story.server
    web, sync = story.application("web"), story.application("sync")
    connection, ada = story.connection(web, sync), story.person("ada")
    session = story.sign_in(ada, connection, web, sync, upstream_sid="laptop")
    online, offline = server.refresh_token(session, web), server.refresh_token(session, sync, offline=True)

    assert log_out(story, connection, sub=ada.sub).status_code == 200

    assert [server.is_active(each) for each in (online, offline)] == [False, True]
    receipt = newest_receipt(story, session)
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (1, 1)
    body = {"refresh_token": offline, "client_id": sync.client_id}
    offline = server.ask("POST", "/api/v2/refresh-tokens/rotate", body)["refresh_token"]
    server.secrets.add(offline)
    assert server.is_active(offline)

    assert story.revoke(connection, by_email(ada.email)).status_code == 204

    assert not server.is_active(offline)
    receipt = newest_receipt(story, session)
    assert (receipt["initiator"], receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (
        "global_token_revocation",
        0,
        1,
    )
    # Who held the offline token is told again; who held nothing any more is not.
    assert set(deliveries_by_client(receipt)) == {sync.client_id}
    assert [len(each.party.received) for each in (web, sync)] == [1, 2]


def test_offline_access_ends_with_the_logout_where_the_connection_says_so(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection, ada = story.connection(web, revoke_offline_access=True), story.person("ada")
    session = story.sign_in(ada, connection, web, upstream_sid="laptop")
    tokens = [server.refresh_token(session, web, offline=each) for each in (True, False)]
    assert log_out(story, connection, sid="laptop").status_code == 200
    assert not any(server.is_active(each) for each in tokens)
    assert newest_receipt(story, session)["refresh_tokens_revoked"] == 2


def test_a_login_after_the_logout_is_honoured_and_neither_a_repeat_nor_a_late_token_ends_it(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection, ada = story.connection(web), story.person("ada")
    began = int(time.time())
    old = story.sign_in(ada, connection, web, upstream_sid="laptop", auth_time=began - 3600)
    token = story.idp.logout_token(sub=ada.sub, sid="laptop", client_id=connection.client_id)
    server.secrets.add(token)
    form = {"logout_token": token}
    assert server.http.post(connection.logout_uri, data=form).status_code == 200
    receipt = newest_receipt(story, old)

    # In the same second, from the same upstream session.
    new = story.sign_in(ada, connection, web, upstream_sid="laptop")
    refresh_token = server.refresh_token(new, web)
    assert server.http.post(connection.logout_uri, data=form).status_code == 200
    late = {"iat": began - 60, "exp": began + 60}
    assert log_out(story, connection, sub=ada.sub, **late).status_code == 200

    assert [story.is_over(each) for each in (old, new)] == [True, False]
    assert server.is_active(refresh_token)
    newest = newest_receipt(story, old)
    assert newest["revocation_id"] != receipt["revocation_id"]
    assert (newest["sessions_ended"], newest["deliveries"]) == (0, [])
    assert len(web.party.received) == 1


@pytest.mark.parametrize("reports_sids", [True, False])
def test_logins_that_race_a_logout_end_with_it_or_do_not_begin(story: Story, reports_sids: bool) -> None:
    """Whatever comes first: nobody who authenticated before the logout is signed in after it, and every application that
    heard of a session hears that it has ended."""
    server = story.server
    web = story.application("web", backchannel_logout_session_required=True)
    connection = story.connection(web)
    began = int(time.time()) - 1
    sid = {"upstream_sid": "one"} if reports_sids else {}

    def sign_in(person: Person) -> httpx.Response:
        return server.call(
            "POST", "/api/v2/sessions", story.sign_in_body(person, connection, web, auth_time=began, **sid)
        )

    for each in range(8):
        ada = story.person(f"ada-{each}")
        with ThreadPoolExecutor(8) as together:
            first = [together.submit(sign_in, ada) for _ in range(4)]
            logout = together.submit(log_out, story, connection, sub=ada.sub, sid="one")
            answers = [each.result() for each in (*first, *[together.submit(sign_in, ada) for _ in range(3)])]
            assert logout.result().status_code == 200
        assert {each.status_code for each in answers} <= {201, 409}
        opened = [each.json() for each in answers if each.status_code == 201]
        for session in opened:
            assert not server.is_active(session["session_id"], hint="session")
            for head in server.revocations_of(session["user_id"]):
                server.wait_for_receipt(head["revocation_id"])
        told = {each.claims["sid"] for each in web.party.tokens}
        assert {each["session_id"] for each in opened} <= told
        assert sign_in(ada).status_code == 409


def test_a_logout_through_one_tenants_connection_does_not_reach_the_others_people(story: Story) -> None:
    web = story.application("web")
    ours, theirs, ada = story.connection(web, name="ours"), story.connection(web, name="theirs"), story.person("ada")
    here, there = (story.sign_in(ada, each, web, upstream_sid="laptop") for each in (ours, theirs))
    for subject in ({"sub": ada.sub}, {"sid": "laptop"}, {"sub": ada.sub, "sid": "laptop"}):
        assert log_out(story, ours, **subject).status_code == 200
    assert [story.is_over(each) for each in (here, there)] == [True, False]
    # A token for the one is refused at the other's door.
    token = story.idp.logout_token(sub=ada.sub, client_id=ours.client_id)
    story.server.secrets.add(token)
    refused = story.server.http.post(
        theirs.logout_uri, content=f"logout_token={token}".encode(), headers={"Content-Type": FORM}
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert not story.is_over(there)
