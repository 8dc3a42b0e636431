"""What a run will do, and when: all of it from one seed, so that a run can be read before and repeated after."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

Way = Literal[
    "email", "iss_sub", "opaque", "aliases", "logout_sub", "logout_sid", "operator", "event_hook", "administrator"
]
"""How a person is revoked: the first four by Global Token Revocation, then two kinds of logout token, `POST /revocations`,
Okta's event hook, `DELETE` of all sessions."""

Deed = Literal["kill", "terminate", "pause", "forget"]
"""SIGKILL, SIGTERM, SIGSTOP until SIGCONT; and to delete the queue's keys by hand."""

Manner = Literal["error", "hang", "reset"]
"""How an application misbehaves: 500, no answer until the sender gives up, a connection broken off."""

Slow = Literal["slow"]
"""How one behaves that signs the person out at once and answers a moment later. No seed chooses it: it is none of the faults."""

HANDS_OFF_S: Final = 1.0
"""Time between two faults of one process, in seconds: one that never gets to run shows nothing."""

LONGEST_PAUSE_S: Final = 4.0
"""Longest time something is stopped, in seconds: well past the time limits of whoever waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a run is."""

    revocations: int
    seconds: float
    """How long revocations are fed."""
    faults: int
    pods: int = 2
    workers: int = 2
    applications: int = 4
    faults_end_after: float = 1.0
    """The share of `seconds` after which no fault begins any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is known through two connections by the very same names, and revoked through one of them."""

    number: int
    at_s: float
    """When their part of the run begins, in seconds from its start."""
    through: int
    """The connection that revokes them, 0 or 1; through the other they stay signed in."""
    way: Way
    applications: tuple[int, ...]
    """Where they are signed in through the first, by number."""
    fresh_assertion: bool
    """Whether the provider signs anew when it has to repeat itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something done to a process, and undone `lasts_s` later."""

    at_s: float
    deed: Deed
    target: str
    """`service-0`, `worker-1`, `redis`, and so on; `queue` for what is forgotten."""
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:7.2f} s  {self.deed:9} {self.target:10} for {self.lasts_s:.2f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehaviour:
    """An application that does not do as it should for a while."""

    at_s: float
    application: int
    manner: Manner | Slow
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:7.2f} s  {self.manner:9} app-{self.application:<6} for {self.lasts_s:.2f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a run does."""

    seed: int
    size: Size
    people: tuple[Person, ...]
    faults: tuple[Fault, ...]
    misbehaviours: tuple[Misbehaviour, ...]

    def arguments(self) -> list[str]:
        """Those of `python -m tests.support.faults` that make it again."""
        size = self.size
        given = {
            "seed": self.seed,
            "revocations": size.revocations,
            "seconds": size.seconds,
            "faults": size.faults,
            "faults-end-after": size.faults_end_after,
            "pods": size.pods,
            "workers": size.workers,
            "applications": size.applications,
        }
        return [part for name, value in given.items() for part in (f"--{name}", str(value))]

    def lines(self) -> Iterator[str]:
        """The plan, to be read."""
        yield (
            f"seed {self.seed}: {len(self.people)} revocations in {self.size.seconds:g} s, {len(self.faults)} faults, "
            f"{self.size.pods} services, {self.size.workers} workers, {self.size.applications} applications"
        )
        timed = [(each.at_s, str(each)) for each in self.faults]
        timed += [(each.at_s, str(each)) for each in self.misbehaviours]
        yield from (text for _, text in sorted(timed))


def make_plan(seed: int, size: Size) -> Plan:
    """The plan of this seed and size: always the same."""
    return Plan(
        seed=seed,
        size=size,
        people=tuple(_people(random.Random(f"people {seed}"), size)),
        faults=tuple(_faults(random.Random(f"faults {seed}"), size)),
        misbehaviours=tuple(_misbehaviours(random.Random(f"applications {seed}"), size)),
    )


def _people(chance: random.Random, size: Size) -> Iterator[Person]:
    times = sorted(chance.uniform(0, size.seconds) for _ in range(size.revocations))
    for number, at_s in enumerate(times):
        yield Person(
            number=number,
            at_s=round(at_s, 3),
            through=chance.randrange(2),
            way=chance.choice(get_args(Way)),
            applications=tuple(sorted(chance.sample(range(size.applications), chance.randint(1, 3)))),
            fresh_assertion=chance.random() < 0.3,
        )


def _faults(chance: random.Random, size: Size) -> Iterator[Fault]:
    targets = [
        *(f"service-{each}" for each in range(size.pods)),
        *(f"worker-{each}" for each in range(size.workers)),
        *("redis", "redis", "queue"),
    ]
    free_from = dict.fromkeys(targets, 0.0)
    # Each target once, then at random: a short run has something of everything.
    first = chance.sample(sorted(free_from), len(free_from))
    wanted = [*first, *(chance.choice(targets) for _ in range(size.faults))][: size.faults]
    last_s = size.seconds * size.faults_end_after
    times = sorted(chance.uniform(0.3, last_s) for _ in wanted)
    found = []
    for wished_s, target in zip(times, wanted, strict=True):
        deed: Deed = "forget" if target == "queue" else chance.choice(("kill", "kill", "terminate", "pause"))
        lasts_s = 0.0 if deed == "forget" else chance.uniform(0.1, LONGEST_PAUSE_S if deed == "pause" else 2.0)
        at_s = round(max(wished_s, free_from[target]), 2)
        free_from[target] = at_s + lasts_s + HANDS_OFF_S
        found.append(Fault(at_s=at_s, deed=deed, target=target, lasts_s=round(lasts_s, 2)))
    yield from sorted((each for each in found if each.at_s <= last_s), key=lambda each: (each.at_s, each.target))


def _misbehaviours(chance: random.Random, size: Size) -> Iterator[Misbehaviour]:
    for _ in range(max(1, size.faults // 3)):
        yield Misbehaviour(
            at_s=round(chance.uniform(0, size.seconds * size.faults_end_after), 2),
            application=chance.randrange(size.applications),
            manner=chance.choice(get_args(Manner)),
            lasts_s=round(chance.uniform(0.2, 3.0), 2),
        )
