"""What the audit trail's answers hold, as OpenAPI tells it."""

from typing import Literal

from pydantic import Field

from service.domain.audit import ACTORS, EVENTS, ActorType, Event
from service.web.answers import Answer, Moment, absent

_EVENTS = " ".join(f"`{name}`: {text}" for name, text in EVENTS.items())


class AuditActor(Answer):
    """Who did it."""

    type: ActorType = Field(description="; ".join(f"`{name}`: {text}" for name, text in ACTORS.items()) + ".")
    id: str = absent("Which: a connection's id, a client_id, a pseudonym (`opr_…`) of the administrator's token.")
    issuer: str = absent("Of a connection: who its message was signed by.")


class AuditOrigin(Answer):
    """Where the request came from: whoever connected to us, so your proxy where there is one."""

    address: str = Field(description="A pseudonym (`adr_…`) of the address: the same of the same address.")
    network: str = Field(description="Its first 24 bits (IPv4) or 48 (IPv6).")


class AuditEntry(Answer):
    """One entry of the audit trail. No token, secret, address or name of a person is in it."""

    id: str = Field(description="Its place in the trail: milliseconds by Redis' clock, and a number.")
    at: Moment
    version: Literal[1] = Field(
        description="Of these members and their meaning. Members may be added without a new one."
    )
    event: Event = Field(description=_EVENTS)
    actor: AuditActor
    origin: AuditOrigin = absent()
    request_id: str = absent("As in the log.")
    door: str = absent("The door a message came to.")
    connection_id: str = absent()
    people: list[str] = absent("Pseudonyms (`prs_…`) of the people it is about; `user_id` finds them.")
    people_total: int = absent("How many people it is about.")
    revocation_id: str = absent()
    initiator: str = absent("As in the receipt.")
    scope: str = absent("What was ended, as `scope.kind` in the receipt.")
    late: bool = absent("Completed by a worker after a crash.")
    delivery: str = absent("A pseudonym (`dlp_…`) of the delivery: the same of the same one.")
    client_id: str = absent("The application.")
    operation: str = absent("An `operationId` of this document.")
    resource: str = absent("What it was done to.")
    members: list[str] = absent("The names of what was given, never the values.")
    reason: str = absent("A code.")
    status: int = absent("The HTTP status that answered it: ours, or the application's.")
    attempts: int = absent("How often the application was tried.")
    keys: list[str] = absent("`kid`, algorithm and state (`next`, `current`, `previous`) of each signing key.")
    applied: int = absent("How many held requests were put into force.")
    discarded: int = absent("How many were forgotten.")
    left: int = absent("How many are held still.")
    of: str = absent("Which event was left out.")
    count: int = absent("How many entries were left out, or sealed.")
    since: Moment = absent("From when on they were.")
    number: int = absent("Of a seal: 1, 2, 3 …")
    previous: str = absent("The seal before; empty in the first.")
    begins: str = absent("`id` of the first entry the trail has had from this seal on.")
    digest: str = absent("HMAC-SHA-256 over the entries since the seal before.")
    key: str = absent("Of a seal: which key it was made with, as a fingerprint.")
    key_since: int = absent("`number` of the first seal of those that are all by this key.")
    seal: str = absent("HMAC-SHA-256 over this entry itself: its `id`, and all of its text before this.")


class AuditVerification(Answer):
    """What was found of the trail, or of the part of it that one call looks at."""

    entries: int = Field(ge=0, description="Sealed, and as they were written.")
    seals: int = Field(ge=0)
    unverified: int = Field(
        ge=0, description="Sealed by another key than the one that is in use: nothing can be told of them."
    )
    unsealed: int = Field(ge=0, description="Entries after the latest seal: nothing is known of them yet.")
    number: int | None = Field(description="Of the newest seal that is proven in this part; null where there is none.")
    seal: str | None = Field(description="That seal. With its number it is what `expect` takes.")
    problem: str | None = Field(description="What is not as it was written, and where; nothing after it was looked at.")
    next_cursor: str | None = Field(description="For the next part; null at the trail's end.")
