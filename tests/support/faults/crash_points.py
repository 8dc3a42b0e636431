"""Where a process may die, or lose Redis: at every step of its way, as two undisturbed runs have taken it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from tests.support.faults.forge import NOWHERE, Fate, Step

REHEARSALS: Final = 5
"""Most undisturbed runs until two in a row take the same steps; Redis learns the scripts in the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a process dies."""

    step: str = NOWHERE
    turn: int = 1
    """At which of the steps of that name."""
    commands: int = 0
    after: bool = False
    fate: Fate = "dies"
    held: bool = False
    """It does not die there, but is held up, and dies once it has answered."""

    def __str__(self) -> str:
        if self.held:
            return f"once it has answered, held up before {self.step or 'nothing'}"
        if self.step == NOWHERE:
            return "once it has done everything"
        how = "after" if self.after else f"with {self.commands} commands of" if self.commands else "before"
        return f"{self.fate} {how} {self.step}, number {self.turn} of its name"


def rehearsed(run: Callable[[], list[Step]]) -> list[Step]:
    """The steps of a way: those of two undisturbed runs in a row, in the order of the latter."""
    last: list[Step] = []
    for _ in range(REHEARSALS):
        before, last = last, run()
        if last and Counter(last) == Counter(before):
            return last
    raise AssertionError(
        f"no two runs took the same steps: {sorted((Counter(last) - Counter(before)).elements(), key=str)}"
    )


def holds_of(steps: Sequence[Step]) -> Iterator[Point]:
    """Every point at which something is decided, by a script of ours: what is answered must not be answered before it. And none
    of them, for a process that dies as soon as it has answered."""
    yield Point(held=True)
    for each in points_of(steps):
        if ".lua" in each.step and not each.commands and not each.after:
            yield replace(each, held=True)


def losses_of(steps: Sequence[Step]) -> Iterator[Point]:
    """Every point at which Redis can be lost while the process goes on: before each call to it, within each pipeline, and after
    each, when everything was done and nobody heard of it."""
    whole: Counter[str] = Counter()
    for each in points_of([step for step in steps if step.name != "POST"]):
        whole[each.step] = max(whole[each.step], each.turn)
        if not each.after:
            yield replace(each, fate="loses Redis")
    for name, turns in whole.items():
        yield from (Point(step=name, turn=turn, after=True, fate="loses Redis") for turn in range(1, turns + 1))


def points_of(steps: Sequence[Step]) -> Iterator[Point]:
    """Every point at which these steps can be cut: before each, within each pipeline, after each call to an application and
    after the last of all."""
    turns: Counter[str] = Counter()
    for number, step in enumerate(steps, start=1):
        turns[step.name] += 1
        here = partial(Point, step=step.name, turn=turns[step.name])
        yield here()
        if not all(
            each.startswith("HINCRBY") for each in step.name.split("+")
        ):  # figures, of which nothing is promised
            yield from (here(commands=count) for count in range(1, step.commands))
        if step.name == "POST" or number == len(steps):
            yield here(after=True)
