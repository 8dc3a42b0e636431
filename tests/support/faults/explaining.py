"""Which fault explains what a process logs or answers, or that it does not answer. What none explains is a breach."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from tests.support.faults.conducting import Endured

Cause = Literal["redis", "itself", "queue", "death"]
"""Redis was away; the process was itself stopped, ended or started; the queue was deleted by hand; something died in the middle
of its work."""

LONGEST_CALL_S: Final = 5.0
"""How long after a fault a call that was begun during it may yet fail, in seconds: the longest call to Redis, and time to say
so."""

START_S: Final = 15.0
"""How long after its start a process may not answer yet, in seconds; several start at once, on a busy machine."""

TAKEN_UP_S: Final = 60.0
"""How long after a death what was left half done may be taken up, in seconds: a lease, and a sweep of what that delayed."""

_AWAY: Final = frozenset[Cause]({"redis", "itself"})

EXPLAINED_BY: Final[Mapping[str, frozenset[Cause]]] = {
    # Whoever waits for Redis while it is away; and whoever is stopped while it waits, whose time is over when it goes on.
    "request.unavailable": _AWAY,
    "audit.not_taken_back": _AWAY,
    "audit.not_written": _AWAY,
    "client.not_reported": _AWAY,
    "clock.not_read": _AWAY,
    "delivery.not_recorded": _AWAY,
    "job.end_not_queued": _AWAY,
    "job.not_queued": _AWAY,
    "job.record_lost": _AWAY,
    "ledger.not_finished": _AWAY,
    "worker.heartbeat_left": _AWAY,
    "worker.queue_lost": _AWAY,
    "worker.record_lost": _AWAY,
    "redis.finding": _AWAY,
    # A service that died between its record and the cut-off.
    "revocation.completed_late": frozenset({"death"}),
}
"""Warnings and errors that faults explain; any other is a fault of ours."""

JOB_GONE: Final = re.compile(r"job \S+ expired")
"""What arq says of a job on its queue whose body is not there any more."""

REFUSED: Final = "door.refused"
"""A door's refusal is a line of its own. Nobody here asks for what may be refused: only a record out of reach explains one."""


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """The faults of a run, to be asked."""

    endured: Sequence[Endured]

    def explain(self, name: str, causes: Iterable[Cause], at_s: float) -> bool:
        """Whether one of these causes is behind what the process `name` did at this moment of the monotonic clock."""
        return any(self._is_behind(cause, name, at_s) for cause in causes)

    def _is_behind(self, cause: Cause, name: str, at_s: float) -> bool:
        match cause:
            case "redis":
                return any(_lasted(each, LONGEST_CALL_S, at_s) for each in self._of({"redis"}))
            case "queue":
                return any(_lasted(each, LONGEST_CALL_S, at_s) for each in self._of({"queue"}))
            case "itself":
                return any(_lasted(each, START_S, at_s) for each in self._of({name}))
            case "death":
                return any(_lasted(each, TAKEN_UP_S, at_s) for each in self.endured if each.fault.deed != "forget")

    def _of(self, targets: set[str]) -> Iterator[Endured]:
        return (each for each in self.endured if each.fault.target in targets)

    def unexplained_lines(self, name: str, text: str) -> Iterator[str]:
        """Lines of the log of the process `name` that tell of a fault in the product, or are none of its lines at all."""
        apart_s = time.time() - time.monotonic()
        for line in text.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                yield line
                continue
            at_s = datetime.fromisoformat(event["timestamp"]).timestamp() - apart_s
            if _tells(event) and not self.explain(name, _causes(event), at_s):
                yield line


def _lasted(endured: Endured, after_s: float, at_s: float) -> bool:
    return endured.began_s <= at_s <= endured.ended_s + after_s


def _tells(event: Mapping[str, Any]) -> bool:
    return "exception" in event or event["level"] not in {"debug", "info"}


def _causes(event: Mapping[str, Any]) -> frozenset[Cause]:
    if "exception" in event:
        return frozenset()
    if event["logger"] == "arq.worker" and JOB_GONE.fullmatch(event["event"]):
        return frozenset({"queue"})
    if event["event"] == REFUSED:
        return _AWAY if event["outcome"] == "temporarily_unavailable" else frozenset()
    return EXPLAINED_BY.get(event["event"], frozenset())
