"""People come back after a logout, on one device and the other; applications join a session, leave it and come back."""

from tests.support.story import Story, by_email


def test_somebody_comes_back_on_one_device_and_the_other_stays_out(story: Story) -> None:
    server = story.server
    web = story.application("web", backchannel_logout_session_required=True)
    connection = story.connection(web)
    ada = story.person("ada")
    laptop = story.sign_in(ada, connection, web, upstream_sid="idp-session-1")
    phone = story.sign_in(ada, connection, web, upstream_sid="idp-session-2")
    old_tokens = [server.refresh_token(each, web, offline=True) for each in (laptop, phone)]
    assert story.revoke(connection, by_email(ada.email)).status_code == 204

    # At once, while the worker may still be at the old ones; the identity provider calls its session what it called it then.
    again = story.sign_in(ada, connection, web, upstream_sid="idp-session-1")
    token = server.refresh_token(again, web)

    first = server.only_receipt_of(laptop.user_id)
    assert (first["sessions_ended"], first["refresh_tokens_revoked"]) == (2, 2)
    assert [story.is_over(each) for each in (laptop, phone, again)] == [True, True, False]
    assert [server.is_active(each) for each in (*old_tokens, token)] == [False, False, True]
    told = {str(each.claims["sid"]) for each in web.party.tokens}
    assert told == {laptop.session_id, phone.session_id}
    listed = server.ask("GET", f"/api/v2/users/{laptop.user_id}/sessions?active=true")["items"]
    assert [(each["session_id"], each["live_refresh_tokens"]) for each in listed] == [(again.session_id, 1)]

    # And it is what the next one ends.
    story.revoke(connection, by_email(ada.email))
    newest = server.revocations_of(laptop.user_id)[0]
    receipt = server.wait_for_receipt(newest["revocation_id"])
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (1, 1)
    assert receipt["scope"] == {"kind": "everything"}
    assert [each["sid"] for each in receipt["deliveries"]] == [again.session_id]
    assert story.is_over(again)


def test_an_application_signs_somebody_out_by_itself_and_hears_no_more_of_it(story: Story) -> None:
    server = story.server
    web, desk = story.application("web"), story.application("desk")
    connection = story.connection(web, desk)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web, desk)
    own, others = server.refresh_token(session, desk, offline=True), server.refresh_token(session, web)
    path = f"/api/v2/sessions/{session.session_id}"

    left = server.http.delete(f"{path}/clients/{desk.client_id}", auth=(desk.client_id, desk.client_secret))

    assert left.status_code == 204
    assert (server.is_active(own), server.is_active(others)) == (False, True)
    assert not story.is_over(session)
    answer = server.ask("DELETE", path, expect=202)
    receipt = server.wait_for_receipt(answer["revocation_id"])
    assert receipt["scope"] == {"kind": "session", "session_id": session.session_id}
    assert (receipt["refresh_tokens_revoked"], [each["client_id"] for each in receipt["deliveries"]]) == (
        1,
        [web.client_id],
    )
    assert (len(web.party.received), desk.party.received) == (1, [])


def test_an_application_that_left_and_came_back_is_told_by_its_new_names(story: Story) -> None:
    server = story.server
    web = story.application("web", backchannel_logout_session_required=True)
    connection = story.connection(web)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    path = f"/api/v2/sessions/{session.session_id}/clients"
    server.ask("DELETE", f"{path}/{web.client_id}", expect=204)
    server.ask("POST", path, {"client_id": web.client_id, "sid": "second-visit"}, expect=201)
    story.revoke(connection, by_email(ada.email))

    server.only_receipt_of(session.user_id)

    assert [each.claims["sid"] for each in web.party.tokens] == ["second-visit"]
