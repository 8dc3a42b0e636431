"""The fleet's numbers as Prometheus metrics: read from Redis once per scrape, the same from every service process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.domain.clock import Clock
from service.domain.revocation import Lane
from service.errors import Unavailable
from service.jobs import QUEUES, Queue
from service.store.backlogs import Backlogs
from service.store.blast_radius import BlastRadius
from service.store.client_health import ClientHealths
from service.store.dead_letters import DeadLetters
from service.store.heartbeats import Heartbeats
from service.store.schedule import Backlog, Schedule
from service.store.statistics import TOLD_BUCKETS_S, Statistics, Totals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FleetCollector(Collector):
    """What the record said at one moment; `totals`, `backlog` and `dead_letters` are None when it could not be reached."""

    totals: Totals | None
    backlog: Backlog | None
    dead_letters: int | None
    held_connections: int
    held: Mapping[str, int]
    """Applications that are told nothing now, by why."""
    waiting: int
    workers: int
    oldest_job_s: Mapping[Lane, float]
    now_ms: int

    @classmethod
    async def read(
        cls,
        *,
        statistics: Statistics,
        schedule: Schedule,
        heartbeats: Heartbeats,
        blast_radius: BlastRadius,
        dead_letters: DeadLetters,
        queue: Queue,
        client_healths: ClientHealths,
        backlogs: Backlogs,
        clock: Clock,
    ) -> "FleetCollector":
        """Ask the record. A scrape during an outage still has this process's numbers, and `logoutd_record_up` 0."""
        try:
            now_ms = clock.now_ms()
            return cls(
                totals=await statistics.totals(),
                backlog=await schedule.backlog(),
                dead_letters=await dead_letters.count(now_ms=now_ms),
                held_connections=await blast_radius.count_held(),
                held=await client_healths.counts(),
                waiting=await backlogs.total(),
                workers=len(await heartbeats.alive(now_ms=now_ms)),
                oldest_job_s={lane: await queue.oldest_age_s(lane) for lane in QUEUES},
                now_ms=now_ms,
            )
        except Unavailable:
            return cls(
                totals=None,
                backlog=None,
                dead_letters=None,
                held_connections=0,
                held={},
                waiting=0,
                workers=0,
                oldest_job_s={},
                now_ms=0,
            )

    def exposition(self) -> bytes:
        """In Prometheus's text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        yield GaugeMetricFamily(
            "logoutd_record_up", "1 when Redis answered this scrape.", value=0 if self.totals is None else 1
        )
        yield GaugeMetricFamily("logoutd_workers", "Workers heard of in the last 15 seconds.", value=self.workers)
        yield GaugeMetricFamily(
            "logoutd_connections_held",
            "Connections whose revocations are held until an operator releases them.",
            value=self.held_connections,
        )
        if self.totals is not None:
            yield from self._counted(self.totals)
        if self.backlog is not None:
            yield from self._undone(self.backlog)
        if self.dead_letters is not None:
            yield GaugeMetricFamily(
                "logoutd_dead_letters",
                "Deliveries that were given up and not redelivered, while they are listed.",
                value=self.dead_letters,
            )

    def _counted(self, totals: Totals) -> Iterable[Metric]:
        deliveries = CounterMetricFamily(
            "logoutd_deliveries", "Deliveries closed, by outcome (`delivered`, `dead`, `skipped`).", labels=["outcome"]
        )
        for outcome, count in sorted(totals.deliveries.items()):
            deliveries.add_metric([outcome], count)
        yield deliveries
        attempts = CounterMetricFamily(
            "logoutd_delivery_attempts", "Logout tokens sent, by result: a status class or an error.", labels=["result"]
        )
        for result, count in sorted(totals.attempts.items()):
            attempts.add_metric([result], count)
        yield attempts
        yield CounterMetricFamily(
            "logoutd_audit_cut_back",
            "Times a worker has found the audit trail without a seal that it had seen in it.",
            value=totals.cut_back,
        )
        bounds = [*(str(bound) for bound in TOLD_BUCKETS_S), "+Inf"]
        cumulated = accumulate(totals.told_buckets.get(bound, 0) for bound in bounds)
        yield HistogramMetricFamily(
            "logoutd_told_seconds",
            "From a revocation's record to its last application told or given up on, in seconds.",
            buckets=list(zip(bounds, cumulated, strict=True)),
            sum_value=totals.told_sum_s,
        )

    def _undone(self, backlog: Backlog) -> Iterable[Metric]:
        yield GaugeMetricFamily("logoutd_open_revocations", "Revocations not finished.", value=backlog.open_revocations)
        yield GaugeMetricFamily("logoutd_queue_depth", "Entries in the due index.", value=backlog.due_entries)
        yield GaugeMetricFamily(
            "logoutd_oldest_open_seconds",
            "Age of the oldest unfinished revocation, in seconds.",
            value=self._age(backlog.oldest_open_ms),
        )
        yield GaugeMetricFamily(
            "logoutd_overdue_seconds",
            "How long what waits longest for a worker has waited: an overdue entry or a queued urgent job, in seconds.",
            value=max(self._age(backlog.most_overdue_ms), self.oldest_job_s.get("urgent", 0.0)),
        )

        ages = GaugeMetricFamily(
            "logoutd_queue_age_seconds", "How long the job that waits longest has waited, in seconds.", labels=["lane"]
        )
        for lane, age_s in self.oldest_job_s.items():
            ages.add_metric([lane], age_s)
        yield ages
        held = GaugeMetricFamily(
            "logoutd_clients_held",
            "Applications that are told nothing now, by why (`paused`, `suspended`, `circuit_open`).",
            labels=["state"],
        )
        for state, count in sorted(self.held.items()):
            held.add_metric([state], count)
        yield held
        yield GaugeMetricFamily(
            "logoutd_waiting_deliveries", "Logout tokens that wait in backlogs of applications.", value=self.waiting
        )

    def _age(self, since_ms: int | None) -> float:
        return 0.0 if since_ms is None else max(0, self.now_ms - since_ms) / 1000
