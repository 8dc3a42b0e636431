"""What a run has come to: what was acknowledged, what of it is in force, who was told, and whom it should not have touched."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.faults.applications import Applications
from tests.support.faults.conducting import Endured
from tests.support.faults.feeding import Feeder, Life

SHOWN: Final = 10
"""Most breaches of one kind that are printed."""

WORD: Final = re.compile(r"[A-Za-z0-9_+@.-]{8,}")
"""What could be a secret, in a line of a log."""

EXPECTED: Final = frozenset({"request.unavailable", "audit.not_written"})
"""Errors that are told because Redis was taken away."""


@dataclass(kw_only=True)
class Verdict:
    """The figures of a run, and everything that was promised and not kept."""

    acknowledged: int = 0
    effective: int = 0
    told: int = 0
    lost: int = 0
    untouched: int = 0
    """People revoked by nobody, known by the same names through the other connection, who are still signed in."""
    receipts_finished: int = 0
    attempts: int = 0
    duplicates: int = 0
    faults: int = 0
    longest_until_answered_s: float = 0.0
    longest_until_told_s: float = 0.0
    slowest: str = ""
    """Which that was."""
    breaches: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """To be read, and to be parsed: `name value`."""
        for name in (
            *("acknowledged", "effective", "told", "lost", "untouched", "receipts_finished"),
            *("attempts", "duplicates", "faults"),
        ):
            yield f"{name:24} {getattr(self, name)}"
        yield f"{'longest_until_answered':24} {self.longest_until_answered_s:.2f} s"
        yield f"{'longest_until_told':24} {self.longest_until_told_s:.2f} s, after {self.slowest or 'none'}"
        yield f"{'breaches':24} {len(self.breaches)}"
        yield from (f"  {each}" for each in self.breaches)

    def hold(self, what: str, found: Iterable[str]) -> None:
        """A promise: nothing may be found. What is found is a breach."""
        every = list(found)
        self.breaches += [f"{what}: {each}" for each in every[:SHOWN]]
        if len(every) > SHOWN:
            self.breaches.append(f"{what}: {len(every) - SHOWN} more")


def owed(lives: Sequence[Life]) -> Iterator[tuple[Life, int, str]]:
    """What must have been told: of each acknowledged person, each application they were signed in to, by number."""
    for life in lives:
        if life.acknowledged_s is not None and life.revoked is not None:
            yield from ((life, number, life.revoked.user_id) for number in life.person.applications)


def judge_telling(verdict: Verdict, lives: Sequence[Life], applications: Applications) -> None:
    """Who was told and who not, who should not have been, and how often."""
    told = applications.by_person
    untold = [f"{life.sub} to app-{number}" for life, number, sub in owed(lives) if sub not in told[number]]
    silent = {each.split(" ", 1)[0] for each in untold}
    verdict.told = sum(life.acknowledged_s is not None and life.sub not in silent for life in lives)
    verdict.lost = verdict.acknowledged - verdict.told
    verdict.hold("never told", untold)
    twins = {life.twin.user_id: life for life in lives if life.twin is not None}
    verdict.hold(
        "told of somebody nobody revoked",
        (f"{twins[sub].sub} to {each.client_id}" for each in applications.every for sub in each.named & set(twins)),
    )
    elsewhere = {life.revoked.user_id: life for life in lives if life.revoked is not None}
    verdict.hold(
        "told where they never were",
        (
            f"{elsewhere[sub].sub} to {each.client_id}"
            for each in applications.every
            for sub in each.named & set(elsewhere)
            if each.number not in elsewhere[sub].person.applications
        ),
    )
    verdict.hold("no token that an application may take", applications.wrong)
    verdict.attempts = sum(each.attempts for each in applications.every)
    verdict.duplicates = applications.duplicates()


def measure_recovery(
    verdict: Verdict, lives: Sequence[Life], applications: Applications, endured: Sequence[Endured], feeder: Feeder
) -> None:
    """From the end of each fault to the first answer after it, and to the last delivery that was owed when it ended."""
    told = applications.by_person
    first_told = [
        (life.acknowledged_s or 0.0, told[number][sub][0].at_s)
        for life, number, sub in owed(lives)
        if sub in told[number]
    ]
    for each in endured:
        name = each.fault.target
        after = [
            at_s - each.ended_s
            for at_s, by in feeder.answers
            if at_s >= each.ended_s and (by == name or not name.startswith("service"))
        ]
        verdict.longest_until_answered_s = max(verdict.longest_until_answered_s, min(after, default=0.0))
        late = [at_s - each.ended_s for acknowledged_s, at_s in first_told if acknowledged_s <= each.ended_s < at_s]
        if max(late, default=0.0) > verdict.longest_until_told_s:
            verdict.longest_until_told_s, verdict.slowest = max(late), str(each.fault).strip()
    verdict.faults = len(endured)


def is_fault(line: str) -> bool:
    """Whether a line of the log tells of a fault in the product, or is none of its lines at all."""
    try:
        event = json.loads(line)
    except ValueError:
        return True
    return "exception" in event or (event["level"] in {"error", "critical"} and event["event"] not in EXPECTED)


def judge_logs(verdict: Verdict, logs: Iterable[Path], secrets: set[str]) -> None:
    """Law 7, and that nothing we did to them was a surprise to the processes themselves."""
    wanted = {each.lower() for each in secrets}
    # A token's parts betray it as well as the whole.
    wanted |= {part for each in wanted if each.startswith("eyj") for part in each.split(".") if len(part) > 16}
    for path in logs:
        text = path.read_text("utf-8", "replace")
        verdict.hold(
            f"a fault of ours in {path.name}",
            (line[:300] for line in text.splitlines() if is_fault(line)),
        )
        words = {word.strip(".").lower() for word in WORD.findall(text)}
        verdict.hold(f"a secret in {path.name}", (f"{each[:6]}…" for each in words & wanted))
        looks = re.findall(r"eyJ[\w-]{10,}|[\w.+-]+@[\w-]+\.\w+", text)
        verdict.hold(f"what looks like one in {path.name}", (f"{each[:6]}…" for each in looks))
