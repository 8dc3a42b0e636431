"""Every script of `service/store/lua`: what its header says of it, and what happens when it is sent twice."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import pytest
import redis

from service.domain.audit import Fact
from service.domain.client_health import OPENS_AFTER
from service.domain.delivery import Delivery
from service.domain.identifiers import delivery_id_for
from service.domain.revocation import Everything, SessionsBegunBy
from service.errors import InvalidGrant
from service.store.backlogs import Hold, Release, Waiting
from service.store.blast_radius import BlastRadius
from service.store.client_health import Report
from service.store.covered import Told
from service.store.deliveries import Settlement
from service.store.record import Command, Record, Script
from service.store.refresh_tokens import Reused
from tests.support.contents import contents
from tests.support.house import CONNECTION, DAY_S, UPSTREAM, House, user_id

SOURCES = {
    each.name.removesuffix(".lua"): each.read_text("utf-8")
    for each in files("service.store").joinpath("lua").iterdir()
    if each.name != "prelude.lua"
}

RETURNS = {
    "append_bounded": [0, 1],
    "claim_deliveries": [list],
    "claim_due": [list],
    "cut_off": [0, 1],
    "cut_off_begun_by": [0, 1],
    "drop_up_to": [int],
    "end_session": [0, 1],
    "end_token_family": [0, 1],
    "erase_person": ["erased", "changed"],
    "extend_owner": [0, 1],
    "forget_erased": [int],
    "forget_in_receipt": [0, 1],
    "forget_client": [int],
    "forget_participation": [int],
    "forget_held": [0, 1],
    "hold_or_pass": ["passed", "began", "held", "unlisted"],
    "keep_held": [0, 1],
    "forget_sessions": [int],
    "give_back_probe": [0, 1],
    "hold_deliveries": [int],
    "issue_refresh_token": ["issued", "inactive", "not_in_session", "exists"],
    "join_session": ["joined", "inactive", str],
    "leave_session": [list],
    "list_kept": ["listed", "full"],
    "mark_late": [0, 1],
    "name_by_sid": [0, 1],
    "open_session": ["opened", "opened_anew", "reauthenticate"],
    "page": [list],
    "pause_client": [0, 1],
    "plan_deliveries": [0, 1],
    "read_session": [list],
    "read_token": [list],
    "record_revocation": [list],
    "redeliver": ["redelivered", "changed", "missing"],
    "release_deliveries": [int],
    "report_answer": ["same", "closed", "opened", "probed", "suspended"],
    "restore_deliveries": [list],
    "resume_client": [0, 1],
    "rotate_refresh_token": [list],
    "seal_trail": [-1, 0, 1],
    "settle_delivery": ["lost", "notifying", "completed", "incomplete"],
    "release_hold": [list],
    "replace_record": ["replaced", "changed", "missing"],
    "snapshot_sessions": [str],
    "snapshot_targets": [str],
    "survey_participation": [str],
    "survey_sessions": [str],
    "take_probe": [0, 1],
    "take_turn": [list],
}
"""What each script answers: a value, or any of a kind."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A script that was run, and its answer."""

    script: Script
    answer: Any


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch, *, then: Callable[[Script], None] | None = None) -> Iterator[list[Call]]:
    """Every run of a script until the block ends; `then` is called after each."""
    calls: list[Call] = []
    run_one, run_many, ask_one = Record.script, Record.pipeline, Record.ask

    def note(script: Script, answer: Any) -> None:
        calls.append(Call(script=script, answer=answer))
        if then is not None:
            then(script)

    async def script(self: Record, name: str, keys: list[str], args: list[Any]) -> Any:
        answer = await run_one(self, name, keys, args)
        note(Script(name, keys, args), answer)
        return answer

    async def pipeline(self: Record, sent: list[Command | Script]) -> list[Any]:
        answers = await run_many(self, sent)
        for each, answer in zip(sent, answers, strict=True):
            if isinstance(each, Script):
                note(each, answer)
        return answers

    async def ask(self: Record, call: Command | Script) -> Any:
        answer = await ask_one(self, call)
        if isinstance(call, Script):
            note(call, answer)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Record, "ask", ask)
        patch.setattr(Record, "script", script)
        patch.setattr(Record, "pipeline", pipeline)
        yield calls


