"""What is tried anew, as what, and what is not."""

from dataclasses import replace

import pytest

from service.domain.application import Application
from service.domain.delivery import MAX_REDELIVERIES_SHOWN, Attempt, Delivery, State
from service.domain.identifiers import delivery_id_for
from service.domain.redelivery import WHY, Held, plan_redelivery, spare_newer
from tests.support.house import user_id

ADA = user_id("ada")
RID = "rev_abc"
NOW_MS = 1_800_000_000_000

APPLICATION = Application(
    client_id="crm",
    client_secret_hash="",
    backchannel_logout_uri="https://crm.example.com/logout",
    created_at_ms=0,
    updated_at_ms=0,
)

DEAD = Delivery(
    delivery_id=delivery_id_for(RID, ADA, "crm", "ada", None),
    user_id=ADA,
    client_id="crm",
    sub="ada",
    sid=None,
    state="dead",
    reason="gave_up",
    attempts=(Attempt(at_ms=1, duration_ms=2, status=503), Attempt(at_ms=3, duration_ms=4, error="connect_timeout")),
    attempt_count=60,
    earlier_attempt_count=5,
    first_attempt_at_ms=1,
    held_since_ms=2,
    dead_at_ms=NOW_MS - 1000,
)


def part(
    sid: str, *, covered: bool = False, newer: bool | None = None, client_id: str = "crm", sub: str = "ada"
) -> Held:
    """A session at an application: one the revocation ended, or a newer one."""
    return Held(client_id=client_id, sub=sub, sid=sid, covered=covered, newer=not covered if newer is None else newer)


def planned(
    delivery: Delivery = DEAD, *held: Held, application: Application | None = APPLICATION, force: bool = False
) -> tuple[Delivery, ...] | str:
    return plan_redelivery(delivery, application=application, held=held, now_ms=NOW_MS, force=force)


def test_it_begins_afresh_and_its_history_stays() -> None:
    assert planned() == (
        replace(
            DEAD,
            state="pending",
            reason=None,
            attempt_count=0,
            earlier_attempt_count=65,
            first_attempt_at_ms=None,
            held_since_ms=None,
            dead_at_ms=None,
            redelivered_at_ms=(NOW_MS,),
        ),
    )


def test_its_redeliveries_are_counted_and_only_the_latest_kept() -> None:
    often = replace(DEAD, redelivered_at_ms=tuple(range(MAX_REDELIVERIES_SHOWN)))
    again = planned(often)
    assert isinstance(again, tuple)
    assert again[0].redelivered_at_ms == (*range(1, MAX_REDELIVERIES_SHOWN), NOW_MS)


def test_it_is_not_redelivered_before_it_died_whatever_the_clock_says() -> None:
    ahead = replace(DEAD, dead_at_ms=NOW_MS + 60_000)
    again = planned(ahead)
    assert isinstance(again, tuple)
    assert again[0].redelivered_at_ms == (NOW_MS + 60_000,)


@pytest.mark.parametrize("state", ["pending", "retrying"])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_being_tried_is_not_tried_anew(state: State, force: bool) -> None:
    assert planned(replace(DEAD, state=state), force=force) == "still_open"


@pytest.mark.parametrize("state", ["delivered", "skipped"])
def test_what_was_delivered_or_skipped_is_tried_anew_only_by_force(state: State) -> None:
    closed = replace(DEAD, state=state, reason="no_logout_uri" if state == "skipped" else None)
    assert planned(closed) == state
    again = planned(closed, force=True)
    assert isinstance(again, tuple)
    assert (again[0].state, again[0].reason) == ("pending", None)


@pytest.mark.parametrize("force", [False, True])
def test_what_was_replaced_is_never_tried_anew(force: bool) -> None:
    assert planned(replace(DEAD, state="skipped", reason="told_by_sid"), force=force) == "told_by_sid"


@pytest.mark.parametrize("force", [False, True])
def test_an_application_that_cannot_be_told_is_not(force: bool) -> None:
    assert planned(application=None, force=force) == "client_deleted"
    assert planned(application=replace(APPLICATION, backchannel_logout_uri=None), force=force) == "no_logout_uri"


def test_a_newer_session_at_the_application_is_spared_by_naming_the_old_ones() -> None:
    old, *rows = planned(DEAD, part("s-2", covered=True), part("s-1", covered=True), part("s-3"))
    assert isinstance(old, Delivery)
    assert (old.delivery_id, old.state, old.reason, old.attempts) == (
        DEAD.delivery_id,
        "skipped",
        "told_by_sid",
        DEAD.attempts,
    )
    assert old.redelivered_at_ms == (NOW_MS,)
    assert rows == [
        Delivery(
            delivery_id=delivery_id_for(RID, ADA, "crm", "ada", sid),
            user_id=ADA,
            client_id="crm",
            sub="ada",
            sid=sid,
            redelivered_at_ms=(NOW_MS,),
        )
        for sid in ("s-1", "s-2")
    ]


def test_a_session_that_is_not_covered_is_spared_also_when_it_is_older() -> None:
    old, *rows = planned(DEAD, part("s-1", covered=True), part("s-0", newer=False))
    assert isinstance(old, Delivery)
    assert [each.sid for each in rows if isinstance(each, Delivery)] == ["s-1"]


