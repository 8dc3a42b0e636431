"""Redis gone: every call of every store says so, and every one works again once it is back with what it had."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.application import Application
from service.domain.delivery import Delivery
from service.domain.refresh_token import RefreshToken
from service.domain.revocation import Everything, SessionsBegunBy
from service.domain.session import Participant
from service.domain.subject import iss_sub
from service.embedded_redis import EmbeddedRedis
from service.errors import InvalidGrant, NotFound, Unavailable
from service.store.backlogs import Release
from service.store.client_health import Report
from service.store.covered import EndedSession, Told
from service.store.deliveries import Settlement
from service.store.kept_tokens import KeptToken
from service.store.redeliveries import Change, Stored
from service.store.replay import LogoutToken
from tests.support.house import CONNECTION, ISSUER, UPSTREAM, House, open_house, user_id
from tests.support.redis_server import start_redis

ADA = user_id("ada")

STORES = (
    "connections",
    "applications",
    "client_healths",
    "backlogs",
    "turns",
    "people",
    "covered",
    "upstream",
    "kept_tokens",
    "sessions",
    "refresh_tokens",
    "replays",
    "revocations",
    "deliveries",
    "dead_letters",
    "redeliveries",
    "dry_runs",
    "schedule",
    "statistics",
    "heartbeats",
)

DELIVERY = Delivery(delivery_id="dlv_1_2", user_id=ADA, client_id="crm", sub="ada", sid=None)

DEAD = replace(DELIVERY, state="dead", dead_at_ms=1)

TOKEN = RefreshToken(
    refresh_token_id="rt_1",
    user_id=ADA,
    connection_id=CONNECTION,
    session_id="ses_1",
    client_id="crm",
    sub="",
    scope=None,
    offline=False,
    family_id="rt_1",
    issued_at_ms=0,
    expires_at_ms=4_000_000_000_000,
    family_expires_at_ms=4_000_000_000_000,
    idle_ms=None,
)


@pytest.fixture(scope="module")
def lasting_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One that keeps what it was told when it is killed."""
    server = start_redis(tmp_path_factory.mktemp("lasting"), persistent=True)
    yield server
    server.stop()


