"""The judge of the fault runs is judged: it forgives what a fault explains and nothing else, and sees a secret wherever it is."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.faults.conducting import Endured
from tests.support.faults.explaining import EXPLAINED_BY, LONGEST_CALL_S, START_S, TAKEN_UP_S, Explanations
from tests.support.faults.leaking import Secrets, carried_by_jobs
from tests.support.faults.plan import Deed, Fault

BEGAN_S, ENDED_S = 1000.0, 1002.0
"""Of the one fault, by the monotonic clock."""

BY_REDIS = sorted(event for event, causes in EXPLAINED_BY.items() if "redis" in causes)


def after(deed: Deed, target: str) -> Explanations:
    fault = Fault(at_s=0, deed=deed, target=target, lasts_s=ENDED_S - BEGAN_S)
    return Explanations(endured=[Endured(fault=fault, began_s=BEGAN_S, ended_s=ENDED_S)])


def line(event: str, at_s: float, *, level: str = "warning", logger: str = "service.x", **more: object) -> str:
    at = datetime.fromtimestamp(at_s + time.time() - time.monotonic(), UTC)
    return json.dumps({"event": event, "level": level, "logger": logger, "timestamp": at.isoformat(), **more})


def unexplained(explanations: Explanations, text: str) -> list[str]:
    return list(explanations.unexplained_lines("worker-0", text))


@pytest.mark.parametrize("event", BY_REDIS)
def test_what_redis_away_explains_is_forgiven_while_it_is_away_and_no_longer(event: str) -> None:
    away = after("kill", "redis")
    for at_s in (BEGAN_S + 0.1, ENDED_S + LONGEST_CALL_S - 0.1):
        assert unexplained(away, line(event, at_s)) == []
    for at_s in (BEGAN_S - 0.1, ENDED_S + LONGEST_CALL_S + 0.1):
        assert len(unexplained(away, line(event, at_s))) == 1


@pytest.mark.parametrize("event", BY_REDIS)
def test_what_a_process_says_is_explained_by_its_own_fault_and_not_by_anothers(event: str) -> None:
    said = line(event, ENDED_S + START_S - 0.1)
    assert unexplained(after("pause", "worker-0"), said) == []
    assert unexplained(after("pause", "worker-1"), said) == [said]


def test_what_was_completed_late_follows_a_death() -> None:
    said = line("revocation.completed_late", ENDED_S + TAKEN_UP_S - 0.1)
    assert unexplained(after("kill", "service-1"), said) == []
    assert unexplained(after("forget", "queue"), said) == [said]


def test_a_job_without_a_body_follows_a_queue_deleted_by_hand() -> None:
    said = line("job rev_x:0 expired", ENDED_S, logger="arq.worker")
    assert unexplained(after("forget", "queue"), said) == []
    assert unexplained(after("kill", "worker-0"), said) == [said]


@pytest.mark.parametrize(
    "said",
    [
        line("something.new", BEGAN_S + 0.1),
        line("door.refused", BEGAN_S + 0.1, outcome="invalid_token"),
        line("worker.queue_lost", BEGAN_S + 0.1, exception="Traceback"),
        line("delivery.attempted", BEGAN_S + 0.1, level="info", exception="Traceback"),
        "Traceback (most recent call last):",
    ],
)
def test_what_no_fault_explains_is_a_breach_whenever_it_is_said(said: str) -> None:
    assert unexplained(after("kill", "redis"), said) == [said]


def test_what_is_no_warning_needs_no_explanation() -> None:
    assert unexplained(Explanations(endured=[]), line("delivery.attempted", BEGAN_S, level="info")) == []


@pytest.mark.parametrize(
    "said",
    [
        '{"url": "https://x/?logout_token=eyJhbGciOi.ABCDEFGHIJKLMNOPQ.s1"}',
        "part of it: ABCDEFGHIJKLMNOPQ",
        "login_hint=ada%40example.com",
        "to Ada@Example.com.",
        "of somebody else, bob@example.org",
        "+4930123456",
    ],
)
def test_a_secret_is_seen_however_it_is_written(said: str) -> None:
    assert list(Secrets({"eyJhbGciOi.ABCDEFGHIJKLMNOPQ.s1", "ada@example.com", "+4930123456"}).found_in(said))


def test_what_is_none_is_not_taken_for_one() -> None:
    secrets = Secrets({"ada@example.com", "+4930123456"})
    assert (
        list(secrets.found_in('{"event": "delivery.attempted", "client_id": "app-1", "example": "example.com"}')) == []
    )


@pytest.mark.parametrize("place", ["appendonly.aof", "appendonlydir/appendonly.aof.1.incr.aof"])
def test_what_jobs_carry_is_read_from_redis_file_past_what_is_not_commands(tmp_path: Path, place: str) -> None:
    def command(*parts: bytes) -> bytes:
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in parts)

    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        b"REDIS0009\xfa\x00*\xff"
        + command(b"SET", b"logoutd:x", b"ada@example.com")
        + command(b"PSETEX", b"arq:job:rev_1:0", b"1000", b'{"a":["rev_1"]}')
        + command(b"DEL", b"arq:job:rev_1:0")
        + command(b"PSETEX", b"arq:job:rev_2:0", b"1000", b'{"a":["bob@example.com"]}')[:-3]
    )
    first, deleted, last = carried_by_jobs(tmp_path)
    assert '{"a":["rev_1"]}' in first
    assert "rev_1:0" in deleted
    assert [list(Secrets(set()).found_in(each)) != [] for each in (first, deleted, last)] == [False, False, True]
