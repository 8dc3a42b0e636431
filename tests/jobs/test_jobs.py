"""The contract with the workers: what a job is, and that it is no more than a hint."""

import json
from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.utils import timestamp_ms

from service import jobs
from service.domain.identifiers import fingerprint
from service.jobs import EXPIRES_MS, NOTIFY, QUEUE, REVOKE, TICKET_MS, Queue, deserialize, revocation_of, serialize
from service.store.record import open_pool
from service.telemetry import Numbers
from tests.support.heard import listening


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    opened = ArqRedis(
        pool_or_conn=open_pool(redis_url, decode=False),
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=QUEUE,
        expires_extra_ms=EXPIRES_MS,
    )
    yield opened
    await opened.aclose(close_connection_pool=True)


async def queued(redis: ArqRedis) -> dict[str, object]:
    """The jobs on the queue: what each is called and carries."""
    found: dict[str, object] = {}
    for name in await redis.zrange(QUEUE, 0, -1):
        raw = json.loads(await redis.get(job_key_prefix + name.decode()))
        found[name.decode()] = (raw["f"], raw["a"], raw["k"])
    return found


async def test_a_revocation_is_one_job_that_carries_its_id(redis: ArqRedis) -> None:
    await Queue(redis, Numbers()).revoke("rev_1")
    assert await queued(redis) == {"rev_1:0": (REVOKE, ["rev_1"], {})}


async def test_due_deliveries_of_a_revocation_are_one_job_that_carries_their_ids(redis: ArqRedis) -> None:
    await Queue(redis, Numbers()).notify("rev_1", ("dlv_1_a", "dlv_1_b"), now_ms=7)
    [(_, job)] = (await queued(redis)).items()
    assert job == (NOTIFY, [["dlv_1_a", "dlv_1_b"]], {})


async def test_the_same_hint_is_one_job_for_as_long_as_an_entry_is_hidden_and_later_another(redis: ArqRedis) -> None:
    queue = Queue(redis, Numbers())
    for now_ms in (0, TICKET_MS - 1, TICKET_MS):
        await queue.revoke("rev_1", now_ms=now_ms)
        await queue.notify("rev_1", ["dlv_1_a"], now_ms=now_ms)
        await queue.notify("rev_1", ["dlv_1_b"], now_ms=now_ms)
    assert len(await queued(redis)) == 6
    assert {"rev_1:0", "rev_1:1"} < set(await queued(redis))


async def test_how_long_the_job_that_waits_longest_has_waited_is_known(redis: ArqRedis) -> None:
    queue = Queue(redis, Numbers())
    assert await queue.oldest_age_s("urgent") == 0
    await queue.revoke("rev_1")
    await redis.zincrby(QUEUE, -5000, "rev_1:0")
    await queue.revoke("rev_2")
    assert 5 <= await queue.oldest_age_s("urgent") < 60


async def test_a_job_is_worth_running_for_a_while_only(redis: ArqRedis) -> None:
    await Queue(redis, Numbers()).revoke("rev_1")
    assert 0 < await redis.pttl(job_key_prefix + "rev_1:0") <= EXPIRES_MS


async def test_a_queue_that_cannot_be_reached_fails_nobody_and_is_counted() -> None:
    away = ArqRedis(pool_or_conn=open_pool("redis://somebody:hunter2@127.0.0.1:1/0", decode=False))
    numbers = Numbers()
    with listening() as heard:
        await Queue(away, numbers).revoke("rev_1")
        await Queue(away, numbers).notify("rev_1", ["dlv_1_a"], now_ms=7)
    await away.aclose(close_connection_pool=True)

    notify_id = f"rev_1:{fingerprint('dlv_1_a')[:16]}:0"
    assert [(each["event"], each["job"], each["job_id"], each["error"]) for each in heard.lines] == [
        ("job.not_queued", "revoke", "rev_1:0", "ConnectionError"),
        ("job.not_queued", "notify", notify_id, "ConnectionError"),
    ]
    assert "hunter2" not in repr(heard.lines)
    assert numbers.registry.get_sample_value("logoutd_enqueue_failures_total") == 2.0


def test_a_job_is_written_as_json() -> None:
    job = {"t": None, "f": "revoke", "a": ("rev_1",), "k": {}, "et": 1_800_000_000_000}
    assert serialize(job) == b'{"t":null,"f":"revoke","a":["rev_1"],"k":{},"et":1800000000000}'
    assert deserialize(serialize(job)) == {**job, "a": ["rev_1"]}


def test_what_json_has_no_word_for_is_told_and_never_pickled() -> None:
    assert deserialize(serialize({"r": ValueError("no")})) == {"r": "no"}


@pytest.mark.parametrize("raw", [b"", b"\x80\x04K\x01.", b"cos\nsystem\n(S'true'\ntR."])
def test_a_pickle_is_not_read(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        deserialize(raw)


def test_the_deliveries_of_a_job_name_their_revocation() -> None:
    assert revocation_of(["dlv_abc_1", "dlv_abc_2"]) == "rev_abc"


def test_a_job_lives_longer_than_any_wait_for_a_worker_and_no_longer_than_a_day() -> None:
    assert 60_000 < jobs.EXPIRES_MS < 86_400_000


async def test_a_worker_whose_clock_is_minutes_behind_takes_a_job_at_once_and_in_order(redis: ArqRedis) -> None:
    queue = Queue(redis, Numbers())
    await queue.revoke("rev_1")
    await queue.revoke("rev_2")
    (first, first_score), (_, second_score) = await redis.zrange(QUEUE, 0, -1, withscores=True)
    assert first == b"rev_1:0"
    assert first_score <= second_score
    assert second_score < timestamp_ms() - 5 * 60_000, "arq's workers compare it with their own clocks"
    assert await queue.oldest_age_s("urgent") < 60
