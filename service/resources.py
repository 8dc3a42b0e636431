"""Everything a process holds while it runs. Web, worker, shell and tests all start here, with the same parts."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from service import jobs
from service.accept import Sink
from service.accept_logout import Logouts
from service.domain.clock import Clock, SystemClock
from service.keys.key_file import KeyFile
from service.keys.ring import KeyRing
from service.outbound import MAX_CONNECTIONS, Outbound, open_outbound
from service.queue_redis import QueueRedis
from service.redeliver import Redeliverer
from service.settings import Settings, secret_file
from service.store.applications import Applications
from service.store.audit import Trail
from service.store.audit_seals import Seals
from service.store.backlogs import Backlogs
from service.store.blast_radius import BlastRadius
from service.store.client_health import ClientHealths
from service.store.connections import Connections
from service.store.covered import Covered
from service.store.dead_letters import DeadLetters
from service.store.deliveries import Deliveries
from service.store.dry_runs import DryRuns
from service.store.durability import Awaited, Durability
from service.store.erasures import Erasures
from service.store.fleet_clock import FleetClock
from service.store.health import Finding, inspect_redis
from service.store.heartbeats import Heartbeats
from service.store.kept_tokens import KeptTokens
from service.store.people import People
from service.store.pseudonyms import Pseudonyms
from service.store.record import Record, open_pool
from service.store.redeliveries import Redeliveries
from service.store.refresh_tokens import RefreshTokens
from service.store.replay import Replays
from service.store.revocations import Revocations
from service.store.schedule import Schedule
from service.store.sessions import DAY_MS, Sessions
from service.store.statistics import Statistics
from service.store.turns import Turns
from service.store.upstream import UpstreamSessions
from service.telemetry import BoundedLines, Numbers, get_logger
from service.verify.capture import Captures
from service.verify.issuer_keys import IssuerKeys

log = get_logger(__name__)

QUEUE_POOL_SIZE: Final = 32
"""Connections to the queue's Redis per process."""


CANCEL_AGAIN_S: Final = 0.1
"""Pause between two requests to a background task to end, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The parts, wired once. Steps do not take this whole: they take what they use of it, by keyword."""

    settings: Settings
    clock: Clock
    """This machine's: for what other parties' clocks are compared with."""
    fleet_clock: Clock
    """Redis': for what one of our processes writes and another compares."""
    numbers: Numbers
    key_file: KeyFile
    key_ring: KeyRing
    record: Record
    durability: Durability
    queue_redis: QueueRedis
    connections: Connections
    applications: Applications
    client_healths: ClientHealths
    backlogs: Backlogs
    turns: Turns
    people: People
    erasures: Erasures
    covered: Covered
    upstream: UpstreamSessions
    sessions: Sessions
    refresh_tokens: RefreshTokens
    replays: Replays
    revocations: Revocations
    deliveries: Deliveries
    dead_letters: DeadLetters
    redeliveries: Redeliveries
    redeliverer: Redeliverer
    dry_runs: DryRuns
    blast_radius: BlastRadius
    schedule: Schedule
    statistics: Statistics
    heartbeats: Heartbeats
    trail: Trail
    seals: Seals
    queue: jobs.Queue
    sink: Sink
    logouts: Logouts
    kept_tokens: KeptTokens
    outbound: Outbound
    issuer_keys: IssuerKeys
    captures: Captures


