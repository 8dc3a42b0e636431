"""What is asked about deliveries, and what is answered."""

from typing import Annotated, Final

from pydantic import Field

from service.redeliver import BATCH
from service.web import answers
from service.web.answers import Answer, Moment, absent
from service.web.bodies import Body
from service.web.pages import MAX_CURSOR

MAX_MOMENT: Final = 40
"""Longest time as text, in characters: RFC 3339 with nanoseconds and a zone has 35."""

Since = Annotated[
    str,
    Field(
        max_length=MAX_MOMENT, json_schema_extra={"format": "date-time"}, description="Died then or later (RFC 3339)."
    ),
]


class RedeliveryBody(Body):
    """How one delivery is tried anew."""

    force: bool = Field(
        default=False,
        description="Also when it was delivered (the application has lost its state) or skipped (it can be told now).",
    )


class ClientRedeliveryBody(Body):
    """Which of an application's dead letters are tried anew."""

    since: Since
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_CURSOR)] | None = Field(
        default=None, description="`next_cursor` of the answer before, with the same `since`."
    )


class DeadLetterAnswer(Answer):
    """A delivery that was given up."""

    delivery_id: str = Field(description="The `txn` of its logout tokens.")
    revocation_id: str
    connection_id: str
    client_id: str
    reason: str | None = Field(description="Why it was given up, as a code such as `gave_up` or `rejected`.")
    dead_at: Moment
    attempt_count: int = Field(ge=0, description="Every attempt, those before a redelivery too.")
    sid: str = absent("The session it is about, where it is not about them all.")
    last_attempt: answers.Attempt = absent()
    redelivered_at: list[Moment] = absent("When it was tried anew before.")


class NotRedelivered(Answer):
    """A delivery that was not tried anew."""

    delivery_id: str
    reason: str = Field(description="A code such as `newer_session`.")
    error_description: str = Field(description="The same for people.")


class RedeliveryAccepted(Answer):
    """Deliveries are tried anew."""

    revocation_id: str
    deliveries: list[answers.Delivery] = Field(
        description="What is tried now. One that would have ended newer sessions has other rows in its place, one for each "
        "session it was meant for."
    )
    not_redelivered: list[NotRedelivered]


class ClientRedelivery(Answer):
    """Some of an application's dead letters are tried anew."""

    client_id: str
    redelivered: int = Field(ge=0, description=f"How many are; a call looks at {BATCH}.")
    not_redelivered: list[NotRedelivered]
    next_cursor: str | None = Field(description="For the next call; null when there are no more.")


class DeliverySchedule(Answer):
    """When a delivery is tried again. Of each pause a random part is waited, `least_share` of it or more."""

    steps_seconds: list[float] = Field(description="The pauses after the first, the second … attempt, in seconds.")
    then_every_seconds: float = Field(gt=0, description="The pause from then on, while the window has room for it.")
    window_seconds: float = Field(gt=0, description="From the first attempt; nothing is tried after it.")
    attempts: int = Field(
        ge=1, description="Attempts there are if all whole pauses are waited; up to about twice as many else."
    )
    least_share: float
    longest_retry_after_seconds: float = Field(description="A longer `Retry-After` of an application counts as this.")
