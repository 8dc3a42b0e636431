"""OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.7, and the contract's §8 and laws: what a logout token ends, and
what it must not. Over real HTTP, at the 200, with no worker.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from service.embedded_redis import EmbeddedRedis
from tests.support.authorization_server import Session
from tests.support.clock import HandClock
from tests.support.logout_door import UPSTREAM_SID, LogoutDoor, is_accepted, is_refused
from tests.support.lone_service import clock, idp, parties, server, story
from tests.support.redis_server import connect
from tests.support.story import Story, by_iss_sub
from tests.support.tokens import REMOVED

__all__ = ["clock", "idp", "parties", "server", "story"]

Subject = tuple[str | None, str | None]
"""`sub` and `sid` of a logout."""


@pytest.fixture
def door(story: Story, clock: HandClock) -> LogoutDoor:
    """A door, with somebody behind it."""
    return LogoutDoor.open(story, clock)


class Household:
    """Ada on three devices: two upstream sessions, and a sign-in that nobody reported one for."""

    def __init__(self, door: LogoutDoor) -> None:
        self.door = door
        sign_in, web, now_s = door.story.sign_in, door.web, door.clock.now_s
        self.sessions = {
            "first": door.session,
            "second": sign_in(door.ada, door.connection, web, upstream_sid="upstream-session-2", auth_time=now_s),
            "without": sign_in(door.ada, door.connection, web, auth_time=now_s),
        }
        self.tokens = {name: door.server.refresh_token(each, web) for name, each in self.sessions.items()}
        self.offline = {
            name: door.server.refresh_token(each, web, offline=True) for name, each in self.sessions.items()
        }
        door.clock.advance(10)

    @property
    def honoured(self) -> set[str]:
        """Whose session is honoured, each with its ordinary refresh token or neither."""
        story, server = self.door.story, self.door.server
        sessions = {name for name, each in self.sessions.items() if not story.is_over(each)}
        assert sessions == {name for name, each in self.tokens.items() if server.is_active(each)}
        return sessions

    @property
    def offline_honoured(self) -> set[str]:
        """Whose offline refresh token is."""
        return {name for name, each in self.offline.items() if self.door.server.is_active(each)}


@pytest.fixture
def household(door: LogoutDoor) -> Household:
    return Household(door)


EVERYBODY = {"first", "second", "without"}


# What is ended by what (section 2.4, contract §8).


def test_section_2_4_a_sid_ends_the_sessions_of_that_upstream_session_and_no_others(household: Household) -> None:
    household.door.logout(sid=UPSTREAM_SID)
    assert household.honoured == {"second", "without"}
    assert household.offline_honoured == EVERYBODY


def test_section_2_4_a_sub_alone_ends_every_session_of_the_person(household: Household) -> None:
    household.door.logout(sub=household.door.ada.sub)
    assert household.honoured == set()
    assert household.offline_honoured == EVERYBODY


def test_section_2_4_sub_and_sid_end_the_sids(household: Household) -> None:
    household.door.logout(sub=household.door.ada.sub, sid="upstream-session-2")
    assert household.honoured == {"first", "without"}


def test_a_sid_that_nobody_reported_means_a_session_reported_without_one_where_the_person_is_named(
    household: Household,
) -> None:
    """Which of them is not known, and one of them is: of the two errors the safe one."""
    household.door.logout(sid="never-reported")
    assert household.honoured == EVERYBODY
    household.door.logout(sub=household.door.ada.sub, sid="never-reported")
    assert household.honoured == {"first", "second"}


def test_a_sid_that_only_somebody_else_has_had_is_one_that_nobody_reported(household: Household) -> None:
    door = household.door
    ben = door.story.person("ben")
    his = door.story.sign_in(ben, door.connection, door.web, upstream_sid="his")
    door.clock.advance(1)
    door.logout(sub=door.ada.sub, sid="his")
    assert household.honoured == {"first", "second"}
    assert not door.story.is_over(his)


def test_a_sub_that_is_not_known_does_not_make_the_session_of_the_sid_another_one(household: Household) -> None:
    household.door.logout(sub="another-name-upstream", sid=UPSTREAM_SID)
    assert household.honoured == {"second", "without"}


def test_one_sid_may_be_of_several_sessions_and_of_several_people(door: LogoutDoor) -> None:
    """A family's tablet: the identity provider's session is one."""
    ben = door.story.person("ben")
    hers = door.story.sign_in(door.ada, door.connection, door.web, upstream_sid=UPSTREAM_SID)
    his = door.story.sign_in(ben, door.connection, door.web, upstream_sid=UPSTREAM_SID)
    door.clock.advance(1)
    door.logout(sid=UPSTREAM_SID)
    assert [door.story.is_over(each) for each in (door.session, hers, his)] == [True] * 3


# Section 2.7: offline access.


def test_section_2_7_offline_refresh_tokens_are_kept_and_ordinary_ones_are_not(door: LogoutDoor) -> None:
    door.logout(sub=door.ada.sub)
    assert door.session_is_over
    # And there are no new ones from a session that has ended, of either kind.
    for offline in (True, False):
        body = {"session_id": door.session.session_id, "client_id": door.web.client_id, "offline": offline}
        assert door.server.call("POST", "/api/v2/refresh-tokens", body).status_code == 404


@pytest.mark.parametrize("subject", ["sub", "sid", "both"])
def test_revoke_offline_access_ends_them_too(story: Story, clock: HandClock, subject: str) -> None:
    door = LogoutDoor.open(story, clock, revoke_offline_access=True)
    household = Household(door)
    door.logout(
        sub=None if subject == "sid" else door.ada.sub,
        sid=None if subject == "sub" else UPSTREAM_SID,
    )
    left = set() if subject == "sub" else {"second", "without"}
    assert household.honoured == left
    assert household.offline_honoured == left


def test_revoke_offline_access_reaches_the_offline_token_of_a_session_that_ended_before(
    story: Story, clock: HandClock
) -> None:
    door = LogoutDoor.open(story, clock)
    door.logout(sub=door.ada.sub)
    options = {"options": {"revoke_offline_access": True}}
    door.server.ask("PATCH", f"/api/v2/connections/{door.connection.id}", options)
    clock.advance(1)
    door.logout(sub=door.ada.sub)
    assert not door.server.is_active(door.offline)


def test_an_offline_token_that_was_kept_can_be_rotated_and_is_ended_by_the_next_global_revocation(
    door: LogoutDoor,
) -> None:
    door.logout(sub=door.ada.sub)
    body = {"refresh_token": door.offline, "client_id": door.web.client_id}
    rotated = door.server.ask("POST", "/api/v2/refresh-tokens/rotate", body)["refresh_token"]
    assert door.server.is_active(rotated)

    answer = door.story.revoke(
        door.connection,
        by_iss_sub(door.idp.issuer, door.ada.sub),
        assertion=door.story.assertion(door.connection, now_s=door.clock.now_s),
    )

    assert answer.status_code == 204
    assert not door.server.is_active(rotated)


# Law 1: at the 200.


@pytest.mark.parametrize("subject", ["sub", "sid", "both"])
def test_law_1_nothing_that_was_ended_is_honoured_by_any_way_to_ask(door: LogoutDoor, subject: str) -> None:
    server, web = door.server, door.web
    door.logout(
        sub=None if subject == "sid" else door.ada.sub,
        sid=None if subject == "sub" else UPSTREAM_SID,
    )
    assert door.story.is_over(door.session)
    for by in (None, web):
        assert not server.is_active(door.online, by=by)
        assert not server.is_active(door.session.session_id, by=by, hint="session")
    body = {"refresh_token": door.online, "client_id": web.client_id}
    rotated = server.call("POST", "/api/v2/refresh-tokens/rotate", body)
    assert (rotated.status_code, rotated.json()["error"]) == (400, "invalid_grant")
    path = f"/api/v2/sessions/{door.session.session_id}"
    assert server.call("POST", f"{path}/clients", {"client_id": web.client_id}).status_code == 404
    shown = server.ask("GET", path)
    assert (shown["state"], shown["active"]) == ("ended", False)


def test_the_receipt_says_who_asked_and_names_the_person(door: LogoutDoor) -> None:
    door.logout(sub=door.ada.sub)
    (receipt,) = door.server.revocations_of(door.session.user_id)
    assert (receipt["initiator"], receipt["state"]) == ("backchannel_logout", "accepted")
    assert receipt["revoked_at"] is not None


# Sections 2.7 and 2.8: what is not there is signed out already.


@pytest.mark.parametrize("subject", [("nobody", None), (None, "no-session"), ("nobody", "no-session")])
def test_section_2_7_an_unknown_person_or_session_is_200_and_leaves_no_receipt(
    door: LogoutDoor, subject: Subject
) -> None:
    before = door.server.ask("GET", f"/api/v2/revocations?connection={door.connection.name}")["items"]
    door.logout(sub=subject[0], sid=subject[1])
    after = door.server.ask("GET", f"/api/v2/revocations?connection={door.connection.name}")["items"]
    assert before == after == []
    assert door.nothing_happened


def test_section_2_7_somebody_signed_out_already_is_200(door: LogoutDoor) -> None:
    for _ in range(2):
        door.logout(sub=door.ada.sub, sid=UPSTREAM_SID)
        door.clock.advance(1)
    assert door.session_is_over


# Law 4: nobody else's people.


@pytest.mark.parametrize("subject", ["sub", "sid", "both"])
def test_law_4_the_same_sub_and_sid_through_another_connection_are_somebody_else(
    story: Story, clock: HandClock, subject: str
) -> None:
    """Two tenants of one identity provider, or one tenant's two: what is alike is not the same."""
    one, other = LogoutDoor.open(story, clock, name="one"), LogoutDoor.open(story, clock, name="other")
    twin = story.sign_in(one.ada, other.connection, other.web, upstream_sid=UPSTREAM_SID)
    token = story.server.refresh_token(twin, other.web)
    clock.advance(1)
    one.logout(
        sub=None if subject == "sid" else one.ada.sub,
        sid=None if subject == "sub" else UPSTREAM_SID,
    )
    assert one.session_is_over
    assert other.nothing_happened
    assert not story.is_over(twin)
    assert story.server.is_active(token)
    # Nor is a sign-in through the other refused for it.
    story.sign_in(one.ada, other.connection, other.web, upstream_sid=UPSTREAM_SID, auth_time=clock.now_s)