async def live_through_it(house: House) -> None:
    """A story in which every script has its part: sign-ins, a deletion, a revocation, and an application told of it."""
    resources, ada = house.resources, user_id("ada")
    await house.application("mail", "https://mail.example.com/logout")
    await resources.applications.replace(await house.application("crm"))
    first, second = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    until_ms = house.clock.now_ms() + 1000 * DAY_S
    await resources.upstream.register(
        CONNECTION, iss=UPSTREAM, sub="ada", sid="up-1", user_id=ada, keep_until_ms=until_ms
    )
    await resources.kept_tokens.keep(CONNECTION, "a token", now_ms=house.clock.now_ms(), look_at_ms=until_ms)
    await house.join(first, "mail")
    await house.issue(first, "mail")
    await house.leave(first, "mail")
    token = await house.issue(second, "crm", lasts_s=10 * DAY_S, offline=True, idle_s=DAY_S)
    spent = await house.rotated(token)
    assert await house.token_honoured(await house.rotated(spent))
    other = await house.issue(second, "crm")
    await house.rotated(other)
    assert isinstance(await house.rotate(other), Reused)
    await house.revoke_family(other, initiator="refresh_token_reuse")
    assert (await resources.dry_runs.look_ahead([ada], now_ms=house.clock.now_ms()))[ada].sessions == 2
    await house.revoke("ada", session_id=first)
    logout = SessionsBegunBy(begun_by_ms=house.clock.now_ms(), upstream_sid="up-1")
    await house.revoke("ada", scope=logout)
    rid = await house.revoke("ada")
    _, after = await resources.revocations.page(connection_id=None, user_id=None, state=None, after=None, limit=1)
    await resources.revocations.page(connection_id=None, user_id=None, state=None, after=after, limit=1)
    revocation, now_ms = await house.receipt(rid), house.clock.now_ms()
    with pytest.raises(InvalidGrant):
        await house.rotate(spent)
    found = await resources.covered.snapshot([ada], rid, now_ms=now_ms, scope=Everything())
    delivery_id = delivery_id_for(rid, "usr_ada", "crm", "crm|ada", None)
    owed = Delivery(delivery_id=delivery_id, user_id=ada, client_id="crm", sub="crm|ada", sid=None)
    missed = replace(owed, delivery_id=delivery_id_for(rid, "usr_ada", "mail", "mail|ada", None), client_id="mail")
    late = replace(owed, delivery_id=delivery_id_for(rid, "usr_ada", "crm", "crm|late", None), sub="crm|late")
    by_sid = replace(late, delivery_id=delivery_id_for(rid, "usr_ada", "crm", "crm|late", "sid"), sid="sid")
    await resources.revocations.plan(
        revocation,
        [owed, missed, late],
        sessions_ended=1,
        refresh_tokens_revoked=1,
        now_ms=now_ms,
        lease_until_ms=now_ms,
    )
    await resources.covered.forget(ada, rid, found[ada].sessions, ended_at_ms=now_ms)
    lease_until_ms = now_ms + 20_000
    await resources.deliveries.claim(rid, now_ms=now_ms, lease_until_ms=lease_until_ms)
    settlements = [
        Settlement(delivery=replace(owed, state="delivered"), lease_until_ms=lease_until_ms),
        Settlement(delivery=replace(missed, state="dead", reason="gave_up"), lease_until_ms=lease_until_ms),
        Settlement(
            delivery=replace(late, state="skipped", reason="told_by_sid"),
            lease_until_ms=lease_until_ms,
            added=(by_sid,),
        ),
    ]
    await resources.deliveries.settle(settlements, now_ms=now_ms)
    assert (await resources.redeliverer.of_revocation(rid)).redelivered == 1
    told = Told(user_id=ada, revocation_id=rid, client_id="crm", sub="crm|ada", sid=None, session_id=None)
    await resources.covered.forget_participation([told], now_ms=now_ms)
    radius = BlastRadius(resources.record, people=1, window_ms=60_000)
    for name in ("ada", "ben", "cyd"):
        if await radius.count(house.request(name), now_ms=now_ms) != "passed":
            await radius.keep(house.request(name), now_ms=now_ms)
    await radius.release(CONNECTION, discard=False)
    (held, *_) = await radius.kept(CONNECTION, most=1)
    for _ in range(2):
        await radius.forget(held.request)
    await radius.release(CONNECTION, discard=True)
    assert await resources.revocations.mark_late(await house.record_only(house.request("dee")))
    assert not await resources.revocations.mark_late(rid)
    eve = user_id("eve")
    await house.sign_in("eve")
    rid = await house.revoke("eve")
    assert await resources.erasures.erase(eve, CONNECTION, now_ms=house.clock.now_ms())
    await house.work_off(rid)
    await resources.erasures.forget_receipts()
    await resources.trail.append_bounded(Fact(event="message.refused", reason="bad_signature"))
    await resources.seals.seal()
    await resources.schedule.claim(now_ms=lease_until_ms, hidden_until_ms=lease_until_ms + 20_000, limit=10)
    await fall_ill_and_recover(house)


