"""An application refuses, is given up, is mended, and told after all: through both processes, over real HTTP."""

from service.domain.clock import SystemClock
from service.web.bodies import moment
from tests.support.authorization_server import milliseconds
from tests.support.relying_party import REFUSED, UNAVAILABLE
from tests.support.story import Story, by_email
from tests.support.waiting import eventually


def test_a_mended_application_is_told_what_it_had_refused(story: Story) -> None:
    server = story.server
    broken, whole = story.application("broken", REFUSED), story.application("whole")
    connection = story.connection(broken, whole)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, broken, whole)
    story.revoke(connection, by_email(ada.email))

    receipt = server.only_receipt_of(session.user_id, "incomplete")
    listed = server.ask("GET", f"/api/v2/deliveries?state=dead&client_id={broken.client_id}")["items"]

    (dead,) = listed
    rid = receipt["revocation_id"]
    assert (dead["revocation_id"], dead["reason"], dead["attempt_count"]) == (rid, "rejected", 1)
    assert dead["last_attempt"]["status"] == 400
    assert milliseconds(dead["dead_at"]) <= milliseconds(receipt["completed_at"])
    assert server.ask("GET", f"/api/v2/clients/{broken.client_id}")["dead_letters"] == 1

    # It is mended: the next answer is 200, after one more stumble.
    broken.party.answer(UNAVAILABLE)
    told = server.ask("POST", f"/api/v2/deliveries/{dead['delivery_id']}/redeliver", expect=202)

    assert told["revocation_id"] == rid
    assert [each["delivery_id"] for each in told["deliveries"]] == [dead["delivery_id"]]
    after = server.wait_for_receipt(rid)
    assert milliseconds(after["completed_at"]) > milliseconds(receipt["completed_at"])
    rows = {each["client_id"]: each for each in after["deliveries"]}
    assert [each["status"] for each in rows[broken.client_id]["attempts"]] == [400, 503, 200]
    assert rows[broken.client_id]["state"] == "delivered"
    (began,) = rows[broken.client_id]["redelivered_at"]
    at = [milliseconds(each["at"]) for each in rows[broken.client_id]["attempts"]]
    assert at[0] <= milliseconds(began) <= at[1], "where the redelivery began is to be seen among the attempts"
    tokens = broken.party.tokens
    assert {each.claims["txn"] for each in tokens} == {dead["delivery_id"]}
    assert len({each.claims["jti"] for each in tokens}) == 3
    assert len(whole.party.received) == 1, "nobody else is told again"
    assert server.ask("GET", f"/api/v2/deliveries?state=dead&client_id={broken.client_id}")["items"] == []


def test_everything_an_application_missed_is_told_once_it_is_mended_at_its_new_address(story: Story) -> None:
    server = story.server
    web = story.application("web", *[REFUSED] * 5)
    connection = story.connection(web)
    began = moment(SystemClock().now_ms())
    people = [story.person(f"p{number}") for number in range(5)]
    sessions = [story.sign_in(each, connection, web) for each in people]
    for each in people:
        story.revoke(connection, by_email(each.email))
    receipts = [server.only_receipt_of(each.user_id, "incomplete") for each in sessions]
    moved = story.parties.open()
    body = {"backchannel_logout_uri": moved.backchannel_logout_uri}
    server.ask("PATCH", f"/api/v2/clients/{web.client_id}", body)

    told = server.ask("POST", f"/api/v2/clients/{web.client_id}/redeliver", {"since": began}, expect=202)

    assert (told["redelivered"], told["not_redelivered"], told["next_cursor"]) == (5, [], None)
    for each in receipts:
        server.wait_for_receipt(each["revocation_id"])
    assert sorted(each.claims["sub"] for each in moved.tokens) == sorted(each.user_id for each in sessions)
    assert len(web.party.received) == 5


def test_somebody_who_has_signed_in_again_stays_signed_in(story: Story) -> None:
    server = story.server
    web = story.application("web", REFUSED)
    connection = story.connection(web)
    ada = story.person("ada")
    first = story.sign_in(ada, connection, web)
    story.revoke(connection, by_email(ada.email))
    receipt = server.only_receipt_of(first.user_id, "incomplete")
    again = story.sign_in(ada, connection, web)

    server.ask("POST", f"/api/v2/revocations/{receipt['revocation_id']}/redeliver", expect=202)

    after = server.wait_for_receipt(receipt["revocation_id"])
    assert [each.claims.get("sid") for each in web.party.tokens] == [None, first.session_id]
    states = {(each.get("sid"), each["state"], each.get("reason")) for each in after["deliveries"]}
    assert states == {(None, "skipped", "told_by_sid"), (first.session_id, "delivered", None)}
    assert not story.is_over(again)


def test_asked_twice_it_is_redelivered_once(story: Story) -> None:
    server = story.server
    web = story.application("web", REFUSED)
    connection = story.connection(web)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    story.revoke(connection, by_email(ada.email))
    receipt = server.only_receipt_of(session.user_id, "incomplete")
    path = f"/api/v2/revocations/{receipt['revocation_id']}/redeliver"

    answers = [server.call("POST", path).status_code for _ in range(2)]

    assert answers == [202, 409]
    server.wait_for_receipt(receipt["revocation_id"])
    eventually(lambda: len(web.party.received), lambda found: found == 2)
