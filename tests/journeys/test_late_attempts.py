"""An application is told late, when its person has signed in again: what was ended is, what has begun since stays (law 5)."""

from service.dev import DevStack
from tests.support.authorization_server import Application, Receipt, Session
from tests.support.relying_party import UNAVAILABLE
from tests.support.story import Story, by_email


def ended_at(web: Application, *sessions: Session) -> list[str]:
    """Which of these sessions the application has ended, going by the logout tokens it took: a `sub` alone ends them all."""
    taken = [each.claims.get("sid") for each in web.party.tokens]
    return [each.session_id for each in sessions if {None, each.session_id} & set(taken)]


def states(receipt: Receipt) -> set[tuple[object, ...]]:
    return {(each.get("sid"), each["state"], each.get("reason")) for each in receipt["deliveries"]}


def test_while_no_worker_ran_a_new_session_began_and_it_stays(story: Story, stack: DevStack) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")
    old = story.sign_in(ada, connection, web)
    stack.worker.kill()
    assert story.revoke(connection, by_email(ada.email)).status_code == 204
    newer = story.sign_in(ada, connection, web)
    stack.worker.start()

    receipt = server.only_receipt_of(old.user_id, "completed")
    assert ended_at(web, old, newer) == [old.session_id]
    assert states(receipt) == {(old.session_id, "delivered", None)}
    assert (story.is_over(old), story.is_over(newer)) == (True, False)


def test_before_a_retry_a_new_session_began_and_it_stays(story: Story) -> None:
    server = story.server
    web = story.application("web", UNAVAILABLE)
    connection = story.connection(web)
    ada = story.person("ada")
    old = [story.sign_in(ada, connection, web) for _ in range(2)]
    assert story.revoke(connection, by_email(ada.email)).status_code == 204
    web.party.wait_for(1)
    newer = story.sign_in(ada, connection, web)

    receipt = server.only_receipt_of(newer.user_id, "completed")
    refused, *told = web.party.tokens
    assert refused.claims.get("sid") is None, "it was sent before anybody had signed in again, and was not taken"
    assert sorted(each.claims["sid"] for each in told) == sorted(each.session_id for each in old)
    assert states(receipt) == {
        (None, "skipped", "told_by_sid"),
        *((each.session_id, "delivered", None) for each in old),
    }
    assert [story.is_over(each) for each in (*old, newer)] == [True, True, False]
