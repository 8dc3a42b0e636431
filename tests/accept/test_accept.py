"""The only sink: recorded, then true, then queued; the same request again is the same revocation."""

import asyncio
import json
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
import redis

from service import jobs
from service.accept import LOOK_AFTER_MS
from service.errors import Unavailable
from service.jobs import QUEUE
from tests.support.breaks import Moment, redis_away
from tests.support.contents import contents, trail
from tests.support.heard import listening
from tests.support.house import CONNECTION, House, open_house, user_id
from tests.support.redis_server import start_redis


async def queued(house: House) -> list[str]:
    """The names of the jobs on the queue."""
    return sorted(name.decode() for name in await house.resources.queue_redis.zrange(QUEUE, 0, -1))


async def test_when_it_returns_nothing_the_person_holds_is_honoured_with_no_worker_running(house: House) -> None:
    session = await house.sign_in("ada", "crm")
    tokens = [await house.issue(session, "crm"), await house.issue(session, "crm", offline=True)]
    other = await house.sign_in("bob", "crm")

    accepted = await house.resources.sink.accept(house.request("ada"))

    assert not accepted.repeated
    assert not await house.session_honoured(session)
    assert [await house.token_honoured(each) for each in tokens] == [False, False]
    assert await house.session_honoured(other)


async def test_it_is_recorded_as_in_force_due_and_queued(house: House) -> None:
    rid = await house.revoke("ada")

    receipt = await house.receipt(rid)

    assert (receipt.state, receipt.accepted_at_ms, receipt.revoked_at_ms) == (
        "accepted",
        house.clock.now_ms(),
        house.clock.now_ms(),
    )
    assert await house.due() == {rid: house.clock.now_ms() + LOOK_AFTER_MS}
    assert await house.open_revocations() == {rid}
    assert await queued(house) == [f"{rid}:0"]


async def test_everybody_an_identifier_names_is_signed_out(house: House) -> None:
    sessions = {name: await house.sign_in(name) for name in ("ada", "bob", "cy")}
    await house.revoke("ada", "bob")
    assert {name: await house.session_honoured(each) for name, each in sessions.items()} == {
        "ada": False,
        "bob": False,
        "cy": True,
    }


async def test_a_person_without_any_session_is_a_revocation_like_any_other(house: House) -> None:
    rid = await house.revoke("ada")
    assert (await house.work_off(rid)).state == "completed"


async def test_one_session_ends_and_nothing_else(house: House) -> None:
    ended, other = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    token = await house.issue(ended, "crm", offline=True)

    rid = await house.revoke("ada", session_id=ended)

    assert [await house.session_honoured(each) for each in (ended, other)] == [False, True]
    assert not await house.token_honoured(token)
    assert (await house.receipt(rid)).session_id == ended


async def test_the_same_request_again_ends_nothing_newer_and_is_not_queued_again(house: House) -> None:
    request = house.request("ada")
    await house.resources.sink.accept(request)
    house.clock.advance(60)
    since = await house.sign_in("ada", "crm")
    token = await house.issue(since, "crm")
    before, jobs = await house.receipt(request.revocation_id), await queued(house)

    again = await house.resources.sink.accept(request)

    assert (again.revocation_id, again.repeated) == (request.revocation_id, True)
    assert await house.session_honoured(since)
    assert await house.token_honoured(token)
    assert await house.receipt(request.revocation_id) == before
    assert await queued(house) == jobs


async def test_so_it_is_when_the_first_was_worked_off_long_ago(house: House) -> None:
    request = house.request("ada")
    await house.resources.sink.accept(request)
    await house.work_off(request.revocation_id)
    since = await house.sign_in("ada")

    assert (await house.resources.sink.accept(request)).repeated

    assert await house.session_honoured(since)
    assert (await house.due(), await house.open_revocations()) == ({}, set())


async def test_the_same_request_many_times_at_once_is_one_revocation(house: House) -> None:
    await house.sign_in("ada", "crm")
    request = house.request("ada")

    await asyncio.gather(*(house.resources.sink.accept(request) for _ in range(10)))
    since = await house.sign_in("ada")
    await house.resources.sink.accept(request)

    assert await house.session_honoured(since)
    assert await queued(house) == [f"{request.revocation_id}:0"]
    assert (await house.work_off(request.revocation_id)).sessions_ended == 1


async def test_a_session_begun_before_it_and_one_begun_after_it_may_be_of_the_same_millisecond(house: House) -> None:
    before = await house.sign_in()
    await house.revoke("ada")
    after = await house.sign_in()
    assert (await house.session_honoured(before), await house.session_honoured(after)) == (False, True)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_without_redis_nothing_is_promised_and_the_request_may_come_again(
    house: House, at: int, moment: Moment
) -> None:
    session = await house.sign_in("ada", "crm")
    request = house.request("ada")
    with redis_away(at=at, moment=moment) as broken, pytest.raises(Unavailable):
        await house.resources.sink.accept(request)
    assert broken.happened

    accepted = await house.resources.sink.accept(request)

    assert not await house.session_honoured(session)
    assert (await house.receipt(accepted.revocation_id)).revoked_at_ms is not None
    since = await house.sign_in("ada")
    assert (await house.resources.sink.accept(request)).repeated
    assert await house.session_honoured(since)
    assert (await house.work_off(request.revocation_id)).sessions_ended == 1


