"""The parts of a worker process, put together from what every process holds (`service.resources`)."""

from service.resources import Resources
from service.store.sessions import DAY_MS
from service.store.told_keys import ToldKeys
from workers.admission import Admission
from workers.ledger import Ledger
from workers.notify import Notifier
from workers.redelivered import Redelivered
from workers.release import Releaser
from workers.revoke import Revoker
from workers.send import Sender
from workers.signing_keys_told import KeysTeller
from workers.slots import Slots
from workers.sweep import Sweeper
from workers.turns import TurnTaker
from workers.verify import Verifier


def notifier(resources: Resources) -> Notifier:
    """What tells applications; whoever has one closes it."""
    slots = Slots(resources.settings.max_concurrent_deliveries)
    return Notifier(
        clock=resources.fleet_clock,
        sender=Sender(
            issuer=resources.settings.token_issuer,
            clock=resources.fleet_clock,
            key_ring=resources.key_ring,
            outbound=resources.outbound,
        ),
        client_healths=resources.client_healths,
        deliveries=resources.deliveries,
        redeliveries=resources.redeliveries,
        schedule=resources.schedule,
        ledger=Ledger(
            clock=resources.fleet_clock,
            deliveries=resources.deliveries,
            backlogs=resources.backlogs,
            schedule=resources.schedule,
            statistics=resources.statistics,
            covered=resources.covered,
            trail=resources.trail,
        ),
        slots=slots,
        turns=TurnTaker(clock=resources.fleet_clock, turns=resources.turns),
        admission=Admission(
            clock=resources.fleet_clock,
            client_healths=resources.client_healths,
            slots=slots,
            retry_schedule=resources.settings.retry_schedule,
            receipt_ms=_receipt_ms(resources),
            trail=resources.trail,
        ),
        retry_schedule=resources.settings.retry_schedule,
    )


def revoker(resources: Resources, tells: Notifier) -> Revoker:
    """What works revocations off."""
    return Revoker(
        clock=resources.fleet_clock,
        client_healths=resources.client_healths,
        backlogs=resources.backlogs,
        people=resources.people,
        covered=resources.covered,
        revocations=resources.revocations,
        deliveries=resources.deliveries,
        schedule=resources.schedule,
        statistics=resources.statistics,
        trail=resources.trail,
        notifier=tells,
    )


def verifier(resources: Resources) -> Verifier:
    """What verifies logout tokens that could not be when they came."""
    return Verifier(
        clock=resources.fleet_clock,
        connections=resources.connections,
        kept_tokens=resources.kept_tokens,
        issuer_keys=resources.issuer_keys,
        logouts=resources.logouts,
        trail=resources.trail,
    )


def sweeper(resources: Resources) -> Sweeper:
    """What puts everything undone back on the queue."""
    return Sweeper(
        clock=resources.fleet_clock,
        queue=resources.queue,
        revocations=resources.revocations,
        schedule=resources.schedule,
        backlogs=resources.backlogs,
        releaser=Releaser(
            clock=resources.fleet_clock,
            client_healths=resources.client_healths,
            backlogs=resources.backlogs,
            retry_schedule=resources.settings.retry_schedule,
            receipt_ms=_receipt_ms(resources),
        ),
    )


def redelivered(resources: Resources) -> Redelivered:
    """What looks after redeliveries."""
    return Redelivered(
        clock=resources.fleet_clock,
        revocations=resources.revocations,
        deliveries=resources.deliveries,
        dead_letters=resources.dead_letters,
        redeliveries=resources.redeliveries,
        backlogs=resources.backlogs,
    )


def keys_teller(resources: Resources) -> KeysTeller:
    """What tells the trail of the signing keys."""
    return KeysTeller(key_ring=resources.key_ring, told_keys=ToldKeys(resources.record), trail=resources.trail)


def _receipt_ms(resources: Resources) -> int:
    return resources.settings.receipt_days * DAY_MS