def test_law_4_the_same_jti_through_another_connection_is_another_message(story: Story, clock: HandClock) -> None:
    one, other = LogoutDoor.open(story, clock, name="one"), LogoutDoor.open(story, clock, name="other")
    for each in (one, other):
        each.logout(sub=each.ada.sub, claims={"jti": "shared"})
        assert each.session_is_over


# Law 5: once.


def again(door: LogoutDoor, **members: object) -> Session:
    """Ada signs in again; everything of that is honoured."""
    return door.story.sign_in(door.ada, door.connection, door.web, **members)


def test_law_5_the_same_token_again_changes_nothing_also_after_a_new_sign_in(door: LogoutDoor) -> None:
    token = door.token()
    assert is_accepted(door.send(token))
    receipts = door.server.revocations_of(door.session.user_id)
    assert is_accepted(door.send(token))
    new = again(door, upstream_sid=UPSTREAM_SID)
    assert is_accepted(door.send(token))
    door.clock.advance(60)
    assert is_accepted(door.send(token))
    assert not door.story.is_over(new)
    assert door.server.revocations_of(door.session.user_id) == receipts


def test_law_5_a_repeat_signed_anew_under_the_same_jti_changes_nothing(door: LogoutDoor) -> None:
    """Senders that sign each attempt may keep its `jti`, and give it another `iat`."""
    door.logout(sub=door.ada.sub, claims={"jti": "one-logout"})
    door.clock.advance(10)
    new = again(door, auth_time=door.clock.now_s)
    device = door.clock.now_s + 5
    door.clock.advance(10)
    door.logout(sub=door.ada.sub, claims={"jti": "one-logout"})
    assert not door.story.is_over(new)
    assert len(door.server.revocations_of(door.session.user_id)) == 1
    # Nor is a sign-in refused that began after the logout and before its repeat.
    assert not door.story.is_over(again(door, auth_time=device))


