"""Token introspection (RFC 7662): is this still honoured? Asked of Redis each time; nothing is remembered here."""

from typing import Any, Literal

from starlette.responses import JSONResponse, Response

from service.domain.refresh_token import MAX_TOKEN_LENGTH
from service.errors import InvalidRequest
from service.resources import Resources
from service.web.access import FORM_SCHEMAS, Caller, read_form_of_caller
from service.web.answers import Answer, absent
from service.web.found import belongs_to_a_client
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of


class Introspection(Answer):
    """What a token stands for; of one that is not honoured `active` alone (RFC 7662 section 2.2)."""

    active: bool
    token_type: Literal["refresh_token", "session"] = absent()
    iss: str = absent()
    client_id: str = absent()
    sub: str = absent()
    sid: str = absent("Of a session, to the application that asks.")
    iat: int = absent("In seconds.")
    exp: int = absent("In seconds.")
    jti: str = absent("`refresh_token_id`.")
    session_id: str = absent()
    scope: str = absent()


INACTIVE: dict[str, Any] = {"active": False}
"""The whole answer for anything not honoured or not the caller's, without a reason (RFC 7662 section 2.2)."""


async def introspect(request: Request) -> Response:
    """Whether a refresh token, or with `token_type_hint=session` a session id, is honoured at this moment."""
    resources = resources_of(request)
    caller, form = await read_form_of_caller(request)
    token = form.get("token", "")
    if not token:
        raise InvalidRequest("`token` is missing")
    if len(token) > MAX_TOKEN_LENGTH:
        return JSONResponse(INACTIVE, headers=NO_STORE)
    now_ms = resources.fleet_clock.now_ms()
    found = None
    if form.get("token_type_hint") == "session":
        found = await _session(resources, caller, token, now_ms)
    # A hint that leads nowhere does not end the search (RFC 7662 section 2.1).
    found = found or await _refresh_token(resources, caller, token, now_ms)
    return JSONResponse(found or INACTIVE, headers=NO_STORE)


async def _refresh_token(resources: Resources, caller: Caller, token: str, now_ms: int) -> dict[str, Any] | None:
    found = await resources.refresh_tokens.find_active(token, now_ms=now_ms)
    if found is None or (caller.application and caller.application.client_id != found.client_id):
        return None
    if not await belongs_to_a_client(resources, found):
        return None
    answer: dict[str, Any] = {
        "active": True,
        "token_type": "refresh_token",
        "iss": resources.settings.token_issuer,
        "client_id": found.client_id,
        "sub": found.sub,
        "iat": found.issued_at_ms // 1000,
        "exp": found.expires_at_ms // 1000,
        "jti": found.refresh_token_id,
        "session_id": found.session_id,
    }
    return {**answer, "scope": found.scope} if found.scope is not None else answer


async def _session(resources: Resources, caller: Caller, session_id: str, now_ms: int) -> dict[str, Any] | None:
    found = await resources.sessions.get(session_id)
    if found is None or not found.active(now_ms):
        return None
    answer: dict[str, Any] = {
        "active": True,
        "token_type": "session",
        "iss": resources.settings.token_issuer,
        "sub": found.user_id,
        "iat": found.created_at_ms // 1000,
        "exp": found.expires_at_ms // 1000,
        "session_id": found.session_id,
    }
    if caller.application is None:
        return answer
    own = next((each for each in found.participants if each.client_id == caller.application.client_id), None)
    return {**answer, "client_id": own.client_id, "sub": own.sub, "sid": own.sid} if own else None


OPERATIONS = (
    Operation(
        method="POST",
        path="/oauth/introspect",
        endpoint=introspect,
        summary="Is a refresh token or a session still honoured? (RFC 7662)",
        tag="For applications",
        access="administrator or application",
        audited=False,
        form=("token", "token_type_hint", "client_id", "client_secret"),
        example={"token": "$REFRESH_TOKEN"},
        responses={200: 'What it stands for, or exactly `{"active": false}`.', 415: "The body is not a form."},
        schemas=FORM_SCHEMAS,
        answers={200: Introspection},
    ),
)
