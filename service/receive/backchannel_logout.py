"""The door for OpenID Connect Back-Channel Logout 1.0: an identity provider's logout token, as a form.

Success is exactly 200 and refusal exactly 400, whatever the reason (sections 2.7 and 2.8, and the certification suite);
503 where there is no telling: the keys or Redis cannot be reached; 429 where so many came that nothing was done for it.
Nothing is ever done for a token that is unverified.
"""

import functools
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from service import errors
from service.domain.audit import Actor, acts
from service.domain.connection import Connection
from service.receive.door import CONNECTION_NAME, admit_proven, connection_in, door
from service.resources import Resources
from service.store.kept_tokens import KEPT_MS
from service.telemetry import get_logger
from service.verify.capture import Expected
from service.verify.encrypted_token import MAX_ENCRYPTED_LENGTH
from service.verify.logout_token import may_be_logout_token, verify_logout_token
from service.web.bodies import read_form
from service.web.http_framing import MAX_CHUNKS
from service.web.operation import Endpoint, Media, Operation
from service.web.problems import NO_STORE, problem
from service.web.state import Request, resources_of

log = get_logger(__name__)

PATH = "/oauth/backchannel-logout/connection/{connection_name}"

PARAMETER: Final = "logout_token"

FIRST_LOOK_MS: Final = 15_000
"""When a kept token is looked at first, in milliseconds: after the pause in which its keys would not be fetched again."""


async def receive_backchannel_logout(request: Request) -> Response:
    """End what an identity provider's logout token names; 200 means that none of it is honoured any more."""
    resources = resources_of(request)
    text = (await read_form(request, only=(PARAMETER,))).get(PARAMETER, "")
    if not text:
        raise errors.InvalidRequest(f"`{PARAMETER}` is missing")
    if len(text) > MAX_ENCRYPTED_LENGTH:
        raise errors.InvalidRequest(f"`{PARAMETER}` is longer than {MAX_ENCRYPTED_LENGTH} characters")
    name = connection_in(request)
    connection = await resources.connections.by_name(name) if name else None
    now_ms = resources.clock.now_ms()
    try:
        with resources.captures.on_refusal(text, connection=connection, expected=_expected):
            logout = await verify_logout_token(text, connection=connection, keys=resources.issuer_keys, now_ms=now_ms)
    except errors.KeysUnavailable:
        if connection is not None and connection.enabled:
            await _keep(resources, connection, text)
        raise
    if connection is None:
        raise AssertionError("unreachable: a token is verified for an existing connection only")
    acts(Actor(type="connection", id=connection.id, issuer=logout.iss))
    admit_proven(request, connection)
    if not connection.enabled:
        raise errors.NotAllowed("this connection is disabled")
    await resources.logouts.accept(logout, connection)
    return JSONResponse({}, headers=NO_STORE)


def _expected(connection: Connection) -> Expected:
    # `sub` names the person: there is nothing to hold it against.
    return Expected(issuers=(connection.options.issuer,), audience=connection.options.client_id)


async def _keep(resources: Resources, connection: Connection, text: str) -> None:
    """Keep what may be a logout, to be verified when the keys can be had: not every sender sends again. By the fleet's clock: a
    worker goes on with it, and what it ends had begun by then."""
    now_ms = resources.fleet_clock.now_ms()
    if not may_be_logout_token(text, connection=connection, now_ms=now_ms):
        return
    kept_id = await resources.kept_tokens.keep(connection.id, text, now_ms=now_ms, look_at_ms=now_ms + FIRST_LOOK_MS)
    log.warning(
        "logout.kept", connection_id=connection.id, kept_id=kept_id, full=kept_id is None, for_s=KEPT_MS // 1000
    )


def _refusing_with_400(endpoint: Endpoint) -> Endpoint:
    """Every refusal as section 2.8 has it. What is no refusal, 429 and 503, passes."""

    @functools.wraps(endpoint)
    async def refusing(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (errors.Unavailable, errors.TooManyRequests):
            raise
        except errors.LogoutdError as error:
            return problem(400, "invalid_request", str(error))
        except HTTPException as error:
            if error.status_code != 413:
                raise
            return problem(400, "invalid_request", "the body is larger than 64 KiB")

    return refusing


OPERATIONS = (
    Operation(
        method="POST",
        path=PATH,
        endpoint=_refusing_with_400(door("backchannel_logout", receive_backchannel_logout)),
        summary="OpenID Connect Back-Channel Logout: end what a logout token names",
        tag="Doors",
        access="logout token",
        form=(PARAMETER,),
        responses={
            200: "Nothing that the token names is honoured any more; also when nothing of it was known.",
            400: "The token or the request is refused; `error_description` says why.",
            413: f"The body comes in more than {MAX_CHUNKS} chunks: the server, which reads no further, knows no door.",
            503: "Redis or the identity provider's keys cannot be reached. The token is kept and verified later where that "
            "is possible; send it again all the same.",
        },
        schemas={**CONNECTION_NAME, PARAMETER: {"type": "string", "minLength": 1, "maxLength": MAX_ENCRYPTED_LENGTH}},
        answers={200: Media(schema={"type": "object", "maxProperties": 0})},
        example={PARAMETER: "$LOGOUT_TOKEN"},
    ),
)
