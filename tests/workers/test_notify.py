"""Telling the applications: over real HTTP to real servers, with a clock turned by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc.jwk import ECKey

from service.domain.delivery import MAX_ATTEMPTS_SHOWN, Attempt, Delivery
from service.domain.identifiers import delivery_id_for
from service.domain.retry_schedule import WINDOW_S
from service.keys.algorithms import verify_with
from service.keys.ring import KeyRing
from service.keys.signing_keys import SigningKey, SigningKeys
from service.outbound import ATTEMPT_DEADLINE_S
from service.store.deliveries import Settlement
from tests.support.breaks import Moment, redis_away
from tests.support.certificates import Authority
from tests.support.heard import listening
from tests.support.house import ISSUER, House, open_house, user_id
from tests.support.strangers import (
    Behaviour,
    Request,
    answer,
    closed_port,
    hang_up,
    say_and_hold,
    stranger,
    wait_then,
)
from tests.support.tokens import private_key
from workers import notify
from workers import slots as slots_module
from workers.notify import JOB_PATIENCE_S, LEASE_MS, LEASED_AGAIN_MS, WRITE_MS
from workers.release import LOOK_MS
from workers.slots import PER_CLIENT, PER_SUSPECT

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")


def token_of(request: Request) -> str:
    (token,) = parse_qs(request.body.decode(), strict_parsing=True)["logout_token"]
    return token


def claims_of(request: Request, alg: str = "ES256") -> dict[str, Any]:
    payload = verify_with(token_of(request), private_key(alg, 100), alg)
    assert payload is not None
    claims: dict[str, Any] = json.loads(payload)
    return claims


async def accept(house: House, *clients: str) -> str:
    """Sign Ada in at some applications, and have her revoked; the revocation's id."""
    await house.sign_in("ada", *(clients or ("crm",)))
    return await house.revoke("ada")


def planned(rid: str, client_id: str) -> Delivery:
    """What a revocation of Ada owes to a client, before any attempt."""
    return Delivery(
        delivery_id=delivery_id_for(rid, "usr_ada", client_id, f"{client_id}|ada", None),
        user_id=user_id("ada"),
        client_id=client_id,
        sub=f"{client_id}|ada",
        sid=None,
    )


async def look_again(house: House, rid: str) -> None:
    """What the sweeper has done when a delivery is due: the job of exactly this one."""
    for each in await house.deliveries(rid):
        await house.worker.notifier.deliver(await house.receipt(rid), [each.delivery_id])


async def attempt_again(house: House, rid: str) -> None:
    """The same, and the end of what it began."""
    await look_again(house, rid)
    await house.attempts_end()


async def turn_to_next(house: House, rid: str) -> float:
    """Turn the clock to when the only delivery is due; by how many seconds."""
    due_ms = (await house.delivery(rid)).next_attempt_at_ms
    assert due_ms is not None
    seconds = (due_ms - house.clock.now_ms()) / 1000
    house.clock.advance(seconds)
    return seconds


def then(*behaviours: Behaviour) -> Behaviour:
    """Behaves so the first time, so the second, and as the last for ever after."""
    coming = list(behaviours)

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await (coming.pop(0) if len(coming) > 1 else coming[0])(request, writer)

    return behave


# What an application is told


@pytest.mark.parametrize("status", [200, 204])
async def test_an_application_that_takes_the_token_has_been_told(house: House, status: int) -> None:
    async with stranger(answer(status)) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        house.clock.advance(0.5)
        receipt = await house.work_off(rid)

    delivery = await house.delivery(rid)
    assert (delivery.state, delivery.reason, delivery.attempt_count) == ("delivered", None, 1)
    (attempt,) = delivery.attempts
    assert (attempt.at_ms, attempt.status, attempt.error) == (house.clock.now_ms(), status, None)
    assert 0 <= attempt.duration_ms < 5000
    assert (delivery.first_attempt_at_ms, delivery.next_attempt_at_ms) == (house.clock.now_ms(), None)
    assert (receipt.state, receipt.completed_at_ms) == ("completed", house.clock.now_ms())
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    assert len(app.requests) == 1


