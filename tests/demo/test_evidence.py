"""The demo's promises: each can be broken, and a broken one is an exit status of 1 that says which it was."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from service.demo.applications import PROFILES, Notice, ToyApplication
from service.demo.authorization_server import Attempt, Delivery, Person, Receipt, SignIn
from service.demo.claims import Claims
from service.demo.evidence import Instant, check_applications, check_instant, check_receipt, moments, summary
from service.demo.identity_provider import Answer
from service.demo.logout_token import LogoutToken
from service.demo.run import conclude
from service.demo.timeline import Narration

ADA = Person(name="Ada", email="ada@example.com", sub="ada")


def token(jti: str, *, txn: str, alg: str = "RS256", sid: str | None = None) -> LogoutToken:
    return LogoutToken(alg=alg, jti=jti, txn=txn, sub="ada", sid=sid)


def told(*notices: tuple[int, LogoutToken], profile: int) -> ToyApplication:
    application = ToyApplication("http://127.0.0.1:1", profile=PROFILES[profile], issuer="http://127.0.0.1:2")
    application.notices = [Notice(at_ms=1, status=status, token=each) for status, each in notices]
    return application


def good_applications() -> list[ToyApplication]:
    return [
        told((200, token("1", txn="d1", sid="laptop")), (200, token("2", txn="d2", sid="phone")), profile=0),
        told((200, token("3", txn="d3", alg="ES256")), profile=1),
        told((503, token("4", txn="d4")), (200, token("5", txn="d4")), profile=2),
    ]


def sign_ins() -> list[SignIn]:
    return [
        SignIn(person=ADA, device=each, session_id=each, user_id="usr", sids={"wiki": each}, refresh_tokens=())
        for each in ("laptop", "phone")
    ]


def delivery(name: str, client_id: str, *answers: str, state: str = "delivered") -> Delivery:
    attempts = tuple(Attempt(at_ms=1_010 + 1_000 * n, duration_ms=5, answer=each) for n, each in enumerate(answers))
    return Delivery(delivery_id=name, client_id=client_id, state=state, attempts=attempts)


RECEIPT = Receipt(
    state="completed",
    accepted_at_ms=1_000,
    revoked_at_ms=1_002,
    sessions_ended=2,
    refresh_tokens_revoked=4,
    deliveries=(
        delivery("d1", "wiki", "200"),
        delivery("d2", "wiki", "200"),
        delivery("d3", "payroll", "200"),
        delivery("d4", "helpdesk", "503", "200"),
    ),
)

INSTANT = Instant(
    answer=Answer(status=204, duration_ms=4, body=""),
    answered_at_ms=1_003,
    checked_at_ms=1_009,
    introspected=[{"active": False}] * 4,
    session_states=["ended", "ended"],
)


def broken(check: Claims) -> list[str]:
    return [each.text for each in check.broken]


def test_what_came_true_breaks_no_promise() -> None:
    claims = Claims()

    check_instant(INSTANT, claims)
    check_applications(sign_ins(), good_applications(), claims)
    check_receipt(good_applications(), RECEIPT, claims)

    assert len(claims.made) == 11
    assert broken(claims) == []


@pytest.mark.parametrize(
    ("instant", "promise"),
    [
        (replace(INSTANT, answer=Answer(status=202, duration_ms=4, body="")), "204"),
        (replace(INSTANT, introspected=[{"active": False}] * 3 + [{"active": True}]), "refresh tokens were dead"),
        (replace(INSTANT, introspected=[{"active": False, "why": "revoked"}] * 4), "refresh tokens were dead"),
        (replace(INSTANT, session_states=["ended", "active"]), "sessions read as ended"),
    ],
)
def test_the_instant_is_held_to_its_promise(instant: Instant, promise: str) -> None:
    claims = Claims()

    check_instant(instant, claims)

    (text,) = broken(claims)
    assert promise in text


@pytest.mark.parametrize(
    ("number", "notices", "promise"),
    [
        (0, [], "wiki verified"),
        (0, [(200, token("1", txn="d1", sid="laptop"))], "each of her 2 sessions"),
        (1, [(200, token("3", txn="d3", alg="RS256"))], "ES256"),
        (2, [(200, token("5", txn="d4"))], "told again, with a fresh token"),
        (2, [(503, token("4", txn="d4")), (200, token("4", txn="d4"))], "told again, with a fresh token"),
        (2, [(503, token("4", txn="d4")), (200, token("5", txn="d5"))], "told again, with a fresh token"),
    ],
)
def test_each_application_is_held_to_its_promise(
    number: int, notices: Sequence[tuple[int, LogoutToken]], promise: str
) -> None:
    claims, applications = Claims(), good_applications()
    applications[number] = told(*notices, profile=number)

    check_applications(sign_ins(), applications, claims)

    assert any(promise in each for each in broken(claims))


def test_an_application_that_still_has_a_session_of_hers_breaks_the_promise() -> None:
    claims, applications = Claims(), good_applications()
    applications[1].sign_in(person="Ada", sub="ada", sid="left")

    check_applications(sign_ins(), applications, claims)

    assert broken(claims) == ["payroll verified what it was told and signed Ada out"]


@pytest.mark.parametrize(
    ("receipt", "promise"),
    [
        (replace(RECEIPT, state="notifying"), "is complete"),
        (replace(RECEIPT, deliveries=(*RECEIPT.deliveries, delivery("d5", "x", state="dead"))), "is complete"),
        (replace(RECEIPT, deliveries=RECEIPT.deliveries[:3]), "same 5 calls"),
        (replace(RECEIPT, deliveries=(*RECEIPT.deliveries, delivery("d5", "x", "200"))), "same 5 calls"),
    ],
)
def test_the_receipt_is_held_against_what_the_applications_saw(receipt: Receipt, promise: str) -> None:
    claims = Claims()

    check_receipt(good_applications(), receipt, claims)

    assert any(promise in each for each in broken(claims))


def test_the_timeline_counts_from_acceptance_and_names_what_each_was_told() -> None:
    lines = moments(sign_ins(), good_applications(), RECEIPT, INSTANT)

    assert [(each.at_ms, each.who, each.what, each.answer) for each in lines] == [
        (0, "logoutd", "revocation recorded", ""),
        (2, "logoutd", "4 refresh tokens, 2 sessions dead", ""),
        (3, "identity provider", "has its answer", "204"),
        (9, "introspection", "answers: inactive, all of them", "200"),
        (15, "wiki", "attempt 1: her session on the laptop", "200"),
        (15, "wiki", "attempt 1: her session on the phone", "200"),
        (15, "payroll", "attempt 1: all of her sessions", "200"),
        (15, "helpdesk", "attempt 1: failed, to be tried again", "503"),
        (1015, "helpdesk", "attempt 2: all of her sessions", "200"),
    ]
    assert summary(RECEIPT) == "Dead after 2 ms; first application told after 15 ms, last after 1015 ms."


@pytest.mark.parametrize("held", [True, False])
def test_the_exit_status_is_the_verdict(tmp_path: Path, held: bool) -> None:
    said, claims, log = io.StringIO(), Claims(), tmp_path / "demo.log"
    log.write_text("".join(f"line {number}\n" for number in range(50)))
    claims.check("the sun rises", held=True)
    claims.check("everybody was told", held=held, found="nobody")

    status = conclude(claims, log=log, show=Narration(Console(file=said, width=80)))

    assert status == (0 if held else 1)
    assert ("Try next" in said.getvalue()) == held
    assert ("FAILED  it did not come true that everybody was told" in said.getvalue()) == (not held)
    assert ("line 49" in said.getvalue()) == (not held)
    assert "line 29\n" not in said.getvalue()
    assert "the sun rises" not in said.getvalue()
