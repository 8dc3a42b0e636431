"""Kept logout tokens: verified when their keys can be had, by the clock of their arrival, and acted upon then and not before."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import cast

import pytest

from service.domain.connection import Connection
from service.domain.revocation import SessionsBegunBy
from service.domain.subject import iss_sub
from service.errors import Unavailable
from service.jobs import QUEUE
from service.receive.backchannel_logout import FIRST_LOOK_MS
from service.store import blast_radius, keyspace
from service.store.kept_tokens import KEPT_MS
from service.verify.logout_token import verify_logout_token
from tests.support.breaks import Moment, redis_away
from tests.support.contents import trail
from tests.support.heard import listening
from tests.support.house import CONNECTION, DAY_S, House
from tests.support.identity_provider import IdentityProvider
from workers.sweep import HIDDEN_MS
from workers.verify import LONGEST_PAUSE_MS, LOOK_AGAIN_MS


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A house with a connection whose identity provider's keys are out of reach, and Ada, signed in through it."""

    house: House
    idp: IdentityProvider
    connection: Connection
    session: str

    def token(self, **more: object) -> str:
        """A logout token of Ada's, of this moment."""
        return self.idp.logout_token(**{"sub": "ada", "now_s": self.house.clock.now_s, **more})

    async def keep(self, text: str) -> str:
        """What the door does with a token it cannot verify; the kept token's id."""
        now_ms = self.house.clock.now_ms()
        kept_id = await self.house.resources.kept_tokens.keep(
            CONNECTION, text, now_ms=now_ms, look_at_ms=now_ms + FIRST_LOOK_MS
        )
        assert kept_id is not None
        return kept_id

    async def accept(self, text: str) -> None:
        """What the door does with one that it can verify."""
        resources = self.house.resources
        logout = await verify_logout_token(
            text, connection=self.connection, keys=resources.issuer_keys, now_ms=self.house.clock.now_ms()
        )
        assert await resources.logouts.accept(logout, self.connection) is not None

    async def work(self, after_s: float = FIRST_LOOK_MS / 1000) -> None:
        """Let time pass, sweep, and run what that queued."""
        self.house.clock.advance(after_s)
        await self.house.worker.sweeper.sweep()
        await self.house.run_queue()

    async def is_kept(self, kept_id: str) -> bool:
        """Whether it is still there; then it is due, else it is in no index."""
        there = await self.house.resources.kept_tokens.get(kept_id) is not None
        listed = await self.house.resources.record.run("ZSCORE", keyspace.kept_of(CONNECTION), kept_id)
        assert there == (kept_id in await self.house.due()) == (listed is not None)
        return there

    async def receipts(self) -> list[str]:
        """Every revocation there is."""
        return list(await self.house.resources.record.run("ZRANGE", keyspace.REVOCATIONS, 0, -1))


@pytest.fixture
async def idp() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider.running() as running:
        yield running


@pytest.fixture
async def waiting(house: House, idp: IdentityProvider) -> Waiting:
    return await wait_for_keys(house, idp)


async def wait_for_keys(house: House, idp: IdentityProvider) -> Waiting:
    """Sign Ada in, and lose the keys."""
    connection = idp.connection(id=CONNECTION)
    await house.resources.connections.add(connection)
    idp.broken.add("keys")
    names = [iss_sub(idp.issuer, "ada")]
    session = await house.sign_in("ada", upstream_sid="up-1", identifiers=names, lasts_s=2 * DAY_S)
    house.clock.advance(5)
    return Waiting(house=house, idp=idp, connection=connection, session=session)


async def test_it_is_verified_and_acted_upon_when_the_keys_are_back(waiting: Waiting) -> None:
    house = waiting.house
    kept_id = await waiting.keep(waiting.token())
    await waiting.work()
    assert await house.session_honoured(waiting.session)
    assert await waiting.is_kept(kept_id)
    assert await waiting.receipts() == []

    waiting.idp.broken.clear()
    with listening() as heard:
        await waiting.work(LOOK_AGAIN_MS / 1000)

    assert not await house.session_honoured(waiting.session)
    assert not await waiting.is_kept(kept_id)
    line = heard.one("logout.verified_late")
    assert (line["kept_id"], line["after_ms"]) == (kept_id, FIRST_LOOK_MS + LOOK_AGAIN_MS)
    (rid,) = await waiting.receipts()
    receipt = await house.receipt(rid)
    assert (receipt.initiator, receipt.state, receipt.sessions_ended) == ("backchannel_logout", "completed", 1)


