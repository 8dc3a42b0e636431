"""People in the record: who an identifier names, what a revocation covers of them, and what is forgotten after it."""

from collections.abc import Sequence

import pytest

from service.domain.delivery_plan import Target
from service.domain.revocation import Everything, OneSession
from service.domain.session import Participant
from service.domain.subject import SubjectIdentifier, iss_sub, parse_identifier, parse_subject
from service.errors import CannotBeEnded
from service.store import people, person_keys
from service.store.covered import EndedSession, Snapshot, Told
from service.store.people import participation_keys
from tests.support.house import CONNECTION, DAY_S, HOUR_S, UPSTREAM, House, user_id

ADA, BOB = user_id("ada"), user_id("bob")
OTHER = "con_other"


def email(address: str) -> SubjectIdentifier:
    return parse_identifier({"format": "email", "email": address})


def opaque(name: str) -> SubjectIdentifier:
    return SubjectIdentifier("opaque", (name,))


async def resolve(house: House, *identifiers: SubjectIdentifier, connection_id: str = CONNECTION) -> Sequence[str]:
    return await house.resources.people.resolve(connection_id, identifiers)


async def cut(house: House, revocation_id: str = "rev_1", name: str = "ada") -> None:
    now_ms = house.clock.now_ms()
    await house.resources.people.cut_off([user_id(name)], revocation_id, now_ms=now_ms, accepted_at_ms=now_ms)


async def end(house: House, session_id: str, revocation_id: str) -> None:
    now_ms = house.clock.now_ms()
    await house.resources.people.end_session(ADA, session_id, revocation_id, now_ms=now_ms, accepted_at_ms=now_ms)


async def snapshot(house: House, revocation_id: str = "rev_1", *, session_id: str | None = None) -> Snapshot:
    found = await house.resources.covered.snapshot(
        [ADA],
        revocation_id,
        now_ms=house.clock.now_ms(),
        scope=OneSession(session_id=session_id) if session_id else Everything(),
    )
    return found[ADA]


async def forget(house: House, revocation_id: str, sessions: Sequence[EndedSession]) -> None:
    await house.resources.covered.forget(ADA, revocation_id, sessions, ended_at_ms=house.clock.now_ms())


async def tell(
    house: House, *, sid: str | None = None, session_id: str | None = None, client_id: str = "crm", sub: str = "crm|ada"
) -> None:
    await house.resources.covered.forget_participation(
        [
            Told(
                user_id=ADA,
                revocation_id="rev_1",
                client_id=client_id,
                sub=sub,
                sid=sid,
                session_id=session_id,
            )
        ],
        now_ms=house.clock.now_ms(),
    )


def sids(found: Snapshot) -> set[str]:
    return {target.sid for target in found.targets}


# Who an identifier names


async def test_a_person_is_found_by_every_name_given_at_a_sign_in(house: House) -> None:
    await house.sign_in("ada", identifiers=[email("Ada@Example.com"), opaque("00u-ada")])
    await house.sign_in("ada", identifiers=[parse_identifier({"format": "phone_number", "phone_number": "+4912345"})])
    for each in (
        iss_sub(UPSTREAM, "ada"),
        email("ada@EXAMPLE.com"),
        opaque("00u-ada"),
        opaque(ADA),
        parse_identifier({"format": "phone_number", "phone_number": "+4912345"}),
    ):
        assert await resolve(house, each) == (ADA,)


async def test_a_person_is_shown_with_all_their_names(house: House) -> None:
    await house.sign_in("ada", identifiers=[email("ada@example.com")])
    house.clock.advance(60)
    await house.sign_in("ada", identifiers=[opaque("00u-ada")])

    person = await house.resources.people.get(ADA)

    assert person is not None
    assert (person.user_id, person.connection_id, person.iss, person.sub) == (ADA, CONNECTION, UPSTREAM, "ada")
    assert (person.created_at_ms, person.revoked_at_ms) == (house.clock.now_ms() - 60_000, None)
    assert sorted(each["format"] for each in person.identifiers) == ["email", "iss_sub", "opaque"]