@pytest.mark.parametrize("subject", ["sub", "sid", "both"])
def test_law_5_a_repeat_of_what_named_nobody_changes_nothing_once_they_are_known(
    door: LogoutDoor, subject: str
) -> None:
    ben = door.story.person("ben")
    sub, sid = (None if subject == "sid" else ben.sub), (None if subject == "sub" else "his")
    door.logout(sub=sub, sid=sid, claims={"jti": "early"})
    # In the same second: by their times the two cannot be told apart.
    his = door.story.sign_in(ben, door.connection, door.web, **({} if sid is None else {"upstream_sid": sid}))
    for passed_s in (0, 1, 60):
        door.clock.advance(passed_s)
        door.logout(sub=sub, sid=sid, claims={"jti": "early"})
        assert not door.story.is_over(his)
    assert door.server.revocations_of(his.user_id) == []


def test_law_5_the_same_jti_about_somebody_or_something_else_is_refused(household: Household) -> None:
    door = household.door
    ben = door.story.person("ben")
    his = door.story.sign_in(ben, door.connection, door.web)
    door.clock.advance(1)
    claims = {"jti": "taken"}
    door.logout(sub=door.ada.sub, sid=UPSTREAM_SID, claims=claims)
    for other in (
        {"sub": ben.sub},
        {"sid": REMOVED},
        {"sub": REMOVED},
        {"sid": "upstream-session-2"},
        {"sub": ben.sub, "sid": REMOVED},
    ):
        assert is_refused(door.send(door.token(claims={**claims, **other})), "`jti`")
    assert household.honoured == {"second", "without"}
    assert not door.story.is_over(his)