async def test_nobody_looks_at_it_before_its_time(waiting: Waiting) -> None:
    waiting.idp.broken.clear()
    await waiting.keep(waiting.token())
    await waiting.work(FIRST_LOOK_MS / 1000 - 0.001)
    assert await waiting.house.session_honoured(waiting.session)
    await waiting.work(0.001)
    assert not await waiting.house.session_honoured(waiting.session)


async def test_it_is_held_against_the_clock_of_its_arrival_and_ends_nothing_begun_after_it(waiting: Waiting) -> None:
    """Hours late by our fault: in time then is in time. Who has signed in since has nothing to do with it."""
    house, sent_ms = waiting.house, waiting.house.clock.now_s * 1000
    await waiting.keep(waiting.token())
    house.clock.advance(2)
    since = await house.sign_in("ada", upstream_sid="up-1", lasts_s=DAY_S)
    waiting.idp.broken.clear()
    await waiting.work(6 * 3600)
    assert [await house.session_honoured(each) for each in (waiting.session, since)] == [False, True]
    (rid,) = await waiting.receipts()
    assert (await house.receipt(rid)).scope == SessionsBegunBy(begun_by_ms=sent_ms, arrived_at_ms=sent_ms)


async def test_what_was_expired_when_it_came_is_not_acted_upon(waiting: Waiting) -> None:
    """The door keeps no such token; but a connection may have been told otherwise meanwhile."""
    now_s = waiting.house.clock.now_s
    kept_id = await waiting.keep(waiting.token(claims={"iat": now_s - 300, "exp": now_s - 200}))
    waiting.idp.broken.clear()
    with listening() as heard:
        await waiting.work()
    assert heard.one("logout.dropped")["reason"] == "expired"
    assert await waiting.house.session_honoured(waiting.session)
    assert not await waiting.is_kept(kept_id)


async def test_a_forged_one_is_dropped_with_a_line_that_says_so_and_not_what_it_was(waiting: Waiting) -> None:
    forged = waiting.token()[:-8] + "AAAAAAAA"
    kept_id = await waiting.keep(forged)
    waiting.idp.broken.clear()
    with listening() as heard:
        await waiting.work()
    assert await waiting.house.session_honoured(waiting.session)
    assert not await waiting.is_kept(kept_id)
    assert await waiting.receipts() == []
    line = heard.one("logout.dropped")
    assert (line["level"], line["reason"], line["connection_id"]) == ("warning", "bad_signature", CONNECTION)
    assert not any(part in str(each) for each in heard.lines for part in forged.split("."))


@pytest.mark.parametrize(
    ("message", "event", "reason", "actor"),
    [
        ("ours", "revocation.recorded", None, "connection"),
        ("of nobody", "message.accepted", None, "connection"),
        ("forged", "message.refused", "bad_signature", "anyone"),
    ],
)
async def test_what_became_of_it_is_in_the_audit_trail_as_of_any_message(
    waiting: Waiting, redis_url: str, message: str, event: str, reason: str | None, actor: str
) -> None:
    text = waiting.token(sub="nobody") if message == "of nobody" else waiting.token()
    kept_id = await waiting.keep(text[:-8] + "AAAAAAAA" if message == "forged" else text)
    waiting.idp.broken.clear()
    await waiting.work()
    (entry,) = [each for each in trail(redis_url) if "door" in each]
    assert (entry["event"], entry.get("reason"), entry["actor"]["type"]) == (event, reason, actor)
    assert (entry["door"], entry["connection_id"], entry["request_id"]) == ("backchannel_logout", CONNECTION, kept_id)


@pytest.mark.parametrize("change", ["deleted", "disabled"])
async def test_one_of_a_connection_that_is_gone_or_disabled_is_dropped_unverified(
    waiting: Waiting, redis_url: str, change: str
) -> None:
    kept_id = await waiting.keep(waiting.token())
    connections = waiting.house.resources.connections
    if change == "deleted":
        await connections.remove(waiting.connection)
    else:
        await connections.replace(replace(waiting.connection, enabled=False))
    waiting.idp.broken.clear()
    fetched = waiting.idp.fetches.total()
    with listening() as heard:
        await waiting.work()
    assert heard.one("logout.dropped")["reason"] == ("connection_gone" if change == "deleted" else "disabled")
    assert not await waiting.is_kept(kept_id)
    assert await waiting.house.session_honoured(waiting.session)
    assert waiting.idp.fetches.total() == fetched
    assert [each["event"] for each in trail(redis_url) if "door" in each] == ["message.refused"]


