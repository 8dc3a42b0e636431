"""Law 3: every application is told, or the receipt shows why not; one that misbehaves is its own misfortune alone."""

from typing import Any

from tests.support.authorization_server import Application, Receipt, deliveries_by_client, milliseconds
from tests.support.relying_party import NEVER, NO_CONTENT, REFUSED, UNAVAILABLE, Answer, redirect
from tests.support.story import Story, by_email
from tests.support.waiting import eventually

HANGING_BOUND_S = 3.0
"""How soon everybody else has to be told while one application hangs, in seconds; its own attempt takes five."""


def delivery_to(application: Application, receipt: Receipt) -> dict[str, Any]:
    (delivery,) = deliveries_by_client(receipt)[application.client_id]
    return delivery


def test_one_that_answers_503_first_is_told_again_and_the_receipt_has_both_attempts(story: Story) -> None:
    server = story.server
    busy = Answer(status=503, headers={"Retry-After": "1"})
    web, flaky = story.application("web"), story.application("flaky", busy)
    connection = story.connection(web, flaky)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web, flaky)
    story.revoke(connection, by_email(ada.email))

    waiting = eventually(
        lambda: server.receipt(server.revocations_of(session.user_id)[0]["revocation_id"]),
        lambda receipt: any(each["state"] == "retrying" for each in receipt["deliveries"]),
    )
    assert waiting["state"] == "notifying"
    planned = delivery_to(flaky, waiting)
    (attempt,) = planned["attempts"]
    assert (attempt["status"], attempt["error"]) == (503, "server_error")
    assert milliseconds(planned["next_attempt_at"]) >= milliseconds(attempt["at"]) + 1000

    receipt = server.only_receipt_of(session.user_id)
    told = delivery_to(flaky, receipt)
    assert (told["state"], "next_attempt_at" in told) == ("delivered", False)
    assert [each["status"] for each in told["attempts"]] == [503, 200]
    assert told["attempts"][0] == attempt
    assert milliseconds(told["attempts"][1]["at"]) >= milliseconds(planned["next_attempt_at"])
    first, second = flaky.party.tokens
    assert first.claims["txn"] == second.claims["txn"] == told["delivery_id"]
    assert first.claims["jti"] != second.claims["jti"]
    assert len(web.party.received) == 1


def test_one_that_never_answers_delays_nobody_else(story: Story) -> None:
    server = story.server
    others = [story.application(f"other{number}") for number in range(5)]
    hanging = story.application("hanging", NEVER, NEVER)
    connection = story.connection(*others, hanging)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, *others, hanging)
    story.revoke(connection, by_email(ada.email))

    hanging.party.wait_for(1)
    for each in others:
        each.party.wait_for(1, within_s=HANGING_BOUND_S)
    # And somebody else's revocation, of the same applications, while it still hangs.
    ben = story.person("ben")
    his = story.sign_in(ben, connection, *others)
    story.revoke(connection, by_email(ben.email))
    server.only_receipt_of(his.user_id, within_s=HANGING_BOUND_S)

    receipt = eventually(
        lambda: server.receipt(server.revocations_of(session.user_id)[0]["revocation_id"]),
        lambda found: delivery_to(hanging, found)["state"] == "retrying" if found["deliveries"] else False,
    )
    hanging.party.release()
    (attempt,) = delivery_to(hanging, receipt)["attempts"]
    assert (attempt["error"], "status" in attempt) == ("timeout", False)
    assert 4_900 <= attempt["duration_ms"] <= 7_000
    assert receipt["state"] == "notifying"
    by_client = deliveries_by_client(receipt)
    assert {each["state"] for other in others for each in by_client[other.client_id]} == {"delivered"}

    assert delivery_to(hanging, server.only_receipt_of(session.user_id))["state"] == "delivered"


