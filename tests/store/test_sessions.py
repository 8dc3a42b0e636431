"""Sign-ins in the record: opened, joined, read, ended, expired, and how long anything of them is kept."""

import asyncio
import json
import re

import pytest

from service.domain.session import Participant
from service.errors import Conflict, NotFound, ReauthenticationRequired
from service.store import keyspace, person_keys
from service.store.pages import Mark
from service.store.sessions import DAY_MS, RETENTION_MS
from tests.support.house import CONNECTION, DAY_S, HOUR_S, House, user_id

ADA = user_id("ada")

TTL_SLACK_MS = 10_000
"""How far a time to live may be off: the house's clock stands at a whole second while Redis's own goes on."""


async def end(house: House, session_id: str, revocation_id: str = "rev_1", *, name: str = "ada") -> None:
    now_ms = house.clock.now_ms()
    await house.resources.people.end_session(
        user_id(name), session_id, revocation_id, now_ms=now_ms, accepted_at_ms=now_ms
    )


async def cut(house: House, revocation_id: str = "rev_1") -> None:
    now_ms = house.clock.now_ms()
    await house.resources.people.cut_off([ADA], revocation_id, now_ms=now_ms, accepted_at_ms=now_ms)


async def lives_until(house: House, key: str, at_ms: int) -> bool:
    """Whether Redis will forget this key at that time and not otherwise."""
    left_ms = await house.resources.record.run("PTTL", key)
    return abs(house.clock.now_ms() + left_ms - at_ms) < TTL_SLACK_MS


async def test_a_session_reads_back_as_it_was_signed_in(house: House) -> None:
    crm = Participant(client_id="crm", sub="u-17", sid="s-17")
    mail = Participant(client_id="mail", sub="ada@example.com", sid="m:1")
    session_id = await house.sign_in("ada", mail, crm, auth_time_s=house.clock.now_s)

    session = await house.session(session_id)

    assert (session.session_id, session.user_id, session.connection_id) == (session_id, ADA, CONNECTION)
    assert session.created_at_ms == house.clock.now_ms()
    assert session.expires_at_ms == house.clock.now_ms() + HOUR_S * 1000
    assert (session.ended_at_ms, session.upstream_sid, session.auth_time_s) == (None, None, house.clock.now_s)
    assert session.participants == (crm, mail)


async def test_a_session_nobody_opened_is_none(house: House) -> None:
    assert await house.resources.sessions.get("ses_unknown") is None


async def test_it_is_honoured_until_the_last_millisecond_before_it_expires(house: House) -> None:
    session = await house.sign_in(lasts_s=10)
    house.clock.advance(9.999)
    assert await house.session_honoured(session)
    house.clock.advance(0.001)
    assert not await house.session_honoured(session)


async def test_the_same_sign_in_again_after_a_lost_reply_is_one_session(house: House) -> None:
    session = await house.sign_in("ada", "crm", session_id="ses_1")
    before = await house.session(session)
    house.clock.advance(60)

    assert await house.sign_in("ada", "mail", session_id="ses_1") == session

    assert await house.session(session) == before


async def test_the_same_sign_in_again_does_not_revive_what_has_ended(house: House) -> None:
    session = await house.sign_in(session_id="ses_1")
    await cut(house)
    await house.sign_in(session_id="ses_1")
    assert not await house.session_honoured(session)


@pytest.mark.parametrize(("offset_ms", "admitted"), [(-1000, False), (0, False), (1000, True)])
async def test_whoever_authenticated_no_later_than_the_last_revocation_must_do_so_again(
    house: House, offset_ms: int, admitted: bool
) -> None:
    await house.sign_in()
    await cut(house)
    auth_time_s = (house.clock.now_ms() + offset_ms) // 1000
    house.clock.advance(5)

    if admitted:
        assert await house.session_honoured(await house.sign_in(auth_time_s=auth_time_s))
    else:
        with pytest.raises(ReauthenticationRequired):
            await house.sign_in(auth_time_s=auth_time_s)


