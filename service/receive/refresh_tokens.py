"""Refresh tokens: minted here, or registered when another minted them; rotated, and ended. Only a hash is kept."""

from typing import Annotated, Any

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.domain.identifiers import new_refresh_token, new_refresh_token_id, revocation_id_for
from service.domain.refresh_token import MAX_TOKEN_LENGTH, MIN_TOKEN_LENGTH, RefreshToken, expiry_of
from service.domain.revocation import Initiator, RevocationRequest, TokenFamily
from service.errors import InvalidGrant, InvalidRequest, NotFound
from service.store.refresh_tokens import NOT_HONOURED, Reused
from service.telemetry import get_logger
from service.web.access import require_caller
from service.web.answers import Answer, Moment, RevocationAccepted
from service.web.bodies import Body, moment, read_body
from service.web.found import belongs_to_a_client
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of

log = get_logger(__name__)

DEFAULT_LIFETIME_S = 30 * 86_400
"""How long a refresh token and all it is rotated into last when nothing is said, in seconds: a month."""

MAX_LIFETIME_S = 400 * 86_400
"""Longest refresh token, in seconds."""

MAX_SCOPE_LENGTH = 4096
"""Longest `scope`, in characters."""

MintedElsewhere = Annotated[str, Field(min_length=MIN_TOKEN_LENGTH, max_length=MAX_TOKEN_LENGTH)]


class RefreshTokenBody(Body):
    """A refresh token to be."""

    session_id: Annotated[str, Field(min_length=1, max_length=128)]
    client_id: Annotated[str, Field(min_length=1, max_length=256)]
    scope: Annotated[str, Field(max_length=MAX_SCOPE_LENGTH)] | None = None
    offline: bool = Field(default=False, description="Outlives its session's expiry (`offline_access`).")
    expires_in: int | None = Field(
        default=None,
        ge=1,
        le=MAX_LIFETIME_S,
        description="Lifetime in seconds, of this token and of all it is rotated into.",
    )
    idle_expires_in: int | None = Field(
        default=None,
        ge=1,
        le=MAX_LIFETIME_S,
        description="Seconds each of them lasts when it is not rotated. Default: as long as `expires_in`.",
    )
    token: MintedElsewhere | None = Field(
        default=None, repr=False, description="A token minted elsewhere, to be registered as it is."
    )


