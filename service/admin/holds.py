"""The management API's way out of a hold: what a connection asked for beyond its blast radius is put into force, or forgotten."""

import asyncio
from dataclasses import replace
from typing import Final

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.domain.audit import Fact
from service.domain.revocation import Everything, RevocationRequest, SessionsBegunBy
from service.errors import Unavailable
from service.resources import Resources
from service.store.blast_radius import HeldRequest
from service.telemetry import get_logger
from service.web.access import require_administrator
from service.web.answers import Answer
from service.web.bodies import Body, read_body
from service.web.found import find_connection
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of

APPLIED_AT_ONCE: Final = 16
"""How many held requests are put into force at a time: most connections to Redis are left to others."""

MAX_APPLIED: Final = 1000
"""Most held requests one call puts into force: what is done in a few seconds."""

log = get_logger(__name__)


class ReleaseBody(Body):
    """What is to become of that which is held."""

    apply: bool = Field(description="Put it into force; false: forget it.")


class ReleaseAnswer(Answer):
    """What became of it."""

    applied: int = Field(ge=0, description="Requests put into force by this call.")
    left: int = Field(ge=0, description="Requests held still: the connection is until there are none. Call again.")


async def release_connection(request: Request) -> Response:
    """End a hold: the connection may have people signed out again, and they are counted anew.

    What is put into force ends what had begun when it was asked for, and nothing since. What is forgotten is in force once
    the identity provider asks for it again: disable the connection first, if it goes on asking. Where nothing is held, nothing
    is done.
    """
    require_administrator(request)
    resources = resources_of(request)
    connection = await find_connection(resources, request.path_params["connection_id"])
    body = await read_body(request, ReleaseBody)
    was_held = bool(await resources.blast_radius.holds([connection.id]))
    applied = 0
    if body.apply:
        kept = await resources.blast_radius.kept(connection.id, most=MAX_APPLIED)
        for start in range(0, len(kept), APPLIED_AT_ONCE):
            await asyncio.gather(*(_apply(each, resources) for each in kept[start : start + APPLIED_AT_ONCE]))
        applied = len(kept)
    left, discarded = await resources.blast_radius.release(connection.id, discard=not body.apply)
    log.warning("connection.released", connection_id=connection.id, applied=applied, discarded=discarded, left=left)
    if was_held:
        released = Fact(event="connection.released", connection_id=connection.id)
        await _tell(resources, replace(released, applied=applied, discarded=discarded, left=left))
    return JSONResponse({"applied": applied, "left": left}, headers=NO_STORE)


async def _tell(resources: Resources, released: Fact) -> None:
    try:
        await resources.trail.append([released])
    except Unavailable:
        # It is done, whatever is answered; the trail has that it was asked for, and the log that this is missing.
        return


async def _apply(held: HeldRequest, resources: Resources) -> None:
    await resources.sink.accept_released(as_of(held))
    # Only now: cut short in between it is put into force again, which is nothing.
    await resources.blast_radius.forget(held.request)


def as_of(held: HeldRequest) -> RevocationRequest:
    """A held request, late as it is: it ends nothing that began after it was asked for (law 5)."""
    if not isinstance(held.request.scope, Everything):
        return held.request
    return replace(held.request, scope=SessionsBegunBy(begun_by_ms=held.held_at_ms, offline_too=True))


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/connections/{connection_id}/release",
        endpoint=release_connection,
        summary="End a connection's hold",
        tag="Connections",
        access="administrator",
        body=ReleaseBody,
        example={"apply": True},
        responses={200: "What became of what was held.", 404: "There is no such connection."},
        answers={200: ReleaseAnswer},
    ),
)
