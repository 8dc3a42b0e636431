"""What is owed to whom."""

from dataclasses import replace

import pytest

from service.domain.application import Application
from service.domain.delivery_plan import Target, plan_deliveries
from service.domain.identifiers import delivery_id_for
from service.domain.revocation import Everything, OneSession, Revocation
from tests.support.house import CONNECTION, user_id

ADA = user_id("ada")

REVOCATION = Revocation(
    revocation_id="rev_abc",
    connection_id=CONNECTION,
    user_ids=(ADA,),
    initiator="operator",
    reason=None,
    scope=Everything(),
    state="accepted",
    accepted_at_ms=0,
    revoked_at_ms=0,
    completed_at_ms=None,
    sessions_ended=0,
    refresh_tokens_revoked=0,
)


def application(client_id: str, *, uri: str | None = "https://app.example.com", required: bool = False) -> Application:
    return Application(
        client_id=client_id,
        client_secret_hash="",
        backchannel_logout_uri=uri,
        backchannel_logout_session_required=required,
        created_at_ms=0,
        updated_at_ms=0,
    )


def plan(
    *targets: Target, applications: tuple[Application, ...] = (), session_id: str | None = None
) -> list[tuple[str, str, str | None, str, str | None]]:
    """What is owed: (client_id, sub, sid, state, reason) each."""
    revocation = replace(REVOCATION, scope=OneSession(session_id=session_id) if session_id else Everything())
    known = {each.client_id: each for each in applications}
    return [
        (each.client_id, each.sub, each.sid, each.state, each.reason)
        for each in plan_deliveries(revocation, ADA, targets, known)
    ]


def test_a_person_wide_revocation_owes_each_application_one_token_without_sid() -> None:
    targets = [Target(client_id=each, sub="ada", sid=f"s-{n}") for each in ("mail", "crm") for n in range(3)]
    assert plan(*targets, applications=(application("crm"), application("mail"))) == [
        ("crm", "ada", None, "pending", None),
        ("mail", "ada", None, "pending", None),
    ]


def test_one_that_requires_sid_is_owed_a_token_for_each_session() -> None:
    targets = [Target(client_id="crm", sub="ada", sid=f"s-{n}") for n in (2, 1)]
    assert plan(*targets, applications=(application("crm", required=True),)) == [
        ("crm", "ada", "s-1", "pending", None),
        ("crm", "ada", "s-2", "pending", None),
    ]


def test_one_that_cannot_be_read_is_owed_what_any_could_take() -> None:
    targets = [Target(client_id=each, sub="ada", sid="s-1") for each in ("crm", "gone")]
    rows = plan_deliveries(REVOCATION, ADA, targets, {}, unreadable={"crm"})
    assert [(each.client_id, each.sid, each.state, each.reason) for each in rows] == [
        ("crm", "s-1", "pending", None),
        ("gone", None, "skipped", "client_deleted"),
    ]


def test_one_that_knows_the_person_by_two_names_is_owed_a_token_for_each() -> None:
    targets = [Target(client_id="crm", sub=each, sid=each) for each in ("ada-2", "ada-1")]
    assert plan(*targets, applications=(application("crm"),)) == [
        ("crm", "ada-1", None, "pending", None),
        ("crm", "ada-2", None, "pending", None),
    ]


@pytest.mark.parametrize("required", [False, True])
def test_the_end_of_one_session_owes_sub_and_sid_to_each_application_in_it(required: bool) -> None:
    target = Target(client_id="crm", sub="ada", sid="s-1")
    assert plan(target, applications=(application("crm", required=required),), session_id="ses_1") == [
        ("crm", "ada", "s-1", "pending", None)
    ]


def test_whoever_cannot_be_told_has_a_row_with_the_reason() -> None:
    targets = [Target(client_id=each, sub="ada", sid=f"s-{n}") for each in ("gone", "mute") for n in range(2)]
    assert plan(*targets, applications=(application("mute", uri=None),)) == [
        ("gone", "ada", None, "skipped", "client_deleted"),
        ("mute", "ada", None, "skipped", "no_logout_uri"),
    ]


def test_nobody_who_took_part_means_nothing_is_owed() -> None:
    assert plan() == []


def test_the_same_plan_again_has_the_same_ids_whatever_the_order() -> None:
    targets = [Target(client_id=each, sub="ada", sid=each) for each in ("crm", "mail", "wiki")]
    first, again = (
        [each.delivery_id for each in plan_deliveries(REVOCATION, ADA, order, {})] for order in (targets, targets[::-1])
    )
    assert first == again
    assert first[0] == delivery_id_for("rev_abc", ADA, "crm", "ada", None)
