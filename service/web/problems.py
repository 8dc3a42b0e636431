"""Errors to answers: the only place where a status code is chosen for one."""

from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service import errors
from service.telemetry import get_logger
from service.web.state import throttles_of

log = get_logger(__name__)

NO_STORE: Final = {"Cache-Control": "no-store"}

_ANSWERS: Final[tuple[tuple[type[errors.LogoutdError], int, str], ...]] = (
    (errors.UnsupportedMediaType, 415, "invalid_request"),
    (errors.InvalidClientMetadata, 400, "invalid_client_metadata"),
    (errors.InvalidGrant, 400, "invalid_grant"),
    (errors.InvalidRequest, 400, "invalid_request"),
    (errors.NotAllowed, 403, "access_denied"),
    (errors.NotFound, 404, "not_found"),
    (errors.ReauthenticationRequired, 409, "reauthentication_required"),
    (errors.Conflict, 409, "conflict"),
    (errors.CannotBeEnded, 422, "cannot_be_ended"),
    (errors.TooManyAtOnce, 503, "temporarily_unavailable"),
    (errors.TooManyRequests, 429, "too_many_requests"),
    (errors.Unavailable, 503, "temporarily_unavailable"),
)
"""Status and `error` by class; the first that fits, so the narrower come first. NotAuthenticated is answered apart."""

_HTTP: Final = {
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    503: "temporarily_unavailable",
}

_TEXTS: Final = {
    404: "there is nothing at this address",
    405: "this address does not take this method",
}


def problem(status: int, error: str, description: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error answer: `{"error", "error_description"}`, not to be stored."""
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status_code=status, headers={**NO_STORE, **(headers or {})})


def answer_to(error: errors.LogoutdError) -> JSONResponse:
    """The answer an error becomes."""
    if isinstance(error, errors.NotAuthenticated):
        return problem(401, error.error, str(error), {"WWW-Authenticate": _challenge(error)})
    for kind, status, name in _ANSWERS:
        if isinstance(error, kind):
            headers = {}
            if isinstance(error, errors.TooManyRequests | errors.Unavailable):
                headers["Retry-After"] = str(error.retry_after)
            return problem(status, name, str(error), headers)
    raise error


def reason_of(error: errors.LogoutdError) -> str:
    """A stable code for logs and metrics."""
    if isinstance(error, errors.NotAuthenticated):
        return error.reason
    if isinstance(error, errors.Held):
        return "held"
    return next((name for kind, _, name in _ANSWERS if isinstance(error, kind)), "error")


async def on_logoutd_error(request: Request[Any], error: Exception) -> Response:
    """Exception handler for errors of ours. An outage is told in a bounded number of lines: it meets every request."""
    if not isinstance(error, errors.LogoutdError):
        raise error
    if isinstance(error, errors.Unavailable) and not isinstance(error, errors.Held):
        lines = throttles_of(request).unavailable_lines
        if lines.admit(type(error).__name__):
            log.error("request.unavailable", error=str(error), **lines.omitted())
    return answer_to(error)


async def on_http_exception(_request: Request[Any], error: Exception) -> Response:
    """Exception handler for what the framework refuses: no such path, wrong method, body too large."""
    if not isinstance(error, HTTPException):
        raise error
    status = error.status_code
    return problem(
        status, _HTTP.get(status, "invalid_request"), _TEXTS.get(status, error.detail), dict(error.headers or {})
    )


async def on_disconnect(_request: Request[Any], _error: Exception) -> Response:
    """Exception handler for a client that went away before its body was read: no fault of ours, and nobody to tell."""
    return problem(400, "invalid_request", "the request ended before its body did")


async def on_fault(_request: Request[Any], _error: Exception) -> Response:
    """Exception handler for bugs: the server logs them with their traceback, nobody is told what they were."""
    return problem(500, "server_error", "an unexpected error; the log has it")


def _challenge(error: errors.NotAuthenticated) -> str:
    """RFC 6750 section 3, RFC 7617 section 2. The description is ours, ASCII, and holds no quotes of the caller's."""
    if error.scheme == "Basic":
        return 'Basic realm="logoutd", charset="UTF-8"'
    text = "".join(each for each in str(error) if 0x20 <= ord(each) < 0x7F and each not in '"\\')
    return f'Bearer error="{error.error}", error_description="{text}"'
