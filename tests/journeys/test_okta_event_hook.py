"""Okta's event hooks, from the verification of the endpoint to the last application told."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.authorization_server import Application, Connection, deliveries_by_client
from tests.support.okta_events import hook_path, okta_batch, okta_event, okta_user
from tests.support.story import Person, Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A connection with an event hook, and what Okta has been told of it."""

    story: Story
    connection: Connection
    secret: str

    @classmethod
    def set_up(cls, story: Story, *applications: Application, name: str = "okta") -> "Hook":
        """A connection whose hook has been verified."""
        secret = f"hook-secret-of-{name}-{story.mark}"
        story.server.secrets.add(secret)
        connection = story.connection(*applications, name=name, okta_event_hook_secret=secret)
        hook = cls(story=story, connection=connection, secret=secret)
        answer = story.server.http.get(hook.path, headers={"X-Okta-Verification-Challenge": story.mark})
        assert (answer.status_code, answer.json()) == (200, {"verification": story.mark})
        return hook

    @property
    def path(self) -> str:
        """Where Okta sends events."""
        return hook_path(self.connection.name)

    def deliver(self, *events: dict[str, Any], secret: str | None = None) -> httpx.Response:
        """A delivery of these events."""
        headers = {"Authorization": secret or self.secret}
        return self.story.server.http.post(self.path, json=okta_batch(*events), headers=headers)


def about(person: Person, event_type: str, *, ago_s: float = 0) -> dict[str, Any]:
    """An event that is about somebody."""
    target = [okta_user(person.sub, person.email)]
    return okta_event(event_type, at_ms=int((time.time() - ago_s) * 1000), target=target)


def test_a_batch_with_a_deactivation_ends_everything_and_tells_every_application(story: Story) -> None:
    server = story.server
    web, desk = story.application("web"), story.application("desk", backchannel_logout_session_required=True)
    hook = Hook.set_up(story, web, desk)
    ada, ben, stranger = story.person("ada"), story.person("ben"), story.person("stranger")
    hers, his = story.sign_in(ada, hook.connection, web, desk), story.sign_in(ben, hook.connection, web)
    tokens = [server.refresh_token(hers, web), server.refresh_token(hers, desk, offline=True)]
    batch = (
        about(ben, "user.session.start"),
        about(ada, "user.lifecycle.deactivate"),
        about(stranger, "user.lifecycle.deactivate"),
    )

    answer = hook.deliver(*batch)

    assert (answer.status_code, answer.json()) == (200, {"revocations": 1, "ignored": 2})
    assert story.is_over(hers)
    assert not any(server.is_active(each) for each in tokens)
    assert not story.is_over(his)
    receipt = server.only_receipt_of(hers.user_id)
    assert (receipt["initiator"], receipt["reason"]) == ("okta_event_hook", "user.lifecycle.deactivate")
    assert (receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == (1, 2)
    assert {
        client: [each["state"] for each in deliveries] for client, deliveries in deliveries_by_client(receipt).items()
    } == {web.client_id: ["delivered"], desk.client_id: ["delivered"]}
    assert [each.claims["sub"] for each in web.party.tokens] == [hers.user_id]
    assert [each.claims["sid"] for each in desk.party.tokens] == [hers.names[desk.client_id][1]]

    # At least once: the same again, and the same event beside others.
    for again in (hook.deliver(*batch), hook.deliver(batch[1], about(ben, "user.session.start"))):
        assert (again.status_code, again.json()["revocations"]) == (200, 1)
    assert server.only_receipt_of(hers.user_id) == receipt
    assert [len(each.party.received) for each in (web, desk)] == [1, 1]


def test_a_late_event_tells_of_what_had_begun_by_then_and_leaves_the_newer_sign_in(story: Story) -> None:
    server = story.server
    web, desk = story.application("web"), story.application("desk")
    hook = Hook.set_up(story, web, desk)
    ada = story.person("ada")
    now_s = int(time.time())
    old = story.sign_in(ada, hook.connection, web, auth_time=now_s - 600)
    new = story.sign_in(ada, hook.connection, desk, auth_time=now_s - 60)
    token = server.refresh_token(new, desk, offline=True)

    assert hook.deliver(about(ada, "user.session.clear", ago_s=300)).json() == {"revocations": 1, "ignored": 0}

    receipt = server.only_receipt_of(old.user_id)
    assert receipt["sessions_ended"] == 1
    assert [each["client_id"] for each in receipt["deliveries"]] == [web.client_id]
    assert story.is_over(old)
    assert not story.is_over(new)
    assert server.is_active(token)
    assert desk.party.received == []


def test_a_wrong_secret_is_401_and_has_no_effect(story: Story) -> None:
    web = story.application("web")
    hook = Hook.set_up(story, web)
    ada = story.person("ada")
    session = story.sign_in(ada, hook.connection, web)

    for secret in (f"{hook.secret}x", f"Basic {hook.secret}", "Bearer", story.server.administrator["Authorization"]):
        refused = hook.deliver(about(ada, "user.lifecycle.deactivate"), secret=secret)
        assert refused.status_code == 401
        assert set(refused.json()) == {"error", "error_description"}

    assert not story.is_over(session)
    assert story.server.revocations_of(session.user_id) == []


def test_the_hook_of_one_connection_does_not_reach_the_people_of_another(story: Story) -> None:
    # One Okta org, two connections: ids, logins and addresses are equal.
    ours, theirs = story.application("ours"), story.application("theirs")
    here, there = Hook.set_up(story, ours, name="here"), Hook.set_up(story, theirs, name="there")
    ada = story.person("ada")
    session_here, session_there = (
        story.sign_in(ada, here.connection, ours),
        story.sign_in(ada, there.connection, theirs),
    )
    event = about(ada, "user.lifecycle.suspend")

    assert there.deliver(event, secret=here.secret).status_code == 401
    assert here.deliver(event).json() == {"revocations": 1, "ignored": 0}

    receipt = story.server.only_receipt_of(session_here.user_id)
    assert receipt["user_ids"] == [session_here.user_id]
    assert story.is_over(session_here)
    assert not story.is_over(session_there)
    assert story.server.revocations_of(session_there.user_id) == []
    assert theirs.party.received == []