async def test_auth_time_has_whole_seconds_so_the_second_of_the_revocation_is_too_early(house: House) -> None:
    house.clock.advance(0.4)
    await cut(house)
    house.clock.advance(0.5)
    with pytest.raises(ReauthenticationRequired):
        await house.sign_in(auth_time_s=house.clock.now_s)


async def test_before_the_first_revocation_any_auth_time_will_do(house: House) -> None:
    assert await house.session_honoured(await house.sign_in(auth_time_s=0))


async def test_a_sign_in_without_auth_time_is_taken_for_new(house: House) -> None:
    await cut(house)
    assert await house.session_honoured(await house.sign_in())


async def test_the_revocation_of_one_session_asks_nobody_to_authenticate_again(house: House) -> None:
    await end(house, await house.sign_in())
    assert await house.session_honoured(await house.sign_in(auth_time_s=house.clock.now_s - 60))


@pytest.mark.parametrize(("offset_ms", "refused"), [(-1000, True), (0, True), (1000, False)])
async def test_whether_a_sign_in_would_be_refused_can_be_asked_before_anything_is_registered(
    house: House, offset_ms: int, refused: bool
) -> None:
    ask = house.resources.sessions.require_later_sign_in
    auth_time_s = (house.clock.now_ms() + offset_ms) // 1000
    await ask(ADA, auth_time_s)  # nobody has been revoked
    await cut(house)
    await ask(ADA, None)
    if refused:
        with pytest.raises(ReauthenticationRequired):
            await ask(ADA, auth_time_s)
    else:
        await ask(ADA, auth_time_s)


async def test_a_refused_sign_in_leaves_nothing_behind(house: House) -> None:
    await cut(house)
    before = await house.resources.record.run("HGETALL", person_keys.person(ADA))

    with pytest.raises(ReauthenticationRequired):
        await house.sign_in("ada", "crm", auth_time_s=house.clock.now_s, session_id="ses_1")

    assert await house.resources.sessions.get("ses_1") is None
    assert await house.resources.record.run("EXISTS", keyspace.session_owner("ses_1")) == 0
    assert await house.resources.sessions.of_person(ADA, after=None, limit=10) == ((), None)
    assert await house.resources.record.run("EXISTS", person_keys.participation(ADA)) == 0
    assert await house.resources.record.run("HGETALL", person_keys.person(ADA)) == before


async def test_sign_ins_at_the_same_time_have_a_stamp_each(house: House) -> None:
    sessions = await asyncio.gather(*(house.sign_in() for _ in range(20)))

    stamps = {await house.resources.record.run("HGET", person_keys.session(ADA, each), "stamp") for each in sessions}

    assert len(stamps) == 20