class RotationBody(Body):
    """A refresh token to be spent."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_LENGTH)] = Field(
        repr=False, description="The token that was presented."
    )
    client_id: Annotated[str, Field(min_length=1, max_length=256)] = Field(description="By whom.")
    token: MintedElsewhere | None = Field(
        default=None, repr=False, description="Its successor, where that is minted elsewhere."
    )


class IssuedRefreshToken(Answer):
    """A refresh token, shown this once."""

    refresh_token: str
    refresh_token_id: str
    family_id: str = Field(description="The same of all it is rotated into.")
    session_id: str
    client_id: str
    scope: str | None
    offline: bool
    issued_at: Moment
    expires_at: Moment
    family_expires_at: Moment


async def create_refresh_token(request: Request) -> Response:
    """Issue a refresh token within an active session. The answer is the only time it is shown."""
    resources = resources_of(request)
    caller = await require_caller(request)
    body = await read_body(request, RefreshTokenBody)
    caller.require_self(body.client_id)
    now_ms = resources.fleet_clock.now_ms()
    session = await resources.sessions.get(body.session_id)
    if session is None:
        raise NotFound("there is no such session")
    part = next((each for each in session.participants if each.client_id == body.client_id), None)
    if part is None:
        raise InvalidRequest("the client is not in this session")
    family_expires_at_ms = now_ms + (body.expires_in or DEFAULT_LIFETIME_S) * 1000
    if not body.offline:
        family_expires_at_ms = min(family_expires_at_ms, session.expires_at_ms)
    idle_ms = None if body.idle_expires_in is None else body.idle_expires_in * 1000
    secret, name = body.token or new_refresh_token(), new_refresh_token_id()
    token = RefreshToken(
        refresh_token_id=name,
        user_id=session.user_id,
        connection_id=session.connection_id,
        session_id=session.session_id,
        client_id=body.client_id,
        sub=part.sub,
        scope=body.scope,
        offline=body.offline,
        family_id=name,
        issued_at_ms=now_ms,
        expires_at_ms=expiry_of(now_ms, idle_ms=idle_ms, family_expires_at_ms=family_expires_at_ms),
        family_expires_at_ms=family_expires_at_ms,
        idle_ms=idle_ms,
    )
    await resources.refresh_tokens.issue(secret, token, sid=part.sid, upstream_sid=session.upstream_sid, now_ms=now_ms)
    return JSONResponse(_shown(secret, token), status_code=201, headers=NO_STORE)


async def rotate_refresh_token(request: Request) -> Response:
    """Spend a refresh token and answer its successor. One spent before ends its whole family (RFC 9700 section 4.14.2), which
    is a revocation with a receipt of its own; whoever presented it reads no more than that it is not valid."""
    resources = resources_of(request)
    caller = await require_caller(request)
    body = await read_body(request, RotationBody)
    caller.require_self(body.client_id)
    presented = await resources.refresh_tokens.find(body.refresh_token)
    if presented is not None and not await belongs_to_a_client(resources, presented):
        raise InvalidGrant(NOT_HONOURED)
    secret = body.token or new_refresh_token()
    rotated = await resources.refresh_tokens.rotate(
        body.refresh_token,
        body.client_id,
        secret,
        refresh_token_id=new_refresh_token_id(),
        grace_ms=resources.settings.refresh_token_grace_seconds * 1000,
        now_ms=resources.fleet_clock.now_ms(),
    )
    if isinstance(rotated, Reused):
        log.warning(
            "refresh_token.reused",
            refresh_token_id=rotated.token.refresh_token_id,
            family_id=rotated.token.family_id,
            client_id=rotated.token.client_id,
        )
        # Recorded, then ended, then refused: a crash between these leaves no family that ended without a receipt.
        await resources.sink.accept(_end_of_family(rotated.token, "refresh_token_reuse"))
        raise InvalidGrant(NOT_HONOURED)
    return JSONResponse(_shown(secret, rotated), headers=NO_STORE)


async def delete_refresh_token(request: Request) -> Response:
    """End one refresh token, with all it was rotated from and into. No session ends, so no application is told."""
    resources = resources_of(request)
    caller = await require_caller(request)
    token = await resources.refresh_tokens.get(request.path_params["refresh_token_id"])
    if token is None or (caller.application and caller.application.client_id != token.client_id):
        raise NotFound("there is no such refresh token")
    accepted = await resources.sink.accept(_end_of_family(token, "refresh_token_delete"))
    return JSONResponse({"revocation_id": accepted.revocation_id}, status_code=202, headers=NO_STORE)


def _end_of_family(token: RefreshToken, initiator: Initiator) -> RevocationRequest:
    """Named for the family, which ends once."""
    return RevocationRequest(
        revocation_id=revocation_id_for(initiator, token.family_id),
        connection_id=token.connection_id,
        user_ids=(token.user_id,),
        initiator=initiator,
        scope=TokenFamily(session_id=token.session_id, family_id=token.family_id),
    )


def _shown(secret: str, token: RefreshToken) -> dict[str, Any]:
    return {
        "refresh_token": secret,
        "refresh_token_id": token.refresh_token_id,
        "family_id": token.family_id,
        "session_id": token.session_id,
        "client_id": token.client_id,
        "scope": token.scope,
        "offline": token.offline,
        "issued_at": moment(token.issued_at_ms),
        "expires_at": moment(token.expires_at_ms),
        "family_expires_at": moment(token.family_expires_at_ms),
    }


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/refresh-tokens",
        endpoint=create_refresh_token,
        summary="Issue or register a refresh token",
        tag="Refresh tokens",
        access="administrator or application",
        audited=False,
        body=RefreshTokenBody,
        example={"session_id": "$SESSION", "client_id": "notes", "offline": True},
        responses={
            201: "The refresh token: shown this once.",
            403: "An application may have tokens for itself only.",
            404: "There is no such session, or it has ended.",
            409: "This token is registered already.",
        },
        answers={201: IssuedRefreshToken},
    ),
    Operation(
        method="POST",
        path="/api/v2/refresh-tokens/rotate",
        endpoint=rotate_refresh_token,
        summary="Spend a refresh token and get its successor",
        tag="Refresh tokens",
        access="administrator or application",
        audited=False,
        body=RotationBody,
        example={"refresh_token": "$REFRESH_TOKEN", "client_id": "notes"},
        responses={
            200: "The successor: shown this once.",
            400: "`invalid_grant`: the token is not honoured; had it been rotated before, its whole family has ended.",
            403: "An application may rotate its own tokens only.",
            409: "The successor is registered already.",
        },
        answers={200: IssuedRefreshToken},
    ),
    Operation(
        method="DELETE",
        path="/api/v2/refresh-tokens/{refresh_token_id}",
        endpoint=delete_refresh_token,
        summary="End a refresh token and all it was rotated from and into",
        tag="Refresh tokens",
        access="administrator or application",
        audited=False,
        responses={202: "Ended; `revocation_id` names the receipt.", 404: "There is no such refresh token."},
        answers={202: RevocationAccepted},
    ),
)