def test_final_answers_are_final_and_each_says_what_it_was(story: Story) -> None:
    server = story.server
    elsewhere = story.application("elsewhere")
    moved = story.application("moved", redirect(elsewhere.party.backchannel_logout_uri))
    refusing, empty = story.application("refusing", REFUSED), story.application("empty", NO_CONTENT)
    connection = story.connection(moved, refusing, empty)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, moved, refusing, empty)
    story.revoke(connection, by_email(ada.email))

    receipt = server.only_receipt_of(session.user_id, "incomplete")

    outcomes = {
        each["client_id"]: (each["state"], each.get("reason"), [one["status"] for one in each["attempts"]])
        for each in receipt["deliveries"]
    }
    assert outcomes == {
        moved.client_id: ("dead", "redirect", [307]),
        refusing.client_id: ("dead", "rejected", [400]),
        empty.client_id: ("delivered", None, [204]),
    }
    assert receipt["completed_at"] is not None
    assert elsewhere.party.received == [], "a redirect was followed"
    assert [len(each.party.received) for each in (moved, refusing, empty)] == [1, 1, 1]


def test_one_without_a_logout_uri_and_one_deleted_are_rows_of_the_receipt_with_the_reason(story: Story) -> None:
    server = story.server
    web = story.application("web")
    mute = story.application("mute", backchannel_logout_uri=None)
    unset, gone = story.application("unset"), story.application("gone")
    bystander = story.application("bystander")
    connection = story.connection(web, mute, unset, gone, bystander)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web, mute, unset, gone)
    server.ask("PATCH", f"/api/v2/clients/{unset.client_id}", {"backchannel_logout_uri": None})
    server.ask("DELETE", f"/api/v2/clients/{gone.client_id}", expect=204)
    story.revoke(connection, by_email(ada.email))

    receipt = server.only_receipt_of(session.user_id)

    outcomes = {each["client_id"]: (each["state"], each.get("reason")) for each in receipt["deliveries"]}
    assert outcomes == {
        web.client_id: ("delivered", None),
        mute.client_id: ("skipped", "no_logout_uri"),
        unset.client_id: ("skipped", "no_logout_uri"),
        gone.client_id: ("skipped", "client_deleted"),
    }
    assert [len(each.party.received) for each in (web, mute, unset, gone, bystander)] == [1, 0, 0, 0, 0]


def test_one_deleted_while_it_is_owed_a_retry_is_skipped_and_the_receipt_closes(story: Story) -> None:
    server = story.server
    failing = story.application("failing", *[UNAVAILABLE] * 20)
    connection = story.connection(failing)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, failing)
    story.revoke(connection, by_email(ada.email))
    failing.party.wait_for(1)
    server.ask("DELETE", f"/api/v2/clients/{failing.client_id}", expect=204)

    receipt = server.only_receipt_of(session.user_id)

    delivery = delivery_to(failing, receipt)
    assert (delivery["state"], delivery["reason"]) == ("skipped", "client_deleted")
    assert {each["status"] for each in delivery["attempts"]} == {503}
    assert len(failing.party.received) == len(delivery["attempts"])


def test_one_whose_server_is_gone_is_told_when_it_is_registered_where_it_answers(story: Story) -> None:
    server = story.server
    moved, new_home = story.application("moved"), story.parties.open()
    connection = story.connection(moved)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, moved)
    nobody = "http://127.0.0.1:1/backchannel-logout"
    server.ask("PATCH", f"/api/v2/clients/{moved.client_id}", {"backchannel_logout_uri": nobody})
    story.revoke(connection, by_email(ada.email))
    eventually(
        lambda: server.receipt(server.revocations_of(session.user_id)[0]["revocation_id"])["deliveries"],
        lambda deliveries: any(each["attempts"] for each in deliveries),
    )
    there = {"backchannel_logout_uri": new_home.backchannel_logout_uri}
    server.ask("PATCH", f"/api/v2/clients/{moved.client_id}", there)

    delivery = delivery_to(moved, server.only_receipt_of(session.user_id))

    assert delivery["attempts"][0]["error"] == "connect_error"
    assert delivery["attempts"][-1]["status"] == 200
    assert len(new_home.received) == 1
