"""What the door says when there is nobody to sign out, or nobody who may ask; and that nothing happens then."""

from tests.support.story import Story, by_email, by_opaque


def test_a_known_person_without_a_session_is_204(story: Story) -> None:
    server = story.server
    connection = story.connection()
    ada = story.person("ada")
    session = story.sign_in(ada, connection)
    server.ask("DELETE", f"/api/v2/sessions/{session.session_id}", expect=202)

    assert story.revoke(connection, by_email(ada.email)).status_code == 204

    newest, _deleted = server.revocations_of(session.user_id)
    receipt = server.wait_for_receipt(newest["revocation_id"])
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"], receipt["deliveries"]) == (0, 0, [])


def test_a_name_nobody_has_is_404_and_leaves_no_receipt(story: Story) -> None:
    connection = story.connection()

    refused = story.revoke(connection, by_email("nobody@example.com"))

    assert (refused.status_code, refused.json()["error"]) == (404, "not_found")
    assert "nobody" not in refused.text
    assert story.server.ask("GET", f"/api/v2/revocations?connection={connection.name}")["items"] == []


def test_a_disabled_connection_is_403_and_its_people_stay_signed_in(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    server.ask("PATCH", f"/api/v2/connections/{connection.id}", {"enabled": False})

    refused = story.revoke(connection, by_email(ada.email))
    sign_in = server.call("POST", "/api/v2/sessions", story.sign_in_body(ada, connection, web))

    assert (refused.status_code, sign_in.status_code) == (403, 403)
    assert not story.is_over(session)
    assert server.revocations_of(session.user_id) == []

    server.ask("PATCH", f"/api/v2/connections/{connection.id}", {"enabled": True})
    assert story.revoke(connection, by_email(ada.email)).status_code == 204
    assert story.is_over(session)


def test_a_deleted_connections_door_is_closed_and_says_no_more_than_to_a_stranger(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    session = story.sign_in(story.person("ada"), connection, web)
    assertion = story.assertion(connection)
    server.ask("DELETE", f"/api/v2/connections/{connection.id}", expect=204)

    refused = story.revoke(connection, by_opaque(session.user_id), assertion=assertion)

    assert refused.status_code == 401
    assert not story.is_over(session)


def test_an_application_that_is_not_enabled_is_not_let_in(story: Story) -> None:
    server = story.server
    web, stranger = story.application("web"), story.application("stranger")
    connection = story.connection(web)
    ada = story.person("ada")

    refused = server.call("POST", "/api/v2/sessions", story.sign_in_body(ada, connection, web, stranger))

    assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
    assert story.revoke(connection, by_email(ada.email)).status_code == 404
