"""The main job. Whatever name the identity provider uses: dead at its 204 with no worker running, then everybody is told.

One story, told once for the module: seven people signed in on two devices each; the worker is stopped; each is named in
another way; what is honoured is asked at once; then a worker starts, late.
"""

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import redis

from service.dev import DevStack
from service.store.fleet_clock import LONGEST_TRIP_S
from tests.support.authorization_server import (
    Application,
    AuthorizationServer,
    Receipt,
    Session,
    Subject,
    deliveries_by_client,
    milliseconds,
)
from tests.support.story import (
    Person,
    Story,
    by_aliases,
    by_email,
    by_iss_sub,
    by_opaque,
    by_phone_number,
)

CLOCKS_APART_MS = LONGEST_TRIP_S / 2 * 1000
"""How far the service's reading of Redis' clock may be from ours, in milliseconds: what it may be wrong by for all it knows.
Stamps of the one clock are compared as they are."""


@dataclass(kw_only=True)
class Case:
    """One person, and what became of them."""

    person: Person
    laptop: Session
    phone: Session
    refresh_tokens: dict[str, str]
    sent_ms: int = 0
    answered_ms: int = 0
    answer: httpx.Response | None = None
    honoured: dict[str, bool] = field(default_factory=dict)
    """What was still honoured after the answer, with no worker running."""
    new_token: httpx.Response | None = None
    joining: httpx.Response | None = None
    receipt_without_worker: Receipt = field(default_factory=dict)
    receipt: Receipt = field(default_factory=dict)

    @property
    def user_id(self) -> str:
        return self.laptop.user_id


@dataclass(kw_only=True)
class Told:
    """The story after it has been told."""

    web: Application
    mobile: Application
    desk: Application
    cases: dict[str, Case]
    bystander: Case
    queued: dict[bytes, bytes]
    """The jobs as they lay in Redis while nobody worked."""
    worker_started_ms: int

    @property
    def applications(self) -> list[Application]:
        return [self.web, self.mobile, self.desk]


NAMINGS: dict[str, Callable[[Case, str], tuple[str, Subject]]] = {
    "e-mail, in another case": lambda case, _iss: ("sub_id", by_email(case.person.email.swapcase())),
    "iss_sub": lambda case, iss: ("sub_id", by_iss_sub(iss, case.person.sub)),
    "phone number": lambda case, _iss: ("sub_id", by_phone_number(case.person.phone_number)),
    "opaque, our user id": lambda case, _iss: ("sub_id", by_opaque(case.user_id)),
    "opaque, a registered external id": lambda case, _iss: ("sub_id", by_opaque(case.person.external_id)),
    "aliases, one of them known": lambda case, _iss: (
        "sub_id",
        by_aliases(by_email("nobody@example.com"), by_phone_number(case.person.phone_number)),
    ),
    "the older member `subject`": lambda case, iss: ("subject", by_iss_sub(iss, case.person.sub)),
}

each_naming = pytest.mark.parametrize("naming", NAMINGS)


@pytest.fixture(scope="module")
def told(module_story: Story, module_stack: DevStack) -> Told:
    story, server = module_story, module_story.server
    web, mobile, desk = (story.application(name) for name in ("web", "mobile", "desk"))
    connection = story.connection(web, mobile, desk)

    def arrive(number: int) -> Case:
        person = story.person(f"ada{number}")
        laptop = story.sign_in(person, connection, web, desk)
        phone = story.sign_in(person, connection, mobile, names={mobile.client_id: {"sub": f"pairwise-{person.sub}"}})
        refresh_tokens = {
            "online": server.refresh_token(laptop, web),
            "offline": server.refresh_token(phone, mobile, offline=True),
        }
        assert all(server.is_active(each) for each in refresh_tokens.values())
        return Case(person=person, laptop=laptop, phone=phone, refresh_tokens=refresh_tokens)

    cases = {naming: arrive(number) for number, naming in enumerate(NAMINGS)}
    bystander = arrive(99)

    module_stack.worker.stop()
    assert not module_stack.worker.running
    for naming, name in NAMINGS.items():
        case = cases[naming]
        member, subject = name(case, story.idp.issuer)
        case.sent_ms = now_ms()
        case.answer = story.revoke(connection, subject, member=member)
        case.answered_ms = now_ms()
        observe(case, server, web, mobile, desk)
    observe(bystander, server, web, mobile, desk)
    queued = jobs_in(module_stack.redis_url)
    worker_started_ms = now_ms()
    module_stack.worker.start()

    for case in cases.values():
        case.receipt = server.only_receipt_of(case.user_id)
    return Told(
        web=web,
        mobile=mobile,
        desk=desk,
        cases=cases,
        bystander=bystander,
        queued=queued,
        worker_started_ms=worker_started_ms,
    )


def observe(case: Case, server: AuthorizationServer, web: Application, mobile: Application, desk: Application) -> None:
    """Ask in every way there is whether anything of this person's is honoured."""
    online, offline = case.refresh_tokens["online"], case.refresh_tokens["offline"]
    case.honoured = {
        "online refresh token, asked by its application": server.is_active(online, by=web),
        "online refresh token, asked by the administrator": server.is_active(online),
        "offline refresh token, asked by its application": server.is_active(offline, by=mobile),
        "offline refresh token, asked by the administrator": server.is_active(offline),
    }
    for device, session in (("laptop", case.laptop), ("phone", case.phone)):
        read = server.session(session)
        case.honoured[f"{device} session, read"] = read["active"] or read["state"] != "ended" or not read["ended_at"]
        case.honoured[f"{device} session, introspected"] = server.is_active(session.session_id, hint="session")
    case.new_token = server.call(
        "POST", "/api/v2/refresh-tokens", {"session_id": case.laptop.session_id, "client_id": web.client_id}
    )
    case.joining = server.call(
        "POST", f"/api/v2/sessions/{case.phone.session_id}/clients", {"client_id": desk.client_id}
    )
    heads = server.revocations_of(case.user_id)
    case.receipt_without_worker = server.receipt(heads[0]["revocation_id"]) if heads else {}


