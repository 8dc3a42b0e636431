"""Refresh tokens: minted here, or registered when another minted them. Only a hash is kept."""

from typing import Annotated

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.domain.identifiers import new_refresh_token, new_refresh_token_id
from service.domain.refresh_token import MAX_TOKEN_LENGTH, MIN_TOKEN_LENGTH, RefreshToken
from service.errors import InvalidRequest, NotFound
from service.web.access import require_caller
from service.web.bodies import Body, moment, read_body
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of

DEFAULT_LIFETIME_S = 30 * 86_400
"""How long a refresh token lasts when nothing is said, in seconds: a month."""

MAX_LIFETIME_S = 400 * 86_400
"""Longest refresh token, in seconds."""

MAX_SCOPE_LENGTH = 4096
"""Longest `scope`, in characters."""


class RefreshTokenBody(Body):
    """A refresh token to be."""

    session_id: Annotated[str, Field(min_length=1, max_length=128)]
    client_id: Annotated[str, Field(min_length=1, max_length=256)]
    scope: Annotated[str, Field(max_length=MAX_SCOPE_LENGTH)] | None = None
    offline: bool = Field(default=False, description="Outlives its session's expiry (`offline_access`).")
    expires_in: int | None = Field(default=None, ge=1, le=MAX_LIFETIME_S, description="Lifetime in seconds.")
    token: Annotated[str, Field(min_length=MIN_TOKEN_LENGTH, max_length=MAX_TOKEN_LENGTH)] | None = Field(
        default=None, repr=False, description="A token minted elsewhere, to be registered as it is."
    )


async def create_refresh_token(request: Request) -> Response:
    """Issue a refresh token within an active session. The answer is the only time it is shown."""
    resources = resources_of(request)
    caller = await require_caller(request)
    body = await read_body(request, RefreshTokenBody)
    caller.require_self(body.client_id)
    now_ms = resources.clock.now_ms()
    session = await resources.sessions.get(body.session_id)
    if session is None:
        raise NotFound("there is no such session")
    part = next((each for each in session.participants if each.client_id == body.client_id), None)
    if part is None:
        raise InvalidRequest("the client is not in this session")
    expires_at_ms = now_ms + (body.expires_in or DEFAULT_LIFETIME_S) * 1000
    secret = body.token or new_refresh_token()
    token = RefreshToken(
        refresh_token_id=new_refresh_token_id(),
        user_id=session.user_id,
        connection_id=session.connection_id,
        session_id=session.session_id,
        client_id=body.client_id,
        sub=part.sub,
        scope=body.scope,
        offline=body.offline,
        issued_at_ms=now_ms,
        expires_at_ms=expires_at_ms if body.offline else min(expires_at_ms, session.expires_at_ms),
    )
    await resources.refresh_tokens.issue(secret, token, sid=part.sid, now_ms=now_ms)
    answer = {
        "refresh_token": secret,
        "refresh_token_id": token.refresh_token_id,
        "session_id": token.session_id,
        "client_id": token.client_id,
        "scope": token.scope,
        "offline": token.offline,
        "issued_at": moment(now_ms),
        "expires_at": moment(token.expires_at_ms),
    }
    return JSONResponse(answer, status_code=201, headers=NO_STORE)


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/refresh-tokens",
        endpoint=create_refresh_token,
        summary="Issue or register a refresh token",
        tag="Refresh tokens",
        access="administrator or application",
        body=RefreshTokenBody,
        responses={
            201: "The refresh token: shown this once.",
            403: "An application may have tokens for itself only.",
            404: "There is no such session, or it has ended.",
            409: "This token is registered already.",
        },
    ),
)