async def test_it_is_held_against_the_connection_as_it_is_by_then(waiting: Waiting) -> None:
    kept_id = await waiting.keep(waiting.token())
    options = replace(waiting.connection.options, client_id="another")
    await waiting.house.resources.connections.replace(replace(waiting.connection, options=options))
    waiting.idp.broken.clear()
    with listening() as heard:
        await waiting.work()
    assert heard.one("logout.dropped")["reason"] == "wrong_aud"
    assert not await waiting.is_kept(kept_id)
    assert await waiting.house.session_honoured(waiting.session)


async def test_it_is_looked_at_less_and_less_often(waiting: Waiting) -> None:
    kept_id = await waiting.keep(waiting.token())
    pauses = []
    await waiting.work()
    for _ in range(8):
        due_ms = (await waiting.house.due())[kept_id]
        pauses.append(due_ms - waiting.house.clock.now_ms())
        await waiting.work(pauses[-1] / 1000)
    assert pauses[:5] == [LOOK_AGAIN_MS * 2**n for n in range(5)]
    assert pauses[5:] == [LONGEST_PAUSE_MS] * 3
    assert await waiting.house.session_honoured(waiting.session)


async def test_after_a_day_it_is_given_up_with_a_line_and_told(waiting: Waiting, redis_url: str) -> None:
    kept_id = await waiting.keep(waiting.token())
    with listening() as heard:
        await waiting.work(KEPT_MS / 1000 - 1)
        assert await waiting.is_kept(kept_id)
        await waiting.work(1)
    assert heard.one("logout.dropped")["reason"] == "keys_unavailable"
    assert not await waiting.is_kept(kept_id)
    refused = [each["reason"] for each in trail(redis_url) if each["event"] == "message.refused"]
    assert refused == ["keys_unavailable"]


async def test_redis_does_not_forget_it_before_it_is_given_up(waiting: Waiting) -> None:
    """Its own clock passes a day at the same moment; whoever came to give it up would find nothing, and tell nobody."""
    until_ms = waiting.house.clock.now_ms() + KEPT_MS + LONGEST_PAUSE_MS
    kept_id = await waiting.keep(waiting.token())
    record = waiting.house.resources.record
    for key in (keyspace.kept(kept_id), keyspace.kept_of(CONNECTION)):
        assert await record.run("PTTL", key) > KEPT_MS + LONGEST_PAUSE_MS
    await waiting.work()
    redis_s, _ = await record.run("TIME")
    assert int(redis_s) * 1000 + await record.run("PTTL", keyspace.kept(kept_id)) > until_ms
    waiting.house.clock.advance((KEPT_MS + LONGEST_PAUSE_MS) / 1000)
    await waiting.keep(waiting.token(claims={"jti": "another"}))
    assert await record.run("ZSCORE", keyspace.kept_of(CONNECTION), kept_id) is not None


async def test_one_that_redis_has_forgotten_leaves_the_index(waiting: Waiting) -> None:
    kept_id = await waiting.keep(waiting.token())
    await waiting.house.resources.record.run("DEL", keyspace.kept(kept_id))
    await waiting.work()
    assert await waiting.house.due() == {}


@pytest.mark.parametrize("signed_anew", [True, False])
async def test_when_the_sender_came_again_and_was_heard_the_kept_one_changes_nothing(
    waiting: Waiting, signed_anew: bool
) -> None:
    house = waiting.house
    first = waiting.token(claims={"jti": "one"})
    kept_id = await waiting.keep(first)
    house.clock.advance(11)
    again = waiting.token(claims={"jti": "one"}) if signed_anew else first
    waiting.idp.broken.clear()
    await waiting.accept(again)
    receipts = await waiting.receipts()
    house.clock.advance(1)
    since = await house.sign_in("ada", upstream_sid="up-1")
    await waiting.work()
    assert not await waiting.is_kept(kept_id)
    assert await waiting.receipts() == receipts
    assert [await house.session_honoured(each) for each in (waiting.session, since)] == [False, True]


@pytest.mark.parametrize("order", ["as they came", "the other way round"])
async def test_of_copies_signed_anew_in_one_outage_one_counts(house: House, idp: IdentityProvider, order: str) -> None:
    """Hours long: each is long past its end when the first of them can be verified, by Redis's clock too."""
    house.clock.advance(-6 * 3600)
    waiting = await wait_for_keys(house, idp)
    kept = []
    for _ in range(3):
        kept.append(await waiting.keep(waiting.token(claims={"jti": "one"})))
        house.clock.advance(90)
    house.clock.advance(5 * 3600)
    idp.broken.clear()
    for kept_id in kept if order == "as they came" else reversed(kept):
        await house.worker.verifier.verify(kept_id)
    (rid,) = await waiting.receipts()
    assert (await house.work_off(rid)).sessions_ended == 1
    assert not any([await waiting.is_kept(each) for each in kept])