def test_law_5_the_same_jti_in_a_much_later_token_is_another_message(
    door: LogoutDoor, redis_server: EmbeddedRedis
) -> None:
    """Nothing is remembered for longer than the first could have been sent again."""
    door.logout(sub=door.ada.sub, claims={"jti": "worn"})
    door.clock.advance(400)
    new = again(door)
    door.clock.advance(1)
    # Redis forgets by its own clock, which the test's is far ahead of: as it will have by then.
    with closing(connect(redis_server)) as client:
        for key in client.scan_iter("logoutd:replay:*"):
            client.delete(key)
    door.logout(sub=door.ada.sub, claims={"jti": "worn"})
    assert door.story.is_over(new)


@pytest.mark.parametrize("with_auth_time", [True, False])
@pytest.mark.parametrize("subject", ["sub", "sid", "both"])
def test_law_5_a_late_token_ends_nothing_begun_after_it(door: LogoutDoor, subject: str, with_auth_time: bool) -> None:
    sent = door.clock.now_s
    door.clock.advance(1)
    new = again(door, upstream_sid=UPSTREAM_SID, **({"auth_time": door.clock.now_s} if with_auth_time else {}))
    door.clock.advance(90)
    door.logout(
        sub=None if subject == "sid" else door.ada.sub,
        sid=None if subject == "sub" else UPSTREAM_SID,
        claims={"iat": sent, "exp": sent + 120},
    )
    assert door.session_is_over
    assert not door.story.is_over(new)


def test_law_5_a_session_begins_when_its_person_authenticated_and_not_when_it_was_reported(door: LogoutDoor) -> None:
    began = door.clock.now_s
    door.clock.advance(30)
    slow = again(door, upstream_sid=UPSTREAM_SID, auth_time=began)
    door.clock.advance(1)
    door.logout(sid=UPSTREAM_SID, claims={"iat": began})
    assert door.story.is_over(slow)


