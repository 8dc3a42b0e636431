"""A refresh token's life: rotated, lost on the way, spent by somebody else, kept past its session, given back."""

from typing import Any

import httpx

from tests.support.authorization_server import Application, Session
from tests.support.story import Story, by_email


def issued(story: Story, session: Session, application: Application, **members: Any) -> dict[str, Any]:
    """What is told of a new refresh token."""
    body = {"session_id": session.session_id, "client_id": application.client_id, **members}
    told: dict[str, Any] = story.server.ask("POST", "/api/v2/refresh-tokens", body, expect=201)
    story.server.secrets.add(told["refresh_token"])
    return told


def rotate(story: Story, token: str, application: Application) -> httpx.Response:
    """As the application asks by itself."""
    body = {"refresh_token": token, "client_id": application.client_id}
    answer = story.server.http.post(
        "/api/v2/refresh-tokens/rotate", json=body, auth=(application.client_id, application.client_secret)
    )
    if answer.is_success:
        story.server.secrets.add(answer.json()["refresh_token"])
    return answer


def rotated(story: Story, token: str, application: Application) -> str:
    """A successor."""
    answer = rotate(story, token, application)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["refresh_token"])


def refused(answer: httpx.Response) -> bool:
    """Whether a rotation is refused as the authorization server has to hand it on."""
    return (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_stolen_token_that_is_spent_by_both_is_worth_nothing_to_either_and_the_receipt_shows_it(
    story: Story,
) -> None:
    server = story.server
    web, mail = story.application("web"), story.application("mail")
    session = story.sign_in(story.person("ada"), story.connection(web, mail), web, mail)
    stolen = server.refresh_token(session, web, offline=True)
    beside = server.refresh_token(session, mail, offline=True)

    owners = rotated(story, stolen, web)
    assert refused(rotate(story, stolen, web)), "the thief comes second"

    assert not server.is_active(owners)
    assert refused(rotate(story, owners, web))
    receipt = server.only_receipt_of(session.user_id)
    assert (receipt["initiator"], receipt["state"]) == ("refresh_token_reuse", "completed")
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (0, 1)
    assert receipt["deliveries"] == []
    assert not story.is_over(session)
    assert server.is_active(beside)
    # However often it comes again, that was that.
    for _ in range(3):
        assert refused(rotate(story, stolen, web))
    assert server.only_receipt_of(session.user_id) == receipt
    assert (web.party.received, mail.party.received) == ([], [])


def test_an_answer_that_gets_lost_costs_the_family_where_no_grace_is_given(story: Story) -> None:
    """The default: who retries cannot be told from who stole. Where it can, the operator gives some seconds of grace."""
    web = story.application("web")
    session = story.sign_in(story.person("ada"), story.connection(web), web)
    token = story.server.refresh_token(session, web)
    lost = rotated(story, token, web)
    assert refused(rotate(story, token, web))
    assert not story.server.is_active(lost)


def test_a_rotated_family_dies_with_everything_else_when_the_person_is_signed_out(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    tokens = [server.refresh_token(session, web, offline=each) for each in (False, True)]
    for _ in range(3):
        tokens = [rotated(story, each, web) for each in tokens]
    assert story.revoke(connection, by_email(ada.email)).status_code == 204

    assert not any(server.is_active(each) for each in tokens)
    assert all(refused(rotate(story, each, web)) for each in tokens)
    receipt = server.only_receipt_of(session.user_id)
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (1, 2)
    assert len(web.party.received) == 1


def test_an_offline_token_goes_on_after_its_session_and_may_be_deleted_by_its_name(story: Story) -> None:
    server = story.server
    web = story.application("web")
    session = story.sign_in(story.person("ada"), story.connection(web), web, expires_in=1)
    first = issued(story, session, web, offline=True, expires_in=3600, idle_expires_in=600)
    ordinary = issued(story, session, web)
    assert ordinary["expires_at"] < first["expires_at"] < first["family_expires_at"]
    second = rotated(story, first["refresh_token"], web)

    answer = server.ask("DELETE", f"/api/v2/refresh-tokens/{first['refresh_token_id']}", expect=202)

    assert not server.is_active(second)
    receipt = server.wait_for_receipt(answer["revocation_id"])
    assert (receipt["initiator"], receipt["scope"]["family_id"]) == ("refresh_token_delete", first["refresh_token_id"])
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (0, 1)


def test_an_application_gives_its_token_back_when_its_user_leaves(story: Story) -> None:
    server = story.server
    web, other = story.application("web"), story.application("other")
    session = story.sign_in(story.person("ada"), story.connection(web, other), web, other)
    token = rotated(story, server.refresh_token(session, web, offline=True), web)

    def give_back(by: Application) -> int:
        form = {"token": token, "client_id": by.client_id, "client_secret": by.client_secret}
        return server.http.post("/oauth/revoke", data=form).status_code

    assert give_back(other) == 200
    assert server.is_active(token)
    assert give_back(web) == 200
    assert not server.is_active(token)
    assert refused(rotate(story, token, web))
    assert not story.is_over(session)
    assert server.revocations_of(session.user_id) == []
