"""What the audit trail tells: what happened, who did it, from where. No token, secret, name of a person or address is in it;
people and addresses stand in it under pseudonyms (`service.store.pseudonyms`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

VERSION: Final = 1
"""Of an entry's members and their meaning: a member may come to be added without a new one."""

Event = Literal[
    "message.refused",
    "message.accepted",
    "revocation.recorded",
    "revocation.repeated",
    "revocation.dry_run",
    "delivery.delivered",
    "delivery.dead",
    "delivery.skipped",
    "delivery.not_ended",
    "operation.requested",
    "operation.done",
    "operation.failed",
    "operation.refused",
    "sign_in.refused",
    "person.erased",
    "connection.held",
    "connection.released",
    "client.suspended",
    "client.recovered",
    "session.left",
    "refresh_token.revoked",
    "signing_keys.changed",
    "entries.omitted",
    "trail.sealed",
]

EVENTS: Final[Mapping[Event, str]] = {
    "message.refused": "A message at a door was refused; `reason` is the code, as in the log and the metrics.",
    "message.accepted": "A message at a door was accepted and ended nothing: it named nobody known, or only asked.",
    "revocation.recorded": "Somebody's sessions or tokens were ended, or are from the record on. `initiator` says by which "
    "door or call, `late` that a worker completed it after a crash. Once for each 100 people.",
    "revocation.repeated": "The same was asked for again, and nothing was done.",
    "revocation.dry_run": "An operator asked what a revocation would do.",
    "delivery.delivered": "An application was told: it answered `status` at attempt number `attempts`.",
    "delivery.dead": "An application could not be told, and nothing more will be tried; `reason` says why.",
    "delivery.skipped": "An application is not told; `reason` says why.",
    "delivery.not_ended": "The end told of a delivery before this does not hold: another worker or a redelivery had changed it "
    "meanwhile. `reason` is that end's.",
    "operation.requested": "An operator is about to change something: `resource`, where there is such a thing. Written before "
    "anything is changed.",
    "operation.done": "They have changed it: `operation` is the call's operationId, `resource` what it was done to, "
    "`members` the names of what was given.",
    "operation.failed": "They could not, or not wholly: `reason` says why. What comes in parts, such as the release of a "
    "hold, may have been done in part; so may what has neither this nor `operation.done`, for Redis went away meanwhile. "
    "Of an erasure: they have signed in again meanwhile, were signed out, and are known as before.",
    "operation.refused": "A call of the API was refused for who made it; `reason` is the code.",
    "sign_in.refused": "A sign-in was refused that had begun before its person was last signed out.",
    "person.erased": "A person's identifiers are forgotten, and their pseudonym leads to nobody from here on, unless "
    "`operation.failed` follows.",
    "connection.held": "A connection has asked to sign out more people than it may; what it asks for is held from here on. "
    "Written before it is, so perhaps twice.",
    "connection.released": "An operator has ended that: `applied` requests are in force now, `discarded` are forgotten, `left` "
    "are held still.",
    "client.suspended": "An application has not answered for so long that it is asked once an hour from here on.",
    "client.recovered": "A suspended application has answered again.",
    "session.left": "An application is about to leave somebody's session; its refresh tokens there end with that.",
    "refresh_token.revoked": "An application gives a refresh token back: `resource` and all it was rotated from and into end.",
    "signing_keys.changed": "Logout tokens are signed with other keys: `keys` are those of the file, and what each is for now.",
    "entries.omitted": "So many (`count`) entries of one kind (`of`) were not written since `since`, for there were too many.",
    "trail.sealed": "Everything up to here is as it was written, this too: `seal` proves it.",
}
"""Every event and its meaning: what the API's document and the operators' page say of it."""

ActorType = Literal["anyone", "connection", "application", "operator", "service"]

ACTORS: Final[Mapping[ActorType, str]] = {
    "anyone": "nobody who has proved who they are",
    "connection": "an identity provider, by the connection's id and the `issuer` it has proved to be",
    "application": "an application, by its client_id",
    "operator": "whoever has the administrator's token, by a pseudonym of that token",
    "service": "a worker, by itself",
}
"""Who can have done something, and what `actor.id` is of each."""

if set(EVENTS) != set(get_args(Event)) or set(ACTORS) != set(get_args(ActorType)):
    raise RuntimeError("every event and every kind of actor must be explained")

MOST_PEOPLE: Final = 100
"""Most people in one entry: one of many thousand would be larger than what reads the trail takes."""

Value: TypeAlias = str | int | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What happened. Who did it, and from where, is the request's (`Cause`)."""

    event: Event
    connection_id: str | None = None
    people: tuple[str, ...] = ()
    """Pseudonyms, at most MOST_PEOPLE."""
    people_total: int | None = None
    """How many people it was about, those without a pseudonym too."""
    revocation_id: str | None = None
    initiator: str | None = None
    scope: str | None = None
    late: bool | None = None
    delivery: str | None = None
    """A pseudonym: a delivery's id is made of its person's, without a salt."""
    client_id: str | None = None
    operation: str | None = None
    resource: str | None = None
    members: tuple[str, ...] = ()
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None
    keys: tuple[str, ...] = ()
    applied: int | None = None
    discarded: int | None = None
    left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts. `id` of an operator is their token: it is written as a pseudonym."""

    type: ActorType
    id: str | None = field(default=None, repr=False)
    issuer: str | None = None


@dataclass(slots=True, kw_only=True)
class Cause:
    """What all entries of one request share; filled in as it becomes known."""

    actor: Actor
    address: str | None = None
    request_id: str | None = None
    door: str | None = None
    entries: int = 0
    """Entries that tell of it so far."""


_current: ContextVar[Cause | None] = ContextVar("cause", default=None)


@contextmanager
def request_begins(*, request_id: str, address: str | None, door: str | None = None) -> Iterator[None]:
    """Until this ends, whatever is written in this context is because of one request, of nobody in particular yet."""
    token = _current.set(Cause(actor=Actor(type="anyone"), address=address, request_id=request_id, door=door))
    try:
        yield
    finally:
        _current.reset(token)


def cause() -> Cause:
    """Why something is done here: the request under way, or, where there is none, the service by itself."""
    return _current.get() or Cause(actor=Actor(type="service"))


def acts(actor: Actor) -> None:
    """Whoever sent this request has proved who they are."""
    cause().actor = actor