async def test_nobody_is_found_by_a_name_nobody_has(house: House) -> None:
    await house.sign_in("ada", identifiers=[email("ada@example.com")])
    for each in (iss_sub(UPSTREAM, "bob"), iss_sub(f"{UPSTREAM}/", "ada"), email("bob@example.com"), opaque("ada")):
        assert await resolve(house, each) == ()
    assert await house.resources.people.get("usr_unknown") is None


async def test_resolution_never_leaves_the_connection(house: House) -> None:
    names = [email("ada@example.com"), opaque("00u-ada")]
    await house.sign_in("ada", identifiers=names)
    elsewhere = user_id("ada", OTHER)
    await house.sign_in("ada", identifiers=names, connection_id=OTHER)

    for each in (*names, iss_sub(UPSTREAM, "ada")):
        assert await resolve(house, each) == (ADA,)
        assert await resolve(house, each, connection_id=OTHER) == (elsewhere,)
        assert await resolve(house, each, connection_id="con_third") == ()


async def test_a_user_id_names_nobody_through_another_connection(house: House) -> None:
    await house.sign_in("ada")
    assert await resolve(house, opaque(ADA)) == (ADA,)
    assert await resolve(house, opaque(ADA), connection_id=OTHER) == ()


async def test_everybody_behind_one_address_is_meant(house: House) -> None:
    for name in ("ada", "bob"):
        await house.sign_in(name, identifiers=[email("team@example.com")])
    assert await resolve(house, email("team@example.com")) == tuple(sorted([ADA, BOB]))


async def test_an_external_id_that_looks_like_a_user_id_means_both(house: House) -> None:
    await house.sign_in("ada")
    await house.sign_in("bob", identifiers=[opaque(ADA)])
    assert await resolve(house, opaque(ADA)) == tuple(sorted([ADA, BOB]))


async def test_aliases_mean_whoever_any_of_them_names_each_once(house: House) -> None:
    await house.sign_in("ada", identifiers=[email("ada@example.com")])
    await house.sign_in("bob", identifiers=[opaque("00u-bob")])
    aliases = parse_subject(
        {
            "format": "aliases",
            "identifiers": [
                {"format": "email", "email": "ada@example.com"},
                {"format": "iss_sub", "iss": UPSTREAM, "sub": "ada"},
                {"format": "opaque", "id": "00u-bob"},
                {"format": "opaque", "id": "nobody"},
            ],
        }
    )
    assert await resolve(house, *aliases) == tuple(sorted([ADA, BOB]))


async def test_an_identifier_of_too_many_people_is_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MAX_PEOPLE", 2)
    for name in ("ada", "bob"):
        await house.sign_in(name, identifiers=[email("team@example.com")])
    assert len(await resolve(house, email("team@example.com"))) == 2
    await house.sign_in("cy", identifiers=[email("team@example.com")])

    with pytest.raises(CannotBeEnded, match="more than 2 people"):
        await resolve(house, email("team@example.com"))


async def test_who_is_about_to_sign_in_can_be_signed_out_already(house: House) -> None:
    await house.resources.people.register(ADA, CONNECTION, [iss_sub(UPSTREAM, "ada")])
    assert await resolve(house, iss_sub(UPSTREAM, "ada")) == (ADA,)


async def test_no_name_of_an_identifiers_key_tells_the_identifier(house: House) -> None:
    await house.sign_in("ada", identifiers=[email("ada@example.com")])
    assert not [name for name in await house.resources.record.run("KEYS", "*") if "example.com" in name]


# What a revocation covers


async def test_before_the_cut_off_there_is_no_snapshot(house: House) -> None:
    await house.sign_in("ada", "crm")
    found = await house.resources.covered.snapshot([ADA], "rev_1", now_ms=house.clock.now_ms(), scope=Everything())
    assert found == {}


