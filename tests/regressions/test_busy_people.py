"""Thousands of sign-ins of one person, thousands of people behind one name: neither is a reason to leave anybody out."""

import asyncio
import re
from hashlib import sha1
from importlib.resources import files
from itertools import pairwise

import pytest

from service.domain.identifiers import new_session_id
from service.domain.session import Participant, SignIn
from service.domain.subject import SubjectIdentifier, iss_sub
from service.store import person_keys
from tests.support.asgi import Api
from tests.support.house import CONNECTION, DAY_S, HOUR_S, UPSTREAM, House, user_id
from tests.support.identity_provider import IdentityProvider
from tests.support.strangers import Request, answer, stranger
from tests.support.waiting import PATIENCE_S

SIGN_INS = 3000
"""More than any bound of the record and any chunk it is read in."""

PEOPLE = 1200
"""More than were ever signed out by one name before."""

TOGETHER = 50
"""Sign-ins under way at once: fewer than the pool has connections."""

COUNTED = """
local steps, real_redis, real_json = 0, redis, cjson
local redis = setmetatable({{call = function(...)
  local reply = real_redis.call(...)
  steps = steps + 1 + (type(reply) == 'table' and #reply or 0)
  return reply
end}}, {{__index = real_redis}})
local cjson = setmetatable({{decode = function(text)
  steps = steps + 1
  return real_json.decode(text)
end}}, {{__index = real_json}})
local function script()
{source}
end
local answer = script()
real_redis.call('INCRBY', '{counter}', steps)
return answer
"""
"""A script of the record that counts what grows with what it reads: commands, what they answer, and texts it decodes. Time
would tell how busy the machine is as well."""

COUNTER = "steps-of-the-sign-ins"

ADA = user_id("ada")
TEAM = SubjectIdentifier("opaque", ("team-7",))


def most_participation() -> int:
    """The bound that the scripts have for what is remembered of one person."""
    prelude = files("service.store").joinpath("lua", "prelude.lua").read_text("utf-8")
    found = re.search(r"^local MOST_PARTICIPATION = (\d+)$", prelude, re.MULTILINE)
    assert found
    return int(found[1])