def test_a_sid_that_a_newer_session_goes_by_is_not_named() -> None:
    assert planned(DEAD, part("same", covered=True), part("same")) == "newer_session"
    both = planned(DEAD, part("same", covered=True), part("same"), part("old", covered=True))
    assert [each.sid for each in both[1:] if isinstance(each, Delivery)] == ["old", "same"], "of either there is a row"
    assert isinstance(both[2], Delivery)
    (late,) = spare_newer(both[2], [part("same", covered=True), part("same")])
    assert (late.state, late.reason) == ("dead", "newer_session"), "and that one is not sent"
    by_sid = replace(DEAD, sid="same")
    assert planned(by_sid, part("same", covered=True), part("same")) == "newer_session"
    assert planned(by_sid, part("same", newer=False)) != "newer_session", "it was told of that one before as well"


def test_where_no_old_session_is_known_any_more_the_newer_one_is_not_ended() -> None:
    assert planned(DEAD, part("s-3")) == "newer_session"
    assert planned(replace(DEAD, state="delivered"), part("s-3"), force=True) == "newer_session"


def test_sessions_elsewhere_and_by_other_names_do_not_matter() -> None:
    elsewhere = (part("s-3", client_id="mail"), part("s-3", sub="ada-2"))
    assert planned(DEAD, part("s-1", covered=True), *elsewhere) == planned()
    by_sid = replace(DEAD, sid="s-1")
    again = planned(by_sid, part("s-3"))
    assert isinstance(again, tuple)
    assert [each.sid for each in again] == ["s-1"]


def test_an_application_that_has_come_to_require_a_sid_gets_one() -> None:
    required = replace(APPLICATION, backchannel_logout_session_required=True)
    named = planned(DEAD, part("s-1", covered=True), application=required)
    assert [each.sid for each in named if isinstance(each, Delivery)] == [None, "s-1"]
    unknown = planned(DEAD, application=required)
    assert unknown == planned(), "what it does with a token without one is its own to say"


def test_every_refusal_is_told_in_words() -> None:
    assert all(len(text) > 20 for text in WHY.values())


OPEN_ONE = replace(
    DEAD,
    state="retrying",
    reason=None,
    dead_at_ms=None,
    first_attempt_at_ms=NOW_MS - 5000,
    held_since_ms=NOW_MS - 9000,
    next_attempt_at_ms=NOW_MS,
    redelivered_at_ms=(7, 8),
)
"""One that is about to be sent, late."""


def test_a_late_one_is_sent_as_it_is_where_nothing_else_would_end() -> None:
    elsewhere = (part("s-3", client_id="mail"), part("s-3", sub="ada-2"))
    for held in ((), (part("s-1", covered=True),), elsewhere):
        assert spare_newer(OPEN_ONE, held) == (OPEN_ONE,)
    by_sid = replace(OPEN_ONE, sid="s-1")
    assert spare_newer(by_sid, (part("s-1", covered=True), part("s-3"), part("s-1", newer=False))) == (by_sid,)


def test_a_late_one_names_the_old_sessions_within_what_is_left_of_its_window() -> None:
    closed, *rows = spare_newer(OPEN_ONE, (part("s-2", covered=True), part("s-1", covered=True), part("s-3")))
    assert closed == replace(
        OPEN_ONE, state="skipped", reason="told_by_sid", next_attempt_at_ms=None, held_since_ms=None
    )
    assert rows == [
        Delivery(
            delivery_id=delivery_id_for(RID, ADA, "crm", "ada", sid),
            user_id=ADA,
            client_id="crm",
            sub="ada",
            sid=sid,
            first_attempt_at_ms=NOW_MS - 9000,
            redelivered_at_ms=(7, 8),
        )
        for sid in ("s-1", "s-2")
    ]


def test_of_a_late_one_what_a_newer_session_goes_by_is_a_row_that_says_so() -> None:
    held = (part("same", covered=True), part("same"), part("old", covered=True))
    assert [(each.sid, each.state, each.reason) for each in spare_newer(OPEN_ONE, held)] == [
        (None, "skipped", "told_by_sid"),
        ("old", "pending", None),
        ("same", "dead", "newer_session"),
    ]


def test_a_late_one_of_which_something_is_forgotten_is_dead_and_what_is_known_is_told_by_sid() -> None:
    lost = tuple(replace(each, lost=True) for each in (part("new"), part("old", covered=True)))
    assert [(each.sid, each.state, each.reason) for each in spare_newer(OPEN_ONE, lost)] == [
        (None, "dead", "newer_session"),
        ("old", "pending", None),
    ]
    (dead,) = spare_newer(OPEN_ONE, lost[:1])
    assert (dead.state, dead.reason) == ("dead", "newer_session")
    assert spare_newer(OPEN_ONE, lost[1:]) == (OPEN_ONE,), "a token for all of them tells of what is forgotten too"


def test_one_of_which_something_is_forgotten_is_not_replaced_by_what_is_known() -> None:
    lost = tuple(replace(each, lost=True) for each in (part("new"), part("old", covered=True)))
    again = planned(DEAD, *lost)
    assert again == planned(), "it is closed when it is about to be sent, where the receipt tells of it"
    assert planned(DEAD, lost[0]) == "newer_session"


@pytest.mark.parametrize(
    ("sid", "held", "state"),
    [
        (None, (part("new"),), "skipped"),
        (None, (part("same", covered=True), part("same")), "dead"),
        ("same", (part("same", covered=True), part("same")), "dead"),
    ],
    ids=["it holds nothing older", "it knows both by one sid", "it knows a newer one by this sid"],
)
def test_a_late_one_that_could_end_only_what_is_newer_is_not_sent(
    sid: str | None, held: tuple[Held, ...], state: State
) -> None:
    late = replace(OPEN_ONE, sid=sid)
    assert spare_newer(late, held) == (
        replace(late, state=state, reason="newer_session", next_attempt_at_ms=None, held_since_ms=None),
    )