async def test_a_snapshot_holds_sessions_tokens_and_whom_to_tell(house: House) -> None:
    session = await house.sign_in("ada", "crm", "mail")
    for _ in range(2):
        await house.issue(session, "crm")
    await cut(house)

    found = await snapshot(house)

    (ended,) = found.sessions
    assert (ended.session_id, ended.active, ended.live_tokens, len(ended.token_hashes)) == (session, True, 2, 2)
    assert set(found.targets) == {
        Target(client_id="crm", sub="crm|ada", sid=f"crm|{session}"),
        Target(client_id="mail", sub="mail|ada", sid=f"mail|{session}"),
    }


async def test_a_snapshot_of_nothing_is_empty(house: House) -> None:
    await cut(house)
    assert await snapshot(house) == Snapshot(sessions=(), targets=())


async def test_what_began_after_the_cut_off_is_not_in_it(house: House) -> None:
    before = await house.sign_in("ada", "crm")
    await cut(house)
    await house.sign_in("ada", "crm", "mail")

    found = await snapshot(house)

    assert [each.session_id for each in found.sessions] == [before]
    assert sids(found) == {f"crm|{before}"}


async def test_expired_sessions_and_tokens_are_not_counted_as_ended(house: House) -> None:
    expired = await house.sign_in("ada", "crm", lasts_s=10)
    await house.issue(expired, "crm", lasts_s=HOUR_S)
    await house.issue(expired, "crm", lasts_s=HOUR_S, offline=True)
    live = await house.sign_in("ada", "crm")
    await house.issue(live, "crm", lasts_s=10)
    await house.issue(live, "crm")
    house.clock.advance(10)
    await cut(house)

    found = {each.session_id: each for each in (await snapshot(house)).sessions}

    assert (found[expired].active, found[expired].live_tokens) == (False, 1)  # the offline one
    assert (found[live].active, found[live].live_tokens) == (True, 1)
    assert len(found[expired].token_hashes) == len(found[live].token_hashes) == 2


async def test_who_took_part_is_told_for_days_after_the_session_has_expired(house: House) -> None:
    session = await house.sign_in("ada", "crm", lasts_s=HOUR_S)
    house.clock.advance(HOUR_S + house.resources.settings.participation_days * DAY_S - 0.001)
    await cut(house, "rev_1")
    assert sids(await snapshot(house, "rev_1")) == {f"crm|{session}"}

    house.clock.advance(0.001)
    await cut(house, "rev_2")

    assert (await snapshot(house, "rev_2")).targets == ()


async def test_two_revocations_at_once_count_each_session_once(house: House) -> None:
    first = await house.sign_in("ada", "crm")
    await cut(house, "rev_1")
    second = await house.sign_in("ada", "crm")
    await cut(house, "rev_2")
    await cut(house, "rev_3")

    counted = {
        name: [each.session_id for each in (await snapshot(house, name)).sessions]
        for name in ("rev_1", "rev_2", "rev_3")
    }

    assert counted == {"rev_1": [first], "rev_2": [second], "rev_3": []}


async def test_revocations_that_cut_through_the_same_stamp_count_a_session_once(house: House) -> None:
    session = await house.sign_in("ada")
    house.clock.advance(-600)  # the stamp is ahead: both cut through it, and through nothing else
    await cut(house, "rev_1")
    await cut(house, "rev_2")

    counted = [each.session_id for name in ("rev_1", "rev_2") for each in (await snapshot(house, name)).sessions]

    assert counted == [session]