async def test_an_application_joins_and_joining_again_by_the_same_names_changes_nothing(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    await house.join(session, "mail", sub="u-1", sid="s-1")
    joined = await house.session(session)

    await house.join(session, "mail", sub="u-1", sid="s-1")

    assert await house.session(session) == joined
    assert joined.participants[1] == Participant(client_id="mail", sub="u-1", sid="s-1")
    assert len(joined.participants) == 2


@pytest.mark.parametrize(("sub", "sid"), [("u-1", "s-2"), ("u-2", "s-1")])
async def test_it_cannot_join_again_under_other_names(house: House, sub: str, sid: str) -> None:
    session = await house.sign_in("ada", "crm")
    await house.join(session, "mail", sub="u-1", sid="s-1")
    before = await house.session(session)

    with pytest.raises(Conflict):
        await house.join(session, "mail", sub=sub, sid=sid)

    assert await house.session(session) == before


async def test_nobody_joins_a_session_that_was_revoked_ended_or_has_expired(house: House) -> None:
    ended, expired, revoked = [await house.sign_in("bob", "crm") for _ in range(2)] + [await house.sign_in("ada")]
    await end(house, ended, name="bob")
    await cut(house)
    with pytest.raises(NotFound):
        await house.join(ended, "mail")
    with pytest.raises(NotFound):
        await house.join(revoked, "mail")
    house.clock.advance(HOUR_S)
    with pytest.raises(NotFound):
        await house.join(expired, "mail")


async def test_one_session_ends_and_the_persons_others_go_on(house: House) -> None:
    ended, other = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    tokens = [await house.issue(ended, "crm"), await house.issue(ended, "crm", offline=True)]
    other_token = await house.issue(other, "crm")

    await end(house, ended)

    assert not await house.session_honoured(ended)
    assert [await house.token_honoured(each) for each in tokens] == [False, False]
    assert await house.session_honoured(other)
    assert await house.token_honoured(other_token)


async def test_a_session_ends_once_and_the_first_moment_stays(house: House) -> None:
    session = await house.sign_in()
    await end(house, session, "rev_1")
    first_ms = house.clock.now_ms()
    house.clock.advance(60)

    await end(house, session, "rev_2")

    assert (await house.session(session)).ended_at_ms == first_ms
    assert await house.resources.record.run("HGET", person_keys.session(ADA, session), "ended_by") == "rev_1"


async def test_ending_a_session_that_is_forgotten_makes_none(house: House) -> None:
    await end(house, "ses_unknown")
    assert await house.resources.record.run("EXISTS", person_keys.session(ADA, "ses_unknown")) == 0


async def test_the_last_revocations_receipts_are_listed_with_the_person(house: House) -> None:
    session = await house.sign_in()
    await end(house, session, "rev_old")
    house.clock.advance(house.resources.settings.receipt_days * DAY_S + 1)

    await end(house, session, "rev_new")

    assert await house.resources.record.run("ZRANGE", person_keys.revocations(ADA), 0, -1) == ["rev_new"]


async def test_a_session_cut_off_reads_as_ended_from_that_moment_before_anything_is_tidied(house: House) -> None:
    session = await house.sign_in()
    house.clock.advance(5)
    await cut(house)
    revoked_at_ms = house.clock.now_ms()
    house.clock.advance(5)

    assert (await house.session(session)).ended_at_ms == revoked_at_ms
    listed, _ = await house.resources.sessions.of_person(ADA, after=None, limit=10)
    assert [each.ended_at_ms for each in listed] == [revoked_at_ms]


async def test_a_session_that_had_expired_when_it_was_cut_off_stays_dead_when_the_clock_is_set_back(
    house: House,
) -> None:
    session = await house.sign_in(lasts_s=60)
    house.clock.advance(60)
    await house.sign_in()  # its stamp, and with it the cut-off, will be ahead of the clock
    house.clock.advance(-30)
    await cut(house)
    assert not await house.session_honoured(session)
    assert (await house.session(session)).ended_at_ms == house.clock.now_ms() + 30_000  # when it would have expired


async def test_an_expired_session_has_not_ended(house: House) -> None:
    session = await house.sign_in()
    house.clock.advance(HOUR_S)
    assert (await house.session(session)).ended_at_ms is None


async def test_a_persons_sessions_come_in_pages_by_how_long_they_last(house: House) -> None:
    ids = [await house.sign_in(lasts_s=seconds) for seconds in (30, 10, 20)]
    await house.sign_in("bob")

    async def page(after: Mark | None, limit: int) -> tuple[list[str], Mark | None]:
        found, following = await house.resources.sessions.of_person(ADA, after=after, limit=limit)
        return [each.session_id for each in found], following

    assert await page(None, 10) == ([ids[0], ids[2], ids[1]], None)
    first, following = await page(None, 2)
    assert first == [ids[0], ids[2]]
    assert await page(following, 2) == ([ids[1]], None)


async def test_the_list_of_sessions_is_pruned_at_the_next_sign_in(house: House) -> None:
    await house.sign_in(lasts_s=10)
    house.clock.advance(10 + RETENTION_MS / 1000)
    kept = await house.sign_in()
    house.clock.advance(0.001)
    newest = await house.sign_in()

    listed = await house.resources.record.run("ZRANGE", person_keys.sessions(ADA), 0, -1)

    assert set(listed) == {kept, newest}


async def test_redis_forgets_a_session_a_day_after_its_expiry(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    until_ms = house.clock.now_ms() + HOUR_S * 1000 + RETENTION_MS
    for key in (
        person_keys.session(ADA, session),
        person_keys.session_clients(ADA, session),
        keyspace.session_owner(session),
    ):
        assert await lives_until(house, key, until_ms)


async def test_an_application_that_joins_an_empty_session_is_kept_as_long(house: House) -> None:
    session = await house.sign_in("ada")
    await house.join(session, "crm")
    until_ms = house.clock.now_ms() + HOUR_S * 1000 + RETENTION_MS
    assert await lives_until(house, person_keys.session_clients(ADA, session), until_ms)


async def test_who_took_part_is_remembered_as_long_as_the_longest_session_asks(house: House) -> None:
    days_ms = house.resources.settings.participation_days * DAY_MS
    now_ms = house.clock.now_ms()
    key = person_keys.participation(ADA)
    await house.sign_in("ada", "crm", lasts_s=10 * HOUR_S)
    assert await lives_until(house, key, now_ms + 10 * HOUR_S * 1000 + days_ms)

    await house.sign_in("ada", "crm", lasts_s=HOUR_S)
    assert await lives_until(house, key, now_ms + 10 * HOUR_S * 1000 + days_ms)

    await house.join(await house.sign_in("ada", lasts_s=20 * HOUR_S), "crm")
    assert await lives_until(house, key, now_ms + 20 * HOUR_S * 1000 + days_ms)


async def test_what_is_remembered_is_written_in_whole_numbers(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    await house.join(session, "mail")

    entries = (await house.resources.record.run("HGETALL", person_keys.participation(ADA))).values()

    assert len(entries) == 2
    for raw in entries:
        assert re.search(r'"stamp":\d{13}[,}]', raw)
        assert re.search(r'"until_ms":\d{13}[,}]', raw)
    fields = await house.resources.record.run("HGETALL", person_keys.session(ADA, session))
    for name in ("stamp", "expires_at_ms", "keep_until_ms", "created_at_ms"):
        assert re.fullmatch(r"\d{13}", fields[name])


async def test_a_daily_sign_in_does_not_add_up_for_ever(house: House) -> None:
    for _ in range(200):
        await house.sign_in("ada", "crm")
        house.clock.advance(DAY_S)

    entries = await house.resources.record.run("HGETALL", person_keys.participation(ADA))

    days = house.resources.settings.participation_days
    wanted = [each for each in entries.values() if json.loads(each)["until_ms"] > house.clock.now_ms()]
    assert (len(wanted), len(entries)) == (days, days + 1)
    assert await house.resources.record.run("ZCARD", person_keys.participation_until(ADA)) == len(entries)


async def test_an_application_that_signs_in_without_end_pushes_out_its_own_and_no_others(house: House) -> None:
    others = await house.sign_in("ada", "crm")
    for number in range(0, 1100, 100):
        names = [Participant(client_id="bot", sub="b", sid=f"{number + n:04}") for n in range(100)]
        await house.sign_in("ada", *names)
        house.clock.advance(1)

    entries = await house.resources.record.run("HKEYS", person_keys.participation(ADA))

    assert len(entries) == 1001
    held = {tuple(json.loads(each)[:2]) for each in entries}
    assert ("crm", f"crm|{others}") in held
    assert {sid for client_id, sid in held if client_id == "bot"} == {f"{n:04}" for n in range(100, 1100)}
