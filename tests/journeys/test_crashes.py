"""Law 2: nothing acknowledged is lost when a process dies or the queue forgets.

One story, told once for the module, because a lease has to run out in it: a worker is killed while an application hangs;
meanwhile the queue's keys are deleted under a second revocation, and the service is killed right after a third one's 204.
"""

import asyncio
import signal
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from service import jobs
from service.dev import DevStack
from service.resources import open_resources
from service.settings import Settings
from tests.support.authorization_server import Application, Receipt, Session, deliveries_by_client
from tests.support.relying_party import NEVER
from tests.support.story import Story, by_email
from tests.support.waiting import PATIENCE_S, eventually
from workers.worker import WorkerProcess

LEASE_BOUND_S = 30.0
"""How soon what a killed worker had in hand is done by another, in seconds: its lease of twenty, and some patience."""

SWEEPER_BOUND_S = 10.0
"""How soon the sweeper finds what the queue has lost, in seconds; it looks after three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The story after it has been told."""

    story: Story
    quick: Application
    hanging: Application
    in_hand: Session
    unqueued: Session
    killed: Session
    over_after_kill: bool
    token_after_kill: bool
    queue_found_empty: bool
    receipts: dict[str, Receipt]
    took_s: dict[str, float]


@pytest.fixture(scope="module")
def told(module_story: Story, module_stack: DevStack) -> Told:
    story, server, stack = module_story, module_story.server, module_stack
    quick, hanging = story.application("quick"), story.application("hanging", NEVER)
    connection = story.connection(quick, hanging)
    people = [story.person(name) for name in ("ada", "ben", "cem")]
    in_hand = story.sign_in(people[0], connection, quick, hanging)
    unqueued, killed = (story.sign_in(each, connection, quick) for each in people[1:])
    token = server.refresh_token(killed, quick, offline=True)

    # A worker is killed while it waits for an answer; what it had done so far is recorded.
    assert story.revoke(connection, by_email(people[0].email)).status_code == 204
    hanging.party.wait_for(1)
    eventually(
        lambda: server.receipt(server.revocations_of(in_hand.user_id)[0]["revocation_id"])["deliveries"],
        lambda deliveries: "delivered" in {each["state"] for each in deliveries},
    )
    stack.worker.kill()
    started = time.monotonic()
    hanging.party.release()

    # The queue forgets.
    assert story.revoke(connection, by_email(people[1].email)).status_code == 204
    queue_found_empty = forget_the_queue(stack.redis_url)

    # The service is killed as soon as it has answered, and nobody has worked on it yet.
    assert story.revoke(connection, by_email(people[2].email)).status_code == 204
    stack.service.kill()
    stack.service.start()
    over_after_kill, token_after_kill = story.is_over(killed), server.is_active(token)

    stack.worker.start()
    receipts, took_s = {}, {}
    for name, session in (("killed", killed), ("unqueued", unqueued), ("in hand", in_hand)):
        receipts[name] = server.only_receipt_of(session.user_id, within_s=LEASE_BOUND_S)
        took_s[name] = time.monotonic() - started
    return Told(
        story=story,
        quick=quick,
        hanging=hanging,
        in_hand=in_hand,
        unqueued=unqueued,
        killed=killed,
        over_after_kill=over_after_kill,
        token_after_kill=token_after_kill,
        queue_found_empty=queue_found_empty,
        receipts=receipts,
        took_s=took_s,
    )


def forget_the_queue(redis_url: str) -> bool:
    """Delete everything that is arq's; whether there was nothing to delete."""
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        return client.delete(jobs.QUEUE, *client.keys("arq:*")) == 0


def test_what_a_killed_worker_had_in_hand_is_told_by_the_next_one(told: Told) -> None:
    (delivery,) = deliveries_by_client(told.receipts["in hand"])[told.hanging.client_id]
    assert (delivery["state"], [each.get("status") for each in delivery["attempts"]]) == ("delivered", [200])
    # The attempt nobody could record, and the one that was: the same delivery, by two tokens.
    first, second = told.hanging.party.tokens
    assert first.claims["txn"] == second.claims["txn"] == delivery["delivery_id"]
    assert first.claims["jti"] != second.claims["jti"]
    assert told.took_s["in hand"] < LEASE_BOUND_S


def test_what_a_killed_worker_had_recorded_is_not_told_again(told: Told) -> None:
    named = [each.claims["sub"] for each in told.quick.party.tokens]
    assert named.count(told.in_hand.user_id) == 1
    (delivery,) = deliveries_by_client(told.receipts["in hand"])[told.quick.client_id]
    assert len(delivery["attempts"]) == 1


def test_what_the_queue_has_lost_is_found_by_the_sweeper(told: Told) -> None:
    assert not told.queue_found_empty
    named = [each.claims["sub"] for each in told.quick.party.tokens]
    assert named.count(told.unqueued.user_id) == 1
    assert told.took_s["unqueued"] < SWEEPER_BOUND_S


def test_a_service_killed_right_after_its_204_has_kept_its_word(told: Told) -> None:
    assert told.over_after_kill
    assert not told.token_after_kill
    named = [each.claims["sub"] for each in told.quick.party.tokens]
    assert named.count(told.killed.user_id) == 1


@pytest.mark.parametrize("who", ["in hand", "unqueued", "killed"])
def test_every_receipt_is_completed_with_what_was_ended(told: Told, who: str) -> None:
    receipt = told.receipts[who]
    assert (receipt["state"], receipt["sessions_ended"]) == ("completed", 1)
    assert receipt["refresh_tokens_revoked"] == (1 if who == "killed" else 0)
    assert {each["state"] for each in receipt["deliveries"]} == {"delivered"}


def test_a_clean_stop_of_both_processes_loses_nothing_either(story: Story, stack: DevStack) -> None:
    server = story.server
    web = story.application("web")
    connection = story.connection(web)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)
    assert story.revoke(connection, by_email(ada.email)).status_code == 204

    for child in (stack.service, stack.worker):
        child.terminate()
    for child in (stack.service, stack.worker):
        child.stop()
        assert child.process.returncode != -signal.SIGKILL, "it had to be killed"
    for child in (stack.service, stack.worker):
        child.spawn()
    for child in (stack.service, stack.worker):
        child.wait_until_ready()

    assert story.is_over(session)
    receipt = server.only_receipt_of(session.user_id)
    assert [len(each["attempts"]) for each in receipt["deliveries"]] == [1]
    assert len(web.party.received) == 1


async def test_a_worker_told_to_stop_at_any_moment_of_its_start_stops(stack: DevStack, redis_url: str) -> None:
    # redis-py can lose a cancellation while it connects: a worker that cancelled its loops only once would hang.
    settings = Settings(
        public_url=stack.url,
        signing_keys_file=Path(stack.environment["LOGOUTD_SIGNING_KEYS_FILE"]),
        redis_url=SecretStr(redis_url),
    )
    for steps in range(0, 64, 8):
        stop = asyncio.Event()
        async with open_resources(settings) as resources, asyncio.timeout(PATIENCE_S):
            working = asyncio.create_task(WorkerProcess(resources).run(stop))
            for _ in range(steps):
                await asyncio.sleep(0)
            stop.set()
            await working
