"""The door for Okta's event hooks: System Log events, some of which end a person's sessions.

developer.okta.com, "Event hooks": `GET` once, to prove that the endpoint is ours; then `POST`, several events at a time, at
least once, in any order, with three seconds for the answer. What is refused with 4xx never comes again, and after 5xx it
comes at most once more: an event we cannot use is therefore told and passed over, and does not take those beside it along, and a
batch that comes too soon is answered 503 and not 429.
"""

import asyncio
from collections import Counter
from typing import Any, Final, Literal

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.domain.audit import Actor, acts
from service.domain.connection import Connection
from service.domain.identifiers import revocation_id_for
from service.domain.okta_events import ENDING_EVENTS, OTHER, begun_by_ms, name_of
from service.domain.okta_log_event import OktaUser, exact_names, login_names, read_log_event, shown_uuid, type_of
from service.domain.revocation import RevocationRequest, SessionsBegunBy
from service.errors import CannotBeEnded, Held, InvalidRequest, NotAllowed, NotFound
from service.receive.door import CONNECTION_NAME, admit_proven, connection_in, door
from service.resources import Resources
from service.store.people import People
from service.telemetry import get_logger
from service.verify.hook_secret import verify_hook_secret
from service.web.answers import Answer
from service.web.bodies import read_json
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of

log = get_logger(__name__)

PATH = "/webhooks/okta/connection/{connection_name}"

CHALLENGE: Final = "x-okta-verification-challenge"

MAX_CHALLENGE_LENGTH: Final = 1024
"""Longest verification challenge that is sent back, in characters; Okta's have 36."""

MAX_BATCH_BYTES: Final = 1_048_576
"""Largest batch, in bytes. An event has two or three thousand, Okta says no bound for a batch, and one refused is lost."""

MAX_EVENTS: Final = 500
"""Most events in one batch: what can be put into force within the three seconds Okta waits."""

AT_ONCE: Final = 16
"""How many events of a batch are put into force at a time: most connections to Redis are left to other requests."""

Outcome = Literal[
    "revoked", "repeated", "unknown_person", "no_person", "not_done", "malformed", "cannot_be_ended", "ignored"
]
"""What became of an event: a revocation, now or before; the person is not known here; it names none; it was tried in vain; it
cannot be read; it names too many people; it is of a type that ends nothing."""


class OktaVerification(Answer):
    """The challenge, sent back."""

    verification: str


class OktaBatch(Answer):
    """A batch of events that has been seen to."""

    revocations: int = Field(ge=0, description="Events in force: now, or since they came before.")
    ignored: int = Field(ge=0, description="All others.")


async def answer_okta_verification(request: Request) -> Response:
    """Send back the challenge by which Okta makes sure, once, that whoever set up the hook holds this endpoint."""
    name = connection_in(request)
    connection = await resources_of(request).connections.by_name(name) if name else None
    if connection is None or connection.options.okta_event_hook_secret_hash is None:
        raise NotFound("no event hook is set up at this address: its connection needs `options.okta_event_hook_secret`")
    given = request.headers.getlist(CHALLENGE)
    if len(given) != 1 or not 0 < len(given[0]) <= MAX_CHALLENGE_LENGTH:
        raise InvalidRequest(f"the request needs one header {CHALLENGE} of 1 to {MAX_CHALLENGE_LENGTH} characters")
    return JSONResponse({"verification": given[0]}, headers=NO_STORE)


async def receive_okta_events(request: Request) -> Response:
    """Sign out the people a batch of events says so of. 200 means that it is in force for every one of them."""
    resources = resources_of(request)
    name = connection_in(request)
    found = await resources.connections.by_name(name) if name else None
    connection = verify_hook_secret(request.headers.getlist("authorization"), found)
    acts(Actor(type="connection", id=connection.id))
    admit_proven(request, connection)
    if not connection.enabled:
        raise NotAllowed("this connection is disabled")

    events = read_events(await read_json(request))
    outcomes: Counter[Outcome] = Counter()
    held: Held | None = None
    for start in range(0, len(events), AT_ONCE):
        some = events[start : start + AT_ONCE]
        told = await asyncio.gather(*(_receive(each, connection, resources) for each in some), return_exceptions=True)
        for each in told:
            if isinstance(each, Held):
                held = each
            elif isinstance(each, BaseException):
                # Those beside it have ended by now. What is in force stays so, and the batch comes again or not.
                raise each
            else:
                outcomes[each] += 1
    if held is not None:
        # Only now that every event has been kept: an operator's release must not find half of a batch.
        raise held
    revocations = outcomes["revoked"] + outcomes["repeated"]
    return JSONResponse({"revocations": revocations, "ignored": len(events) - revocations}, headers=NO_STORE)


