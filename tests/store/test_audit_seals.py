"""The seals of the audit trail: whatever is done to what is sealed is seen, by which key, and what is dropped by age."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.domain.audit import Fact
from service.domain.seal import Stretch, fingerprint_of, make_seal, read_seal
from service.errors import Unavailable
from service.store import audit_verification, keyspace
from service.store.audit import Stored, Trail
from service.store.audit_seals import MOST_TRIES, Seals
from service.store.audit_verification import UNSEALED_MS, Expected, Verified
from service.store.pseudonyms import Pseudonyms
from service.telemetry import BoundedLines, Numbers
from tests.support.breaks import Moment, redis_away
from tests.support.heard import listening
from tests.support.house import House

OURS, THEIRS = "1" * 32, "2" * 32
"""Keys that operators give."""

DAY_MS = 86_400_000


async def tell(house: House, count: int = 1) -> None:
    facts = [Fact(event="operation.done", operation="update_client", resource=f"app-{each}") for each in range(count)]
    await house.resources.trail.append(facts)


async def whole(house: House) -> tuple[Stored, ...]:
    return await house.resources.trail.page(first="-", last="+", limit=10_000)


def worker(house: House, *, given_key: str = "", file: Path | None = None, days: int = 90) -> Seals:
    """What another process has to seal and verify with: it remembers nothing yet."""
    pseudonyms = Pseudonyms(house.resources.record, given=given_key, file=file)
    trail = Trail(house.resources.record, pseudonyms, Numbers(), lines=BoundedLines(house.clock))
    return Seals(house.resources.record, trail, keep_ms=days * DAY_MS)


def expected(found: Verified) -> Expected:
    """What somebody would have written down of it."""
    assert found.newest is not None
    return Expected(number=found.newest.number, seal=found.newest.seal)


class TestSeals:
    async def test_vouch_for_everything_before_them(self, house: House) -> None:
        seals = house.resources.seals
        assert not await seals.seal(), "there is nothing to seal"
        for _ in range(3):
            await tell(house, 5)
            assert await seals.seal()
            assert not await seals.seal(), "nor is there now"
        await tell(house, 2)
        found = await seals.verify()
        assert (found.seals, found.entries, found.unsealed, found.problem, found.next_seal) == (3, 17, 2, None, None)

    async def test_are_set_once_by_however_many_workers(self, house: House) -> None:
        await tell(house, 5)
        each = await asyncio.gather(*(house.resources.seals.seal() for _ in range(5)))
        assert sum(each) == 1

    async def test_are_set_among_writers_that_do_not_stop(self, house: House) -> None:
        async def write() -> None:
            for _ in range(40):
                await tell(house)

        await asyncio.gather(write(), write(), *(house.resources.seals.seal() for _ in range(4)))
        await house.resources.seals.seal()
        found = await house.resources.seals.verify()
        assert (found.problem, found.unsealed) == (None, 0)
        assert found.entries == 80 + found.seals - 1

    async def test_take_one_look_at_each_entry_however_often_others_come_between(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A trail that grows faster than it can be read again from the latest seal on is sealed all the same."""
        await tell(house, 50)
        page, seen, late = Trail.page, list[str](), list(range(5))

        async def busy(self: Trail, **asked: Any) -> tuple[Stored, ...]:
            found = await page(self, **asked)
            seen.extend(each.id for each in found)
            if not found and late:
                late.pop()
                await tell(house)
            return found

        monkeypatch.setattr(Trail, "page", busy)
        assert await house.resources.seals.seal()
        assert (len(seen), len(set(seen))) == (55, 55)

    async def test_say_so_once_where_others_come_between_until_the_tries_run_out(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A trail that is not sealed for so long can be changed unseen, and nothing said that it was not."""
        await tell(house)
        page = Trail.page

        async def busy(self: Trail, **asked: Any) -> tuple[Stored, ...]:
            found = await page(self, **asked)
            if not found:
                await tell(house)
            return found

        monkeypatch.setattr(Trail, "page", busy)
        with listening() as heard:
            assert not await house.resources.seals.seal()
        told = heard.one("audit.seal_overtaken")
        assert (told["level"], told["tries"]) == ("warning", MOST_TRIES)

    async def test_are_set_once_where_the_reply_to_the_first_is_lost(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Sent again by itself it took its own seal for an entry that had come between, and tried until its tries ran out."""
        record, seals = house.resources.record, house.resources.seals
        script, sent = record.script, list[str]()

        async def lost(name: str, *given: Any) -> Any:
            if name == "seal_trail":
                sent.append(name)
                await script(name, *given)
            return await script(name, *given)

        monkeypatch.setattr(record, "script", lost)
        await tell(house, 3)
        with listening() as heard:
            assert not await seals.seal(), "as where another was quicker"
        assert len(sent) == 1
        assert not heard.of("audit.seal_overtaken")
        found = await seals.verify()
        assert (found.seals, found.unsealed, found.problem) == (1, 0, None)

    async def test_that_another_worker_has_set_meanwhile_are_left_at_that(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record, script, calls = house.resources.record, house.resources.record.script, list[str]()

        async def late(name: str, *given: Any) -> Any:
            calls.append(name)
            if len(calls) == 1:
                assert await worker(house).seal()
            return await script(name, *given)

        await tell(house)
        monkeypatch.setattr(record, "script", late)
        with listening() as heard:
            assert not await house.resources.seals.seal()
        assert calls == ["seal_trail"] * 2, "one of each"
        assert not heard.of("audit.seal_overtaken")

    async def test_are_verified_a_few_stretches_at_a_time(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit_verification, "MOST_AT_ONCE", 8)
        monkeypatch.setattr(audit_verification, "PAGE", 3)
        for _ in range(5):
            await tell(house, 5)
            await house.resources.seals.seal()
        calls = [await house.resources.seals.verify()]
        while calls[-1].next_seal is not None:
            calls.append(await house.resources.seals.verify(since=calls[-1].next_seal))
        assert len(calls) == 3
        assert [each.problem for each in calls] == [None] * 3
        assert sum(each.seals for each in calls) == 5
        assert sum(each.entries for each in calls) == 29

    async def test_the_latest_must_be_there(self, house: House) -> None:
        await tell(house)
        await house.resources.seals.seal()
        (*_, seal) = await house.resources.trail.page(first="-", last="+", limit=10)
        await house.resources.record.run("XDEL", keyspace.AUDIT_TRAIL, seal.id)
        found = await house.resources.seals.verify()
        assert found.problem == f"the latest seal, {seal.id}, is not there"

    async def test_are_kept_by_the_minute(self, house: House) -> None:
        await tell(house)
        await house.resources.seals.keep()
        await tell(house)
        await house.resources.seals.keep()
        assert (await house.resources.seals.verify()).seals == 1

    async def test_are_numbered_and_say_so_in_the_log(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        for number in (1, 2, 3):
            await tell(house)
            await house.resources.seals.seal()
            found = await house.resources.seals.verify()
            assert found.newest is not None
            assert found.newest.number == number
            told = capsys.readouterr().out
            assert f"number={number}" in told
            assert found.newest.seal in told

    async def test_wait_for_no_date_that_somebody_made_up(self, house: House) -> None:
        await tell(house)
        await house.resources.seals.seal()
        await house.resources.record.run("XADD", keyspace.AUDIT_TRAIL, "9999999999999-5", "entry", "made up")
        await house.resources.seals.seal()
        await tell(house)
        await house.resources.seals.keep()
        found = await house.resources.seals.verify()
        assert (found.seals, found.unsealed, found.problem) == (3, 0, None)

    async def test_are_missed_where_nobody_sets_any(self, house: House) -> None:
        seconds, _ = await house.resources.record.run("TIME")
        text = json.dumps({"event": "operation.done"})
        old = f"{seconds * 1000 - UNSEALED_MS - 10_000}-0"
        await house.resources.record.run("XADD", keyspace.AUDIT_TRAIL, old, "entry", text)
        assert (await house.resources.seals.verify()).problem == f"from {old} on nothing is sealed"
        await house.resources.seals.seal()
        assert (await house.resources.seals.verify()).problem is None


async def three_stretches(house: House) -> Stored:
    """Each a second later; the seal that ends the second."""
    seconds, _ = await house.resources.record.run("TIME")
    for number in (1, 2, 3):
        await tell(house, 5)
        assert await house.resources.seals.seal(now_ms=(seconds + number) * 1000)
    return (await whole(house))[11]


class TestTrimming:
    async def test_drops_whole_stretches_that_are_too_old_and_what_is_left_proves_itself(self, house: House) -> None:
        seals = house.resources.seals
        second = await three_stretches(house)
        before = await whole(house)
        # Old enough by a millisecond: the third stretch, behind the second seal, and not the third seal.
        assert await seals.seal(now_ms=second.at_ms + 90 * DAY_MS)
        left = await whole(house)
        assert left[:-1] == before[-len(left) + 1 :]
        first, latest = read_seal(left[0].id, left[0].text), read_seal(left[-1].id, left[-1].text)
        assert first is not None
        assert latest is not None
        assert latest.begins == first.id
        found = await worker(house).verify()
        assert (found.problem, found.seals, found.unsealed) == (None, 2, 0)

    async def test_leaves_what_is_young_enough(self, house: House) -> None:
        await tell(house, 5)
        await house.resources.seals.seal()
        assert not await house.resources.seals.seal()
        assert len(await whole(house)) == 6

    async def test_goes_on_where_nothing_is_appended_any_more(self, house: House) -> None:
        await tell(house, 5)
        await house.resources.seals.seal()
        (*_, seal) = await whole(house)
        assert await house.resources.seals.seal(now_ms=seal.at_ms + 91 * DAY_MS)
        assert [read_seal(each.id, each.text) is not None for each in await whole(house)] == [True, True]
        assert not await house.resources.seals.seal(now_ms=seal.at_ms + 91 * DAY_MS), "there is nothing left to drop"
        assert (await house.resources.seals.verify()).problem is None

    async def test_while_it_is_verified_is_no_fault(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        second, page = await three_stretches(house), house.resources.trail.page
        trimmed: list[bool] = []

        async def trimming(self: Trail, *, first: str, **more: Any) -> tuple[Stored, ...]:
            if first == "-" and not trimmed:
                trimmed.append(True)
                trimmed.append(await worker(house).seal(now_ms=second.at_ms + 90 * DAY_MS))
            return await page(first=first, **more)

        monkeypatch.setattr(Trail, "page", trimming)
        found = await house.resources.seals.verify()
        assert trimmed == [True, True]
        assert (found.problem, found.seals) == (None, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A trail of some stretches, with its own key, and a client to tamper with it."""

    client: Any
    house: House
    seals: Seals

    def entries(self) -> list[tuple[str, str]]:
        return [(each, told["entry"]) for each, told in self.client.xrange(keyspace.AUDIT_TRAIL)]

    def rewrite(self, changed: Sequence[tuple[str, str]]) -> None:
        """The trail as somebody who can write to Redis would leave it."""
        self.client.delete(keyspace.AUDIT_TRAIL)
        for entry_id, text in changed:
            self.client.xadd(keyspace.AUDIT_TRAIL, {"entry": text}, id=entry_id)

    def point_to(self, entry_id: str, text: str) -> None:
        """What is told to be the latest seal."""
        self.client.hset(keyspace.AUDIT_SEAL, mapping={"id": entry_id, "entry": text})


@pytest.fixture
async def sealed(house: House, redis_url: str) -> AsyncIterator[Sealed]:
    for size in (3, 1, 4):
        await tell(house, size)
        await house.resources.seals.seal()
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        yield Sealed(client=client, house=house, seals=house.resources.seals)


def forged(original: Sequence[tuple[str, str]], place: int, made_with: bytes) -> str:
    """The text of a seal there, as good as anybody can make it who does not have the key."""
    true = read_seal(*original[place])
    assert true is not None
    stretch = Stretch(made_with)
    made = make_seal(
        {"event": "trail.sealed"}, key=made_with, entry_id=true.id, begins=true.begins, stretch=stretch, before=None
    )
    members = {**json.loads(made.text), "number": true.number, "previous": true.previous, "count": true.count}
    seal = members.pop("seal")
    return json.dumps({**members, "seal": seal}, separators=(",", ":"))


def inserted(original: Sequence[tuple[str, str]], place: int, text: str) -> list[tuple[str, str]]:
    """With one more after that place, or, where there is none free, at the beginning."""
    head, _, number = original[place][0].partition("-")
    new_id = f"{head}-{int(number) + 1}"
    if new_id in dict(original) or place == len(original) - 1:
        return [("1-1", text), *original]
    return [*original[: place + 1], (new_id, text), *original[place + 1 :]]


CHANGES = (
    "text",
    "remove",
    "insert",
    "swap",
    "cut the beginning",
    "cut the end",
    "replace the last seal",
    "another member",
)


@given(data=st.data())
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_changed_taken_out_put_in_or_moved_is_seen(sealed: Sealed, data: st.DataObject) -> None:
    original = sealed.entries()
    changed, pointer = list(original), original[-1]
    place = data.draw(st.integers(0, len(original) - 1))
    entry_id, text = original[place]
    change = data.draw(st.sampled_from(CHANGES))
    match change:
        case "text":
            at = data.draw(st.integers(0, len(text) - 1))
            other = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
            changed[place] = (entry_id, text[:at] + other + text[at + 1 :])
        case "remove":
            changed.pop(place)
        case "insert":
            changed = inserted(original, place, data.draw(st.sampled_from(original))[1])
        case "swap":
            other_place = data.draw(st.integers(0, len(original) - 1))
            changed[place], changed[other_place] = (
                (entry_id, original[other_place][1]),
                (original[other_place][0], text),
            )
        case "cut the beginning":
            changed = changed[place:]
        case "cut the end":
            changed = changed[: place + data.draw(st.integers(0, 1))]
        case "replace the last seal":
            seals = [each for each in original if read_seal(*each) is not None]
            told = data.draw(st.sampled_from([*(each for _, each in seals), forged(original, -1, b"mine")]))
            changed[-1] = (original[-1][0], told)
            pointer = data.draw(st.sampled_from([pointer, changed[-1]]))
    sealed.rewrite(changed)
    sealed.point_to(*pointer)
    if change == "another member":
        sealed.rewrite(original[:place])
        sealed.client.xadd(keyspace.AUDIT_TRAIL, {"entry": text, "other": "1"}, id=entry_id)
        for each, told in original[place + 1 :]:
            sealed.client.xadd(keyspace.AUDIT_TRAIL, {"entry": told}, id=each)
    try:
        found = await sealed.seals.verify()
        is_whole = changed == original and change != "another member"
        assert (found.problem is None) == is_whole, (change, found)
    finally:
        sealed.rewrite(original)
        sealed.point_to(*original[-1])


class TestWhoeverCanWriteToRedis:
    async def test_cannot_cut_the_beginning_up_to_a_seal(self, sealed: Sealed) -> None:
        """Seals made anew over what is left do not hide it either."""
        seals = [each for each, text in sealed.entries() if read_seal(each, text) is not None]
        sealed.client.xtrim(keyspace.AUDIT_TRAIL, minid=seals[0], approximate=False)
        for _ in range(2):
            found = await sealed.seals.verify()
            assert found.problem is not None
            assert "the beginning is not as it was written" in found.problem
            await tell(sealed.house)
            assert await worker(sealed.house).seal(), "a worker that has just been started"

    async def test_cannot_replace_a_seal_that_is_alone(self, sealed: Sealed) -> None:
        original = sealed.entries()[:4]
        for forgery in (forged(original, -1, b"mine"), original[-1][1].replace('"count":3', '"count":4')):
            changed = [*original[:-1], (original[-1][0], forgery)]
            sealed.rewrite(changed)
            sealed.point_to(*changed[-1])
            found = await sealed.seals.verify()
            assert found.problem is not None
            assert found.seals == 0

    async def test_cannot_take_the_pointer_to_the_latest_seal_away(self, sealed: Sealed) -> None:
        sealed.client.delete(keyspace.AUDIT_SEAL)
        found = await sealed.seals.verify()
        assert found.problem is not None
        assert "which seal is the latest is not told any more" in found.problem

    @pytest.mark.parametrize("entry_id", ["", "x", "(", "1-1", "99999999999999999999-1"])
    async def test_stops_no_verification_and_no_seal_by_a_pointer_that_is_none(
        self, sealed: Sealed, entry_id: str
    ) -> None:
        sealed.point_to(entry_id, "[" * 5000)
        assert (await sealed.seals.verify()).problem == f"the latest seal, {entry_id}, is not there"
        await worker(sealed.house).keep()
        found = await sealed.seals.verify()
        assert found.problem is not None
        assert "does not follow" in found.problem, "one was set, and hides nothing"

    @pytest.mark.parametrize(
        "entry_id", [b"\xff", b"18446744073709551615-18446744073709551615", b"18446744073709551616-0"]
    )
    async def test_stops_no_seal_by_a_pointer_that_is_no_text_or_beyond_all_places(
        self, sealed: Sealed, entry_id: bytes
    ) -> None:
        sealed.client.hset(keyspace.AUDIT_SEAL, mapping={"id": entry_id, "entry": b"\xff"})
        assert "is not there" in ((await sealed.seals.verify()).problem or "")
        await worker(sealed.house).keep()
        assert "does not follow" in ((await sealed.seals.verify()).problem or "")

    @pytest.mark.parametrize(
        "entry_id",
        [b"*", b"9999999999999999-1", b"18446744073709551614-18446744073709551615", b"18446744073709551615-7"],
    )
    @pytest.mark.parametrize("text", [b"\xff", b'{"event":"trail.sealed"}\xff', b"[" * 5000, b'{"event":NaN}'])
    async def test_stops_no_seal_by_an_entry_dated_ahead_or_of_what_is_no_text(
        self, sealed: Sealed, entry_id: bytes, text: bytes
    ) -> None:
        """It was not sealed yet when it was put in, so it is sealed with the rest; and what is done to it then is seen."""
        put_in = sealed.client.xadd(keyspace.AUDIT_TRAIL, {b"entry": text}, id=entry_id)
        for _ in range(2):
            await tell(sealed.house)
            assert await sealed.seals.seal()
        assert (await sealed.seals.verify()).problem is None
        await worker(sealed.house).keep()
        sealed.client.xdel(keyspace.AUDIT_TRAIL, put_in)
        assert (await sealed.seals.verify()).problem is not None

    async def test_that_cuts_the_trail_off_behind_an_older_seal_is_found_by_whoever_has_seen_a_newer_one(
        self, sealed: Sealed, capsys: pytest.CaptureFixture[str]
    ) -> None:
        entries, latest = sealed.entries(), await sealed.seals.verify()
        older = [each for each in entries if read_seal(*each) is not None][1]
        sealed.rewrite(entries[: entries.index(older) + 1])
        sealed.point_to(*older)
        await tell(sealed.house)
        for _ in range(2):
            assert not await sealed.seals.seal(), "a worker that has seen the newer one"
        assert capsys.readouterr().out.count("audit.cut_back") == 1, "told once"
        assert (await sealed.house.resources.statistics.totals()).cut_back == 1
        assert (await sealed.seals.verify()).problem is None, "by itself it is in order"
        found = await sealed.seals.verify(expected=expected(latest))
        assert found.problem == "seal 3, which was expected, is not there"

    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("at", range(1, 6))
    async def test_is_counted_wherever_redis_goes_away_as_it_is_found(
        self, sealed: Sealed, at: int, moment: Moment
    ) -> None:
        """Said, and not counted, it was never said nor counted again: the metric is what alarms somebody."""
        sealed.client.delete(keyspace.AUDIT_TRAIL, keyspace.AUDIT_SEAL)
        await tell(sealed.house)
        with redis_away(at=at, moment=moment), suppress(Unavailable):
            await sealed.seals.seal()
        with listening() as heard:
            for _ in range(2):
                assert not await sealed.seals.seal()
        cut_back = (await sealed.house.resources.statistics.totals()).cut_back
        assert cut_back in {1, 2}
        assert len(heard.of("audit.cut_back")) <= 1

    async def test_that_writes_all_of_it_anew_is_found_by_whoever_has_seen_a_seal(
        self, sealed: Sealed, capsys: pytest.CaptureFixture[str]
    ) -> None:
        latest = await sealed.seals.verify()
        sealed.client.delete(keyspace.AUDIT_TRAIL, keyspace.AUDIT_SEAL)
        await tell(sealed.house, 9)
        assert not await sealed.seals.seal()
        assert "audit.cut_back" in capsys.readouterr().out
        newcomer = worker(sealed.house)
        for _ in range(3):
            assert await newcomer.seal()
            assert not await sealed.seals.seal(), "however many are set since"
            assert (await sealed.seals.verify()).problem is None
            await tell(sealed.house)
        found = await sealed.seals.verify(expected=expected(latest))
        assert found.problem is not None
        assert "seal 3 at" in found.problem
        assert "is not the one that was expected" in found.problem

    async def test_is_found_by_a_worker_that_only_looked_on_while_another_sealed(self, sealed: Sealed) -> None:
        onlooker = worker(sealed.house)
        await onlooker.keep()
        sealed.client.delete(keyspace.AUDIT_TRAIL, keyspace.AUDIT_SEAL)
        await tell(sealed.house)
        assert not await onlooker.seal()

    async def test_cannot_have_a_seal_of_a_key_of_theirs_followed(
        self, sealed: Sealed, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Everything before it could then be called another key's."""
        latest = read_seal(*sealed.entries()[-1])
        theirs = b"t" * 32
        entry_id = f"{Stored(id=sealed.entries()[-1][0], text='').at_ms + 1000}-0"
        made = make_seal(
            {"event": "trail.sealed"},
            key=theirs,
            entry_id=entry_id,
            begins=sealed.entries()[0][0],
            stretch=Stretch(theirs),
            before=latest,
        )
        sealed.client.xadd(keyspace.AUDIT_TRAIL, {"entry": made.text}, id=made.id)
        sealed.point_to(made.id, made.text)
        await tell(sealed.house)
        assert not await sealed.seals.seal()
        assert "seal_by_another_key" in capsys.readouterr().out
        assert (await sealed.seals.verify()).problem is not None

    async def test_does_not_stop_a_worker_that_others_were_quicker_than(self, sealed: Sealed) -> None:
        other = worker(sealed.house)
        for turn in (other, sealed.seals, other, other, sealed.seals):
            await tell(sealed.house)
            assert await turn.seal()
        assert (await sealed.seals.verify()).seals == 8


class TestASealThatIsExpected:
    async def test_is_found_wherever_it_is(self, sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit_verification, "MOST_AT_ONCE", 1)
        seals = [seal for each in sealed.entries() if (seal := read_seal(*each)) is not None]
        for each in seals:
            wanted = Expected(number=each.number, seal=each.seal)
            found = await sealed.seals.verify(expected=wanted)
            while found.problem is None and found.next_seal is not None:
                found = await sealed.seals.verify(since=found.next_seal, expected=wanted)
            assert found.problem is None

    async def test_is_not_taken_for_another_of_its_number(self, sealed: Sealed) -> None:
        for number in (1, 2, 3, 4):
            found = await sealed.seals.verify(expected=Expected(number=number, seal="0" * 64))
            assert found.problem is not None
            assert "expected" in found.problem

    async def test_that_was_dropped_by_age_is_said_to_be_gone(self, sealed: Sealed) -> None:
        first = read_seal(*sealed.entries()[3])
        assert first is not None
        at_ms = Stored(id=sealed.entries()[-1][0], text="").at_ms
        assert await sealed.seals.seal(now_ms=at_ms + 91 * DAY_MS)
        found = await sealed.seals.verify(expected=Expected(number=1, seal=first.seal))
        assert found.problem == "seal 1, which was expected, is not there any more: the trail begins with 3"


class TestTheKey:
    async def test_of_others_proves_nothing(self, house: House) -> None:
        await tell(house)
        await house.resources.seals.seal()
        forger = Trail(
            house.resources.record,
            Pseudonyms(house.resources.record, given="f" * 32),
            Numbers(),
            lines=BoundedLines(house.clock),
        )
        found = await Seals(house.resources.record, forger, keep_ms=0).verify()
        assert found.problem is not None
        assert (found.seals, found.newest) == (0, None)

    async def test_before_leaves_stretches_that_cannot_be_told_of_and_the_rest_is_verified(self, house: House) -> None:
        await self.seal_by(house, OURS, 3)
        await self.seal_by(house, OURS, 2)
        await self.seal_by(house, THEIRS, 4)
        await self.seal_by(house, THEIRS, 1)
        found = await worker(house, given_key=THEIRS).verify()
        assert (found.problem, found.unverified, found.seals, found.entries) == (None, 6, 2, 7)
        await house.resources.record.run("XDEL", keyspace.AUDIT_TRAIL, (await whole(house))[-3].id)
        assert (await worker(house, given_key=THEIRS).verify()).problem is not None

    async def test_before_is_nothing_to_hide_behind(self, house: House, redis_url: str) -> None:
        """Nobody makes what is sealed by the key in use look like what an older one has sealed."""
        for size in (3, 2, 4):
            await self.seal_by(house, OURS, size)
        with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
            sealed = Sealed(client=client, house=house, seals=worker(house, given_key=OURS))
            original = sealed.entries()
            places = [each for each, entry in enumerate(original) if read_seal(*entry) is not None]
            for place in places:
                true = json.loads(original[place][1])
                forgery = {**json.loads(forged(original, place, b"mine")), "seal": true["seal"]}
                text = json.dumps(forgery, separators=(",", ":"))
                changed = [*original[:place], (original[place][0], text), *original[place + 1 :]]
                sealed.rewrite(changed)
                for pointer in (original[-1], changed[place]):
                    sealed.point_to(*pointer)
                    assert (await sealed.seals.verify()).problem is not None, (place, pointer)

    async def test_of_the_deployment_is_the_only_one_to_seal_with(
        self, house: House, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with_none = worker(house)
        await tell(house)
        assert await with_none.seal(), "nobody has given one"
        with_ours = worker(house, given_key=OURS)
        await tell(house)
        assert await with_ours.seal()
        await tell(house)
        assert not await with_none.seal(), "it was begun before one was given"
        assert not await worker(house).seal(), "and this one after"
        assert "audit.not_sealed" in capsys.readouterr().out
        assert await with_ours.seal()
        with_theirs = worker(house, given_key=THEIRS)
        await tell(house)
        assert await with_theirs.seal(), "a key takes the place of the one before"
        await tell(house)
        assert not await with_ours.seal()
        assert (await with_theirs.verify()).problem is None

    async def test_that_is_missing_is_not_made_of_what_stands_in_redis(self, house: House) -> None:
        await Pseudonyms(house.resources.record, given=OURS).key()
        one, other = Pseudonyms(house.resources.record), Pseudonyms(house.resources.record)
        assert await one.key() != await other.key()

    async def test_is_read_again_from_its_file_at_each_seal(
        self, house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "audit-key"
        file.write_text(OURS, encoding="utf-8")
        seals = worker(house, given_key=OURS, file=file)
        keys: list[str] = []
        for content, is_taken in ((OURS, True), (THEIRS + "\n", True), ("short", False), (None, False)):
            file.unlink()
            if content is not None:
                file.write_text(content, encoding="utf-8")
            await tell(house)
            assert await seals.seal()
            latest = read_seal((await whole(house))[-1].id, (await whole(house))[-1].text)
            assert latest is not None
            keys.append(latest.key)
            assert (len(keys) < 2 or keys[-1] != keys[-2]) == is_taken
        assert keys[1] == fingerprint_of(await Pseudonyms(house.resources.record, given=THEIRS).key())
        told = capsys.readouterr().out
        assert "audit.key_not_taken" in told
        assert "audit.key_not_read" in told
        assert THEIRS not in told
        found = await seals.verify()
        assert (found.problem, found.seals, found.unverified) == (None, 3, 1)

    async def test_that_redis_has_lost_is_written_there_again(self, house: House) -> None:
        for given_key in ("", OURS):
            seals = worker(house, given_key=given_key)
            await tell(house)
            assert await seals.seal()
            await house.resources.record.run("DEL", keyspace.AUDIT_KEY)
            await tell(house)
            assert await seals.seal()
            assert await house.resources.record.run("GET", keyspace.AUDIT_KEY)

    @staticmethod
    async def seal_by(house: House, key: str, size: int) -> None:
        await tell(house, size)
        assert await worker(house, given_key=key).seal()


async def test_what_a_seal_says_is_read_from_nothing_else() -> None:
    key = b"k" * 32
    stretch = Stretch(key)
    stretch.add("1-0", "text")
    seal = make_seal({"event": "trail.sealed"}, key=key, entry_id="2-0", begins="1-0", stretch=stretch, before=None)
    assert seal.is_proven(key)
    assert not replace(seal, id="3-0").is_proven(key)
    for text in (
        "",
        "[]",
        "[" * 100_000,
        seal.text[:-1],
        seal.text + " ",
        seal.text.replace("trail.sealed", "operation.done"),
        seal.text.replace('"number":1', '"number":"1"'),
        seal.text.replace('"number":1', '"number":true'),
        seal.text.replace('"begins":"1-0"', '"begins":"-"'),
    ):
        assert read_seal("2-0", text) is None, text[:80]
    assert read_seal("+", seal.text) is None
