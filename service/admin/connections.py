"""The management API's connections: made, shown, changed, removed."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field, RootModel, ValidationError
from starlette.responses import JSONResponse, Response

from service.admin.connection_answers import ConnectionAnswer
from service.admin.connection_bodies import (
    MAX_ENABLED_CLIENTS,
    ConnectionBody,
    ConnectionOptionsBody,
    ConnectionPatch,
    body_of,
    describe_connection,
    require_usable_keys,
    resolve_options,
)
from service.admin.key_sources import refuse_expired_certificates
from service.domain.connection import Connection
from service.domain.identifiers import new_connection_id
from service.errors import Conflict, InvalidRequest
from service.resources import Resources
from service.store.pages import Mark
from service.web.access import require_administrator
from service.web.answers import page_of
from service.web.bodies import Body, describe, read_body
from service.web.found import find_connection
from service.web.operation import Operation
from service.web.pages import page, read_page
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of


class EnabledClient(Body):
    """Whether an application is enabled for a connection."""

    client_id: Annotated[str, Field(min_length=1, max_length=1024)]
    status: bool


class EnabledClientsPatch(RootModel[Annotated[list[EnabledClient], Field(max_length=MAX_ENABLED_CLIENTS)]]):
    """What changes of a connection's enabled clients."""