async def test_a_copy_the_door_heard_is_still_the_one_that_counts_when_the_kept_one_is_looked_at_minutes_after_its_end(
    house: House, idp: IdentityProvider
) -> None:
    house.clock.advance(-1200)
    waiting = await wait_for_keys(house, idp)
    kept_id = await waiting.keep(waiting.token(claims={"jti": "one"}))
    house.clock.advance(600)
    idp.broken.clear()
    await waiting.accept(waiting.token(claims={"jti": "one"}))
    receipts = await waiting.receipts()
    house.clock.advance((60 + 120 + LONGEST_PAUSE_MS / 1000) - 1)
    since = await house.sign_in("ada", upstream_sid="up-1")
    await house.worker.verifier.verify(kept_id)
    assert await waiting.receipts() == receipts
    assert await house.session_honoured(since)


async def test_of_copies_that_named_nobody_a_later_one_is_answered_like_the_first(
    house: House, idp: IdentityProvider
) -> None:
    house.clock.advance(-6 * 3600)
    waiting = await wait_for_keys(house, idp)
    kept = []
    for _ in range(2):
        kept.append(await waiting.keep(waiting.token(sub="eve", claims={"jti": "one"})))
        house.clock.advance(90)
    house.clock.advance(5 * 3600)
    idp.broken.clear()
    await house.worker.verifier.verify(kept[0])
    names = [iss_sub(idp.issuer, "eve")]
    eve = await house.sign_in("eve", identifiers=names, auth_time_s=house.clock.now_s - 6 * 3600, lasts_s=2 * DAY_S)
    await house.worker.verifier.verify(kept[1])
    assert await house.session_honoured(eve)
    assert await waiting.receipts() == []


async def test_a_sid_means_what_began_before_the_token_came_though_its_clock_is_behind_and_nothing_since(
    waiting: Waiting,
) -> None:
    """Nobody told when these began. What the door would have ended had it had the keys ends, and no session of later."""
    house = waiting.house
    sent_s = house.clock.now_s
    house.clock.advance(5)
    meant = await house.sign_in("ada", upstream_sid="up-2", lasts_s=DAY_S)
    await waiting.keep(waiting.token(sid="up-2", now_s=sent_s))
    house.clock.advance(5)
    since = await house.sign_in("ada", upstream_sid="up-2", lasts_s=DAY_S)
    waiting.idp.broken.clear()
    await waiting.work()
    assert [await house.session_honoured(each) for each in (meant, since)] == [False, True]


async def test_so_it_does_however_long_the_outage_was(waiting: Waiting) -> None:
    house = waiting.house
    sent_s = house.clock.now_s
    house.clock.advance(5)
    meant = await house.sign_in("ada", "crm", upstream_sid="up-2", lasts_s=DAY_S)
    await waiting.keep(waiting.token(sid="up-2", now_s=sent_s))
    waiting.idp.broken.clear()
    await waiting.work(6 * 3600)
    assert not await house.session_honoured(meant)


async def test_one_whose_jti_came_with_another_message_is_dropped(waiting: Waiting) -> None:
    await waiting.keep(waiting.token(claims={"jti": "one"}))
    await waiting.keep(waiting.token(sub="ben", claims={"jti": "one"}))
    waiting.idp.broken.clear()
    with listening() as heard:
        await waiting.work()
    assert [line["reason"] for line in heard.of("logout.dropped")] == ["replayed_token"]


async def test_many_wait_each_for_its_own(waiting: Waiting) -> None:
    house = waiting.house
    people = [f"person-{n}" for n in range(20)]
    sessions = [
        await house.sign_in(name, identifiers=[iss_sub(waiting.idp.issuer, name)], lasts_s=7200) for name in people
    ]
    house.clock.advance(1)
    kept = [await waiting.keep(waiting.token(sub=name)) for name in people]
    waiting.idp.broken.clear()
    await waiting.work()
    assert not any([await house.session_honoured(each) for each in sessions])
    assert not any([await waiting.is_kept(each) for each in kept])
    assert await house.session_honoured(waiting.session)


