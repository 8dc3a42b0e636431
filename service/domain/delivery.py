"""A delivery: what one revocation owes to one application, and every attempt to pay it."""

from dataclasses import dataclass
from typing import Final, Literal

State = Literal["pending", "retrying", "delivered", "dead", "skipped"]

OPEN: Final[frozenset[State]] = frozenset({"pending", "retrying"})
"""The states in which more will be tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST of one logout token. `status` where an answer came, `error` where none did or it was refused."""

    at_ms: int
    duration_ms: int
    status: int | None = None
    error: str | None = None
    """A stable code, such as `connect_timeout`; never text from a stranger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One application to be told of one person, once per `sid` where it requires one."""

    delivery_id: str
    user_id: str
    client_id: str
    sub: str
    """The person, by the name this application knows."""
    sid: str | None
    """The session, by the name this application knows; None: every session of `sub`."""
    state: State = "pending"
    reason: str | None = None
    """Why it is skipped or dead: `no_logout_uri`, `client_deleted`, `gave_up`, `told_by_sid`, `newer_session`, or the refusal's
    code. While it is open: why it waits (`service.domain.client_health.HoldReason`)."""
    attempts: tuple[Attempt, ...] = ()
    """The latest attempts, at most MAX_ATTEMPTS_SHOWN."""
    attempt_count: int = 0
    """Attempts made since it was planned or last redelivered, also those no longer shown: what the retry schedule counts."""
    earlier_attempt_count: int = 0
    """Attempts made before that."""
    first_attempt_at_ms: int | None = None
    """The first of `attempt_count`, or of the delivery whose place this one takes: where the retry schedule's window begins."""
    next_attempt_at_ms: int | None = None
    dead_at_ms: int | None = None
    """When it was given up, while it is dead. Set by the record alone, where that is written down."""
    redelivered_at_ms: tuple[int, ...] = ()
    """When somebody had it tried anew: the latest times, at most MAX_REDELIVERIES_SHOWN."""

    @property
    def total_attempt_count(self) -> int:
        """Every attempt ever made."""
        return self.earlier_attempt_count + self.attempt_count

    def owed_since_ms(self, accepted_at_ms: int) -> int:
        """Since when it is to be told without having been asked again: since its revocation, or since the last redelivery."""
        return self.redelivered_at_ms[-1] if self.redelivered_at_ms else accepted_at_ms

    held_since_ms: int | None = None
    """When it first had to wait for its application to be one that can be told; None when it never had to, or is closed."""

    @property
    def since_ms(self) -> int | None:
        """When its time to be tried began: at its first attempt, or when it first had to wait for that."""
        return min((each for each in (self.first_attempt_at_ms, self.held_since_ms) if each is not None), default=None)


MAX_ATTEMPTS_SHOWN: Final = 50
"""Attempts kept in the receipt, over all redeliveries: about what a day's retries are."""

MAX_REDELIVERIES_SHOWN: Final = 20
"""Redeliveries kept in the receipt: more than anybody tries by hand."""
