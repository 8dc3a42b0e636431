"""The management API's revocations: an operator's own, and the receipts of all."""

from typing import Annotated

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.admin.dry_run import DryRun, foretell
from service.domain.audit import Fact
from service.domain.delivery import OPEN
from service.domain.identifiers import new_revocation_id
from service.domain.revocation import Lane, RevocationRequest
from service.domain.subject import parse_subject
from service.errors import InvalidRequest, NotFound
from service.store.audit import about_people
from service.web import answers
from service.web.access import require_administrator
from service.web.bodies import Body, read_body
from service.web.descriptions import describe_revocation
from service.web.found import find_connection
from service.web.operation import Operation
from service.web.pages import FLAG, page, read_flag, read_page, refuse_unknown
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of
from service.web.subjects import Subject

STATES = ("accepted", "notifying", "completed", "incomplete")

MAX_REASON_LENGTH = 256
"""Longest reason of an operator, in characters: a ticket's number and a sentence."""


class RevocationBody(Body):
    """An operator's revocation."""

    connection: Annotated[str, Field(min_length=1, max_length=256, description="The connection's name or id.")]
    subject: Subject
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON_LENGTH)] | None = None
    lane: Annotated[
        Lane | None,
        Field(description="`bulk` for one of many: urgent ones overtake it. Left out: by how many there are."),
    ] = None


async def create_revocation(request: Request) -> Response:
    """Sign a person out everywhere, by an operator's hand; with `dry_run=true` only say what that would do."""
    require_administrator(request)
    resources = resources_of(request)
    refuse_unknown(request, frozenset({"dry_run"}), of="this call")
    dry_run = read_flag(request, "dry_run")
    body = await read_body(request, RevocationBody)
    subject = parse_subject(body.subject.root)
    connection = await find_connection(resources, body.connection)
    people = await resources.people.resolve(connection.id, subject)
    if not people:
        raise NotFound("no such subject is known through this connection")
    if dry_run:
        names = await resources.trail.pseudonyms.of_people(people)
        fact = Fact(event="revocation.dry_run", connection_id=connection.id)
        await resources.trail.append(list(about_people(fact, names, total=len(people))))
        return JSONResponse(await foretell(resources, connection, people), headers=NO_STORE)
    accepted = await resources.sink.accept(
        RevocationRequest(
            revocation_id=new_revocation_id(),
            connection_id=connection.id,
            user_ids=people,
            initiator="operator",
            reason=body.reason,
            lane=body.lane,
        )
    )
    return JSONResponse({"revocation_id": accepted.revocation_id}, status_code=202, headers=NO_STORE)


async def list_revocations(request: Request) -> Response:
    """Receipts from the newest on, without their deliveries; a page may be shorter than `limit` when filtered."""
    require_administrator(request)
    resources = resources_of(request)
    limit, after = read_page(request, known=frozenset({"connection", "user_id", "state"}))
    asked = request.query_params
    state = asked.get("state")
    if state is not None and state not in STATES:
        raise InvalidRequest(f"`state` must be one of {', '.join(STATES)}")
    named = asked.get("connection")
    connection_id = (await find_connection(resources, named)).id if named is not None else None
    found, following = await resources.revocations.page(
        connection_id=connection_id, user_id=asked.get("user_id"), state=state, after=after, limit=limit
    )
    items = [describe_revocation(each) for each in found]
    return JSONResponse(page(items, following=following), headers=NO_STORE)


async def read_revocation(request: Request) -> Response:
    """A receipt: what was ended, who was told, when, and what came of each attempt."""
    require_administrator(request)
    resources = resources_of(request)
    revocation_id = request.path_params["revocation_id"]
    revocation = await resources.revocations.get(revocation_id)
    if revocation is None:
        raise NotFound("there is no such revocation")
    deliveries = await resources.deliveries.of_revocation(revocation_id)
    healths = await resources.client_healths.get_many(each.client_id for each in deliveries if each.state in OPEN)
    return JSONResponse(describe_revocation(revocation, deliveries, healths), headers=NO_STORE)


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/revocations",
        endpoint=create_revocation,
        summary="Sign a person out everywhere",
        tag="Revocations",
        access="administrator",
        audited=False,
        body=RevocationBody,
        query={"dry_run": "`true`: change nothing, and answer 200 with what would be ended and who would be told."},
        example={
            "connection": "acme-okta",
            "subject": {"format": "email", "email": "ada@example.com"},
            "reason": "laptop stolen",
        },
        responses={
            200: "With `dry_run=true`: what would be ended, and a row for each application with what it would be told or why "
            "not.",
            202: "In force; `revocation_id` names the receipt.",
            404: "There is no such connection, or the subject is not known through it.",
            422: "The subject is known and cannot be signed out.",
        },
        schemas={"dry_run": FLAG},
        answers={200: DryRun, 202: answers.RevocationAccepted},
    ),
    Operation(
        method="GET",
        path="/api/v2/revocations",
        endpoint=list_revocations,
        summary="List receipts",
        tag="Revocations",
        access="administrator",
        query={
            "connection": "Of this connection only (name or id).",
            "user_id": "Of this person only.",
            "state": f"In this state only: {', '.join(STATES)}.",
            "limit": "Items in a page, 1 to 100; 50 by default.",
            "cursor": "`next_cursor` of the page before.",
        },
        responses={
            200: "A page of receipts, the newest first.",
            400: "A parameter is wrong.",
            404: "There is no such connection.",
        },
        schemas={"state": {"type": "string", "enum": list(STATES)}},
        answers={200: answers.page_of(answers.ReceiptHead)},
    ),
    Operation(
        method="GET",
        path="/api/v2/revocations/{revocation_id}",
        endpoint=read_revocation,
        summary="A receipt",
        tag="Revocations",
        access="administrator",
        responses={200: "The receipt.", 404: "There is no such revocation."},
        answers={200: answers.Receipt},
    ),
)
