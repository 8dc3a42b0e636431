"""Allowances that refill: how often something may be done, kept per key, in bounded memory."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from service.domain.clock import Clock

MAX_BUCKETS: Final = 10_000
"""Most keys one set of buckets remembers; the least recently used goes, and so begins anew with a full one. Strangers choose
keys, and each takes some hundred bytes."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at_ms: int


class TokenBuckets:
    """One bucket a key: `burst` at once, `per_second` over time. In this process alone."""

    def __init__(self, clock: Clock, *, per_second: float, burst: float, most: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)

    def wait_s(self, key: Hashable) -> float:
        """How long until there is one to take, in seconds; 0 when there is. Takes nothing."""
        left = self._left(key)
        return 0.0 if left >= 1 else (1 - left) / self._per_second

    def take(self, key: Hashable) -> float:
        """Take one. How long until there is one, in seconds: 0 when it was taken."""
        left = self._left(key)
        if left < 1:
            return (1 - left) / self._per_second
        self._keep(key, left - 1)
        return 0.0

    def _left(self, key: Hashable) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._burst
        # A clock that was set back gives nothing, and takes nothing away.
        passed_ms = max(0, self._clock.now_ms() - bucket.at_ms)
        return min(self._burst, bucket.left + passed_ms / 1000 * self._per_second)

    def _keep(self, key: Hashable, left: float) -> None:
        self._buckets[key] = _Bucket(left, self._clock.now_ms())
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)


class Remembered:
    """Keys seen within the last `for_ms`, the `most` most recent of them."""

    def __init__(self, clock: Clock, *, for_ms: int, most: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._for_ms = for_ms
        self._most = most
        self._seen: OrderedDict[Hashable, int] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        """Whether it was seen lately."""
        at_ms = self._seen.get(key)
        return at_ms is not None and self._clock.now_ms() - at_ms < self._for_ms

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._seen)

    def add(self, key: Hashable) -> None:
        """It was seen now."""
        self._seen[key] = self._clock.now_ms()
        self._seen.move_to_end(key)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
