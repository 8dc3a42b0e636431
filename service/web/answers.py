"""What answers hold, as OpenAPI tells it: the shapes of what `service.web.descriptions` and the endpoints write.

They describe and build nothing. The tests hold every answer they see against them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model
from pydantic.json_schema import JsonSchemaValue

from service.domain import delivery as deliveries
from service.domain import revocation as revocations
from service.web.subjects import Subject

Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, UTC, milliseconds."""


class Answer(BaseModel):
    """Base of every answer's shape: there are no members but these."""

    model_config = ConfigDict(extra="forbid")


def absent(description: str | None = None) -> Any:
    """A member that is left out where there is nothing to say, and never null."""
    return Field(default=None, description=description, json_schema_extra=_forget_default)


def _forget_default(schema: JsonSchemaValue) -> None:
    schema.pop("default", None)


def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """A page of such items."""
    items: Any = list[item]  # type: ignore[valid-type]
    cursor = Field(description="For the next page; null after the last.")
    name = f"PageOf{item.__name__}"
    return create_model(name, __base__=Answer, __doc__="A page.", items=(items, ...), next_cursor=(str | None, cursor))


class RevocationAccepted(Answer):
    """A revocation is in force."""

    revocation_id: str = Field(description="Of the receipt: `GET /api/v2/revocations/{revocation_id}`.")


class Participation(Answer):
    """An application's part in a session."""

    client_id: str
    sub: str = Field(description="The person, as this application's ID token names them.")
    sid: str = Field(description="The session, likewise.")


class NewSession(Answer):
    """A session that has begun."""

    session_id: str
    user_id: str
    created_at: Moment
    expires_at: Moment
    clients: list[Participation]


class Session(Answer):
    """A session as it stands."""

    session_id: str
    user_id: str
    connection_id: str
    active: bool = Field(description="Whether it is honoured.")
    state: Literal["active", "ended", "expired"]
    created_at: Moment
    expires_at: Moment
    ended_at: Moment | None
    upstream_sid: str | None = Field(description="`sid` of the identity provider's ID token.")
    auth_time: int | None = Field(description="When the person authenticated, in seconds.")
    clients: list[Participation] = Field(description="To an application: its own part alone.")
    live_refresh_tokens: int = Field(ge=0, description="Refresh tokens honoured now, of the applications shown.")


class UpstreamSubject(Answer):
    """Who somebody is at the identity provider."""

    iss: str
    sub: str


class Person(Answer):
    """A person, as known through one connection."""

    user_id: str
    connection_id: str
    subject: UpstreamSubject
    identifiers: list[Subject] = Field(description="Every identifier they were registered with.")
    created_at: Moment
    last_revoked_at: Moment | None = Field(description="When everything of theirs was last revoked.")


class Everything(Answer):
    """Every session and refresh token, offline ones too."""

    kind: Literal["everything"]


class OneSession(Answer):
    """One session and its refresh tokens."""

    kind: Literal["session"]
    session_id: str


class SessionsBegunBy(Answer):
    """Sessions begun no later than a moment."""

    kind: Literal["begun_by"]
    begun_by: Moment
    upstream_sid: str | None = Field(description="Only those with this `sid` of the identity provider's.")
    or_without_sid: bool = Field(description="Those reported without any, too.")
    offline_too: bool = Field(description="Whether `offline` refresh tokens ended as well.")


class TokenFamily(Answer):
    """One refresh token with all it was rotated from and into."""

    kind: Literal["token_family"]
    session_id: str
    family_id: str


class Attempt(Answer):
    """One logout token that was sent."""

    at: Moment
    duration_ms: int = Field(ge=0)
    status: int = absent("The application's HTTP status, where it answered.")
    error: str = absent("What went wrong, as a code such as `connect_timeout`.")


class Delivery(Answer):
    """What is owed to one application."""

    delivery_id: str = Field(description="The `txn` of its logout tokens.")
    client_id: str
    state: deliveries.State
    attempts: list[Attempt] = Field(description=f"The latest, at most {deliveries.MAX_ATTEMPTS_SHOWN}.")
    sid: str = absent("The session it is told of, where it is not told of them all.")
    reason: str = absent(
        "As a code: why it is skipped or dead, such as `no_logout_uri`, `told_by_sid` (deliveries of one session each took its "
        "place) or `newer_session` (its logout token would end a session begun since); and, while it is not, why it waits: "
        "`paused`, `suspended`, `circuit_open` (the application does not answer), `rate_limited` or `busy` (it is not its turn "
        "yet)."
    )
    next_attempt_at: Moment = absent("When it will be tried again.")
    redelivered_at: list[Moment] = absent(
        f"When it was tried anew: the latest times, at most {deliveries.MAX_REDELIVERIES_SHOWN}. Attempts before each of them "
        "are history; the count of attempts and the time they are made for began afresh."
    )


class ReceiptHead(Answer):
    """A revocation, without what became of each application."""

    revocation_id: str
    connection_id: str
    user_ids: list[str]
    session_id: str | None
    scope: Everything | OneSession | SessionsBegunBy | TokenFamily = Field(discriminator="kind")
    initiator: revocations.Initiator = Field(description="Who asked.")
    reason: str | None
    lane: revocations.Lane = Field(
        description="`urgent`, or `bulk`: one of many, which gives way to urgent ones. By the operator's word, or because its "
        f"initiator asked for more than {revocations.BULK_AFTER} through this connection within a minute."
    )
    state: revocations.State = Field(
        description="`accepted`: in force. `notifying`: applications are being told. `completed`: each was told, or skipped "
        "with a reason. `incomplete`: at least one could not be told, and nothing more will be tried."
    )
    accepted_at: Moment
    revoked_at: Moment | None = Field(description="From when nothing it covers is honoured.")
    completed_at: Moment | None
    redelivered_at: Moment = absent("When what was dead of it, or some of that, was last tried anew.")
    sessions_ended: int = Field(ge=0)
    refresh_tokens_revoked: int = Field(ge=0)


class Receipt(ReceiptHead):
    """A revocation: what was ended, who was told, when, and what came of each attempt."""

    deliveries: list[Delivery] = Field(description="One row for each application concerned, also for those not told.")
