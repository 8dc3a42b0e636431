"""An operator's word on how an application is told: pause and resume."""

from typing import Annotated, Final

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.admin.client_answers import ClientAnswer, describe_client, find_client
from service.telemetry import get_logger
from service.web.access import require_administrator
from service.web.bodies import Body, read_body
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of

log = get_logger(__name__)

MAX_REASON_LENGTH: Final = 256
"""Longest reason of a pause, in characters: a ticket's number and a sentence."""


class PauseBody(Body):
    """Why an application is paused; the whole body may be left out."""

    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON_LENGTH)] | None = None


async def pause_client(request: Request) -> Response:
    """Send a client nothing until it is resumed. What it is owed waits and is not lost: the day a logout token is tried for
    begins anew when the client is resumed. Only what has waited for as long as receipts are kept is given up. Paused again it
    has the new reason."""
    require_administrator(request)
    resources = resources_of(request)
    application = await find_client(request)
    body = await read_body(request, PauseBody) if await request.body() else PauseBody()
    now_ms = resources.fleet_clock.now_ms()
    first = await resources.client_healths.pause(application.client_id, reason=body.reason, now_ms=now_ms)
    if first:
        log.info("client.paused", client_id=application.client_id)
    return JSONResponse(await describe_client(resources, application), headers=NO_STORE)


async def resume_client(request: Request) -> Response:
    """Send a client again what it is owed, the oldest first, as fast as it takes it. Lifts a suspension too; where the breaker is
    open the client is tried at once. Of one that is neither, nothing is changed."""
    require_administrator(request)
    resources = resources_of(request)
    application = await find_client(request)
    if await resources.client_healths.resume(application.client_id, now_ms=resources.fleet_clock.now_ms()):
        log.info("client.resumed", client_id=application.client_id)
    return JSONResponse(await describe_client(resources, application), headers=NO_STORE)


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/clients/{client_id}/pause",
        endpoint=pause_client,
        summary="Pause a client",
        tag="Clients",
        access="administrator",
        body=PauseBody,
        body_optional=True,
        example={"reason": "CHG-1234, the database moves"},
        responses={200: "The client, paused.", 404: "There is no such client."},
        answers={200: ClientAnswer},
    ),
    Operation(
        method="POST",
        path="/api/v2/clients/{client_id}/resume",
        endpoint=resume_client,
        summary="Resume a client",
        tag="Clients",
        access="administrator",
        responses={200: "The client, as it is told now.", 404: "There is no such client."},
        answers={200: ClientAnswer},
    ),
)