async def create_connection(request: Request) -> Response:
    """Create a connection; its discovery document and keys are fetched now."""
    require_administrator(request)
    resources = resources_of(request)
    body = await read_body(request, ConnectionBody)
    if await resources.connections.by_name(body.name):
        raise Conflict("a connection of this name exists already")
    await _require_known(resources, body.enabled_clients)
    now_ms = resources.fleet_clock.now_ms()
    connection = Connection(
        id=new_connection_id(),
        name=body.name,
        display_name=body.display_name,
        options=await resolve_options(body.options, outbound=resources.outbound),
        enabled_clients=tuple(dict.fromkeys(body.enabled_clients)),
        enabled=body.enabled,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    refuse_expired_certificates(connection.options, now_ms=resources.clock.now_ms())
    await require_usable_keys(connection, resources.issuer_keys)
    await resources.connections.add(connection)
    return JSONResponse(describe_connection(connection, resources.settings), status_code=201, headers=NO_STORE)


async def list_connections(request: Request) -> Response:
    """Connections by creation."""
    require_administrator(request)
    resources = resources_of(request)
    limit, after = read_page(request)
    found, following = await resources.connections.page(after=after, limit=limit)
    holds = await resources.blast_radius.holds([each.id for each in found])
    items = [describe_connection(each, resources.settings, hold=holds.get(each.id)) for each in found]
    return JSONResponse(page(items, following=following), headers=NO_STORE)


async def read_connection(request: Request) -> Response:
    """One connection."""
    require_administrator(request)
    return await _answer(resources_of(request), await _find(request))


async def update_connection(request: Request) -> Response:
    """Change a connection; new options are checked against the identity provider like those of a new one.

    With `enabled` false its doors answer 403 and nobody signs in through it. That ends nothing: sessions and refresh tokens
    live on as they are, and the management API ends them as before.
    """
    require_administrator(request)
    resources = resources_of(request)
    connection = await _find(request)
    body = await read_body(request, ConnectionPatch)
    if any(getattr(body, name) is None for name in body.model_fields_set - {"display_name"}):
        raise InvalidRequest("only `display_name`, and members of `options`, may be null")
    changed = replace(connection, updated_at_ms=resources.fleet_clock.now_ms())
    if "display_name" in body.model_fields_set:
        changed = replace(changed, display_name=body.display_name)
    if body.enabled is not None:
        changed = replace(changed, enabled=body.enabled)
    if body.enabled_clients is not None:
        # One that was removed stays named until it is taken out: a list that was read can be written back.
        new = [each for each in body.enabled_clients if each not in connection.enabled_clients]
        await _require_known(resources, new)
        changed = replace(changed, enabled_clients=tuple(dict.fromkeys(body.enabled_clients)))
    if body.options is not None:
        merged = {**body_of(connection.options), **body.options}
        try:
            wanted = ConnectionOptionsBody.model_validate(merged)
        except ValidationError as error:
            raise InvalidRequest(f"`options`: {describe(error)}") from None
        kept = None if "okta_event_hook_secret" in body.options else connection.options.okta_event_hook_secret_hash
        options = await resolve_options(wanted, outbound=resources.outbound, kept_hook_secret_hash=kept)
        refuse_expired_certificates(options, kept=connection.options, now_ms=resources.clock.now_ms())
        changed = replace(changed, options=options)
        await require_usable_keys(changed, resources.issuer_keys)
    await resources.connections.replace(changed)
    return await _answer(resources, changed)


async def delete_connection(request: Request) -> Response:
    """Remove a connection. Its doors are closed from now on: what its identity provider asks is refused.

    It ends nothing: sessions begun through it, and their refresh tokens, live on until they expire or are ended one by one
    (`DELETE /api/v2/sessions/{session_id}`, `DELETE /api/v2/users/{user_id}/sessions`), and revocations under way are
    finished. Nobody can join these sessions any more, nor find their people by an identifier, and a new connection of the
    same name does not know them. To stop new sign-ins and keep the rest as it is, set `enabled` to false instead.
    """
    require_administrator(request)
    await resources_of(request).connections.remove(await _find(request))
    return Response(status_code=204, headers=NO_STORE)


async def list_enabled_clients(request: Request) -> Response:
    """Which applications are enabled for a connection, in the order of their client_ids."""
    require_administrator(request)
    limit, after = read_page(request)
    connection = await _find(request)
    return JSONResponse(_clients(connection, after=after, limit=limit), headers=NO_STORE)


async def update_enabled_clients(request: Request) -> Response:
    """Enable and disable applications for a connection; those not named stay as they are. One that is disabled takes part in
    no new session, and is told of the end of those it is in."""
    require_administrator(request)
    resources = resources_of(request)
    connection = await _find(request)
    wanted = (await read_body(request, EnabledClientsPatch)).root
    await _require_known(resources, [each.client_id for each in wanted if each.status])
    enabled = dict.fromkeys(connection.enabled_clients)
    for each in wanted:
        if each.status:
            enabled[each.client_id] = None
        else:
            enabled.pop(each.client_id, None)
    if len(enabled) > max(MAX_ENABLED_CLIENTS, len(connection.enabled_clients)):
        raise InvalidRequest(f"a connection may have at most {MAX_ENABLED_CLIENTS} enabled clients")
    changed = replace(connection, enabled_clients=tuple(enabled), updated_at_ms=resources.fleet_clock.now_ms())
    await resources.connections.replace(changed)
    return JSONResponse(_clients(changed, after=None, limit=MAX_ENABLED_CLIENTS), headers=NO_STORE)


def _clients(connection: Connection, *, after: Mark | None, limit: int) -> dict[str, object]:
    listed = sorted(each for each in connection.enabled_clients if after is None or each > after.member)
    items = [{"client_id": each, "status": True} for each in listed[:limit]]
    return page(items, following=Mark(score=0, member=listed[limit - 1]) if len(listed) > limit else None)


async def _answer(resources: Resources, connection: Connection) -> Response:
    hold = (await resources.blast_radius.holds([connection.id])).get(connection.id)
    return JSONResponse(describe_connection(connection, resources.settings, hold=hold), headers=NO_STORE)


async def _find(request: Request) -> Connection:
    return await find_connection(resources_of(request), request.path_params["connection_id"])


async def _require_known(resources: Resources, client_ids: list[str]) -> None:
    known = await resources.applications.get_many(client_ids)
    unknown = [each for each in client_ids if each not in known]
    if unknown:
        raise InvalidRequest(f"`enabled_clients` names a client that does not exist: {unknown[0][:64]}")


_CONNECTION = "/api/v2/connections/{connection_id}"
"""By id, or by name: the two cannot be mistaken."""

_PAGE = {"limit": "Items in a page, 1 to 100; 50 by default.", "cursor": "`next_cursor` of the page before."}

OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/connections",
        endpoint=create_connection,
        summary="Create a connection",
        tag="Connections",
        access="administrator",
        body=ConnectionBody,
        example={
            "name": "acme-okta",
            "strategy": "oidc",
            "options": {
                "type": "back_channel",
                "issuer": "https://acme.okta.com",
                "authorization_endpoint": "https://acme.okta.com/oauth2/v1/authorize",
                "client_id": "0oa1example",
            },
        },
        responses={
            201: "The connection, with the URLs to paste into the identity provider.",
            400: "A member is wrong, or the discovery document or the keys are; the text says which.",
            409: "The name is taken.",
        },
        answers={201: ConnectionAnswer},
    ),
    Operation(
        method="GET",
        path="/api/v2/connections",
        endpoint=list_connections,
        summary="List connections",
        tag="Connections",
        access="administrator",
        query=_PAGE,
        responses={200: "A page of connections.", 400: "A parameter is wrong."},
        answers={200: page_of(ConnectionAnswer)},
    ),
    Operation(
        method="GET",
        path=_CONNECTION,
        endpoint=read_connection,
        summary="A connection",
        tag="Connections",
        access="administrator",
        responses={200: "The connection.", 404: "There is no such connection."},
        answers={200: ConnectionAnswer},
    ),
    Operation(
        method="PATCH",
        path=_CONNECTION,
        endpoint=update_connection,
        summary="Change a connection",
        tag="Connections",
        access="administrator",
        body=ConnectionPatch,
        example={"display_name": "Okta of Acme"},
        responses={
            200: "The connection as it is now.",
            404: "There is no such connection.",
            409: "It was changed or removed meanwhile.",
        },
        answers={200: ConnectionAnswer},
    ),
    Operation(
        method="DELETE",
        path=_CONNECTION,
        endpoint=delete_connection,
        summary="Remove a connection",
        tag="Connections",
        access="administrator",
        responses={204: "Removed.", 404: "There is no such connection."},
    ),
    Operation(
        method="GET",
        path=f"{_CONNECTION}/clients",
        endpoint=list_enabled_clients,
        summary="Which applications are enabled",
        tag="Connections",
        access="administrator",
        query=_PAGE,
        responses={200: "A page of enabled clients.", 404: "There is no such connection."},
        answers={200: page_of(EnabledClient)},
    ),
    Operation(
        method="PATCH",
        path=f"{_CONNECTION}/clients",
        endpoint=update_enabled_clients,
        summary="Enable or disable applications",
        tag="Connections",
        access="administrator",
        body=EnabledClientsPatch,
        example=[{"client_id": "notes", "status": True}],
        responses={
            200: "The clients enabled now.",
            404: "There is no such connection.",
            409: "The connection was changed or removed meanwhile.",
        },
        answers={200: page_of(EnabledClient)},
    ),
)