def read_events(body: Any) -> list[Any]:
    """The events of a batch. Raises InvalidRequest when there are none, or too many."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    data = body.get("data")
    events = data.get("events") if isinstance(data, dict) else None
    if not isinstance(events, list) or not events:
        raise InvalidRequest("the body needs `data.events`, a list that is not empty")
    if len(events) > MAX_EVENTS:
        raise InvalidRequest(f"`data.events` may hold at most {MAX_EVENTS} events")
    return events


async def _receive(event: Any, connection: Connection, resources: Resources) -> Outcome:
    """One event: counted, and told in one line of the log. The names of types that are not in the table are not repeated."""
    shown, people, detail = OTHER, 0, None
    outcome: Outcome = "malformed"
    try:
        event_type = type_of(event)
        shown = name_of(event_type)
        outcome, people = await _apply(event, event_type, connection, resources)
    except InvalidRequest as error:
        detail = str(error)
    except CannotBeEnded as error:
        outcome, detail = "cannot_be_ended", str(error)
    resources.numbers.okta_events.labels(shown, outcome).inc()
    tell = log.warning if detail else log.info
    tell("okta_event", type=shown, uuid=shown_uuid(event), outcome=outcome, people=people, detail=detail)
    return outcome


async def _apply(event: Any, event_type: str, connection: Connection, resources: Resources) -> tuple[Outcome, int]:
    """What came of it, and how many people it was about. Raises InvalidRequest, CannotBeEnded, Unavailable."""
    kind = ENDING_EVENTS.get(event_type)
    if kind is None:
        return "ignored", 0
    read = read_log_event(event, kind)
    if not read.done:
        return "not_done", 0
    if not read.people:
        return "no_person", 0
    known = await asyncio.gather(*(_resolve(each, connection, resources.people) for each in read.people))
    user_ids = tuple(sorted({user_id for found in known for user_id in found}))
    if not user_ids:
        return "unknown_person", 0
    moment = begun_by_ms(kind, published_ms=read.published_ms, received_ms=resources.fleet_clock.now_ms())
    accepted = await resources.sink.accept(
        RevocationRequest(
            revocation_id=revocation_id_for("okta_event_hook", connection.id, read.uuid),
            connection_id=connection.id,
            user_ids=user_ids,
            initiator="okta_event_hook",
            reason=event_type,
            scope=SessionsBegunBy(begun_by_ms=moment, offline_too=True),
        )
    )
    return "repeated" if accepted.repeated else "revoked", len(user_ids)


async def _resolve(user: OktaUser, connection: Connection, people: People) -> tuple[str, ...]:
    """Who of this connection is meant. By Okta's id where that is known: it is never anybody else's, while a login, asked for
    only where it is not, may have passed to another."""
    issuers = dict.fromkeys((connection.options.issuer, *connection.assertion_issuers))
    for names in (exact_names(user, issuers), login_names(user, issuers)):
        found = await people.resolve(connection.id, names) if names else ()
        if found:
            return found
    return ()


_BODY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "object",
            "required": ["events"],
            "properties": {
                "events": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_EVENTS,
                    "items": {},
                    "description": "Events of Okta's System Log (LogEvent).",
                }
            },
        }
    },
}

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        endpoint=door("okta_event_hook", answer_okta_verification),
        summary="Okta event hook: the one-time verification of this endpoint",
        tag="Doors",
        access="anyone",
        responses={
            200: "The challenge of the header `x-okta-verification-challenge`, as `verification`.",
            400: "The header is not there, or too long.",
            404: "No event hook is set up at this address.",
            429: "Too many such requests came; `Retry-After` says when to try again.",
            503: "Redis cannot be reached; `Retry-After` says when to try again.",
        },
        required_headers={CHALLENGE: "What is to be sent back."},
        schemas={**CONNECTION_NAME, CHALLENGE: {"type": "string", "minLength": 1, "maxLength": MAX_CHALLENGE_LENGTH}},
        answers={200: OktaVerification},
    ),
    Operation(
        method="POST",
        path=PATH,
        endpoint=door("okta_event_hook", receive_okta_events, comes_after_4xx=False),
        summary="Okta event hook: sign out the people of a batch of events",
        tag="Doors",
        access="hook secret",
        body_schema=_BODY_SCHEMA,
        max_body_bytes=MAX_BATCH_BYTES,
        example={
            "data": {
                "events": [
                    {"uuid": "e1", "eventType": "user.session.clear", "published": "2026-01-01T00:00:00Z", "target": []}
                ]
            }
        },
        responses={
            200: "In force for every event that ends sessions: their number, and that of all others.",
            403: "The connection is disabled.",
            503: "Redis cannot be reached, too many requests are under way, too many such requests came (429 at the other doors: "
            "after a 4xx Okta never sends a batch again), or the connection is held; `Retry-After` says when to try again.",
        },
        schemas=CONNECTION_NAME,
        answers={200: OktaBatch},
    ),
)
