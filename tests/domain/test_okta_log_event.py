"""Reading one event of Okta's System Log: who is meant, when it was, whether it happened at all."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.okta_events import ENDING_EVENTS, NOT_DONE
from service.domain.okta_log_event import (
    MAX_PUBLISHED_LENGTH,
    MAX_TARGETS,
    MAX_UUID_LENGTH,
    LogEvent,
    OktaUser,
    exact_names,
    login_names,
    read_log_event,
    shown_uuid,
    type_of,
)
from service.errors import InvalidRequest
from tests.support.okta_events import ADMINISTRATOR, okta_event, okta_user
from tests.support.tokens import REMOVED

AT_MS = 1_800_000_000_777
ADA = OktaUser(id="00u1ada", login="ada@example.com")
ROOT = OktaUser(id="00u0administrator", login="root@example.com")
ISSUERS = ("https://example.okta.com", "https://login.example.com")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def read(event_type: str = "user.session.clear", **members: Any) -> LogEvent:
    return read_log_event(okta_event(event_type, at_ms=AT_MS, **members), ENDING_EVENTS[event_type])


def test_an_ordinary_event() -> None:
    assert read(uuid="f790999f") == LogEvent(uuid="f790999f", published_ms=AT_MS, people=(ADA,), done=True)


@pytest.mark.parametrize("event_type", ENDING_EVENTS)
def test_the_target_is_meant_and_never_an_actor_beside_it(event_type: str) -> None:
    assert read(event_type).people == (ADA,)


@pytest.mark.parametrize("event_type", ENDING_EVENTS)
@pytest.mark.parametrize("target", [REMOVED, None, [], [{"id": "0oa1", "type": "AppInstance", "alternateId": "CRM"}]])
def test_without_a_target_the_actor_is_meant_where_the_person_does_it_themselves(event_type: str, target: Any) -> None:
    themselves = ENDING_EVENTS[event_type].by_the_person
    assert read(event_type, target=target).people == ((ROOT,) if themselves else ())


def test_an_actor_that_is_no_person_is_not_meant() -> None:
    for actor in ({**ADMINISTRATOR, "type": "SystemPrincipal"}, {**ADMINISTRATOR, "type": "PublicClientApp"}, None, 7):
        assert read("user.session.end", target=None, actor=actor).people == ()


def test_every_person_among_the_targets_is_meant_once_and_nothing_else() -> None:
    app_user = {"id": "0ua1", "type": "AppUser", "alternateId": "ada@example.com"}
    targets = [app_user, okta_user(), okta_user("00u2ben", "ben@example.com"), okta_user(), None, 7, {"type": "User"}]
    assert read(target=targets).people == (ADA, OktaUser(id="00u2ben", login="ben@example.com"))


def test_unknown_is_nobodys_name() -> None:
    assert read(target=[okta_user("unknown", "Unknown")]).people == ()
    assert read(target=[okta_user("unknown")]).people == (OktaUser(id=None, login="ada@example.com"),)
    assert read(target=[okta_user(login="unknown")]).people == (OktaUser(id="00u1ada", login=None),)


@pytest.mark.parametrize("result", sorted(NOT_DONE))
def test_what_was_tried_in_vain_is_not_done_but_where_the_attempt_is_the_event(result: str) -> None:
    for event_type, kind in ENDING_EVENTS.items():
        for written in (result, result.lower()):
            read_ = read(event_type, outcome={"result": written, "reason": "LOCKED_OUT"})
            assert read_.done is kind.whatever_came_of_it, event_type


@pytest.mark.parametrize("outcome", [REMOVED, None, {}, "FAILURE", {"result": None}, {"result": "UNKNOWN"}, []])
def test_what_does_not_say_that_it_failed_is_done(outcome: Any) -> None:
    assert read(outcome=outcome).done is True


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("2027-01-15T08:00:00.777Z", AT_MS),
        ("2027-01-15T08:00:00.777+00:00", AT_MS),
        ("2027-01-15T09:30:00.777+01:30", AT_MS),
        ("2027-01-15T08:00:00Z", AT_MS - 777),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00+23:59", 0),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
    ],
)
def test_when_it_was(published: str, expected: int) -> None:
    assert read(published=published).published_ms == expected


@pytest.mark.parametrize(
    "published",
    [
        REMOVED,
        None,
        1_800_000_000,
        "",
        "yesterday",
        "2027-01-15",
        "2027-01-15T08:00:00.777",
        "2027-13-15T08:00:00Z",
        "2027-01-15T08:00:00.777Z".ljust(MAX_PUBLISHED_LENGTH + 1),
        "\ud800",
    ],
)
def test_a_time_that_cannot_be_read_in_one_way_is_none(published: Any) -> None:
    assert read(published=published).published_ms is None


@pytest.mark.parametrize("uuid", [REMOVED, None, "", 7, "u" * (MAX_UUID_LENGTH + 1)])
def test_an_event_without_a_name_of_its_own_is_malformed(uuid: Any) -> None:
    with pytest.raises(InvalidRequest, match="needs `uuid`, a string of 1 to 256 characters"):
        read(uuid=uuid)


@pytest.mark.parametrize("target", [{}, "ada@example.com", 7, True])
def test_targets_that_are_no_list_are_malformed(target: Any) -> None:
    with pytest.raises(InvalidRequest, match="`target` of an event must be a list"):
        read(target=target)


def test_more_targets_than_an_event_has_are_malformed() -> None:
    assert len(read(target=[okta_user(str(each)) for each in range(MAX_TARGETS)]).people) == MAX_TARGETS
    with pytest.raises(InvalidRequest, match="at most 100 entries"):
        read(target=[None] * (MAX_TARGETS + 1))


@pytest.mark.parametrize("event", [None, 7, "user.session.end", [], {}, {"eventType": None}, {"eventType": ""}])
def test_an_event_without_a_type_is_malformed(event: Any) -> None:
    with pytest.raises(InvalidRequest, match="needs `eventType`"):
        type_of(event)


def test_only_what_is_plainly_a_uuid_is_shown() -> None:
    assert shown_uuid({"uuid": "f790999f-fe87-467a-9880-6982a583986c"}) == "f790999f-fe87-467a-9880-6982a583986c"
    for other in ("ada@example.com", "a b", "", "x" * 65, None, 7):
        assert shown_uuid({"uuid": other}) is None
    assert shown_uuid([]) is None


def test_by_id_a_person_is_the_sub_of_each_issuer_or_an_opaque_id() -> None:
    assert [each.to_json() for each in exact_names(ADA, ISSUERS)] == [
        {"format": "opaque", "id": "00u1ada"},
        {"format": "iss_sub", "iss": ISSUERS[0], "sub": "00u1ada"},
        {"format": "iss_sub", "iss": ISSUERS[1], "sub": "00u1ada"},
    ]
    assert exact_names(OktaUser(id=None, login="ada"), ISSUERS) == ()


def test_by_login_a_person_is_an_address_an_opaque_id_an_account_or_the_sub_of_each_issuer() -> None:
    assert [each.to_json() for each in login_names(ADA, ISSUERS)] == [
        {"format": "email", "email": "ada@example.com"},
        {"format": "opaque", "id": "ada@example.com"},
        {"format": "account", "uri": "acct:ada@example.com"},
        {"format": "iss_sub", "iss": ISSUERS[0], "sub": "ada@example.com"},
        {"format": "iss_sub", "iss": ISSUERS[1], "sub": "ada@example.com"},
    ]
    assert login_names(OktaUser(id="00u1ada", login=None), ISSUERS) == ()


def test_a_login_that_is_no_address_is_what_else_it_can_be() -> None:
    names = login_names(OktaUser(id=None, login="ada lovelace"), ISSUERS[:1])
    assert [each.format for each in names] == ["opaque", "iss_sub"]
    assert login_names(OktaUser(id=None, login="x" * 3000), ISSUERS) == ()


@given(st.sampled_from(sorted(ENDING_EVENTS)), st.dictionaries(st.text(), json_values, max_size=3), st.data())
def test_whatever_an_event_holds_it_is_read_or_malformed(
    event_type: str, more: dict[str, Any], data: st.DataObject
) -> None:
    members = ("uuid", "published", "target", "actor", "outcome")
    bent = {each: data.draw(json_values) for each in members if data.draw(st.booleans())}
    event = {**more, **okta_event(event_type, at_ms=AT_MS), **bent}
    try:
        found = read_log_event(event, ENDING_EVENTS[type_of(event)])
        people = found.people
    except InvalidRequest:
        people = ()
    for user in people:
        for each in (*exact_names(user, ISSUERS), *login_names(user, ISSUERS)):
            assert each.value