async def test_whoever_may_hold_a_session_is_told_by_each_revocation(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    await cut(house, "rev_1")
    await cut(house, "rev_2")
    for name in ("rev_1", "rev_2"):
        assert sids(await snapshot(house, name)) == {f"crm|{session}"}


async def test_a_session_that_was_deleted_is_counted_by_its_deletion(house: House) -> None:
    deleted, other = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    await house.issue(deleted, "crm")
    await end(house, deleted, "rev_1")
    await cut(house, "rev_2")

    one = await snapshot(house, "rev_1", session_id=deleted)
    whole = await snapshot(house, "rev_2")

    assert [(each.session_id, each.active, each.live_tokens) for each in one.sessions] == [(deleted, True, 1)]
    assert [each.session_id for each in whole.sessions] == [other]


async def test_a_deleted_sessions_snapshot_holds_only_its_own_applications(house: House) -> None:
    deleted = await house.sign_in("ada", "crm")
    await house.sign_in("ada", "crm", "mail")
    await end(house, deleted, "rev_1")

    assert sids(await snapshot(house, "rev_1", session_id=deleted)) == {f"crm|{deleted}"}


async def test_several_people_are_read_at_once(house: House) -> None:
    ada, bob = await house.sign_in("ada", "crm"), await house.sign_in("bob", "crm")
    for name in ("ada", "bob"):
        await cut(house, "rev_1", name)

    found = await house.resources.covered.snapshot(
        [ADA, user_id("cy"), BOB], "rev_1", now_ms=house.clock.now_ms(), scope=Everything()
    )

    assert {name: [each.session_id for each in one.sessions] for name, one in found.items()} == {ADA: [ada], BOB: [bob]}


# What is forgotten after it


async def test_tokens_and_the_ways_to_them_go_and_the_session_stays_as_ended(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    for _ in range(3):
        await house.issue(session, "crm")
    await cut(house)
    revoked_at_ms = house.clock.now_ms()

    await forget(house, "rev_1", (await snapshot(house)).sessions)

    names = await house.resources.record.run("KEYS", "*")
    assert not [name for name in names if ":token" in name]
    assert (await house.session(session)).ended_at_ms == revoked_at_ms
    assert await house.resources.sessions.of_person(ADA, after=None, limit=10) == ((), None)


async def test_forgetting_again_or_nothing_changes_nothing(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    await house.issue(session, "crm")
    await cut(house)
    sessions = (await snapshot(house)).sessions
    await forget(house, "rev_1", sessions)
    house.clock.advance(60)
    before = await house.session(session)

    await forget(house, "rev_1", sessions)
    await forget(house, "rev_2", sessions)
    await forget(house, "rev_2", ())

    assert await house.session(session) == before


async def test_what_others_hold_and_what_is_newer_is_not_forgotten(house: House) -> None:
    await house.issue(await house.sign_in("ada", "crm"), "crm")
    await cut(house)
    newer = await house.issue(await house.sign_in("ada", "crm"), "crm")
    others = await house.issue(await house.sign_in("bob", "crm"), "crm")

    await forget(house, "rev_1", (await snapshot(house)).sessions)

    assert await house.token_honoured(newer)
    assert await house.token_honoured(others)


async def test_a_snapshot_after_forgetting_still_tells_whom_to_tell(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    await cut(house)
    await forget(house, "rev_1", (await snapshot(house)).sessions)
    assert sids(await snapshot(house)) == {f"crm|{session}"}


async def test_an_application_that_has_been_told_is_dropped_and_others_are_not(house: House) -> None:
    session = await house.sign_in("ada", "crm", "mail")
    await cut(house)
    await tell(house)
    assert sids(await snapshot(house)) == {f"mail|{session}"}


async def test_one_that_was_told_of_one_sid_keeps_its_others(house: House) -> None:
    first, second = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    await cut(house)
    await tell(house, sid=f"crm|{first}")
    assert sids(await snapshot(house)) == {f"crm|{second}"}


async def test_one_that_knows_the_person_by_two_names_is_dropped_by_the_one_it_was_told(house: House) -> None:
    other_name = Participant(client_id="crm", sub="ada-2", sid="s-2")
    await house.sign_in("ada", "crm")
    await house.sign_in("ada", other_name)
    await cut(house)
    await tell(house)
    assert (await snapshot(house)).targets == (Target(client_id="crm", sub="ada-2", sid="s-2"),)


async def test_one_that_takes_part_in_a_newer_sign_in_is_kept(house: House) -> None:
    await house.sign_in("ada", "crm")
    await cut(house, "rev_1")
    newer = await house.sign_in("ada", "crm")

    await tell(house)

    await cut(house, "rev_2")
    assert sids(await snapshot(house, "rev_2")) == {f"crm|{newer}"}


async def test_one_that_uses_its_sid_again_in_a_newer_sign_in_is_kept(house: House) -> None:
    same = Participant(client_id="crm", sub="crm|ada", sid="the-one-sid")
    await house.sign_in("ada", same)
    await cut(house, "rev_1")
    await house.sign_in("ada", same)

    await tell(house, sid="the-one-sid")

    await cut(house, "rev_2")
    assert sids(await snapshot(house, "rev_2")) == {"the-one-sid"}


async def test_one_that_was_told_of_one_session_is_dropped_without_any_cut_off(house: House) -> None:
    deleted, other = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    await end(house, deleted, "rev_1")

    await tell(house, sid=f"crm|{deleted}", session_id=deleted)

    await cut(house, "rev_2")
    assert sids(await snapshot(house, "rev_2")) == {f"crm|{other}"}


async def test_one_that_knows_a_newer_session_by_the_same_sid_is_told_of_that_too(house: House) -> None:
    same = Participant(client_id="crm", sub="crm|ada", sid="the-one-sid")
    deleted, _newer = await house.sign_in("ada", same), await house.sign_in("ada", same)
    await end(house, deleted, "rev_1")
    assert sids(await snapshot(house, "rev_1", session_id=deleted)) == {"the-one-sid"}

    await tell(house, sid="the-one-sid", session_id=deleted)

    await cut(house, "rev_2")
    assert sids(await snapshot(house, "rev_2")) == {"the-one-sid"}


async def test_one_that_knows_a_newer_session_by_the_same_sid_is_still_told_of_the_older(house: House) -> None:
    same = Participant(client_id="crm", sub="crm|ada", sid="the-one-sid")
    await house.sign_in("ada", same)
    await cut(house, "rev_1")
    await house.sign_in("ada", same)

    assert sids(await snapshot(house, "rev_1")) == {"the-one-sid"}


async def test_telling_of_an_unknown_revocation_drops_nothing(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    await tell(house)
    await house.resources.covered.forget_participation([], now_ms=house.clock.now_ms())
    await cut(house)
    assert sids(await snapshot(house)) == {f"crm|{session}"}


async def test_the_number_of_dropped_entries_is_told(house: House) -> None:
    for _ in range(2):
        await house.sign_in("ada", "crm")
    await cut(house)
    keys = [person_keys.cutoffs(ADA), person_keys.logout_cutoffs(ADA), *participation_keys(ADA)]
    arguments = ["rev_1", "", '[["crm", "crm|ada", ""]]', "", house.clock.now_ms()]
    assert await house.resources.record.script("forget_participation", keys, arguments) == 2
    assert await house.resources.record.script("forget_participation", keys, arguments) == 0


async def test_more_people_sessions_and_tokens_than_fit_one_round_trip_are_all_seen_to(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "CHUNK", 2)
    names = ("ada", "bob", "cy", "dan", "eve")
    sessions = {name: [await house.sign_in(name, "crm") for _ in range(3)] for name in names}
    tokens = [await house.issue(each, "crm") for owned in sessions.values() for each in owned]
    users, now_ms = [user_id(name) for name in names], house.clock.now_ms()

    await house.resources.people.cut_off(users, "rev_1", now_ms=now_ms, accepted_at_ms=now_ms)
    found = await house.resources.covered.snapshot(users, "rev_1", now_ms=now_ms, scope=Everything())
    for user, each in found.items():
        await house.resources.covered.forget(user, "rev_1", each.sessions, ended_at_ms=now_ms)

    assert not any([await house.token_honoured(each) for each in tokens])
    assert {user: {each.session_id for each in one.sessions} for user, one in found.items()} == {
        user_id(name): set(owned) for name, owned in sessions.items()
    }
    assert not [name for name in await house.resources.record.run("KEYS", "*") if "token" in name]
