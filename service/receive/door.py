"""What every door of an identity provider shares: each request is counted, timed, and told in one log line when refused (as
long as these are not too many); and leaves at least one entry in the audit trail: that of a revocation, or that it was refused,
or that it ended nothing."""

import functools
import time
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.domain.audit import Fact, cause
from service.domain.connection import NAME, Connection
from service.errors import Held, KeysUnavailable, LogoutdError, TooManyAtOnce, TooManyRequests, Unavailable
from service.telemetry import get_logger
from service.web.operation import Endpoint
from service.web.problems import reason_of
from service.web.source import source_of
from service.web.state import Request, resources_of, throttles_of

log = get_logger(__name__)

CONNECTION_NAME: Final = {"connection_name": {"type": "string", "pattern": f"^{NAME.pattern}$"}}
"""What stands in the path of every door."""


def door(name: str, endpoint: Endpoint, *, comes_after_4xx: bool = True) -> Endpoint:
    """`endpoint`, counted and timed as the door `name`. `comes_after_4xx`: whether who calls it tries again after any 4xx; what
    comes too often is answered 503 where not, for 429 would lose it.
    """

    @functools.wraps(endpoint)
    async def counted(request: Request) -> Response:
        numbers = resources_of(request).numbers
        cause().door = name
        structlog.contextvars.bind_contextvars(door=name, connection=connection_in(request))
        started = time.perf_counter()
        try:
            throttles_of(request).doors.admit(connection_in(request), source_of(request))
            response = await endpoint(request)
        except LogoutdError as error:
            outcome = reason_of(error)
            numbers.door_requests.labels(name, outcome).inc()
            _log(request, outcome, str(error))
            await _tell(request, error, outcome)
            if isinstance(error, TooManyRequests) and not comes_after_4xx:
                raise TooManyAtOnce(str(error), retry_after=error.retry_after) from None
            raise
        except HTTPException as error:
            outcome = f"http_{error.status_code}"
            numbers.door_requests.labels(name, outcome).inc()
            _log(request, outcome, error.detail)
            await _tell(request, error, outcome)
            raise
        numbers.door_requests.labels(name, "accepted").inc()
        numbers.accept_seconds.labels(name).observe(time.perf_counter() - started)
        if not cause().entries:
            await _tell(request)
        return response

    return counted


def admit_proven(request: Request, connection: Connection) -> None:
    """Count a message that has been verified as its connection's own. Raises TooManyRequests."""
    throttles_of(request).doors.admit_proven(connection.name, source_of(request))


def _log(request: Request, outcome: str, detail: str) -> None:
    lines = throttles_of(request).refusal_lines
    if lines.admit(source_of(request)):
        log.warning("door.refused", outcome=outcome, detail=detail, **lines.omitted())


async def _tell(request: Request, error: Exception | None = None, reason: str | None = None) -> None:
    """Tell the audit trail of a message that changed nothing. Of a connection that does not exist the trail names none: a
    stranger could choose any name."""
    if isinstance(error, TooManyRequests):
        # What is refused for its number must cost nothing but the refusal; it is counted in /metrics.
        return
    if isinstance(error, Unavailable) and not isinstance(error, KeysUnavailable | Held):
        # The trail is where the record is: it cannot be reached either.
        return
    resources, name = resources_of(request), connection_in(request)
    try:
        connection = await resources.connections.by_name(name) if name else None
    except Unavailable:
        connection = None
    await resources.trail.append_bounded(
        Fact(
            event="message.accepted" if error is None else "message.refused",
            connection_id=connection.id if connection else None,
            reason=reason,
        )
    )


def connection_in(request: Request) -> str | None:
    """The connection's name in the path, or None when no connection can have that name (it is not repeated either)."""
    name = str(request.path_params["connection_name"])
    return name if NAME.fullmatch(name) else None