async def test_a_job_carries_its_id_alone(waiting: Waiting) -> None:
    text = waiting.token()
    kept_id = await waiting.keep(text)
    house = waiting.house
    house.clock.advance(FIRST_LOOK_MS / 1000)
    await house.worker.sweeper.sweep()
    redis = house.resources.queue_redis
    (name,) = [each.decode() for each in await redis.zrange(QUEUE, 0, -1)]
    job = json.loads(await redis.get(f"arq:job:{name}") or b"{}")
    assert job["a"] == [kept_id]
    assert not any(part in name + json.dumps(job) for part in text.split("."))
    # Taken by a sweeper, it comes up again when its job is lost.
    assert await house.due() == {kept_id: house.clock.now_ms() + HIDDEN_MS}


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_wherever_redis_goes_away_it_is_acted_upon_once_it_is_back(waiting: Waiting, moment: str) -> None:
    house = waiting.house
    waiting.idp.broken.clear()
    at, happened = 0, True
    while happened:
        at += 1
        before = len(await waiting.receipts())
        session = await house.sign_in("ada", upstream_sid=f"up-{at}")
        house.clock.advance(1)
        kept_id = await waiting.keep(waiting.token(claims={"jti": f"jti-{at}"}))
        with redis_away(at=at, moment=cast("Moment", moment)) as broken:
            try:
                await house.worker.verifier.verify(kept_id)
            except Unavailable:
                assert broken.happened
        happened = broken.happened
        # Either it has been dropped, the last thing that is done, or it comes up again.
        if await house.resources.kept_tokens.get(kept_id) is not None:
            assert kept_id in await house.due()
        await waiting.work(HIDDEN_MS / 1000)
        assert not await house.session_honoured(session), at
        assert not await waiting.is_kept(kept_id)
        # Two where a worker came first and completed what nobody had been answered yet.
        assert 1 <= len(await waiting.receipts()) - before <= 2
    assert at > 6


async def test_one_whose_connection_is_held_waits_beside_the_others_for_an_operator(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is verified, kept as a request, not acted upon, and no kept token any more."""
    house, radius = waiting.house, waiting.house.resources.blast_radius
    monkeypatch.setattr(radius, "_people", 1)
    names = [iss_sub(waiting.idp.issuer, "ben")]
    other = await house.sign_in("ben", identifiers=names, lasts_s=2 * DAY_S)
    house.clock.advance(5)
    kept_ids = [await waiting.keep(waiting.token(sub=name)) for name in ("ada", "ben")]
    waiting.idp.broken.clear()
    await waiting.work()
    honoured = [await house.session_honoured(each) for each in (waiting.session, other)]
    assert honoured.count(True) == 1
    assert [await waiting.is_kept(each) for each in kept_ids] == [False, False]
    assert (await radius.holds([CONNECTION]))[CONNECTION].requests == 1
    (held,) = await radius.kept(CONNECTION, most=10)
    await house.resources.sink.accept_released(held.request)
    assert [await house.session_honoured(each) for each in (waiting.session, other)] == [False, False]


async def test_one_that_cannot_be_held_for_there_are_too_many_is_looked_at_again(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    radius = waiting.house.resources.blast_radius
    monkeypatch.setattr(radius, "_people", 1)
    monkeypatch.setattr(blast_radius, "MAX_HELD", 0)
    request = waiting.house.request("cyd", "dee")
    assert await radius.count(request, now_ms=waiting.house.clock.now_ms()) == "began"
    kept_id = await waiting.keep(waiting.token())
    waiting.idp.broken.clear()
    await waiting.work()
    assert await waiting.is_kept(kept_id)
    await radius.release(CONNECTION, discard=True)
    await waiting.work(LOOK_AGAIN_MS / 1000)
    assert not await waiting.is_kept(kept_id)
    assert not await waiting.house.session_honoured(waiting.session)


async def test_one_that_could_not_be_held_for_a_day_is_given_up_for_what_it_was(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys were there; it was said that they had not been."""
    radius = waiting.house.resources.blast_radius
    monkeypatch.setattr(radius, "_people", 1)
    monkeypatch.setattr(blast_radius, "MAX_HELD", 0)
    request = waiting.house.request("cyd", "dee")
    assert await radius.count(request, now_ms=waiting.house.clock.now_ms()) == "began"
    kept_id = await waiting.keep(waiting.token())
    waiting.idp.broken.clear()
    with listening() as heard:
        await waiting.work(KEPT_MS / 1000 - 1)
        assert await waiting.is_kept(kept_id)
        await waiting.work(LONGEST_PAUSE_MS / 1000)
    assert heard.one("logout.dropped")["reason"] == "held"
    assert not await waiting.is_kept(kept_id)
