"""The management API in the audit trail: every change an operator makes, and every call that is refused for who made it.

The entry `operation.requested` comes before the change, so that there is none without an entry; `operation.done` or
`operation.failed` after it. Where `operation.done` cannot be written, the change has been made all the same, and is answered as
such: the log has a line. Of a change that Redis has broken off there is neither. Values are never told: members by their names
alone.
"""

import contextlib
import functools
import json
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from service.domain.audit import Event, Fact
from service.errors import LogoutdError, NotAllowed, NotAuthenticated, ReauthenticationRequired, Unavailable
from service.web.access import require_administrator
from service.web.operation import Endpoint, Operation
from service.web.problems import reason_of
from service.web.state import Request, resources_of

MOST_MEMBERS: Final = 100
"""Most names of members in one entry: a body may hold thousands."""

_MADE: Final = 201


def audited(operation: Operation) -> Operation:
    """`operation`, with what the trail is to have of it. One that no caller needs a credential of ours for is left alone."""
    if not operation.access.startswith("administrator"):
        return operation
    if not operation.is_audited:
        return replace(operation, endpoint=_refusals_told(operation.endpoint))
    if operation.access != "administrator":
        raise ValueError(f"{operation.path}: only what operators alone may do is told as their operation")
    return replace(operation, endpoint=_refusals_told(_changes_told(operation.endpoint)))


def _refusals_told(endpoint: Endpoint) -> Endpoint:
    @functools.wraps(endpoint)
    async def telling(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (NotAuthenticated, NotAllowed) as error:
            await _tell_in_vain(request, "operation.refused", endpoint, error)
            raise
        except ReauthenticationRequired as error:
            await _tell_in_vain(request, "sign_in.refused", endpoint, error)
            raise

    return telling


def _changes_told(endpoint: Endpoint) -> Endpoint:
    @functools.wraps(endpoint)
    async def telling(request: Request) -> Response:
        require_administrator(request)
        trail, durability = resources_of(request).trail, resources_of(request).durability
        asked = Fact(event="operation.requested", operation=endpoint.__name__)
        await trail.append([asked])
        history = await durability.history()
        try:
            response = await endpoint(request)
        except Unavailable:
            raise
        except LogoutdError as error:
            await _tell_in_vain(request, "operation.failed", endpoint, error)
            raise
        done = replace(
            asked,
            event="operation.done",
            resource=_resource(request, response),
            members=_members(await request.body()),
            status=response.status_code,
        )
        # It is done, whatever is answered; the trail has that it was asked for, and the log where this is missing.
        with contextlib.suppress(Unavailable):
            await trail.append([done])
        if response.status_code != _MADE:
            # What an operator has ended, such as a client's secret, waits for disk and replicas as a revocation does. What was
            # made ends nothing, and its answer may be the only one to show a secret.
            await durability.reached_since(history)
        return response

    return telling


async def _tell_in_vain(request: Request, event: Event, endpoint: Endpoint, error: LogoutdError) -> None:
    fact = Fact(event=event, operation=endpoint.__name__, reason=reason_of(error))
    await resources_of(request).trail.append_bounded(fact)


def _resource(request: Request, response: Response) -> str | None:
    """What it was done to, as the path names it; what is new, as the answer does."""
    named = [str(each) for each in request.path_params.values()]
    told = _json(bytes(response.body))
    made = [str(told[each]) for each in ("id", "client_id") if isinstance(told, dict) and each in told]
    return "/".join(named) or next(iter(made), None)


def _members(body: bytes) -> tuple[str, ...]:
    """The names of what was given, `options.` before those of options; of a list, the applications it names."""
    match _json(body):
        case dict() as given:
            options = given.get("options")
            inner = [f"options.{each}" for each in options] if isinstance(options, dict) else []
            names = [*(each for each in given if each != "options"), *inner]
        case list() as given:
            names = [str(each["client_id"]) for each in given if isinstance(each, dict) and "client_id" in each]
        case _:
            names = []
    return tuple(names[:MOST_MEMBERS])


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
