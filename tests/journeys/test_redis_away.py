"""Law 6: without its record the service says so, and never guesses. When Redis is back, so is everything.

The story is told once for the module; no process of ours is restarted in it.
"""

from dataclasses import dataclass

import httpx
import pytest

from service.dev import DevStack
from tests.support.authorization_server import FORM, Application, AuthorizationServer, Session
from tests.support.relying_party import Answer
from tests.support.story import Person, Story, by_email
from tests.support.waiting import eventually


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The story after it has been told."""

    story: Story
    web: Application
    flaky: Application
    dead: Session
    dead_token: str
    ada: Person
    session: Session
    token: str
    while_away: dict[str, httpx.Response]
    honoured_again: bool
    once_more: httpx.Response
    new_session: Session
    processes: tuple[int, int]
    processes_after: tuple[int, int]


@pytest.fixture(scope="module")
def told(module_story: Story, module_stack: DevStack) -> Told:
    story, server, stack = module_story, module_story.server, module_stack
    busy = Answer(status=503, headers={"Retry-After": "1"})
    web, flaky = story.application("web"), story.application("flaky", busy)
    connection = story.connection(web, flaky)
    ben, ada = story.person("ben"), story.person("ada")
    dead, session = story.sign_in(ben, connection, flaky), story.sign_in(ada, connection, web)
    dead_token, token = server.refresh_token(dead, flaky), server.refresh_token(session, web)
    assertion = story.assertion(connection)
    processes = (stack.service.pid, stack.worker.pid)
    # A delivery is owed a retry when Redis goes.
    assert story.revoke(connection, by_email(ben.email)).status_code == 204
    eventually(
        lambda: server.receipt(server.revocations_of(dead.user_id)[0]["revocation_id"])["deliveries"],
        lambda deliveries: [each["state"] for each in deliveries] == ["retrying"],
    )

    stack.redis.stop()
    while_away = {
        "the door": story.revoke(connection, by_email(ada.email), assertion=assertion),
        "introspection of a token, by its application": server.introspect(token, by=web),
        "introspection of a token, by the administrator": server.introspect(token),
        "introspection of a dead token": server.introspect(dead_token),
        "introspection of a session": server.introspect(session.session_id, hint="session"),
        "a session": server.call("GET", f"/api/v2/sessions/{session.session_id}"),
        "a sign-in": server.call("POST", "/api/v2/sessions", story.sign_in_body(ada, connection, web)),
        "a new refresh token": server.call(
            "POST", "/api/v2/refresh-tokens", {"session_id": session.session_id, "client_id": web.client_id}
        ),
        "an operator's revocation": server.call(
            "POST", "/api/v2/revocations", {"connection": connection.name, "subject": by_email(ada.email)}
        ),
        "the end of a session": server.call("DELETE", f"/api/v2/sessions/{session.session_id}"),
        "readiness": server.call("GET", "/readyz"),
    }
    alive = server.call("GET", "/healthz")
    numbers = server.call("GET", "/metrics")
    assert (alive.status_code, numbers.status_code) == (200, 200)
    assert "logoutd_record_up 0.0" in numbers.text

    stack.redis.start()
    eventually(lambda: server.call("GET", "/readyz").status_code, lambda status: status == 200)
    honoured_again = server.is_active(token) and not story.is_over(session)
    once_more = story.revoke(connection, by_email(ada.email), assertion=assertion)
    server.only_receipt_of(session.user_id)
    server.only_receipt_of(dead.user_id)
    return Told(
        story=story,
        web=web,
        flaky=flaky,
        dead=dead,
        dead_token=dead_token,
        ada=ada,
        session=session,
        token=token,
        while_away=while_away,
        honoured_again=honoured_again,
        once_more=once_more,
        new_session=story.sign_in(ada, connection, web),
        processes=processes,
        processes_after=(stack.service.pid, stack.worker.pid),
    )


ASKED = (
    "the door",
    "introspection of a token, by its application",
    "introspection of a token, by the administrator",
    "introspection of a dead token",
    "introspection of a session",
    "a session",
    "a sign-in",
    "a new refresh token",
    "an operator's revocation",
    "the end of a session",
    "readiness",
)


@pytest.mark.parametrize("asked", ASKED)
def test_without_redis_everything_is_503_to_be_tried_again_and_nothing_is_active(told: Told, asked: str) -> None:
    answer = told.while_away[asked]
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["cache-control"] == "no-store"
    assert "active" not in answer.text


def test_every_question_of_the_story_is_asked_about(told: Told) -> None:
    assert set(told.while_away) == set(ASKED)


def test_what_was_refused_has_changed_nothing_and_what_was_alive_is_alive_again(told: Told) -> None:
    assert told.honoured_again


def test_the_refused_request_sent_again_is_accepted_and_does_its_work(told: Told) -> None:
    server = told.story.server
    assert told.once_more.status_code == 204
    assert told.story.is_over(told.session)
    assert not server.is_active(told.token)
    receipt = server.only_receipt_of(told.session.user_id)
    assert [each["state"] for each in receipt["deliveries"]] == ["delivered"]
    assert [each.claims["sub"] for each in told.web.party.tokens] == [told.session.user_id]


def test_what_was_revoked_before_is_still_revoked_and_its_retry_still_made(told: Told) -> None:
    server = told.story.server
    assert told.story.is_over(told.dead)
    assert not server.is_active(told.dead_token)
    (delivery,) = server.only_receipt_of(told.dead.user_id)["deliveries"]
    assert [each["status"] for each in delivery["attempts"]][-1] == 200
    assert {each.claims["txn"] for each in told.flaky.party.tokens} == {delivery["delivery_id"]}


def test_life_goes_on_in_the_same_processes(told: Told) -> None:
    assert told.processes == told.processes_after
    assert not told.story.is_over(told.new_session)
    answer = told.story.server.http.post("/oauth/introspect", content=b"token=x", headers={"Content-Type": FORM})
    assert answer.status_code == 401


def test_a_crash_of_redis_loses_nothing_that_was_acknowledged(story: Story, stack: DevStack) -> None:
    server: AuthorizationServer = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada, ben = story.person("ada"), story.person("ben")
    hers, his = story.sign_in(ada, connection, web), story.sign_in(ben, connection, web)
    token = server.refresh_token(his, web)
    assert story.revoke(connection, by_email(ada.email)).status_code == 204
    receipt = server.only_receipt_of(hers.user_id)

    stack.redis.kill()
    stack.redis.start()
    eventually(lambda: server.call("GET", "/readyz").status_code, lambda status: status == 200)

    assert story.is_over(hers)
    assert not story.is_over(his)
    assert server.is_active(token)
    assert server.only_receipt_of(hers.user_id) == receipt
    # And the scripts that Redis has forgotten are given to it again.
    assert story.revoke(connection, by_email(ben.email)).status_code == 204
    assert story.is_over(his)
    server.only_receipt_of(his.user_id)
    assert [each.claims["sub"] for each in web.party.tokens] == [hers.user_id, his.user_id]
