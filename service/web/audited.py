"""The management API in the audit trail: every change an operator makes, and every call that is refused for who made it.

The entry `operation.requested` comes before the change, so that there is none without an entry; `operation.done` or
`operation.failed` after it. Where `operation.done` cannot be written, the change has been made all the same, and is answered as
such: the log has a line. Of a change that Redis has broken off there is neither. Values are never told: members by their names
alone.
"""

import contextlib
import functools
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from service.domain.audit import Event, Fact
from service.domain.identifiers import revocation_id_of
from service.errors import LogoutdError, NotAllowed, NotAuthenticated, NotFound, ReauthenticationRequired, Unavailable
from service.resources import Resources
from service.web.access import require_administrator
from service.web.found import find_connection
from service.web.operation import Endpoint, Operation
from service.web.problems import reason_of
from service.web.state import Request, resources_of

_PLACES: Final = re.compile(r"\{(\w+)\}")

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
    named = _PLACES.findall(operation.path)
    if not set(named) <= set(_KNOWN):
        raise ValueError(f"{operation.path}: what it names could be anything")
    if len(named) > 1:
        raise ValueError(f"{operation.path}: an entry has one resource, and this names {len(named)}")
    return replace(operation, endpoint=_refusals_told(_changes_told(operation)))


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


def _changes_told(operation: Operation) -> Endpoint:
    endpoint = operation.endpoint

    @functools.wraps(endpoint)
    async def telling(request: Request) -> Response:
        require_administrator(request)
        trail, durability = resources_of(request).trail, resources_of(request).durability
        asked = Fact(event="operation.requested", operation=endpoint.__name__, resource=await _named(request))
        await trail.append([asked])
        history = await durability.history()
        try:
            response = await endpoint(request)
        except Unavailable:
            raise
        except LogoutdError as error:
            await _tell_in_vain(request, "operation.failed", endpoint, error, resource=asked.resource)
            raise
        done = replace(
            asked,
            event="operation.done",
            resource=asked.resource or _made(response),
            members=_members(await request.body()),
            status=response.status_code,
        )
        # It is done, whatever is answered; the trail has that it was asked for, and the log where this is missing.
        with contextlib.suppress(Unavailable):
            await trail.append([done])
        if response.status_code != _MADE and not operation.shows_secret:
            # What an operator has ended, such as a connection, waits for disk and replicas as a revocation does. What was made
            # ends nothing; of what shows a secret there is no second answer.
            await durability.reached_since(history)
        return response

    return telling


async def _tell_in_vain(
    request: Request, event: Event, endpoint: Endpoint, error: LogoutdError, *, resource: str | None = None
) -> None:
    fact = Fact(event=event, operation=endpoint.__name__, reason=reason_of(error), resource=resource)
    await resources_of(request).trail.append_bounded(fact)


async def _named(request: Request) -> str | None:
    """What the path names, as it does. Nothing where there is no such thing: it could be anybody's name then."""
    if not request.path_params:
        return None
    [(kind, named)] = request.path_params.items()
    try:
        return await _KNOWN[kind](resources_of(request), str(named))
    except NotFound:
        return None


async def _connection(resources: Resources, named: str) -> str:
    await find_connection(resources, named)
    return named


async def _client(resources: Resources, client_id: str) -> str | None:
    return None if await resources.applications.get(client_id) is None else client_id


async def _revocation(resources: Resources, revocation_id: str) -> str | None:
    return None if await resources.revocations.get(revocation_id) is None else revocation_id


async def _delivery(resources: Resources, delivery_id: str) -> str | None:
    """Its revocation: its own id is made of its person's, without a salt."""
    try:
        return await _revocation(resources, revocation_id_of(delivery_id))
    except ValueError:
        return None


_KNOWN: Final[Mapping[str, Callable[[Resources, str], Awaitable[str | None]]]] = {
    "connection_id": _connection,
    "client_id": _client,
    "revocation_id": _revocation,
    "delivery_id": _delivery,
}
"""By what a path calls it: the name of something that there is, as the trail may have it."""


def _made(response: Response) -> str | None:
    """What is new, as the answer names it."""
    told = _json(bytes(response.body))
    made = [str(told[each]) for each in ("id", "client_id") if isinstance(told, dict) and each in told]
    return next(iter(made), None)


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
