"""Law 5: repeats change nothing; what came before a revocation cannot finish after it, what comes later is not its affair."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.support.authorization_server import Session
from tests.support.story import Story, by_email, by_iss_sub


def test_the_same_request_again_is_the_same_answer_and_no_second_effect(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    assertion = story.assertion(connection)

    first = story.revoke(connection, by_email(ada.email), assertion=assertion)
    receipt = server.only_receipt_of(session.user_id)
    # Another spelling of the same subject is the same request: what counts is whom it names.
    again = story.revoke(connection, by_email(ada.email.upper()), assertion=assertion)

    assert (first.status_code, again.status_code) == (204, 204)
    assert server.only_receipt_of(session.user_id) == receipt
    assert len(web.party.received) == 1


def test_the_same_request_ten_times_at_once_is_one_revocation(story: Story) -> None:
    server = story.server
    web, desk = story.application("web"), story.application("desk")
    connection = story.connection(web, desk)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web, desk)
    assertion = story.assertion(connection)

    with ThreadPoolExecutor(10) as callers:
        answers = list(
            callers.map(
                lambda _: story.revoke(connection, by_email(ada.email), assertion=assertion).status_code, range(10)
            )
        )

    assert answers == [204] * 10
    receipt = server.only_receipt_of(session.user_id)
    assert (receipt["sessions_ended"], len(receipt["deliveries"])) == (1, 2)
    assert [len(each["attempts"]) for each in receipt["deliveries"]] == [1, 1]
    assert [len(each.party.received) for each in (web, desk)] == [1, 1]


def test_the_same_jti_with_another_body_is_401_and_has_no_effect(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada, ben = story.person("ada"), story.person("ben")
    story.sign_in(ada, connection, web)
    his = story.sign_in(ben, connection, web)
    token = server.refresh_token(his, web)
    assertion = story.assertion(connection)
    assert story.revoke(connection, by_email(ada.email), assertion=assertion).status_code == 204

    refused = story.revoke(connection, by_email(ben.email), assertion=assertion)

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    assert not story.is_over(his)
    assert server.is_active(token)
    assert server.revocations_of(his.user_id) == []


def test_a_new_request_for_somebody_already_signed_out_is_204_with_nobody_left_to_tell(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    story.revoke(connection, by_email(ada.email))
    server.only_receipt_of(session.user_id)

    assert story.revoke(connection, by_email(ada.email)).status_code == 204

    newest, _first = server.revocations_of(session.user_id)
    receipt = server.wait_for_receipt(newest["revocation_id"])
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"], receipt["deliveries"]) == (0, 0, [])
    assert len(web.party.received) == 1


def test_a_sign_in_begun_before_the_revocation_is_refused_and_a_later_one_outlives_a_repeat(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")
    first = story.sign_in(ada, connection, web)
    began = int(time.time())
    assertion = story.assertion(connection)
    assert story.revoke(connection, by_iss_sub(story.idp.issuer, ada.sub), assertion=assertion).status_code == 204
    receipt = server.only_receipt_of(first.user_id)

    late = server.call("POST", "/api/v2/sessions", story.sign_in_body(ada, connection, web, auth_time=began))

    assert (late.status_code, late.json()["error"]) == (409, "reauthentication_required")
    left_behind = server.ask("GET", f"/api/v2/users/{first.user_id}/sessions")["items"]
    assert [each for each in left_behind if each["session_id"] != first.session_id] == []

    # Whole seconds: the first one that is later than the revocation.
    second = story.sign_in(ada, connection, web, auth_time=began + 2)
    token = server.refresh_token(second, web)
    repeat = story.revoke(connection, by_iss_sub(story.idp.issuer, ada.sub), assertion=assertion)

    assert repeat.status_code == 204
    assert not story.is_over(second)
    assert server.is_active(token)
    assert story.is_over(first)
    assert server.only_receipt_of(first.user_id) == receipt
    assert len(web.party.received) == 1


def test_somebody_who_signed_in_again_is_signed_out_by_the_next_revocation(story: Story) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")

    def sign_in_and_out() -> Session:
        session = story.sign_in(ada, connection, web)
        assert story.revoke(connection, by_email(ada.email)).status_code == 204
        newest = server.revocations_of(session.user_id)[0]
        receipt = server.wait_for_receipt(newest["revocation_id"])
        assert (receipt["sessions_ended"], len(receipt["deliveries"])) == (1, 1)
        return session

    sessions = [sign_in_and_out() for _ in range(3)]

    assert all(story.is_over(each) for each in sessions)
    assert len(web.party.received) == 3
