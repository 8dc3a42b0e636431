"""What a run has come to: what was acknowledged, what of it is in force, who was told, and whom it should not have touched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.support.faults.applications import Applications
from tests.support.faults.explaining import Explanations
from tests.support.faults.feeding import Feeder
from tests.support.faults.fleet import Fleet
from tests.support.faults.leaking import Secrets, carried_by_jobs
from tests.support.faults.lives import Life

SHOWN: Final = 10
"""Most breaches of one kind that are printed."""


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
    history: list[str] = field(default_factory=list)
    """What happened meanwhile."""
    breaches: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """To be read, and to be parsed: `name value`."""
        for name in (
            *("acknowledged", "effective", "told", "lost", "untouched", "receipts_finished"),
            *("attempts", "duplicates", "faults"),
        ):
            yield f"{name:24} {getattr(self, name)}"
        yield f"{'longest_until_answered':24} {self.longest_until_answered_s:.2f} s"
        yield f"{'longest_until_told':24} {self.longest_until_told_s:.2f} s {self.slowest}"
        yield from (f"  {each}" for each in self.history)
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
    verdict.hold("told of another session, or not of theirs", _sids_amiss(elsewhere, applications))
    verdict.hold(
        "told of nobody we know",
        (each.client_id for each in applications.every if each.named - set(elsewhere) - set(twins)),
    )
    verdict.hold("in two hands at once", applications.crossed)
    verdict.hold("no token that an application may take", applications.wrong)
    verdict.attempts = sum(each.attempts for each in applications.every)
    verdict.duplicates = applications.duplicates()


def _sids_amiss(people: Mapping[str, Life], applications: Applications) -> Iterator[str]:
    """Who was told by the name of a session that is not theirs, or never by that of theirs where applications need it."""
    for application, told in zip(applications.every, applications.by_person, strict=True):
        for sub in told.keys() & people.keys():
            life, sids = people[sub], {each.sid for each in told[sub]} - {None}
            if life.revoked is None:
                continue
            missing = application.session_required and life.revoked.session_id not in sids
            if missing or (sids - {life.revoked.session_id} and not life.revoked.asked_twice):
                yield f"{life.sub} to {application.client_id}"


def judge_answers(verdict: Verdict, explanations: Explanations, feeder: Feeder) -> None:
    """That whoever was turned away, or had no answer, has a fault to blame."""
    turned_away = (("503", feeder.refusals), ("no answer", feeder.silences))
    verdict.hold(
        "turned away without a fault",
        (
            f"{what} by {name}, {at_s - feeder.began_s:.2f} s after the start"
            for what, every in turned_away
            for at_s, name in every
            if not explanations.explain(name, ("redis", "itself"), at_s)
        ),
    )


def judge_writing(verdict: Verdict, explanations: Explanations, fleet: Fleet, secrets: Secrets) -> None:
    """Law 7, and that nothing we did to them was a surprise to the processes themselves."""
    texts = {name: path.read_text("utf-8", "replace") for name, path in fleet.logs.items()}
    for name, text in texts.items():
        verdict.hold(f"a fault of ours, by {name}", (each[:300] for each in explanations.unexplained_lines(name, text)))
    texts["redis"] = fleet.redis.log.read_text("utf-8", "replace")
    for name, text in texts.items():
        verdict.hold(f"a secret in what {name} wrote", secrets.found_in(text))
    jobs = carried_by_jobs(fleet.redis_folder)
    if not jobs:
        verdict.breaches.append("no job was seen in Redis: what jobs carry was not looked at")
    verdict.hold("a secret in a job", (found for each in jobs for found in secrets.found_in(each)))