@pytest.mark.parametrize("subject", ["sub", "sid", "both"])
@pytest.mark.parametrize("passed_s", [0, 0.001, 1])
def test_law_5_a_sign_in_after_the_logout_is_honoured_in_the_same_second_too(
    door: LogoutDoor, subject: str, passed_s: float
) -> None:
    """The lesson of express-openid-connect, which logged the new session out; the upstream session may be the same one."""
    door.logout(
        sub=None if subject == "sid" else door.ada.sub,
        sid=None if subject == "sub" else UPSTREAM_SID,
    )
    door.clock.advance(passed_s)
    new = again(door, upstream_sid=UPSTREAM_SID)
    token = door.server.refresh_token(new, door.web)
    assert not door.story.is_over(new)
    assert door.server.is_active(token)
    assert door.session_is_over


# Law 5: a sign-in that started before a logout cannot finish after it.


def reported(door: LogoutDoor, person: str, *, auth_time: int, upstream_sid: str | None = None) -> int:
    """The status of a sign-in reported now."""
    names = {"ada": door.ada}
    body = door.story.sign_in_body(
        names.get(person) or door.story.person(person), door.connection, door.web, auth_time=auth_time
    )
    if upstream_sid is not None:
        body["upstream_sid"] = upstream_sid
    return door.server.call("POST", "/api/v2/sessions", body).status_code


@pytest.mark.parametrize("person", ["ada", "never-seen"])
@pytest.mark.parametrize("subject", ["sub", "sid", "both"])
@pytest.mark.parametrize("sid", ["a-new-upstream-session", UPSTREAM_SID])
def test_law_5_a_sign_in_from_before_the_logout_is_409_when_it_is_reported_after_it(
    door: LogoutDoor, person: str, subject: str, sid: str
) -> None:
    who = door.ada if person == "ada" else door.story.person(person)
    began = door.clock.now_s
    door.clock.advance(5)
    sent = door.clock.now_s
    door.logout(
        sub=None if subject == "sid" else who.sub,
        sid=None if subject == "sub" else sid,
    )
    door.clock.advance(5)
    for auth_time in (began, sent):
        assert reported(door, person, auth_time=auth_time, upstream_sid=sid) == 409
    assert reported(door, person, auth_time=sent + 1, upstream_sid=sid) == 201


@pytest.mark.parametrize("person", ["ada", "never-seen"])
def test_law_5_such_a_sign_in_is_409_also_where_no_upstream_session_is_ever_reported(
    door: LogoutDoor, person: str
) -> None:
    """The token names both; the authorization server never tells us of a `sid`: this may be the session meant."""
    who = door.ada if person == "ada" else door.story.person(person)
    began = door.clock.now_s
    door.clock.advance(5)
    door.logout(sub=who.sub, sid="never-reported")
    door.clock.advance(5)
    assert reported(door, person, auth_time=began) == 409
    assert reported(door, person, auth_time=began + 6) == 201


@pytest.mark.parametrize("person", ["ada", "never-seen"])
def test_law_5_a_logout_of_one_upstream_session_refuses_no_sign_in_from_another(door: LogoutDoor, person: str) -> None:
    who = door.ada if person == "ada" else door.story.person(person)
    began = door.clock.now_s
    door.clock.advance(5)
    door.logout(sub=who.sub, sid=UPSTREAM_SID)
    assert reported(door, person, auth_time=began, upstream_sid="another-upstream-session") == 201


def test_law_5_ten_at_once_are_one_logout(door: LogoutDoor) -> None:
    token = door.token()
    with ThreadPoolExecutor(10) as senders:
        answers = list(senders.map(door.send, [token] * 10))
    assert all(is_accepted(each) for each in answers)
    assert len(door.server.revocations_of(door.session.user_id)) == 1
    assert door.session_is_over