async def fall_ill_and_recover(house: House) -> None:
    """An application that does not answer until it is suspended, is paused, resumed, answers and is removed."""
    resources, now_ms = house.resources, house.clock.now_ms()
    crm = await resources.applications.get("crm")
    assert crm is not None
    healths, backlogs = resources.client_healths, resources.backlogs
    waiting = [Waiting(delivery_id=f"dlv_a_{name}", since_ms=now_ms, bulk=name == "c") for name in "abc"]
    hold = Hold(client_id="crm", waiting=waiting, look_at_ms=now_ms, crowded=True)
    for number in range(OPENS_AFTER + 2):
        await healths.report([Report(client_id="crm", attempt=f"{number}", answered=False)], now_ms=now_ms)
        await resources.schedule.settle(finished=[], done=[], due={}, held=[backlogs.holding(hold)])
    for day in range(1, 7):
        at_ms = now_ms + day * DAY_S * 1000
        assert await healths.take_probe("crm", f"unsent {day}", now_ms=at_ms, probing_until_ms=at_ms + 20_000)
        assert await healths.give_back_probe("crm", f"unsent {day}", look_at_ms=at_ms)
        assert await healths.take_probe("crm", f"day {day}", now_ms=at_ms, probing_until_ms=at_ms + 20_000)
        await healths.report([Report(client_id="crm", attempt=f"day {day}", answered=False)], now_ms=at_ms)
    assert (await healths.get("crm")).state == "suspended"
    at_ms = now_ms + 7 * DAY_S * 1000
    assert await healths.take_probe("crm", "patience", now_ms=at_ms, probing_until_ms=at_ms + 20_000)
    await healths.report([Report(client_id="crm", attempt="patience", answered=None)], now_ms=at_ms)
    await healths.pause("crm", reason="maintenance", now_ms=now_ms)
    await healths.resume("crm", now_ms=now_ms)
    await healths.report([Report(client_id="crm", attempt="at last", answered=True)], now_ms=now_ms)
    for names in (["dlv_a_a"], ["dlv_a_b", "dlv_a_c"]):
        await backlogs.restore({"crm": names}, at_ms=now_ms)
        release = Release(client_id="crm", delivery_ids=names, next_look_ms=now_ms, released=len(names))
        await backlogs.release([release], hidden_until_ms=now_ms, due_at_ms=now_ms)
    limited = replace(crm, delivery_max_concurrent=2, delivery_rate_per_second=10.0)
    for number in range(3):
        await resources.turns.take(limited, f"{number}", now_ms=now_ms, lease_until_ms=now_ms + 20_000)
    await resources.applications.remove("crm")


def header(name: str, word: str) -> str:
    """What the comment at a script's head says after `KEYS`, `ARGV` or `Returns`."""
    head = " ".join(line.removeprefix("--").strip() for line in SOURCES[name].split("\n") if line.startswith("--"))
    found = re.search(rf"\b{word} (.*?)(?= KEYS | ARGV | Returns |$)", head)
    assert found, f"{name} does not say its {word}"
    return found[1].strip()


def names_in(listed: str) -> list[str]:
    """The names of a list such as `id, json {a, b}, c, …`, what is in brackets left out."""
    while (shorter := re.sub(r"\{[^{}]*\}|\([^()]*\)", "", listed)) != listed:
        listed = shorter
    return [] if listed == "none" else [each.strip() for each in listed.split(",")]


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_script_says_what_it_takes_and_returns(name: str) -> None:
    assert SOURCES[name].startswith("-- ")
    assert names_in(header(name, "KEYS"))
    assert header(name, "ARGV")
    assert header(name, "Returns")
    assert name in RETURNS


async def test_every_script_takes_and_returns_what_it_says(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(monkeypatch) as calls:
        await live_through_it(house)

    assert {each.script.name for each in calls} == set(SOURCES)
    for call in calls:
        name = call.script.name
        assert len(call.script.keys) == len(names_in(header(name, "KEYS"))), name
        arguments = names_in(header(name, "ARGV"))
        if "…" in arguments:
            assert len(call.script.args) >= arguments.index("…") - 1, name
        else:
            assert len(call.script.args) == len(arguments), name
        assert any(
            isinstance(call.answer, allowed) if isinstance(allowed, type) else call.answer == allowed
            for allowed in RETURNS[name]
        ), name


async def test_every_script_touches_one_hash_tag_or_one_key(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(monkeypatch) as calls:
        await live_through_it(house)

    for call in calls:
        # A cluster places a key by what is in its braces, and one without braces by its whole name.
        places = {key.partition("{")[2].partition("}")[0] or key for key in call.script.keys}
        assert len(places) == 1, call.script.name


async def test_every_script_sent_twice_changes_nothing_the_second_time(
    house: House, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(redis.Redis.from_url(redis_url)) as client:

        def send_again(script: Script) -> None:
            before = contents(redis_url)
            client.eval(house.resources.record._sources[script.name], len(script.keys), *script.keys, *script.args)
            assert contents(redis_url) == before, script.name

        with watched(monkeypatch, then=send_again) as calls:
            await live_through_it(house)

    assert {each.script.name for each in calls} == set(SOURCES)
