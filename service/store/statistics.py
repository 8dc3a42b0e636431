"""The fleet's numbers: counted where the outcome is recorded, read by whoever is asked for /metrics.

Workers have no port of their own. What they count is added up in Redis, so that any one service process shows it all;
every process shows the same figures, so a dashboard takes their maximum and not their sum.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from service.store import keyspace
from service.store.record import Command, Record, Script

TOLD_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0, 3600.0, 86400.0)
"""Upper bounds of the histogram of the time to the last application told, in seconds: from a hundredth to a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Everything the fleet has counted since the record began."""

    deliveries: Mapping[str, int]
    attempts: Mapping[str, int]
    told_buckets: Mapping[str, int]
    told_sum_s: float
    told_count: int
    cut_back: int
    """Times the audit trail was found without a seal that a worker had seen in it."""


class Statistics:
    """Counters in one hash."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def count(self, *, deliveries: Iterable[str], attempts: Iterable[str], told_s: Iterable[float]) -> None:
        """Add delivery outcomes, attempt results, and times from acceptance to the last application told."""
        commands: list[Command | Script] = [_add(f"deliveries:{outcome}") for outcome in deliveries]
        commands += [_add(f"attempts:{result}") for result in attempts]
        for seconds in told_s:
            bucket = next((str(bound) for bound in TOLD_BUCKETS_S if seconds <= bound), "+Inf")
            commands += [
                _add(f"told_bucket:{bucket}"),
                _add("told_count"),
                ("HINCRBYFLOAT", keyspace.STATISTICS, "told_sum_s", f"{seconds:.6f}"),
            ]
        await self._record.pipeline(commands)

    async def count_cut_back(self) -> None:
        """A worker has found the audit trail without a seal that it had seen in it."""
        await self._record.run(*_add("audit_cut_back"))

    async def totals(self) -> Totals:
        """Everything counted so far."""
        found: dict[str, str] = await self._record.run("HGETALL", keyspace.STATISTICS)

        def group(prefix: str) -> dict[str, int]:
            return {name.removeprefix(prefix): int(count) for name, count in found.items() if name.startswith(prefix)}

        return Totals(
            deliveries=group("deliveries:"),
            attempts=group("attempts:"),
            told_buckets=group("told_bucket:"),
            told_sum_s=float(found.get("told_sum_s", 0)),
            told_count=int(found.get("told_count", 0)),
            cut_back=int(found.get("audit_cut_back", 0)),
        )


def _add(name: str) -> Command:
    return ("HINCRBY", keyspace.STATISTICS, name, 1)
