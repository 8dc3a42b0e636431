"""An operator looks before they leap: the dry run names everything the revocation then does, to real applications."""

from tests.support.authorization_server import deliveries_by_client
from tests.support.story import Story, by_email


def test_a_dry_run_tells_nobody_and_the_revocation_after_it_is_as_foretold(story: Story) -> None:
    server = story.server
    web, desk = story.application("web"), story.application("desk", backchannel_logout_session_required=True)
    mute, left = story.application("mute", backchannel_logout_uri=None), story.application("left")
    never, removed = story.application("never"), story.application("removed")
    connection = story.connection(web, desk, mute, left, never, removed)
    ada, ben = story.person("ada"), story.person("ben")
    laptop = story.sign_in(ada, connection, web, desk, left, removed)
    phone = story.sign_in(ada, connection, desk, mute, names={desk.client_id: {"sub": "pairwise", "sid": "its-own"}})
    his = story.sign_in(ben, connection, never)
    tokens = [server.refresh_token(laptop, web), server.refresh_token(phone, mute, offline=True)]
    gone_with_it = server.refresh_token(laptop, left, offline=True)
    server.ask("DELETE", f"/api/v2/sessions/{laptop.session_id}/clients/{left.client_id}", expect=204)
    server.ask("DELETE", f"/api/v2/clients/{removed.client_id}", expect=204)
    assert not server.is_active(gone_with_it)
    body = {"connection": connection.name, "subject": by_email(ada.email), "reason": "lost laptop"}

    foretold = server.ask("POST", "/api/v2/revocations?dry_run=true", body, expect=200)

    assert not story.is_over(laptop)
    assert not story.is_over(phone)
    assert all(server.is_active(each) for each in tokens)
    assert server.revocations_of(laptop.user_id) == []
    assert (foretold["sessions_ended"], foretold["refresh_tokens_revoked"]) == (2, 2)

    answer = server.ask("POST", "/api/v2/revocations", body, expect=202)
    receipt = server.wait_for_receipt(answer["revocation_id"])

    assert {
        each: receipt[each] for each in ("connection_id", "user_ids", "sessions_ended", "refresh_tokens_revoked")
    } == {each: foretold[each] for each in ("connection_id", "user_ids", "sessions_ended", "refresh_tokens_revoked")}
    rows = {each["client_id"]: each for each in foretold["applications"]}
    would_be_told = {name: each for name, each in rows.items() if each["state"] == "would_be_told"}
    assert set(would_be_told) == {web.client_id, desk.client_id}
    for application in (web, desk):
        received = application.party.tokens
        assert len(received) == would_be_told[application.client_id]["logout_tokens"]
        sids = sorted(str(each.claims["sid"]) for each in received if "sid" in each.claims)
        assert sids == would_be_told[application.client_id].get("sids", [])
    why_not = {name: each["reason"] for name, each in rows.items() if each["state"] == "would_be_skipped"}
    assert why_not == {
        mute.client_id: "no_logout_uri",
        removed.client_id: "client_deleted",
        left.client_id: "not_signed_in",
        never.client_id: "not_signed_in",
    }
    assert [len(each.party.received) for each in (mute, left, never, removed)] == [0, 0, 0, 0]
    # Whoever may hold something has a row in the receipt; an application nobody signed in to has none.
    delivered = deliveries_by_client(receipt)
    assert set(delivered) == {web.client_id, desk.client_id, mute.client_id, removed.client_id}
    for name in (mute.client_id, removed.client_id):
        assert {each["reason"] for each in delivered[name]} == {why_not[name]}
    assert not story.is_over(his)
