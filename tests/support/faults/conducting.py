"""Doing to the processes what the plan says, at its time, and undoing it."""

import heapq
import itertools
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import redis

from tests.support.faults.fleet import Fleet
from tests.support.faults.plan import Fault

GRACE_S: Final = 20.0
"""Longest a process may take to end after SIGTERM, in seconds: less than Kubernetes and Compose grant it."""

START_S: Final = 15.0
"""How long after its start a process may be without a handler for SIGTERM, in seconds: it then ends at once, by the signal,
and has nothing in hand."""

POLL_S: Final = 0.05
"""Pause between two looks at a process that is to end, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endured:
    """A fault that is over."""

    fault: Fault
    began_s: float
    ended_s: float
    """By the monotonic clock; when what was broken had been started or let go on."""


@dataclass(kw_only=True)
class Conductor:
    """Carries out faults. Blocks; on the main thread, for it starts processes."""

    fleet: Fleet
    endured: list[Endured] = field(default_factory=list)
    unclean: list[str] = field(default_factory=list)
    """Processes that did not end as they should when they were asked to."""
    _started_s: dict[str, float] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)

    def carry_out(self, faults: tuple[Fault, ...], *, started_s: float) -> None:
        """All of these, each at its time after `started_s`; returns when everything runs again."""
        for each in faults:
            self._at(started_s + each.at_s, lambda fault=each: self._begin(fault))  # type: ignore[misc]  # a default binds it
        while self._due:
            at_s, _, act = heapq.heappop(self._due)
            time.sleep(max(0.0, at_s - time.monotonic()))
            act()

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_s, next(self._order), act))

    def _begin(self, fault: Fault) -> None:
        began_s, name = time.monotonic(), fault.target
        if name in self._broken:  # the one before takes longer than was planned
            self._at(began_s + POLL_S, lambda: self._begin(fault))
            return
        if fault.deed != "forget" and self.fleet.has_ended(name):
            self.unclean.append(f"{name} had ended by itself, with status {self.fleet.status(name)}")
            self._start(name)
        match fault.deed:
            case "kill":
                self.fleet.kill(name)
            case "terminate":
                self.fleet.terminate(name)
            case "pause":
                self.fleet.pause(name)
            case "forget":
                try:
                    self.fleet.forget_queue()
                except redis.RedisError:  # Redis is away just now, and the queue with it
                    self._at(time.monotonic() + POLL_S, lambda: self._begin(fault))
                    return
        self._broken.add(name)
        self._at(began_s + fault.lasts_s, lambda: self._end(fault, began_s))

    def _start(self, name: str) -> None:
        self._started_s[name] = time.monotonic()
        self.fleet.start(name)

    def _end(self, fault: Fault, began_s: float) -> None:
        name = fault.target
        match fault.deed:
            case "pause":
                self.fleet.resume(name)
            case "terminate" if not self.fleet.has_ended(name):
                if time.monotonic() < began_s + GRACE_S:
                    self._at(time.monotonic() + POLL_S, lambda: self._end(fault, began_s))
                    return
                self.unclean.append(f"{name} did not end within {GRACE_S:g} s of SIGTERM")
                self.fleet.kill(name)
                self._start(name)
            case "terminate":
                status = self.fleet.status(name)
                had_started = began_s - self._started_s.get(name, 0.0) > START_S
                if status != 0 and (had_started or status != -signal.SIGTERM):
                    self.unclean.append(f"{name} ended with status {status} after SIGTERM")
                self._start(name)
            case "kill":
                self._start(name)
            case "forget":
                pass
        self._broken.remove(name)
        self.endured.append(Endured(fault=fault, began_s=began_s, ended_s=time.monotonic()))
