"""How long it took to recover: from the end of each fault to the first answer after it, and to the last delivery that was owed
when it ended; and what happened meanwhile to the one that waited longest."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.support.faults.applications import Applications
from tests.support.faults.conducting import Endured
from tests.support.faults.feeding import Feeder
from tests.support.faults.lives import Life
from tests.support.faults.plan import Misbehaviour
from tests.support.faults.verdict import Verdict, owed

BEFORE_S: Final = 1.0
"""How long before its acknowledgement the history of a delivery begins, in seconds."""

MOST_SHOWN: Final = 160
"""Most characters of a line of a log that are shown."""

MOST_LINES: Final = 60
"""Most lines of a history."""

_QUIET: Final = frozenset(
    {"timestamp", "level", "logger", "event", "revocation_id", "delivery_id", "txn", "request_id"}
)
"""What a line of a log says that a history says anyway, or nobody asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One application, told of one person after a fault during which it was owed that."""

    life: Life
    number: int
    """Of the application."""
    after: Endured
    told_s: float

    @property
    def lasted_s(self) -> float:
        """From the fault's end."""
        return self.told_s - self.after.ended_s


def measure_recovery(
    verdict: Verdict, lives: Sequence[Life], applications: Applications, endured: Sequence[Endured], feeder: Feeder
) -> Recovery | None:
    """Write both into the verdict; the longest of the second kind."""
    told = applications.by_person
    first_told = [(life, number, told[number][sub][0].at_s) for life, number, sub in owed(lives) if sub in told[number]]
    found: list[Recovery] = []
    for each in endured:
        name = each.fault.target
        after = [
            at_s - each.ended_s
            for at_s, by in feeder.answers
            if at_s >= each.ended_s and (by == name or not name.startswith("service"))
        ]
        if not after:
            verdict.breaches.append(f"nobody answered any more after {str(each.fault).strip()}")
        verdict.longest_until_answered_s = max(verdict.longest_until_answered_s, min(after, default=math.inf))
        found += [
            Recovery(life=life, number=number, after=each, told_s=at_s)
            for life, number, at_s in first_told
            if (life.acknowledged_s or 0.0) <= each.ended_s < at_s
        ]
    verdict.faults = len(endured)
    longest = max(found, key=lambda one: one.lasted_s, default=None)
    if longest is not None:
        verdict.longest_until_told_s = longest.lasted_s
        verdict.slowest = (
            f"from {longest.after.ended_s - feeder.began_s:.2f} s, the end of a {longest.after.fault.deed} of "
            f"{longest.after.fault.target}, to {longest.told_s - feeder.began_s:.2f} s: "
            f"{longest.life.sub} at {applications.every[longest.number].client_id}"
        )
    return longest


@dataclass(frozen=True, kw_only=True)
class Histories:
    """What there is to tell a delivery's history from. Moments are told from when the feeder began."""

    feeder: Feeder
    logs: Mapping[str, Path]
    endured: Sequence[Endured]
    misbehaviours: Sequence[Misbehaviour]
    started_s: float
    """When the plan's time began, by the monotonic clock."""

    async def of(self, recovery: Recovery, client_id: str) -> list[str]:
        """Faults, misbehaviours, attempts and lines of logs from the acknowledgement to the telling, in their order."""
        life = recovery.life
        if life.revoked is None:
            raise AssertionError("whoever is revoked has signed in")
        listed = await self.feeder.api("GET", f"/api/v2/revocations?user_id={life.revoked.user_id}")
        receipts = [
            await self.feeder.api("GET", f"/api/v2/revocations/{each['revocation_id']}") for each in listed["items"]
        ]
        deliveries = [each for receipt in receipts for each in receipt["deliveries"] if each["client_id"] == client_id]
        names = {each["revocation_id"] for each in receipts} | {each["delivery_id"] for each in deliveries}
        acknowledged_s = life.acknowledged_s or 0.0
        told = [
            (acknowledged_s, f"acknowledged ({life.person.way})"),
            (recovery.told_s, f"{client_id} was told"),
            *self._faults(recovery),
            *((at_s, f"attempt: {text}") for each in deliveries for at_s, text in _attempts(each)),
            *self._lines(names, client_id),
        ]
        meant = sorted(each for each in told if acknowledged_s - BEFORE_S <= each[0] <= recovery.told_s + BEFORE_S)
        lines = [f"{at_s - self.feeder.began_s:8.2f} s  {text}" for at_s, text in meant]
        omitted = len(lines) - MOST_LINES
        return lines if omitted <= 0 else [*lines[: MOST_LINES // 2], f"({omitted} more)", *lines[-MOST_LINES // 2 :]]

    def _faults(self, recovery: Recovery) -> Iterator[tuple[float, str]]:
        for each in self.endured:
            yield (
                each.began_s,
                f"{each.fault.deed} {each.fault.target} until {each.ended_s - self.feeder.began_s:.2f} s",
            )
        for bad in self.misbehaviours:
            if bad.application == recovery.number:
                yield self.started_s + bad.at_s, f"app-{bad.application}: {bad.manner} for {bad.lasts_s:.2f} s"

    def _lines(self, names: set[str], client_id: str) -> Iterator[tuple[float, str]]:
        """Of logs: those that name the revocation, the delivery, or the application's state."""
        for process, path in self.logs.items():
            for line in path.read_text("utf-8", "replace").splitlines():
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                of_client = str(event.get("event")).startswith("client.") and event.get("client_id") == client_id
                if of_client or any(each in line for each in names):
                    more = " ".join(f"{name}={value}" for name, value in event.items() if name not in _QUIET)[
                        :MOST_SHOWN
                    ]
                    yield _monotonic_s(event["timestamp"]), f"{process}: {event['event']} {more}"


def _attempts(delivery: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    for each in delivery["attempts"]:
        yield _monotonic_s(each["at"]), str(each.get("status") or each.get("error"))


def _monotonic_s(moment: str) -> float:
    """What the monotonic clock showed then."""
    return datetime.fromisoformat(moment).timestamp() - (time.time() - time.monotonic())
