"""The management API's clients: the applications to be told, with the names of RFC 7591."""

import re
from dataclasses import replace
from typing import Annotated

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.admin.client_answers import (
    ClientAnswer,
    ClientAsItStands,
    ClientWithSecret,
    SigningAlgorithm,
    describe_client,
    describe_clients,
    find_client,
)
from service.admin.client_tls import ClientTlsBody, require_https, tls_members
from service.domain.application import CLIENT_ID_LENGTH, HIGHEST_RATE, LEAST_RATE, MOST_CONCURRENT, Application
from service.domain.identifiers import new_client_id, new_client_secret
from service.errors import InvalidClientMetadata, InvalidRequest
from service.resources import Resources
from service.web.access import hash_secret, require_administrator
from service.web.answers import page_of
from service.web.bodies import moment, never_null, read_body
from service.web.operation import Operation
from service.web.pages import page, read_page
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of

_CLIENT_ID = re.compile(rf"[A-Za-z0-9._~:@=+-]{{1,{CLIENT_ID_LENGTH}}}", re.ASCII)
"""What a client_id may be: it stands in URLs and in `aud`."""

Name = Annotated[str, Field(min_length=1, max_length=256)]
Uri = Annotated[str, Field(min_length=1, max_length=2048)]
MaxConcurrent = Annotated[
    Annotated[int, Field(ge=1, le=MOST_CONCURRENT)] | None,
    Field(
        description="Most logout tokens under way to it at once, from all workers together. Left out: 32 from each worker."
    ),
]
RatePerSecond = Annotated[
    Annotated[float, Field(ge=LEAST_RATE, le=HIGHEST_RATE)] | None,
    Field(description="Most logout tokens sent to it in a second, from all workers together. Left out: any number."),
]


class ClientBody(ClientTlsBody):
    """A client to be."""

    client_id: Annotated[str, Field(pattern=f"^{_CLIENT_ID.pattern}$")] | None = None
    client_name: Name | None = None
    backchannel_logout_uri: Uri | None = None
    backchannel_logout_session_required: bool = False
    id_token_signed_response_alg: SigningAlgorithm = "RS256"
    delivery_max_concurrent: MaxConcurrent = None
    delivery_rate_per_second: RatePerSecond = None


class ClientPatch(ClientTlsBody):
    """What may change of a client; null unsets a name, a URI, a limit, or what is agreed on TLS."""

    never_changes = frozenset({"client_id"})

    client_name: Name | None = None
    backchannel_logout_uri: Uri | None = None
    backchannel_logout_session_required: bool | None = Field(default=None, json_schema_extra=never_null)
    id_token_signed_response_alg: SigningAlgorithm | None = Field(default=None, json_schema_extra=never_null)
    delivery_max_concurrent: MaxConcurrent = None
    delivery_rate_per_second: RatePerSecond = None