@asynccontextmanager
async def open_resources(settings: Settings, *, clock: Clock | None = None) -> AsyncGenerator[Resources]:
    """Open everything; close it again in reverse. Raises SettingsError or SigningKeysError before anything is open.

    Redis is asked for its clock alone, and may be away: whether it can be reached is for each request, job and check to find out.
    """
    settings.require("public_url", "signing_keys_file")
    if settings.signing_keys_file is None:
        raise AssertionError("unreachable: required above")
    injected, clock = clock, clock or SystemClock()
    key_file = KeyFile(settings.signing_keys_file, clock=clock)
    numbers = Numbers()
    async with AsyncExitStack() as stack:
        following = asyncio.create_task(key_file.follow())
        stack.push_async_callback(end_tasks, [following])
        data = Redis(connection_pool=open_pool(settings.redis_url.get_secret_value(), decode=True))
        stack.push_async_callback(data.aclose, close_connection_pool=True)
        queue_redis = QueueRedis(
            pool_or_conn=open_pool(settings.queue_url, decode=False, size=QUEUE_POOL_SIZE),
            job_serializer=jobs.serialize,
            job_deserializer=jobs.deserialize,
            default_queue_name=jobs.QUEUE,
            expires_extra_ms=jobs.EXPIRES_MS,
        )
        stack.push_async_callback(queue_redis.aclose, close_connection_pool=True)
        outbound = await stack.enter_async_context(
            open_outbound(
                allowed_networks=settings.allowed_private_networks,
                max_connections=max(MAX_CONNECTIONS, settings.max_concurrent_deliveries),
            )
        )

        issuer_keys = IssuerKeys(fetcher=outbound, clock=clock, numbers=numbers)
        stack.push_async_callback(issuer_keys.close)

        record = Record(data)
        fleet_clock = injected
        if fleet_clock is None:
            fleet_clock = FleetClock(record, clock)
            await fleet_clock.start()
            following = asyncio.create_task(fleet_clock.follow())
            stack.push_async_callback(end_tasks, [following])
        receipt_ms = settings.receipt_days * DAY_MS
        people = People(record, receipt_ms=receipt_ms)
        durability = Durability(record, awaited_by(settings))
        revocations = Revocations(record, durability=durability, receipt_ms=receipt_ms)
        applications = Applications(record)
        dead_letters = DeadLetters(record, keep_ms=settings.dead_letters_kept_days * DAY_MS)
        deliveries = Deliveries(record, receipt_ms=receipt_ms, dead_letters=dead_letters)
        redeliveries = Redeliveries(record, dead_letters=dead_letters)
        queue = jobs.Queue(queue_redis, numbers)
        upstream, replays = UpstreamSessions(record), Replays(record)
        pseudonyms = Pseudonyms(record, given=settings.audit_key.get_secret_value(), file=secret_file("AUDIT_KEY"))
        following = asyncio.create_task(pseudonyms.follow())
        stack.push_async_callback(end_tasks, [following])
        trail = Trail(record, pseudonyms, numbers, lines=BoundedLines(clock))
        blast_radius = BlastRadius(
            record, people=settings.blast_radius_people, window_ms=settings.blast_radius_window_seconds * 1000
        )
        sink = Sink(
            trail=trail,
            revocations=revocations,
            people=people,
            blast_radius=blast_radius,
            queue=queue,
            clock=fleet_clock,
            numbers=numbers,
        )
        yield Resources(
            settings=settings,
            clock=clock,
            fleet_clock=fleet_clock,
            numbers=numbers,
            key_file=key_file,
            key_ring=key_file.ring,
            record=record,
            durability=durability,
            queue_redis=queue_redis,
            connections=Connections(record),
            applications=applications,
            client_healths=ClientHealths(record, suspend_after_ms=settings.suspend_after_days * DAY_MS),
            backlogs=Backlogs(record),
            turns=Turns(record),
            people=people,
            erasures=Erasures(record, people, dead_letters, clock=fleet_clock),
            covered=Covered(record),
            upstream=upstream,
            sessions=Sessions(record, participation_ms=settings.participation_days * DAY_MS),
            refresh_tokens=RefreshTokens(record, participation_ms=settings.participation_days * DAY_MS),
            replays=replays,
            revocations=revocations,
            deliveries=deliveries,
            dead_letters=dead_letters,
            redeliveries=redeliveries,
            redeliverer=Redeliverer(
                applications=applications,
                revocations=revocations,
                deliveries=deliveries,
                dead_letters=dead_letters,
                redeliveries=redeliveries,
                queue=queue,
                clock=fleet_clock,
                trail=trail,
            ),
            dry_runs=DryRuns(record),
            blast_radius=blast_radius,
            schedule=Schedule(record),
            statistics=Statistics(record),
            heartbeats=Heartbeats(record),
            trail=trail,
            seals=Seals(record, trail, keep_ms=settings.audit_days * DAY_MS),
            queue=queue,
            sink=sink,
            logouts=Logouts(people=people, upstream=upstream, replays=replays, sink=sink, durability=durability),
            kept_tokens=KeptTokens(record),
            outbound=outbound,
            issuer_keys=issuer_keys,
            captures=Captures(clock),
        )


async def end_tasks(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until it has been heard.

    Once is not enough: redis-py sends through `asyncio.wait_for`, which before Python 3.12 returns a result that is just
    ready and forgets that it was cancelled. The loop around it would then go on for ever, and so would this process.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


def awaited_by(settings: Settings) -> Awaited:
    """What must have a revocation before success is told."""
    return Awaited(
        fsync=settings.wait_for_fsync, replicas=settings.wait_for_replicas, timeout_ms=settings.wait_timeout_ms
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at Redis has shown."""

    answered: bool
    refusal: str | None
    """Why it must not hold the record."""
    denied: str | None = None
    """Why asking again is in vain: it answers, and denies our user what it is asked."""


async def look_at_redis(settings: Settings) -> Look:
    """Whether this Redis may hold the record; what is merely unwise is logged, loudly.

    One that does not answer is no reason to refuse: requests get 503 until it does, and /readyz asks again; a worker begins once
    it has answered.
    """
    client = Redis(connection_pool=open_pool(settings.redis_url.get_secret_value(), decode=True, size=1))
    try:
        findings = await inspect_redis(client, awaited=awaited_by(settings))
    finally:
        await client.aclose(close_connection_pool=True)
    for each in findings:
        if each.level != "ok":
            log.warning("redis.finding", level_found=each.level, subject=each.subject, detail=each.detail)
    unfit = unfit_for_the_record(findings)
    refusal = None if unfit is None else f"{unfit.subject}: {unfit.detail}"
    return Look(
        answered=all(each.level != "fail" or each.subject != "redis" for each in findings),
        refusal=refusal,
        denied=next((f"{each.subject}: {each.detail}" for each in findings if each.denied), None),
    )


def unfit_for_the_record(findings: Sequence[Finding]) -> Finding | None:
    """The first finding that forbids using this Redis at all; not that it cannot be reached."""
    return next((each for each in findings if each.level == "fail" and each.subject != "redis"), None)
