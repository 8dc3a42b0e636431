"""One session, all of somebody's, or an operator's word: what each ends, and what the applications are told."""

import pytest

from tests.support.authorization_server import deliveries_by_client
from tests.support.story import Story, by_email, by_opaque, by_phone_number


def test_an_application_that_requires_sid_gets_one_token_for_each_session_and_the_others_one_in_all(
    story: Story,
) -> None:
    server = story.server
    by_sid = story.application("by-sid", backchannel_logout_session_required=True)
    by_sub = story.application("by-sub")
    connection = story.connection(by_sid, by_sub)
    ada = story.person("ada")
    laptop = story.sign_in(ada, connection, by_sid, by_sub)
    phone = story.sign_in(ada, connection, by_sid, by_sub, names={by_sid.client_id: {"sid": "its-own-name"}})
    story.revoke(connection, by_email(ada.email))

    receipt = server.only_receipt_of(laptop.user_id)

    assert receipt["sessions_ended"] == 2
    told = sorted(by_sid.party.tokens, key=lambda each: str(each.claims["sid"]))
    assert [each.claims["sid"] for each in told] == sorted([laptop.session_id, "its-own-name"])
    assert {each.claims["sub"] for each in told} == {laptop.user_id}
    (once,) = by_sub.party.tokens
    assert (once.claims["sub"], "sid" in once.claims) == (laptop.user_id, False)
    rows = deliveries_by_client(receipt)
    assert sorted(each["sid"] for each in rows[by_sid.client_id]) == [each.claims["sid"] for each in told]
    assert {each["delivery_id"] for each in rows[by_sid.client_id]} == {each.claims["txn"] for each in told}
    assert ["sid" in each for each in rows[by_sub.client_id]] == [False]
    assert phone.user_id == laptop.user_id


def test_deleting_one_session_ends_that_one_and_tells_its_applications_which(story: Story) -> None:
    server = story.server
    web, mobile = story.application("web"), story.application("mobile")
    connection = story.connection(web, mobile)
    ada = story.person("ada")
    laptop, phone = story.sign_in(ada, connection, web), story.sign_in(ada, connection, web, mobile)
    dead = [server.refresh_token(phone, web), server.refresh_token(phone, mobile, offline=True)]
    alive = server.refresh_token(laptop, web)

    answer = server.ask("DELETE", f"/api/v2/sessions/{phone.session_id}", expect=202)

    assert story.is_over(phone)
    assert not any(server.is_active(each) for each in dead)
    receipt = server.wait_for_receipt(answer["revocation_id"])
    assert (receipt["initiator"], receipt["session_id"]) == ("session_delete", phone.session_id)
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (1, 2)
    for application in (web, mobile):
        (token,) = application.party.tokens
        assert (token.claims["sub"], token.claims["sid"]) == (phone.user_id, phone.session_id)
    assert not story.is_over(laptop)
    assert server.is_active(alive)

    # What is left of this person is still found by the next revocation, and nothing is told twice.
    story.revoke(connection, by_email(ada.email))
    newest, _first = server.revocations_of(laptop.user_id)
    receipt = server.wait_for_receipt(newest["revocation_id"])
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (1, 1)
    assert [each["client_id"] for each in receipt["deliveries"]] == [web.client_id]
    assert story.is_over(laptop)
    assert (len(web.party.received), len(mobile.party.received)) == (2, 1)


def test_an_application_may_end_a_session_that_is_its_own_and_no_other(story: Story) -> None:
    server = story.server
    web, desk = story.application("web"), story.application("desk")
    connection = story.connection(web, desk)
    own = story.sign_in(story.person("ada"), connection, web)
    shared = story.sign_in(story.person("ben"), connection, web, desk)
    foreign = story.sign_in(story.person("cem"), connection, desk)

    answers = [
        server.http.delete(f"/api/v2/sessions/{each.session_id}", auth=(web.client_id, web.client_secret))
        for each in (own, shared, foreign)
    ]

    assert [each.status_code for each in answers] == [202, 403, 404]
    assert [story.is_over(each) for each in (own, shared, foreign)] == [True, False, False]
    server.wait_for_receipt(answers[0].json()["revocation_id"])
    assert [each.claims["sub"] for each in web.party.tokens] == [own.user_id]


def test_deleting_a_persons_sessions_ends_all_of_them(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada, ben = story.person("ada"), story.person("ben")
    hers = [story.sign_in(ada, connection, web) for _ in range(3)]
    his = story.sign_in(ben, connection, web)
    tokens = [server.refresh_token(each, web, offline=True) for each in hers]

    answer = server.ask("DELETE", f"/api/v2/users/{hers[0].user_id}/sessions", expect=202)

    assert all(story.is_over(each) for each in hers)
    assert not any(server.is_active(each) for each in tokens)
    receipt = server.wait_for_receipt(answer["revocation_id"])
    assert (receipt["initiator"], receipt["user_ids"]) == ("user_sessions_delete", [hers[0].user_id])
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (3, 3)
    assert not story.is_over(his)
    assert [each.claims["sub"] for each in web.party.tokens] == [hers[0].user_id]


def test_an_operator_signs_somebody_out_by_any_name_and_the_receipt_keeps_the_reason(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    token = server.refresh_token(session, web, offline=True)

    body = {"connection": connection.name, "subject": by_phone_number(ada.phone_number), "reason": "lost laptop"}
    answer = server.ask("POST", "/api/v2/revocations", body, expect=202)

    assert story.is_over(session)
    assert not server.is_active(token)
    receipt = server.wait_for_receipt(answer["revocation_id"])
    assert (receipt["initiator"], receipt["reason"]) == ("operator", "lost laptop")
    assert len(web.party.received) == 1


@pytest.mark.parametrize("connection_known", [True, False])
def test_an_operators_word_about_somebody_unknown_is_404(story: Story, connection_known: bool) -> None:
    connection = story.connection()
    name = connection.name if connection_known else "no-such-connection"
    body = {"connection": name, "subject": by_opaque("nobody")}

    assert story.server.call("POST", "/api/v2/revocations", body).status_code == 404


def test_an_application_that_joined_later_is_told_as_well(story: Story) -> None:
    server = story.server
    web, late = story.application("web"), story.application("late")
    connection = story.connection(web, late)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    joined = {"client_id": late.client_id, "sub": "pairwise", "sid": "its-own"}
    server.ask("POST", f"/api/v2/sessions/{session.session_id}/clients", joined, expect=201)
    story.revoke(connection, by_email(ada.email))

    server.only_receipt_of(session.user_id)

    assert [each.claims["sub"] for each in late.party.tokens] == ["pairwise"]
    assert len(web.party.received) == 1