async def create_client(request: Request) -> Response:
    """Register a client. This answer alone shows its secret."""
    require_administrator(request)
    resources = resources_of(request)
    body = await read_body(request, ClientBody)
    _check(resources, body.backchannel_logout_uri, body.id_token_signed_response_alg)
    now_ms = resources.fleet_clock.now_ms()
    secret = new_client_secret()
    application = Application(
        client_id=body.client_id or new_client_id(),
        client_name=body.client_name,
        client_secret_hash=hash_secret(secret),
        backchannel_logout_uri=body.backchannel_logout_uri,
        backchannel_logout_session_required=body.backchannel_logout_session_required,
        id_token_signed_response_alg=body.id_token_signed_response_alg,
        **await tls_members(body, now_ms=resources.clock.now_ms()),
        delivery_max_concurrent=body.delivery_max_concurrent,
        delivery_rate_per_second=body.delivery_rate_per_second,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    require_https(application)
    # Before it is there: a Redis that goes away in between would lose the secret.
    told = await describe_client(resources, application)
    await resources.applications.add(application)
    return JSONResponse({**told, "client_secret": secret}, status_code=201, headers=NO_STORE)


async def list_clients(request: Request) -> Response:
    """Clients by creation."""
    require_administrator(request)
    resources = resources_of(request)
    limit, after = read_page(request)
    found, following = await resources.applications.page(after=after, limit=limit)
    return JSONResponse(page(await describe_clients(resources, found), following=following), headers=NO_STORE)


async def read_client(request: Request) -> Response:
    """One client, and how many dead letters it has."""
    require_administrator(request)
    resources = resources_of(request)
    application = await find_client(request)
    count = await resources.dead_letters.count(client_id=application.client_id, now_ms=resources.fleet_clock.now_ms())
    return JSONResponse({**await describe_client(resources, application), "dead_letters": count}, headers=NO_STORE)


async def update_client(request: Request) -> Response:
    """Change a client. Deliveries still to be tried go by what it is now."""
    require_administrator(request)
    resources = resources_of(request)
    application = await find_client(request)
    body = await read_body(request, ClientPatch)
    required = ("backchannel_logout_session_required", "id_token_signed_response_alg")
    if any(name in body.model_fields_set and getattr(body, name) is None for name in required):
        raise InvalidRequest(f"these may not be null: {', '.join(required)}")
    tls = await tls_members(body, kept=application, now_ms=resources.clock.now_ms())
    members = body.model_dump(exclude_unset=True) | tls
    changed = replace(application, updated_at_ms=resources.fleet_clock.now_ms(), **members)
    require_https(changed)
    _check(resources, changed.backchannel_logout_uri, changed.id_token_signed_response_alg)
    await resources.applications.replace(changed)
    if changed.backchannel_logout_uri != application.backchannel_logout_uri:
        # What was found out of the old address says nothing of the new one.
        await resources.client_healths.probe_now(changed.client_id, now_ms=resources.fleet_clock.now_ms())
    return JSONResponse(await describe_client(resources, changed), headers=NO_STORE)


async def replace_client_secret(request: Request) -> Response:
    """Give a client a new secret, which this answer alone shows. The old one opens nothing any more, from now on.

    It is answered without waiting for disks or replicas, so that the secret is never lost with the answer. A failover that
    has lost the change brings the old one back, and the new one is refused: replace it again then.
    """
    require_administrator(request)
    resources = resources_of(request)
    application = await find_client(request)
    secret = new_client_secret()
    changed = replace(application, updated_at_ms=resources.fleet_clock.now_ms(), client_secret_hash=hash_secret(secret))
    told = await describe_client(resources, changed)
    await resources.applications.replace(changed)
    return JSONResponse({**told, "client_secret": secret}, headers=NO_STORE)


async def delete_client(request: Request) -> Response:
    """Remove a client. Its secret opens nothing any more, and none of its refresh tokens is honoured, also if its client_id
    is registered anew. Sessions it has a part in live on for the other applications in them. It is told of nothing from now
    on: what it is still owed, and what it would be owed by a later revocation, is `skipped` with the reason `client_deleted`.

    To have it told of the end of its sessions, end them first. Connections go on naming it in `enabled_clients` until it is
    taken out there; registered anew, it is enabled again where it is still named.
    """
    require_administrator(request)
    application = await find_client(request)
    await resources_of(request).applications.remove(application.client_id)
    return Response(status_code=204, headers=NO_STORE)


def _check(resources: Resources, uri: str | None, algorithm: str) -> None:
    if uri is not None:
        resources.outbound.check_url(uri, what="backchannel_logout_uri")
    if algorithm not in resources.key_ring.algorithms:
        raise InvalidClientMetadata(
            f"there is no signing key for `id_token_signed_response_alg` {algorithm}{_until_when(resources, algorithm)}"
        )


def _until_when(resources: Resources, algorithm: str) -> str:
    """When one will sign, if one is published already."""
    ring = resources.key_ring
    times_s = [each.from_s for each in ring.keys.places(now_s=ring.now_s) if each.algorithm == algorithm]
    return f" before {moment(min(times_s) * 1000)}" if times_s else ""


_CLIENT = "/api/v2/clients/{client_id}"
_PAGE = {"limit": "Items in a page, 1 to 100; 50 by default.", "cursor": "`next_cursor` of the page before."}

OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/clients",
        endpoint=create_client,
        summary="Register a client",
        tag="Clients",
        access="administrator",
        body=ClientBody,
        example={
            "client_id": "notes",
            "client_name": "Notes",
            "backchannel_logout_uri": "http://127.0.0.1:9999/backchannel-logout",
        },
        responses={201: "The client and, this once, its secret.", 409: "The client_id is taken."},
        answers={201: ClientWithSecret},
        shows_secret=True,
    ),
    Operation(
        method="GET",
        path="/api/v2/clients",
        endpoint=list_clients,
        summary="List clients",
        tag="Clients",
        access="administrator",
        query=_PAGE,
        responses={200: "A page of clients.", 400: "A parameter is wrong."},
        answers={200: page_of(ClientAnswer)},
    ),
    Operation(
        method="GET",
        path=_CLIENT,
        endpoint=read_client,
        summary="A client",
        tag="Clients",
        access="administrator",
        responses={200: "The client.", 404: "There is no such client."},
        answers={200: ClientAsItStands},
    ),
    Operation(
        method="PATCH",
        path=_CLIENT,
        endpoint=update_client,
        summary="Change a client",
        tag="Clients",
        access="administrator",
        body=ClientPatch,
        example={"client_name": "Notes of Acme"},
        responses={
            200: "The client as it is now.",
            404: "There is no such client.",
            409: "It was changed or removed meanwhile.",
        },
        answers={200: ClientAnswer},
    ),
    Operation(
        method="POST",
        path=f"{_CLIENT}/secret",
        endpoint=replace_client_secret,
        summary="Replace a client's secret",
        tag="Clients",
        access="administrator",
        responses={
            200: "The client and, this once, its new secret.",
            404: "There is no such client.",
            409: "It was changed or removed meanwhile.",
        },
        answers={200: ClientWithSecret},
        shows_secret=True,
    ),
    Operation(
        method="DELETE",
        path=_CLIENT,
        endpoint=delete_client,
        summary="Remove a client",
        tag="Clients",
        access="administrator",
        responses={204: "Removed.", 404: "There is no such client."},
    ),
)