@pytest.fixture
async def lasting(lasting_redis: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[House]:
    """A house with a person in it, on a Redis that is running when the test begins and when it ends."""
    lasting_redis.start()
    async with open_house(lasting_redis.url, tmp_path) as house:
        await house.resources.record.run("FLUSHALL")
        await house.sign_in("ada", "crm", session_id="ses_1")
        yield house


def calls_of(house: House, rid: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    """One call of every method of every store, by name."""
    r, now_ms = house.resources, house.clock.now_ms()
    told = Told(user_id=ADA, revocation_id=rid, client_id="crm", sub="ada", sid=None, session_id=None)
    ended = EndedSession(
        session_id="ses_1", ended=True, offline_ended=True, active=True, token_hashes=("hash",), live_tokens=1
    )
    connection, revocation = house.connection(), house.request("ada", revocation_id=rid)
    kept = KeptToken(kept_id="kept_1", connection_id=CONNECTION, text="token", received_at_ms=now_ms, looks=0)
    application = Application(client_id="crm", client_secret_hash="", created_at_ms=now_ms, updated_at_ms=now_ms)
    limited = replace(application, delivery_max_concurrent=1, delivery_rate_per_second=1.0)
    return {
        "connections.add": lambda: r.connections.add(connection),
        "connections.by_name": lambda: r.connections.by_name("okta"),
        "connections.get": lambda: r.connections.get(CONNECTION),
        "connections.replace": lambda: r.connections.replace(connection),
        "connections.remove": lambda: r.connections.remove(connection),
        "connections.page": lambda: r.connections.page(after=None, limit=1),
        "applications.add": lambda: r.applications.add(application),
        "applications.get": lambda: r.applications.get("crm"),
        "applications.get_many": lambda: r.applications.get_many(["crm"]),
        "applications.replace": lambda: r.applications.replace(application),
        "applications.remove": lambda: r.applications.remove("crm"),
        "applications.page": lambda: r.applications.page(after=None, limit=1),
        "client_healths.get": lambda: r.client_healths.get("crm"),
        "client_healths.get_many": lambda: r.client_healths.get_many(["crm"]),
        "client_healths.addressees": lambda: r.client_healths.addressees(["crm"]),
        "client_healths.take_probe": lambda: r.client_healths.take_probe(
            "crm", "a", now_ms=now_ms, probing_until_ms=now_ms
        ),
        "client_healths.give_back_probe": lambda: r.client_healths.give_back_probe("crm", "a", look_at_ms=now_ms),
        "client_healths.report": lambda: r.client_healths.report(
            [Report(client_id="crm", attempt="a", answered=False)], now_ms=now_ms
        ),
        "client_healths.pause": lambda: r.client_healths.pause("crm", reason=None, now_ms=now_ms),
        "client_healths.resume": lambda: r.client_healths.resume("crm", now_ms=now_ms),
        "client_healths.probe_now": lambda: r.client_healths.probe_now("crm", now_ms=now_ms),
        "client_healths.counts": r.client_healths.counts,
        "backlogs.heads": lambda: r.backlogs.heads({"crm": 1}),
        "backlogs.older_than": lambda: r.backlogs.older_than({"crm": now_ms}, limit=1),
        "backlogs.release": lambda: r.backlogs.release(
            [Release(client_id="crm", delivery_ids=["a"], next_look_ms=now_ms, released=1)],
            hidden_until_ms=now_ms,
            due_at_ms=now_ms,
        ),
        "backlogs.restore": lambda: r.backlogs.restore({"crm": ["a"]}, at_ms=now_ms),
        "backlogs.heal": lambda: r.backlogs.heal(at_ms=now_ms),
        "backlogs.counts": lambda: r.backlogs.counts(["crm"]),
        "backlogs.total": r.backlogs.total,
        "turns.take": lambda: r.turns.take(limited, "a", now_ms=now_ms, lease_until_ms=now_ms + 1000),
        "turns.give_back": lambda: r.turns.give_back(limited, "a"),
        "people.register": lambda: r.people.register(ADA, CONNECTION, [iss_sub(UPSTREAM, "ada")]),
        "people.resolve": lambda: r.people.resolve(CONNECTION, [iss_sub(UPSTREAM, "ada")]),
        "people.get": lambda: r.people.get(ADA),
        "people.cut_off": lambda: r.people.cut_off([ADA], rid, now_ms=now_ms, accepted_at_ms=now_ms),
        "people.cut_off_begun_by": lambda: r.people.cut_off_begun_by(
            [ADA], SessionsBegunBy(begun_by_ms=now_ms), rid, now_ms=now_ms, accepted_at_ms=now_ms
        ),
        "people.end_session": lambda: r.people.end_session(ADA, "ses_1", rid, now_ms=now_ms, accepted_at_ms=now_ms),
        "covered.snapshot": lambda: r.covered.snapshot([ADA], rid, now_ms=now_ms, scope=Everything()),
        "covered.forget": lambda: r.covered.forget(ADA, rid, [ended], ended_at_ms=now_ms),
        "covered.forget_participation": lambda: r.covered.forget_participation([told], now_ms=now_ms),
        "sessions.open": lambda: house.sign_in("bob", "crm"),
        "sessions.join": lambda: house.join("ses_1", "mail"),
        "sessions.leave": lambda: house.leave("ses_1", "crm"),
        "sessions.live_tokens": lambda: r.sessions.live_tokens(ADA, ["ses_1"], now_ms=now_ms),
        "sessions.get": lambda: r.sessions.get("ses_1"),
        "sessions.of_person": lambda: r.sessions.of_person(ADA, after=None, limit=10),
        "sessions.require_later_sign_in": lambda: r.sessions.require_later_sign_in(ADA, 4_000_000_000),
        "refresh_tokens.issue": lambda: r.refresh_tokens.issue("secret", TOKEN, sid="ada", now_ms=now_ms),
        "refresh_tokens.find_active": lambda: r.refresh_tokens.find_active("secret", now_ms=now_ms),
        "refresh_tokens.rotate": lambda: house.rotate("secret", successor="another"),
        "refresh_tokens.find": lambda: r.refresh_tokens.find("secret"),
        "refresh_tokens.get": lambda: r.refresh_tokens.get("rt_1"),
        "replays.bind": lambda: r.replays.bind(CONNECTION, ISSUER, "jti", message="m", until_ms=now_ms + 60_000),
        "replays.remember_unknown": lambda: r.replays.remember_unknown(
            CONNECTION, ISSUER, "jti", message="m", until_ms=now_ms + 60_000
        ),
        "replays.bind_logout": lambda: r.replays.bind_logout(
            CONNECTION,
            ISSUER,
            "jti",
            token=LogoutToken(message="m", issued_at_ms=now_ms, until_ms=now_ms + 60_000),
            remembered_until_ms=now_ms + 60_000,
        ),
        "replays.remember_logout_of_nobody": lambda: r.replays.remember_logout_of_nobody(
            CONNECTION,
            ISSUER,
            "jti",
            token=LogoutToken(message="m", issued_at_ms=now_ms, until_ms=now_ms + 60_000),
            remembered_until_ms=now_ms + 60_000,
        ),
        "upstream.register": lambda: r.upstream.register(
            CONNECTION, iss=ISSUER, sub="ada", sid="1", user_id=ADA, keep_until_ms=now_ms + 60_000
        ),
        "upstream.people": lambda: r.upstream.people(CONNECTION, "1"),
        "upstream.mark_logged_out": lambda: r.upstream.mark_logged_out(
            CONNECTION, iss=ISSUER, sub=None, sid="1", at_ms=now_ms
        ),
        "kept_tokens.keep": lambda: r.kept_tokens.keep(CONNECTION, "token", now_ms=now_ms, look_at_ms=now_ms),
        "kept_tokens.get": lambda: r.kept_tokens.get("kept_1"),
        "kept_tokens.look_again": lambda: r.kept_tokens.look_again(kept, at_ms=now_ms),
        "kept_tokens.drop": lambda: r.kept_tokens.drop("kept_1", CONNECTION),
        "covered.let_go": lambda: r.covered.let_go([ADA], rid),
        "revocations.record": lambda: r.revocations.record(revocation, now_ms=now_ms, look_at_ms=now_ms),
        "revocations.mark_late": lambda: r.revocations.mark_late(rid),
        "revocations.mark_revoked": lambda: r.revocations.mark_revoked(rid, at_ms=now_ms),
        "redeliveries.held": lambda: _held(house, rid),
        "redeliveries.write": lambda: _redeliver(house, rid),
        "revocations.plan": lambda: _plan(house, rid),
        "revocations.lanes": lambda: r.revocations.lanes([rid]),
        "revocations.close": lambda: r.revocations.close(rid),
        "revocations.get": lambda: r.revocations.get(rid),
        "revocations.page": lambda: r.revocations.page(
            connection_id=None, user_id=None, state=None, after=None, limit=1
        ),
        "revocations.forget_old": lambda: r.revocations.forget_old(now_ms=now_ms),
        "revocations.get_many": lambda: r.revocations.get_many([rid]),
        "deliveries.of_revocation": lambda: r.deliveries.of_revocation(rid),
        "deliveries.claim": lambda: r.deliveries.claim(rid, now_ms=now_ms, lease_until_ms=now_ms + 1000),
        "deliveries.settle": lambda: r.deliveries.settle(
            [Settlement(delivery=DELIVERY, lease_until_ms=now_ms)], now_ms=now_ms
        ),
        "deliveries.relist": lambda: r.deliveries.relist([DEAD]),
        "dead_letters.add": lambda: r.dead_letters.add([DEAD]),
        "dead_letters.drop": lambda: r.dead_letters.drop([(DEAD, now_ms)]),
        "dead_letters.page": lambda: r.dead_letters.page(after=None, limit=1, now_ms=now_ms),
        "dead_letters.count": lambda: r.dead_letters.count(now_ms=now_ms),
        "dead_letters.forget_old": lambda: r.dead_letters.forget_old(now_ms=now_ms),
        "redeliveries.read": lambda: r.redeliveries.read([DEAD.delivery_id]),
        "redeliveries.unsettled": lambda: r.redeliveries.unsettled(before_ms=now_ms, offset=0, limit=1),
        "redeliveries.settled": lambda: r.redeliveries.settled(rid, before_ms=now_ms),
        "redeliveries.reopen": lambda: r.redeliveries.reopen(rid, now_ms=now_ms),
        "dry_runs.look_ahead": lambda: r.dry_runs.look_ahead([ADA], now_ms=now_ms),
        "schedule.look_at": lambda: r.schedule.look_at(["a"], at_ms=now_ms),
        "schedule.look_at_if_absent": lambda: r.schedule.look_at_if_absent(["a"], at_ms=now_ms),
        "schedule.look_at_sooner": lambda: r.schedule.look_at_sooner(["a"], at_ms=now_ms),
        "schedule.done": lambda: r.schedule.done(["a"]),
        "schedule.settle": lambda: r.schedule.settle(finished=["a"], done=["b"], due={"c": now_ms}),
        "schedule.claim": lambda: r.schedule.claim(now_ms=now_ms, hidden_until_ms=now_ms, limit=1),
        "schedule.open_since": lambda: r.schedule.open_since(before_ms=now_ms, offset=0, limit=1),
        "schedule.has": lambda: r.schedule.has("a"),
        "schedule.opened_at": lambda: r.schedule.opened_at(rid),
        "schedule.backlog": r.schedule.backlog,
        "statistics.count": lambda: r.statistics.count(deliveries=["dead"], attempts=[], told_s=[]),
        "statistics.count_cut_back": r.statistics.count_cut_back,
        "statistics.totals": r.statistics.totals,
        "heartbeats.beat": lambda: r.heartbeats.beat("host:1", now_ms=now_ms),
        "heartbeats.stop": lambda: r.heartbeats.stop("host:1"),
        "heartbeats.alive": lambda: r.heartbeats.alive(now_ms=now_ms),
    }


async def _plan(house: House, rid: str) -> bool:
    return await house.resources.revocations.plan(
        await house.receipt(rid), [], sessions_ended=0, refresh_tokens_revoked=0, now_ms=0, lease_until_ms=0
    )


async def _held(house: House, rid: str) -> object:
    asked = [(await house.receipt(rid), ADA, ["crm"])]
    return await house.resources.redeliveries.held(asked, now_ms=house.clock.now_ms())


async def _redeliver(house: House, rid: str) -> object:
    change = Change(before=Stored(delivery=DEAD, text="{}"), after=(DELIVERY,))
    return await house.resources.redeliveries.write([(await house.receipt(rid), change)], now_ms=house.clock.now_ms())


async def test_every_call_of_every_store_fails_while_redis_is_away_and_works_when_it_is_back(
    lasting: House, lasting_redis: EmbeddedRedis
) -> None:
    rid = await lasting.record_only(lasting.request("ada"))
    calls = calls_of(lasting, rid)
    public = {
        f"{store}.{name}"
        for store in STORES
        for name, _ in inspect.getmembers(type(getattr(lasting.resources, store)), inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    # Asks Redis only where it is to wait: `tests/faults/test_replicated_redis.py`.
    assert set(calls) == public - {"revocations.wait_until_durable"}

    lasting_redis.kill()
    for call in calls.values():
        with pytest.raises(Unavailable):
            await call()

    lasting_redis.start()
    for call in calls.values():
        with suppress(NotFound, InvalidGrant):  # that the session has ended meanwhile is an answer
            await call()


async def test_what_was_acknowledged_before_is_true_after(lasting: House, lasting_redis: EmbeddedRedis) -> None:
    dead = await lasting.issue("ses_1", "crm")
    other = await lasting.issue(await lasting.sign_in("bob", "crm"), "crm")
    rid = await lasting.revoke("ada")

    lasting_redis.kill()
    lasting_redis.start()

    assert not await lasting.token_honoured(dead)
    assert not await lasting.session_honoured("ses_1")
    assert await lasting.token_honoured(other)
    assert (await lasting.receipt(rid)).state == "accepted"
    assert rid in await lasting.due()


async def test_nobody_joins_or_is_issued_anything_that_was_revoked_while_they_looked(lasting: House) -> None:
    session = await lasting.session("ses_1")
    await lasting.revoke("ada")
    participant = Participant(client_id="mail", sub="ada", sid="1")
    with pytest.raises(NotFound):
        await lasting.resources.sessions.join(session, participant, now_ms=lasting.clock.now_ms())
    with pytest.raises(NotFound):
        await lasting.resources.refresh_tokens.issue("secret", TOKEN, sid="ada", now_ms=lasting.clock.now_ms())