async def test_the_token_names_the_person_as_the_application_does(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url("/logout?tenant=1"))
        rid = await accept(house)
        await house.work_off(rid)

    (request,) = app.requests
    claims = claims_of(request)
    assert (request.method, request.target) == ("POST", "/logout?tenant=1")
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, "crm", "crm|ada")
    assert (claims["iat"], claims["txn"]) == (house.clock.now_s, (await house.delivery(rid)).delivery_id)
    assert "sid" not in claims


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_each_application_has_the_algorithm_of_its_id_tokens(redis_url: str, tmp_path: Path, alg: str) -> None:
    async with open_house(redis_url, tmp_path, algorithms=ALGORITHMS) as house, stranger(answer()) as app:
        await house.application("crm", app.url(), algorithm=alg)
        await house.work_off(await accept(house))
    assert claims_of(app.requests[0], alg)["aud"] == "crm"


async def test_where_a_sid_is_required_each_session_has_a_token_of_its_own(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url(), session_required=True)
        sessions = [await house.sign_in("ada", "crm") for _ in range(3)]
        rid = await house.revoke("ada")
        assert (await house.work_off(rid)).state == "completed"

    assert {claims_of(each)["sid"] for each in app.requests} == {f"crm|{each}" for each in sessions}
    assert {claims_of(each)["sub"] for each in app.requests} == {"crm|ada"}


async def test_twenty_applications_are_told_at_the_same_time(house: House) -> None:
    arrived, all_there = set[str](), asyncio.Event()

    async def meet(request: Request, writer: asyncio.StreamWriter) -> None:
        arrived.add(claims_of(request)["aud"])
        if len(arrived) == 20:
            all_there.set()
        await wait_then(all_there, answer())(request, writer)

    clients = [f"app-{n:02}" for n in range(20)]
    async with stranger(meet) as apps:
        for each in clients:
            await house.application(each, apps.url(f"/{each}"))
        rid = await accept(house, *clients)
        await house.work_off(rid)
        await house.attempts_end()
    assert (await house.receipt(rid)).state == "completed"


