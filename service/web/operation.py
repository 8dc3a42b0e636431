"""A route and its OpenAPI text in one record: what is served is what is documented."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from service.web.state import Request

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

Access = Literal["administrator", "administrator or application", "assertion", "hook secret", "logout token", "anyone"]
"""Who may call. `logout token`: the message in the body is its own credential, and refused with 400 where it is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    access: Access
    body: type[BaseModel] | None = None
    body_schema: Mapping[str, Any] | None = None
    """A JSON schema, for bodies that are no pydantic model."""
    form: tuple[str, ...] = ()
    """The parameters of a form; the first is required."""
    max_body_bytes: int | None = None
    """Largest body, in bytes, where more than everywhere else is taken."""
    query: Mapping[str, str] = field(default_factory=dict)
    responses: Mapping[int, str] = field(default_factory=lambda: {200: "Done."})
    """What each status means; those every operation of its access has are added."""


class _Path(Route):
    """A path of ours. The first that fits is the one that is meant: a method it does not take is 405, and no later template
    of another path is asked."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return (Match.FULL if match is Match.PARTIAL else match), found


def build_routes(operations: Iterable[Operation]) -> list[Route]:
    """One route per path; a method it does not take is 405, with all it does take in `Allow`."""
    by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for each in operations:
        if each.method in by_path[each.path]:
            raise ValueError(f"{each.method} {each.path} is there twice")
        by_path[each.path][each.method] = each.endpoint
    return [
        _Path(path, _by_method(endpoints), methods=[*endpoints], include_in_schema=False)
        for path, endpoints in by_path.items()
    ]


def larger_bodies(operations: Iterable[Operation]) -> dict[str, int]:
    """The largest body of each path that takes more than everywhere else, in bytes."""
    return {each.path: each.max_body_bytes for each in operations if each.max_body_bytes is not None}


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    async def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method not in endpoints:
            raise HTTPException(405)
        return await endpoints[method](request)

    return dispatch


_ERRORS: Mapping[int, str] = {
    400: "The request is malformed; `error_description` names what.",
    401: "The caller did not prove who it is.",
    403: "The caller may not do this.",
    404: "There is no such thing.",
    413: "The body is larger than 64 KiB.",
    503: "Redis or the keys cannot be reached; `Retry-After` says when to try again.",
}

_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error", "error_description"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}


def build_openapi(operations: Iterable[Operation], *, base_url: str, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these operations."""
    listed = list(operations)
    models = sorted({each.body for each in listed if each.body}, key=lambda model: model.__name__)
    references, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    bodies = {model: references[model, "validation"] for model in models}
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for each in listed:
        paths[each.path][each.method.lower()] = _describe(each, bodies)
    return {
        "openapi": "3.1.0",
        "info": {"title": "logoutd", "version": version, "summary": "Universal logout as a service."},
        "servers": [{"url": base_url}],
        "paths": dict(paths),
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Error": _ERROR_SCHEMA},
            "securitySchemes": {
                "administrator": {"type": "http", "scheme": "bearer"},
                "application": {"type": "http", "scheme": "basic"},
                "assertion": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "hookSecret": {"type": "apiKey", "in": "header", "name": "Authorization"},
            },
        },
    }


def _describe(operation: Operation, bodies: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    parameters = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in operation.path.split("/")
        if part.startswith("{")
    ]
    parameters += [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in operation.query.items()
    ]
    described: dict[str, Any] = {
        "operationId": operation.endpoint.__name__,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": parameters,
        "security": _SECURITY[operation.access],
        "responses": _responses(operation),
    }
    content = _content(operation, bodies)
    if content:
        described["requestBody"] = {"required": True, "content": content}
    return described


_SECURITY: Mapping[Access, list[dict[str, list[str]]]] = {
    "administrator": [{"administrator": []}],
    "administrator or application": [{"administrator": []}, {"application": []}],
    "assertion": [{"assertion": []}],
    "hook secret": [{"hookSecret": []}],
    "logout token": [],
    "anyone": [],
}


def _content(operation: Operation, bodies: Mapping[type[BaseModel], Any]) -> dict[str, Any] | None:
    if operation.body is not None:
        return {"application/json": {"schema": bodies[operation.body]}}
    if operation.body_schema is not None:
        return {"application/json": {"schema": dict(operation.body_schema)}}
    if operation.form:
        properties = {name: {"type": "string"} for name in operation.form}
        schema = {"type": "object", "required": [operation.form[0]], "properties": properties}
        return {"application/x-www-form-urlencoded": {"schema": schema}}
    return None


def _responses(operation: Operation) -> dict[str, Any]:
    told: dict[int, str] = dict(operation.responses)
    if operation.access not in {"logout token", "anyone"}:
        told = {**{status: _ERRORS[status] for status in (401, 503)}, **told}
    if operation.access == "logout token":
        told = {**{status: _ERRORS[status] for status in (400, 503)}, **told}
    elif operation.body or operation.body_schema or operation.form:
        told = {**{status: _ERRORS[status] for status in (400, 413)}, **told}
    if operation.max_body_bytes is not None:
        told[413] = f"The body is larger than {operation.max_body_bytes // 1024} KiB."
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        str(status): {"description": text, **({"content": error} if status >= 400 else {})}
        for status, text in sorted(told.items())
    }