def jobs_in(redis_url: str) -> dict[bytes, bytes]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        return {key: client.get(key) or b"" for key in client.keys("arq:job:*")}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@each_naming
def test_the_answer_is_204_and_empty(told: Told, naming: str) -> None:
    answer = told.cases[naming].answer
    assert answer is not None
    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (204, b"", "no-store")


@each_naming
def test_nothing_is_honoured_from_the_204_on_with_no_worker_running(told: Told, naming: str) -> None:
    honoured = told.cases[naming].honoured
    assert len(honoured) == 8
    assert [name for name, still in honoured.items() if still] == []


@each_naming
def test_no_new_refresh_token_and_no_new_application_is_let_into_a_dead_session(told: Told, naming: str) -> None:
    for refused in (told.cases[naming].new_token, told.cases[naming].joining):
        assert refused is not None
        assert refused.status_code == 404
        assert "ended" in refused.json()["error_description"]


@each_naming
def test_the_receipt_says_when_it_came_true_before_anybody_has_been_told(told: Told, naming: str) -> None:
    case = told.cases[naming]
    receipt = case.receipt_without_worker
    assert (receipt["state"], receipt["initiator"]) == ("accepted", "global_token_revocation")
    assert receipt["user_ids"] == [case.user_id]
    assert (receipt["completed_at"], receipt["deliveries"]) == (None, [])
    accepted, revoked = milliseconds(receipt["accepted_at"]), milliseconds(receipt["revoked_at"])
    assert case.sent_ms - CLOCKS_APART_MS <= accepted <= revoked <= case.answered_ms + CLOCKS_APART_MS


def test_the_times_of_one_revocation_after_the_other_are_in_that_order_by_the_one_clock_they_are_told_by(
    told: Told,
) -> None:
    receipts = [case.receipt_without_worker for case in told.cases.values()]
    times = [milliseconds(each[name]) for each in receipts for name in ("accepted_at", "revoked_at")]
    assert times == sorted(times)
    # Between two of them lies everything that was asked about the first.
    assert all(after > before for before, after in zip(times[1::2], times[2::2], strict=False))


def test_a_job_waits_for_each_person_and_holds_nothing_but_an_id(told: Told) -> None:
    jobs = [json.loads(raw) for raw in told.queued.values()]
    waiting = {rid for job in jobs for rid in job["a"]}
    assert waiting == {case.receipt["revocation_id"] for case in told.cases.values()}
    raw = b"".join((*told.queued, *told.queued.values())).decode()
    for case in told.cases.values():
        for private in (case.person.email, case.person.sub, case.user_id, *case.refresh_tokens.values()):
            assert private.lower() not in raw.lower()


@each_naming
def test_each_application_is_told_once_and_of_the_person_by_the_name_it_knows(told: Told, naming: str) -> None:
    case = told.cases[naming]
    expected = {
        told.web.client_id: case.user_id,
        told.mobile.client_id: f"pairwise-{case.person.sub}",
        told.desk.client_id: case.user_id,
    }
    for application in told.applications:
        named = [each.claims["sub"] for each in application.party.tokens]
        assert named.count(expected[application.client_id]) == 1


@each_naming
def test_the_receipt_is_completed_with_its_counts_and_its_times_in_order(told: Told, naming: str) -> None:
    case = told.cases[naming]
    receipt = case.receipt
    assert (receipt["state"], receipt["sessions_ended"], receipt["refresh_tokens_revoked"]) == ("completed", 2, 2)
    deliveries = deliveries_by_client(receipt)
    assert {client_id: len(each) for client_id, each in deliveries.items()} == {
        each.client_id: 1 for each in told.applications
    }
    completed = milliseconds(receipt["completed_at"])
    for (delivery,) in deliveries.values():
        (attempt,) = delivery["attempts"]
        assert (delivery["state"], attempt["status"]) == ("delivered", 200)
        assert set(attempt) == {"at", "status", "duration_ms"}
        assert told.worker_started_ms <= milliseconds(attempt["at"])
        assert milliseconds(attempt["at"]) + attempt["duration_ms"] <= completed
    for name in ("revocation_id", "accepted_at", "revoked_at"):
        assert receipt[name] == case.receipt_without_worker[name]
    assert milliseconds(receipt["accepted_at"]) <= milliseconds(receipt["revoked_at"]) <= completed


@each_naming
def test_everything_stays_dead_after_the_worker_has_tidied_up(told: Told, naming: str, story: Story) -> None:
    case = told.cases[naming]
    assert story.is_over(case.laptop)
    assert story.is_over(case.phone)
    assert not any(story.server.is_active(each) for each in case.refresh_tokens.values())


def test_somebody_who_was_not_named_is_left_alone(told: Told, story: Story) -> None:
    bystander = told.bystander
    assert [name for name, still in bystander.honoured.items() if not still] == []
    assert bystander.new_token is not None
    assert bystander.new_token.status_code == 201
    assert bystander.receipt_without_worker == {}
    assert not story.is_over(bystander.laptop)
    assert all(story.server.is_active(each) for each in bystander.refresh_tokens.values())
    for application in told.applications:
        named: list[Any] = [each.claims["sub"] for each in application.party.tokens]
        assert len(named) == len(NAMINGS)
        assert not {bystander.user_id, f"pairwise-{bystander.person.sub}"} & set(named)