async def sign_in_often(house: House, count: int) -> list[int]:
    """Ada, at one application, TOGETHER a second; how many steps those of each second took, where they are counted."""

    async def once() -> None:
        session_id = new_session_id()
        sign_in = SignIn(
            session_id=session_id,
            user_id=ADA,
            connection_id=CONNECTION,
            iss=UPSTREAM,
            sub="ada",
            identifiers=(iss_sub(UPSTREAM, "ada"),),
            upstream_sid=None,
            auth_time_s=None,
            expires_at_ms=house.clock.now_ms() + HOUR_S * 1000,
            participants=(Participant(client_id="crm", sub="crm|ada", sid=session_id),),
        )
        await house.resources.sessions.open(sign_in, now_ms=house.clock.now_ms())

    taken = [0]
    for _ in range(count // TOGETHER):
        await asyncio.gather(*(once() for _ in range(TOGETHER)))
        house.clock.advance(1)
        taken.append(int(await house.resources.record.run("GET", COUNTER) or 0))
    return [after - before for before, after in pairwise(taken)]


def count_steps(house: House, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    record = house.resources.record
    source = COUNTED.format(source=record._sources[name], counter=COUNTER)
    monkeypatch.setattr(record, "_sources", {**record._sources, name: source})
    monkeypatch.setattr(record, "_names", {**record._names, name: sha1(source.encode()).hexdigest()})


async def test_a_persons_sign_ins_do_not_cost_more_the_more_there_are(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_steps(house, monkeypatch, "open_session")
    await house.sign_in("ada", "wiki")
    steps = await sign_in_often(house, SIGN_INS)
    # Once the memory is full each goes through its names for one to take the place of, and reads no entries besides.
    assert 0 < steps[0] < max(steps) < steps[0] + TOGETHER * 1.2 * most_participation()
    assert max(steps[-10:]) - min(steps[-10:]) < TOGETHER


async def test_a_person_who_signed_in_thousands_of_times_is_signed_out_of_every_application(house: House) -> None:
    most, record = most_participation(), house.resources.record
    async with stranger(answer(200)) as crm, stranger(answer(200)) as wiki:
        await house.application("crm", crm.url())
        await house.application("wiki", wiki.url(), session_required=True)
        first = await house.sign_in("ada", "wiki")
        token = await house.issue(first, "wiki", offline=True)
        house.clock.advance(1)
        await sign_in_often(house, SIGN_INS)
        counts = await record.run("HGETALL", person_keys.participation_counts(ADA))
        remembered = sum(map(int, counts.values()))
        assert max(map(int, counts.values())) == most
        assert await record.run("HLEN", person_keys.participation(ADA)) == remembered
        assert await record.run("ZCARD", person_keys.participation_until(ADA)) == remembered

        rid = await house.revoke("ada")
        await house.work_off(rid)
        await house.worker.notifier.drain(PATIENCE_S)

    receipt = await house.receipt(rid)
    assert (receipt.state, receipt.sessions_ended, receipt.refresh_tokens_revoked) == ("completed", SIGN_INS + 1, 1)
    told = [(each.client_id, each.sub, each.sid, each.state) for each in await house.deliveries(rid)]
    assert told == [
        ("crm", "crm|ada", None, "delivered"),
        ("wiki", "wiki|ada", f"wiki|{first}", "delivered"),
    ]
    assert (len(crm.requests), len(wiki.requests)) == (1, 1)
    assert not await house.token_honoured(token)
    assert await house.resources.sessions.of_person(ADA, after=None, limit=10) == ((), None)
    assert await record.run("EXISTS", person_keys.participation(ADA), person_keys.participation_until(ADA)) == 0


@pytest.mark.parametrize("kept", [0, 1])
async def test_a_late_attempt_at_what_is_forgotten_for_want_of_room_is_dead_and_not_skipped(
    house: House, kept: int
) -> None:
    moods = [answer(503)]

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await moods[-1](request, writer)

    async with stranger(behave) as crm:
        await house.application("crm", crm.url())
        await house.sign_in("ada", Participant(client_id="crm", sub="crm|ada", sid="old"))
        for _ in range(kept):
            await house.sign_in("ada", Participant(client_id="crm", sub="crm|ada", sid="kept"), lasts_s=2 * DAY_S)
        rid = await house.revoke("ada")
        await house.work_off(rid)
        moods.append(answer(200))
        # Past the bound by as many as it takes for the first to go.
        await sign_in_often(house, most_participation() + TOGETHER)
        # What applications are told of, or leave, makes room again, and changes nothing of that.
        newest, _ = await house.resources.sessions.of_person(ADA, after=None, limit=TOGETHER)
        for each in newest[kept:]:
            await house.leave(each.session_id, "crm")
        await house.sweep()
        told = [each.claims.get("sid") for each in crm.requests]

    rows = {each.sid: (each.state, each.reason) for each in await house.deliveries(rid)}
    assert rows.pop(None) == ("dead", "newer_session")
    assert rows == ({"kept": ("delivered", None)} if kept else {})
    assert told == [None, *["kept"] * kept]
    assert (await house.receipt(rid)).state == "incomplete"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_name_of_more_than_a_thousand_people_signs_them_all_out(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp)
    sessions = {f"ses_{number}": user_id(str(number), connection["id"]) for number in range(PEOPLE)}
    now_ms = api.clock.now_ms()

    async def sign_in(session_id: str, user: str) -> None:
        await api.resources.people.register(user, connection["id"], [TEAM])
        await api.resources.sessions.open(
            SignIn(
                session_id=session_id,
                user_id=user,
                connection_id=connection["id"],
                iss=UPSTREAM,
                sub=session_id,
                identifiers=(TEAM,),
                upstream_sid=None,
                auth_time_s=None,
                expires_at_ms=now_ms + HOUR_S * 1000,
                participants=(),
            ),
            now_ms=now_ms,
        )

    async def honoured(session_id: str) -> bool:
        found = await api.resources.sessions.get(session_id)
        return found is not None and found.active(now_ms)

    waiting = list(sessions.items())
    while waiting:
        await asyncio.gather(*(sign_in(*each) for each in waiting[:TOGETHER]))
        del waiting[:TOGETHER]
    assert await honoured("ses_0")

    answered = await api.global_token_revocation(idp, {"sub_id": TEAM.to_json()})

    assert answered.status_code == 204, answered.text
    assert not any([await honoured(each) for each in sessions])
    (receipt,) = (await api.get("/api/v2/revocations")).json()["items"]
    assert set(receipt["user_ids"]) == set(sessions.values())
