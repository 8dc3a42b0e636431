"""STEP 5. Tell the applications: mint, send, record, try again or give up.

A delivery is one worker's while its lease lasts. Whatever becomes of that worker, the due index brings the delivery up
again: telling twice is allowed, telling nobody is not.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from service.domain.application import Application
from service.domain.clock import Clock
from service.domain.delivery import OPEN, Delivery
from service.domain.retry_schedule import RetrySchedule
from service.domain.revocation import Lane, Revocation
from service.errors import Unavailable
from service.outbound import ATTEMPT_DEADLINE_S
from service.store.client_health import Addressee, Addressees, ClientHealths
from service.store.deliveries import Deliveries
from service.store.redeliveries import Redeliveries
from service.store.schedule import Schedule
from service.store.turns import TURN_PATIENCE_MS
from service.telemetry import get_logger
from workers.admission import NOT_SENT, Admission, TooLateError
from workers.after_attempt import after_attempt
from workers.ledger import Entry, Held, Ledger
from workers.outbound import Outcome
from workers.send import Sender
from workers.slots import PATIENCE_S, Slots
from workers.sparing import SparedError, Sparing, read_ms
from workers.telling import tell_attempt
from workers.turns import TurnTaker, slots_for

log = get_logger(__name__)

LEASE_MS: Final = 20_000
"""How long a claimed delivery is one worker's, in milliseconds: the wait for a slot and a turn, the attempt, and time to
write."""

WRITE_MS: Final = 2_000
"""What of a lease is kept for writing down what came of an attempt, in milliseconds."""

JOB_PATIENCE_S: Final = 0.25
"""How long a job waits for its attempts, in seconds. Slower ones go on without it: a job's place is for the next
revocation, whose applications must not wait for a stranger."""

MAX_RUNNING: Final = 2000
"""Attempts of one lane under way or waiting in one process; jobs wait beyond that, so that memory has a bound."""

LEASED_AGAIN_MS: Final = 1000
"""When a delivery is looked at again that another worker has in hand, in milliseconds."""

if LEASE_MS <= (PATIENCE_S + ATTEMPT_DEADLINE_S) * 1000 + TURN_PATIENCE_MS + WRITE_MS:
    raise RuntimeError("a lease must outlast the longest attempt, or two workers would send at once")


@dataclass(kw_only=True)
class Notifier:
    """What telling takes; one per worker process."""

    clock: Clock
    sender: Sender
    client_healths: ClientHealths
    deliveries: Deliveries
    redeliveries: Redeliveries
    schedule: Schedule
    ledger: Ledger
    slots: Slots
    turns: TurnTaker
    admission: Admission
    retry_schedule: RetrySchedule = field(default_factory=RetrySchedule)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _of_lane: dict[Lane, set[asyncio.Task[None]]] = field(default_factory=lambda: {"urgent": set(), "bulk": set()})

    async def deliver(self, revocation: Revocation, delivery_ids: Sequence[str] = ()) -> None:
        """Try what is open, due and in nobody's hands of one revocation: all of it, or what is named, which has come up in the
        due index."""
        claimed = await self.take(revocation, delivery_ids)
        if delivery_ids and len(claimed) < len(delivery_ids):
            await self._tidy_schedule(revocation, [each for each in delivery_ids if each not in claimed])

    async def take(self, revocation: Revocation, delivery_ids: Sequence[str] = ()) -> frozenset[str]:
        """Likewise, and leave the due index as it is; the names of what was tried."""
        lease_until_ms = self.clock.now_ms() + LEASE_MS
        claimed = await self.deliveries.claim(
            revocation.revocation_id, delivery_ids, now_ms=self.clock.now_ms(), lease_until_ms=lease_until_ms
        )
        log.debug("delivery.claimed", delivery_ids=[each.delivery_id for each in claimed], asked_for=len(delivery_ids))
        addressees = await self.client_healths.addressees(each.client_id for each in claimed)
        await self.attempt(revocation, claimed, addressees, lease_until_ms=lease_until_ms)
        return frozenset(each.delivery_id for each in claimed)

    async def attempt(
        self,
        revocation: Revocation,
        claimed: Sequence[Delivery],
        addressees: Addressees,
        *,
        lease_until_ms: int,
        planned_ms: int | None = None,
    ) -> None:
        """Try deliveries that are in our hands, all at once. Returns before slow attempts have ended. `planned_ms`: when what
        they were planned by was read, if that was just now.

        What is for an application that cannot be read is left as it is: its lease runs out, and it comes up again."""
        for client_id in sorted(addressees.unreadable.intersection(each.client_id for each in claimed)):
            log.error("client.unreadable", client_id=client_id)
        running = self._of_lane[revocation.lane]
        while len(running) >= MAX_RUNNING:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        tasks = [
            asyncio.create_task(
                self._see_to(
                    addressees.get(each.client_id),
                    Sparing(
                        clock=self.clock,
                        redeliveries=self.redeliveries,
                        revocation=revocation,
                        delivery=each,
                        read_ms=read_ms(each, revocation, planned_ms),
                    ),
                    lease_until_ms,
                )
            )
            for each in claimed
            if each.client_id not in addressees.unreadable
        ]
        for under_way in (self._running, running):
            under_way.update(tasks)
            for task in tasks:
                task.add_done_callback(under_way.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=JOB_PATIENCE_S)

    async def drain(self, timeout_s: float) -> None:
        """Let attempts under way end; those that do not are dropped, and found again when their leases run out."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.ledger.finish()

    def close(self) -> None:
        """Let go of the threads. Nothing may be attempted after this."""
        self.sender.close()

    async def _see_to(self, addressee: Addressee | None, sparing: Sparing, lease_until_ms: int) -> None:
        delivery, revocation = sparing.delivery, sparing.revocation
        added: tuple[Delivery, ...] = ()
        try:
            try:
                tried, held = await self._try(addressee, sparing, lease_until_ms)
            except SparedError as spared:
                tried, held, added = spared.after, None, spared.added
            entry = Entry(
                revocation=revocation,
                before=delivery,
                after=tried,
                lease_until_ms=lease_until_ms,
                held=held,
                added=added,
            )
            recorded = await self.ledger.write(entry)
            tell_attempt(entry, recorded=recorded, now_ms=self.clock.now_ms())
        except Unavailable as error:
            # Nothing could be written: the lease runs out and the due index brings it up again.
            log.warning("delivery.not_recorded", delivery_id=delivery.delivery_id, error=str(error))
        except Exception:  # a fault in one delivery must not end the task group of a worker
            log.exception("delivery.fault", delivery_id=delivery.delivery_id)

    async def _try(
        self, addressee: Addressee | None, sparing: Sparing, lease_until_ms: int
    ) -> tuple[Delivery, Held | None]:
        """The delivery after one attempt, or after finding that there is nobody to attempt; and how it is held, if it is. Raises
        SparedError."""
        delivery, revocation = sparing.delivery, sparing.revocation
        if addressee is None:
            return _skipped(delivery, "client_deleted"), None
        uri = addressee.application.backchannel_logout_uri
        if uri is None:
            return _skipped(delivery, "no_logout_uri"), None
        # Of this attempt, by a name that tells it from the same delivery's others.
        attempt = f"{delivery.delivery_id}:{delivery.total_attempt_count}"
        held = self.admission.behind_others(delivery, addressee)
        if held is None:
            # Before anything is taken for it: a probe that is not sent finds nothing out.
            await sparing.look()
        held = held or await self.admission.blocked(addressee, attempt, lease_until_ms)
        if held is not None:
            return self.admission.hold(delivery, addressee, revocation, held)
        try:
            async with (
                self.slots.of(delivery.client_id, lane=revocation.lane, limit=slots_for(addressee.application)),
                self.turns.of(addressee.application, attempt, lease_until_ms=lease_until_ms),
            ):
                await sparing.look()
                await self.admission.look_again(addressee, read_ms=lease_until_ms - LEASE_MS)
                at_ms, outcome = await self._send(delivery, addressee.application, uri, lease_until_ms)
        except SparedError:
            await self.admission.give_back_probe(addressee, attempt, look_at_ms=self.clock.now_ms())
            raise
        except NOT_SENT as error:
            held = self.admission.not_sent(error)
            await self.admission.give_back_probe(addressee, attempt, look_at_ms=held.look_at_ms)
            return self.admission.hold(delivery, addressee, revocation, held)
        await self.admission.report(addressee, outcome, attempt)
        tried = after_attempt(
            delivery, addressee, outcome, at_ms, now_ms=self.clock.now_ms(), schedule=self.retry_schedule
        )
        return tried, None

    async def _send(
        self, delivery: Delivery, application: Application, uri: str, lease_until_ms: int
    ) -> tuple[int, Outcome]:
        """When it was sent, and what came of it. Raises TooLateError."""
        at_ms, began = self.clock.now_ms(), time.monotonic()
        if at_ms + ATTEMPT_DEADLINE_S * 1000 + WRITE_MS > lease_until_ms:
            # It has waited for so long, or stood still, that another worker may send it before this one has ended.
            raise TooLateError
        outcome = await self.sender.send(delivery, application, uri)
        # How long it kept us, which may be longer than until its status was there: some replies have no end.
        took_ms = round((time.monotonic() - began) * 1000)
        self.admission.heed(delivery.client_id, outcome)
        self.slots.report(delivery.client_id, answered=outcome.status is not None, duration_ms=took_ms)
        return at_ms, outcome

    async def _tidy_schedule(self, revocation: Revocation, unclaimed: Sequence[str]) -> None:
        """Named deliveries that are not to be tried now: drop finished ones from the due index, put the others right."""
        every = {each.delivery_id: each for each in await self.deliveries.of_revocation(revocation.revocation_id)}
        # One of them may have died just before its worker did.
        await self.deliveries.relist(every[name] for name in unclaimed if name in every)
        still_open = [every[name] for name in unclaimed if name in every and every[name].state in OPEN]
        names = {each.delivery_id for each in still_open}
        await self.schedule.done([name for name in unclaimed if name not in names])
        over = every and not any(each.state in OPEN for each in every.values())
        if over and await self.schedule.opened_at(revocation.revocation_id) is not None:
            # A crash came after the last outcome and before its revocation was taken off the list of open ones.
            await self.schedule.look_at_if_absent([revocation.revocation_id], at_ms=self.clock.now_ms())
        # What is due and was not claimed is leased. Its holder may be dead, and the lease may outlast this entry by a few
        # milliseconds: left alone, the entry would come up again only when it has been hidden for as long once more.
        soon_ms = self.clock.now_ms() + LEASED_AGAIN_MS
        for each in still_open:
            await self.schedule.look_at([each.delivery_id], at_ms=max(soon_ms, each.next_attempt_at_ms or 0))


def _skipped(delivery: Delivery, reason: str) -> Delivery:
    return replace(delivery, state="skipped", reason=reason, next_attempt_at_ms=None, held_since_ms=None)