async def test_accepting_takes_three_round_trips_to_the_record(house: House) -> None:
    """The audit trail's two calls go beside the first and the second of them."""
    await house.resources.trail.pseudonyms.key()
    with redis_away(at=6, moment="before") as broken:
        await house.revoke("ada", "bob", "cy")
    assert broken.calls == 5


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
async def test_whatever_was_recorded_is_completed_without_the_caller(
    house: House, redis_url: str, at: int, moment: Moment
) -> None:
    await house.resources.trail.pseudonyms.key()
    session = await house.sign_in("ada", "crm")
    request = house.request("ada")
    with redis_away(at=at, moment=moment), pytest.raises(Unavailable):
        await house.resources.sink.accept(request)
    recorded = await house.resources.revocations.get(request.revocation_id) is not None
    assert recorded == ((at, moment) != (1, "before"))
    house.clock.advance(60)
    since = await house.sign_in("ada", "crm")

    await house.worker.sweeper.sweep()
    await house.run_queue()

    assert await house.session_honoured(session) != recorded
    assert await house.session_honoured(since)
    if recorded:
        receipt = await house.receipt(request.revocation_id)
        assert (receipt.state, receipt.sessions_ended) == ("completed", 1)
    told = [each for each in trail(redis_url) if each["event"] == "revocation.recorded"]
    # More than once where it had been told before the break, and was told again by whoever completed it.
    assert bool(told) == recorded
    assert {each["revocation_id"] for each in told} <= {request.revocation_id}


async def test_completed_late_it_takes_effect_as_of_its_record(house: House) -> None:
    session = await house.sign_in("ada")
    rid = await house.record_only(house.request("ada"))
    recorded_ms = house.clock.now_ms()
    house.clock.advance(60)
    since = await house.sign_in("ada")

    with listening() as heard:
        receipt = await house.work_off(rid)

    assert (await house.session_honoured(session), await house.session_honoured(since)) == (False, True)
    assert (receipt.accepted_at_ms, receipt.revoked_at_ms) == (recorded_ms, house.clock.now_ms())
    assert heard.one("revocation.completed_late")["level"] == "warning"


async def test_a_session_of_one_that_is_completed_late_ends_too(house: House) -> None:
    ended, other = await house.sign_in("ada", "crm"), await house.sign_in("ada", "crm")
    rid = await house.record_only(house.request("ada", session_id=ended))
    house.clock.advance(60)

    receipt = await house.work_off(rid)

    assert [await house.session_honoured(each) for each in (ended, other)] == [False, True]
    assert receipt.sessions_ended == 1


async def test_without_the_queue_it_is_in_force_and_left_to_the_sweeper(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path, queue_url=f"unix://{tmp_path}/nobody.sock") as house:
        session = await house.sign_in("ada", "crm")

        with listening() as heard:
            rid = await house.revoke("ada")

        assert not await house.session_honoured(session)
        assert rid in await house.due()
        line = heard.one("job.not_queued")
        assert (line["level"], line["job"], line["job_id"]) == ("warning", "revoke", f"{rid}:0")
        assert house.resources.numbers.registry.get_sample_value("logoutd_enqueue_failures_total") == 1.0


async def test_a_queue_that_does_not_answer_keeps_nobody_waiting(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "HINT_TIMEOUT_S", 0.05)
    with start_redis(tmp_path / "queue") as hung:
        async with open_house(redis_url, tmp_path, queue_url=hung.url) as house:
            session = await house.sign_in("ada", "crm")
            os.kill(hung.pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(1):
                    with listening() as heard:
                        rid = await house.revoke("ada")
            finally:
                os.kill(hung.pid, signal.SIGCONT)
            assert not await house.session_honoured(session)
            assert rid in await house.due()
            assert heard.one("job.not_queued")["error"] == "TimeoutError"


async def test_the_job_carries_an_id_alone_as_json(house: House, redis_url: str) -> None:
    await house.sign_in("ada", "crm")
    rid = await house.revoke("ada")
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        job = json.loads(str(client.get(f"arq:job:{rid}:0")))
    assert job.pop("et") > 0
    assert job == {"t": None, "f": "revoke", "a": [rid], "k": {}}


async def test_the_time_it_took_is_measured(house: House) -> None:
    await house.revoke("ada")
    value = house.resources.numbers.registry.get_sample_value
    assert value("logoutd_revoked_seconds_count") == 1.0
    assert value("logoutd_revoked_seconds_sum") == 0.0


async def test_its_log_lines_say_what_happened_and_to_nobody_by_name(house: House) -> None:
    await house.sign_in("ada", "crm")
    request = house.request("ada", "bob")

    with listening() as heard:
        await house.resources.sink.accept(request)
        await house.resources.sink.accept(request)

    rid = request.revocation_id
    common = {
        "level": "info",
        "revocation_id": rid,
        "connection_id": CONNECTION,
        "initiator": "global_token_revocation",
    }
    assert heard.one("revocation.accepted") == {
        "event": "revocation.accepted",
        **common,
        "people": 2,
        "scope": "everything",
        "lane": "urgent",
        "revoked_in_ms": 0,
    }
    assert heard.one("revocation.repeated") == {"event": "revocation.repeated", **common}
    assert len(heard.lines) == 2


async def test_two_people_of_the_same_name_in_two_connections_are_two_people(house: House, redis_url: str) -> None:
    here = await house.sign_in("ada")
    elsewhere = await house.sign_in("ada", connection_id="con_other")
    before = {name: value for name, value in contents(redis_url).items() if user_id("ada", "con_other") in name}

    await house.revoke("ada")

    assert (await house.session_honoured(here), await house.session_honoured(elsewhere)) == (False, True)
    after = {name: value for name, value in contents(redis_url).items() if user_id("ada", "con_other") in name}
    assert after == before