async def test_whoever_has_been_told_is_not_told_again_of_the_same_sessions(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.work_off(await accept(house))
        second = await house.revoke("ada")
        await house.work_off(second)
        assert await house.deliveries(second) == ()

        third = await accept(house)
        await house.work_off(third)
    assert len(app.requests) == 2


async def test_whoever_took_part_in_a_newer_sign_in_before_it_was_told_is_told_again(house: House) -> None:
    async with stranger(then(answer(503), answer(200))) as app:
        await house.application("crm", app.url())
        first = await accept(house)
        await house.work_off(first)
        await house.sign_in("ada", "crm")
        await turn_to_next(house, first)
        await house.sweep()
        assert {each.sid is None: each.state for each in await house.deliveries(first)} == {
            True: "skipped",
            False: "delivered",
        }, "of the old session alone, by its name"

        second = await house.revoke("ada")
        await house.work_off(second)
    assert (await house.delivery(second)).state == "delivered"


async def test_whoever_refused_is_told_again_by_the_next_revocation(house: House) -> None:
    async with stranger(then(answer(400), answer(200))) as app:
        await house.application("crm", app.url())
        await house.work_off(await accept(house))
        second = await house.revoke("ada")
        await house.work_off(second)
    assert (await house.delivery(second)).state == "delivered"


# What becomes of an attempt that does not succeed


@pytest.mark.parametrize(("status", "reason"), [(400, "rejected"), (302, "redirect"), (201, "unexpected_status")])
async def test_an_application_that_says_no_is_not_asked_again(house: House, status: int, reason: str) -> None:
    async with stranger(answer(status, location="https://elsewhere.example.com")) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        receipt = await house.work_off(rid)
        house.clock.advance(3600)
        await attempt_again(house, rid)

    delivery = await house.delivery(rid)
    assert (delivery.state, delivery.reason, delivery.attempt_count) == ("dead", reason, 1)
    assert (delivery.attempts[0].status, delivery.attempts[0].error) == (status, reason)
    assert receipt.state == "incomplete"
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    assert len(app.requests) == 1


async def test_one_that_fails_for_the_moment_is_tried_again_when_it_is_due_and_not_before(house: House) -> None:
    async with stranger(then(answer(503), answer(200))) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        assert (await house.work_off(rid)).state == "notifying"
        retrying = await house.delivery(rid)
        await attempt_again(house, rid)
        assert len(app.requests) == 1

        waited_s = await turn_to_next(house, rid)
        await attempt_again(house, rid)

    assert (retrying.state, retrying.reason, retrying.attempt_count) == ("retrying", None, 1)
    assert 0.5 <= waited_s <= 1.0
    delivered = await house.delivery(rid)
    assert (delivered.state, delivered.attempt_count, delivered.next_attempt_at_ms) == ("delivered", 2, None)
    assert [(each.status, each.error) for each in delivered.attempts] == [(503, "server_error"), (200, None)]
    assert delivered.first_attempt_at_ms == delivered.attempts[0].at_ms < delivered.attempts[1].at_ms
    assert (await house.receipt(rid)).state == "completed"
    assert len({claims_of(each)["jti"] for each in app.requests}) == 2
    assert {claims_of(each)["txn"] for each in app.requests} == {delivered.delivery_id}


async def test_a_retry_is_due_in_the_index_when_it_is_due(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
    delivery = await house.delivery(rid)
    assert await house.due() == {delivery.delivery_id: delivery.next_attempt_at_ms}
    assert await house.open_revocations() == {rid}


async def test_an_application_may_say_when_it_wants_to_be_asked_again(house: House) -> None:
    async with stranger(answer(429, retry_after="120")) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
    assert await turn_to_next(house, rid) == 120


async def test_one_that_cannot_be_reached_is_tried_again(house: House) -> None:
    await house.application("crm", f"http://127.0.0.1:{closed_port()}/logout")
    rid = await accept(house)
    await house.work_off(rid)
    delivery = await house.delivery(rid)
    assert (delivery.state, delivery.attempts[0].status) == ("retrying", None)
    assert delivery.attempts[0].error == "connect_error"


async def test_one_whose_algorithm_has_no_key_is_tried_again_until_it_has(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url(), algorithm="RS256")  # the house has a key for ES256 alone
        rid = await accept(house)
        await house.work_off(rid)
    delivery = await house.delivery(rid)
    assert (delivery.state, delivery.attempt_count) == ("retrying", 1)
    assert (delivery.attempts[0].status, delivery.attempts[0].error) == (None, "no_signing_key")
    assert app.connections == 0


async def test_one_that_was_deleted_meanwhile_is_skipped_with_the_reason(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
        await house.resources.applications.remove("crm")
        await turn_to_next(house, rid)
        await attempt_again(house, rid)
    delivery = await house.delivery(rid)
    assert (delivery.state, delivery.reason, delivery.attempt_count) == ("skipped", "client_deleted", 1)
    assert (await house.receipt(rid)).state == "completed"
    assert await house.due() == {}


async def test_one_whose_uri_was_removed_meanwhile_is_skipped_with_the_reason(house: House) -> None:
    async with stranger(answer(503)) as app:
        crm = await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
        await house.resources.applications.replace(replace(crm, backchannel_logout_uri=None))
        await turn_to_next(house, rid)
        await attempt_again(house, rid)
    delivery = await house.delivery(rid)
    assert (delivery.state, delivery.reason, delivery.next_attempt_at_ms) == ("skipped", "no_logout_uri", None)
    assert (await house.receipt(rid)).state == "completed"


async def test_one_whose_uri_was_corrected_meanwhile_is_told_there(house: House) -> None:
    async with stranger(answer()) as app:
        crm = await house.application("crm", f"http://127.0.0.1:{closed_port()}/logout")
        rid = await accept(house)
        await house.work_off(rid)
        await house.resources.applications.replace(replace(crm, backchannel_logout_uri=app.url()))
        await turn_to_next(house, rid)
        await attempt_again(house, rid)
    assert (await house.delivery(rid)).state == "delivered"


async def test_after_a_day_it_is_given_up(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
        began_ms = house.clock.now_ms()
        for _ in range(70):
            if (await house.delivery(rid)).state != "retrying":
                break
            await turn_to_next(house, rid)
            await attempt_again(house, rid)

    delivery = await house.delivery(rid)
    assert (delivery.state, delivery.reason) == ("dead", "gave_up")
    assert 35 <= delivery.attempt_count == len(app.requests) <= 61
    assert len(delivery.attempts) == min(delivery.attempt_count, MAX_ATTEMPTS_SHOWN)
    assert WINDOW_S - 3600 < (delivery.attempts[-1].at_ms - began_ms) / 1000 <= WINDOW_S
    assert (await house.receipt(rid)).state == "incomplete"
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    totals = await house.resources.statistics.totals()
    assert (totals.deliveries, totals.attempts) == ({"dead": 1}, {"5xx": delivery.attempt_count})


async def test_only_the_latest_attempts_are_kept_and_all_are_counted(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
        await turn_to_next(house, rid)
        now_ms = house.clock.now_ms()
        await house.resources.deliveries.claim(rid, now_ms=now_ms, lease_until_ms=now_ms)
        many = tuple(Attempt(at_ms=n, duration_ms=0, status=500) for n in range(MAX_ATTEMPTS_SHOWN))
        full = replace(await house.delivery(rid), attempts=many, attempt_count=MAX_ATTEMPTS_SHOWN)
        await house.resources.deliveries.settle([Settlement(delivery=full, lease_until_ms=now_ms)], now_ms=now_ms)
        await attempt_again(house, rid)
    delivery = await house.delivery(rid)
    assert delivery.attempt_count == MAX_ATTEMPTS_SHOWN + 1
    assert len(delivery.attempts) == MAX_ATTEMPTS_SHOWN
    assert (delivery.attempts[0].at_ms, delivery.attempts[-1].status) == (1, 503)


# Slow applications, slots, leases


async def test_an_application_that_never_answers_delays_nobody(house: House) -> None:
    async with stranger(answer()) as quick, stranger(say_and_hold(b"")) as hanging:
        await house.application("slow", hanging.url())
        await house.application("crm", quick.url())
        rid = await accept(house, "slow", "crm")
        began = asyncio.get_running_loop().time()

        with listening() as heard:
            await house.begin_to_work_off(rid)
            took_s = asyncio.get_running_loop().time() - began
            await heard.wait_for("delivery.attempted")

        states = {each.client_id: each.state for each in await house.deliveries(rid)}
        assert states == {"crm": "delivered", "slow": "pending"}
        assert (await house.receipt(rid)).state == "notifying"
        assert JOB_PATIENCE_S <= took_s < 4  # an attempt has five seconds; the job did not wait for it
        await hanging.seen(1)


async def test_an_answer_that_comes_after_the_job_has_ended_is_written_down(house: House) -> None:
    answering = asyncio.Event()
    async with stranger(wait_then(answering, answer())) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.begin_to_work_off(rid)
        assert (await house.delivery(rid)).state == "pending"

        answering.set()
        await house.attempts_end()

    assert (await house.delivery(rid)).state == "delivered"
    assert (await house.receipt(rid)).state == "completed"


async def test_while_one_worker_waits_for_an_answer_no_other_asks(house: House) -> None:
    answering = asyncio.Event()
    async with stranger(wait_then(answering, answer())) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.begin_to_work_off(rid)
        for _ in range(3):
            await house.begin_to_work_off(rid)
            await look_again(house, rid)
        answering.set()
        await house.attempts_end()
    assert len(app.requests) == 1


async def test_a_delivery_in_anothers_hands_is_looked_at_again_soon(house: House) -> None:
    async with stranger(say_and_hold(b"")) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.begin_to_work_off(rid)
        await look_again(house, rid)
        delivery_id = (await house.delivery(rid)).delivery_id
        assert await house.due() == {delivery_id: house.clock.now_ms() + LEASED_AGAIN_MS}


async def test_a_worker_whose_lease_ran_out_before_its_answer_came_records_nothing(house: House) -> None:
    answering = asyncio.Event()
    async with stranger(then(wait_then(answering, answer(400)), answer(200))) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.begin_to_work_off(rid)
        await app.seen(1)
        house.clock.advance(LEASE_MS / 1000)
        with listening() as heard:
            await look_again(house, rid)
            await heard.wait_for("delivery.attempted")
            answering.set()
            await house.attempts_end()

    assert [(each["status"], each["recorded"]) for each in heard.of("delivery.attempted")] == [
        (200, True),
        (400, False),
    ]
    delivery = await house.delivery(rid)
    assert (delivery.state, [each.status for each in delivery.attempts]) == ("delivered", [200])
    assert (await house.receipt(rid)).state == "completed"
    assert (await house.resources.statistics.totals()).attempts == {"2xx": 1}


@pytest.mark.parametrize("late_ms", [0, 1])
async def test_no_attempt_begins_that_its_lease_may_not_outlast(house: House, late_ms: int) -> None:
    """It waited for a slot, or its process stood still: another worker could send the same while it is under way."""
    async with stranger(answer()) as app, AsyncExitStack() as stack:
        await house.application("crm", app.url())
        house.worker.notifier.slots.report("crm", answered=True)
        for _ in range(PER_CLIENT):
            await stack.enter_async_context(house.worker.notifier.slots.of("crm"))
        rid = await accept(house)
        await house.begin_to_work_off(rid)
        house.clock.advance((LEASE_MS - WRITE_MS + late_ms) / 1000 - ATTEMPT_DEADLINE_S)
        await stack.aclose()
        await house.attempts_end()

        held = await house.delivery(rid)
        assert (held.state, held.reason) == (("pending", "busy") if late_ms else ("delivered", None))
        assert len(app.requests) == 1 - late_ms
        house.clock.advance(LOOK_MS / 1000)
        await house.sweep()
    assert (await house.delivery(rid)).state == "delivered"
    assert len(app.requests) == 1


async def test_an_application_without_a_free_slot_has_its_delivery_wait_in_its_backlog(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots_module, "PATIENCE_S", 0.01)
    async with stranger(answer()) as app, AsyncExitStack() as stack:
        await house.application("crm", app.url())
        house.worker.notifier.slots.report("crm", answered=True)
        for _ in range(PER_CLIENT):
            await stack.enter_async_context(house.worker.notifier.slots.of("crm"))
        rid = await accept(house)
        with listening() as heard:
            await house.work_off(rid)
        held = await house.delivery(rid)
        await stack.aclose()
        assert app.connections == 0
        assert await house.due() == {"backlog:crm": house.clock.now_ms() + LOOK_MS}

        house.clock.advance(LOOK_MS / 1000)
        await house.sweep()

    assert (held.state, held.reason, held.attempt_count, held.first_attempt_at_ms) == ("pending", "busy", 0, None)
    assert heard.one("delivery.held")["reason"] == "busy"
    delivered = await house.delivery(rid)
    assert (delivered.state, delivered.reason, delivered.attempt_count) == ("delivered", None, 1)
    assert (await house.resources.statistics.totals()).attempts == {"2xx": 1}
    assert await house.due() == {}


async def test_one_that_does_not_answer_is_asked_by_few_at_a_time_until_it_does(house: House) -> None:
    asked_at_once, most_at_once, answering = 0, 0, asyncio.Event()

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal asked_at_once, most_at_once
        if len(app.requests) == 1:
            await hang_up(request, writer)
            return
        asked_at_once += 1
        most_at_once = max(most_at_once, asked_at_once)
        await answering.wait()
        asked_at_once -= 1
        await answer(200)(request, writer)

    async with stranger(behave) as app:
        await house.application("crm", app.url(), session_required=True)
        first = await accept(house)
        await house.work_off(first)
        assert (await house.delivery(first)).state == "retrying"
        for _ in range(PER_SUSPECT + 3):
            await house.sign_in("ada", "crm")
        second = await house.revoke("ada")
        await house.begin_to_work_off(second)
        await app.seen(1 + PER_SUSPECT)
        # Were more let through, they would be there by now: the job has waited for its attempts in vain.
        assert (len(app.requests), most_at_once) == (1 + PER_SUSPECT, PER_SUSPECT)

        answering.set()
        await house.attempts_end()
    assert (await house.receipt(second)).state == "completed"


async def test_a_fault_of_ours_is_an_attempt_like_any_other_and_ends_some_day(house: House) -> None:
    public = ECKey.import_key(private_key("ES256", 100).as_dict(private=False))
    # A key that cannot sign.
    house.worker.notifier.sender.key_ring = KeyRing(SigningKeys([SigningKey(algorithm="ES256", key=public)]))
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        with listening() as heard:
            await house.work_off(rid)
    delivery = await house.delivery(rid)
    assert (delivery.state, delivery.attempt_count) == ("retrying", 1)
    assert (delivery.attempts[0].status, delivery.attempts[0].error) == (None, "internal_error")
    assert heard.one("delivery.attempt_fault")["delivery_id"] == delivery.delivery_id
    assert app.connections == 0


async def test_with_too_many_attempts_under_way_the_next_job_waits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "MAX_RUNNING", 1)
    monkeypatch.setattr(notify, "JOB_PATIENCE_S", 0.01)
    answering = asyncio.Event()
    async with stranger(then(wait_then(answering, answer()), answer())) as app:
        await house.application("crm", app.url())
        await house.begin_to_work_off(await accept(house))
        await app.seen(1)
        await house.sign_in("bob", "crm")
        second = await house.revoke("bob")
        waiting = asyncio.create_task(house.begin_to_work_off(second))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert (done, len(app.requests)) == (set(), 1)

        answering.set()
        await waiting
        await house.attempts_end()
    assert len(app.requests) == 2
    assert (await house.receipt(second)).state == "completed"


# Stopping, and Redis going away


async def test_a_worker_that_stops_lets_attempts_end(house: House) -> None:
    answering = asyncio.Event()
    async with stranger(wait_then(answering, answer())) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.begin_to_work_off(rid)
        draining = asyncio.create_task(house.worker.notifier.drain(10))
        await asyncio.sleep(0)
        assert not draining.done()
        answering.set()
        await draining
    assert (await house.delivery(rid)).state == "delivered"


async def test_what_does_not_end_in_time_is_dropped_and_told_by_another_worker(
    house: House, redis_url: str, tmp_path: Path
) -> None:
    async with stranger(then(say_and_hold(b""), answer())) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.begin_to_work_off(rid)
        await app.seen(1)
        await house.worker.notifier.drain(0.01)
        assert house.resources.outbound.in_use == 0
        assert (await house.delivery(rid)).state == "pending"
        (due_ms,) = (await house.due()).values()
        assert due_ms == house.clock.now_ms() + LEASE_MS

        async with open_house(redis_url, tmp_path) as other:
            other.clock.advance((due_ms - other.clock.now_ms()) / 1000)
            await attempt_again(other, rid)
            assert (await other.delivery(rid)).state == "delivered"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
async def test_an_outcome_that_could_not_be_written_down_is_told_again_or_was_written(
    house: House, at: int, moment: Moment
) -> None:
    """The calls: the audit trail's pseudonyms and entries, settle, the due index, the statistics, the participation."""
    await house.resources.trail.pseudonyms.key()
    answering = asyncio.Event()
    async with stranger(then(wait_then(answering, answer()), answer())) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.begin_to_work_off(rid)
        await app.seen(1)
        with redis_away(at=at, moment=moment) as broken, listening() as heard:
            answering.set()
            await house.attempts_end()
        assert broken.happened
        assert heard.one("delivery.not_recorded")["delivery_id"] == (await house.delivery(rid)).delivery_id
        written = at > 3 or (at, moment) == (3, "after")
        assert (await house.delivery(rid)).state == ("delivered" if written else "pending")

        house.clock.advance(LEASE_MS / 1000)
        await attempt_again(house, rid)
        await house.work_off(rid)

    assert (await house.receipt(rid)).state == "completed"
    assert (await house.delivery(rid)).state == "delivered"
    assert (await house.due(), await house.open_revocations()) == ({}, set())
    assert len(app.requests) == (1 if written else 2)


async def test_a_fault_in_one_delivery_is_logged_and_spoils_no_other(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        await house.application("mail", app.url())
        rid = await accept(house, "crm", "mail")
        # A lone surrogate, which no door lets in: here it stands for any fault of ours.
        broken, healthy = replace(planned(rid, "crm"), sub="\ud800"), planned(rid, "mail")
        addressees = await house.resources.client_healths.addressees(["crm", "mail"])
        with listening() as heard:
            await house.worker.notifier.attempt(
                await house.receipt(rid), [broken, healthy], addressees, lease_until_ms=house.clock.now_ms() + LEASE_MS
            )
            await house.attempts_end()
    assert heard.one("delivery.fault")["delivery_id"] == broken.delivery_id
    assert heard.one("delivery.attempted")["client_id"] == "mail"


# The due index


async def test_looking_at_a_finished_delivery_costs_its_due_entry(house: House) -> None:
    async with stranger(answer()) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
        delivery_id = (await house.delivery(rid)).delivery_id
        unknown = f"dlv_{rid.removeprefix('rev_')}_unknown"
        await house.resources.schedule.look_at([delivery_id, unknown], at_ms=house.clock.now_ms())

        await house.worker.notifier.deliver(await house.receipt(rid), [delivery_id, unknown])

        assert await house.due() == {}
        assert len(app.requests) == 1


async def test_looking_too_early_puts_the_due_entry_right(house: House) -> None:
    async with stranger(answer(503, retry_after="60")) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
    delivery = await house.delivery(rid)
    await house.resources.schedule.look_at([delivery.delivery_id], at_ms=house.clock.now_ms())

    await attempt_again(house, rid)

    assert await house.due() == {delivery.delivery_id: house.clock.now_ms() + 60_000}


# What is logged and counted


async def test_one_line_an_attempt_says_everything_a_person_would_ask_for(house: House) -> None:
    async with stranger(then(answer(503, b"secret reply"), answer(200))) as app:
        await house.application("crm", app.url("/logout?key=in-the-uri"))
        rid = await accept(house)
        house.clock.advance(1)
        with listening() as heard:
            await house.work_off(rid)
            first_at_ms = house.clock.now_ms()
            await turn_to_next(house, rid)
            await attempt_again(house, rid)

    delivery = await house.delivery(rid)
    common = {
        "event": "delivery.attempted",
        "level": "info",
        "revocation_id": rid,
        "delivery_id": delivery.delivery_id,
        "client_id": "crm",
        "reason": None,
        "recorded": True,
    }
    first, second = heard.of("delivery.attempted")
    assert first == {
        **common,
        "attempt": 1,
        "state": "retrying",
        "status": 503,
        "error": "server_error",
        "duration_ms": delivery.attempts[0].duration_ms,
        "since_accepted_ms": 1000 + delivery.attempts[0].duration_ms,
        "next_attempt_in_ms": delivery.attempts[1].at_ms - first_at_ms,
    }
    assert second == {
        **common,
        "attempt": 2,
        "state": "delivered",
        "status": 200,
        "error": None,
        "duration_ms": delivery.attempts[1].duration_ms,
        "since_accepted_ms": delivery.attempts[1].at_ms
        - (await house.receipt(rid)).accepted_at_ms
        + delivery.attempts[1].duration_ms,
        "next_attempt_in_ms": None,
    }
    told = repr(heard.lines)
    for secret in (*(token_of(each) for each in app.requests), "in-the-uri", "secret reply", "crm|ada", "eyJ"):
        assert secret not in told


async def test_who_is_skipped_is_logged_with_the_reason(house: House) -> None:
    async with stranger(answer(503)) as app:
        await house.application("crm", app.url())
        rid = await accept(house)
        await house.work_off(rid)
        await house.resources.applications.remove("crm")
        await turn_to_next(house, rid)
        with listening() as heard:
            await attempt_again(house, rid)
    line = heard.one("delivery.skipped")
    assert (line["revocation_id"], line["client_id"], line["reason"]) == (rid, "crm", "client_deleted")


async def test_outcomes_and_times_are_counted_once_for_the_fleet(house: House) -> None:
    async with stranger(then(answer(503), answer(200))) as app:
        await house.application("crm", app.url())
        await house.application("wiki")
        rid = await accept(house, "crm", "wiki", "gone")
        await house.work_off(rid)
        (crm,) = [each for each in await house.deliveries(rid) if each.client_id == "crm"]
        assert crm.next_attempt_at_ms is not None
        house.clock.advance((crm.next_attempt_at_ms - house.clock.now_ms()) / 1000)
        await attempt_again(house, rid)

    totals = await house.resources.statistics.totals()
    assert totals.deliveries == {"delivered": 1, "skipped": 2}
    assert totals.attempts == {"2xx": 1, "5xx": 1}
    receipt = await house.receipt(rid)
    assert receipt.completed_at_ms is not None
    assert totals.told_count == 1
    assert totals.told_sum_s == pytest.approx((receipt.completed_at_ms - receipt.accepted_at_ms) / 1000)


@pytest.fixture(autouse=True)
async def _no_connection_stays_taken(house: House) -> AsyncIterator[None]:
    yield
    await house.worker.notifier.drain(0)
    assert house.resources.outbound.in_use == 0


async def test_an_application_is_told_by_the_tls_that_is_agreed_on_with_it_alone(house: House, tmp_path: Path) -> None:
    theirs, others = (Authority(tmp_path / name, name=name) for name in ("theirs", "others"))
    pair = theirs.pair(common_name="logoutd")
    agreed = {
        "tls_ca_certificates": theirs.root,
        "tls_client_certificate": pair.certificate,
        "tls_client_key": pair.key,
    }
    tls = theirs.server_tls("localhost", clients_of=theirs)
    shown: list[Any] = []
    async with stranger(answer(200), tls=tls, on_tls=lambda peer: shown.append(peer.getpeercert())) as app:
        for name, members in {
            "crm": agreed,
            "wiki": {**agreed, "tls_ca_certificates": others.root},
            "shop": {},
        }.items():
            application = await house.application(name, app.url(host="localhost"))
            await house.resources.applications.replace(replace(application, **members))
        rid = await accept(house, "crm", "wiki", "shop")
        await house.work_off(rid)
        assert len(app.requests) == 1
    assert [each["subject"] for each in shown] == [((("commonName", "logoutd"),),)]
    came = {each.client_id: (each.state, each.attempts[-1].error) for each in await house.deliveries(rid)}
    assert came == {
        "crm": ("delivered", None),
        "wiki": ("retrying", "certificate_untrusted"),
        "shop": ("retrying", "certificate_untrusted"),
    }
