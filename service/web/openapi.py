"""The OpenAPI 3.1 document of the operations: every parameter, body and answer, from the records the routes are made of."""

import inspect
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.web.examples import as_example
from service.web.http_framing import MAX_CHUNKS
from service.web.operation import Access, Media, Operation
from service.web.pages import DEFAULT_LIMIT, MAX_CURSOR, MAX_LIMIT

TAGS: Final[Mapping[str, str]] = {
    "Connections": "Identity providers that may ask to sign people out, and the applications they sign people in to.",
    "Clients": "The applications to be told, with the names of RFC 7591.",
    "Sessions": "Sign-ins, as your authorization server reports them.",
    "Refresh tokens": "Issued here, or registered when minted elsewhere. Only a hash is kept.",
    "For applications": "The OAuth endpoints your authorization server and your applications ask.",
    "People": "Who somebody is here, and everything they hold.",
    "Revocations": "Sign people out, and see who was told.",
    "Audit": "What happened, who did it, from where. Entries are only ever added, sealed, and dropped by age.",
    "Deliveries": "What applications were not told and nobody tries any more, and how to have it tried anew.",
    "Doors": "What identity providers call. Each connection has its own URLs; its answer tells them.",
    "Published": "What anyone may read.",
}
"""The groups of operations, in the order they are shown."""

DESCRIPTION: Final = """\
Bodies are JSON, read as such whatever their Content-Type; unknown members are refused. Times are RFC 3339 in UTC.
Errors are always `{"error", "error_description"}` and name what was wrong. Lists take `limit` and `cursor`, and answer
`{"items", "next_cursor"}`; walking the cursors shows every item that stays, whatever is added or removed meanwhile.

Besides what each operation lists: 404 at any other address, 405 with `Allow` for a method an address does not take, 408 for a
request that comes too slowly, 414 for a target over 8 KiB, 431 for headers over 16 KiB or more than 100 of them, 500 for a
fault of ours, 503 with `Retry-After` where there is too much to do or it takes too long. `HEAD` answers as `GET` does, without
the body.
"""

_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "cursor": {"type": "string", "minLength": 1, "maxLength": MAX_CURSOR},
}
"""Parameters that are the same everywhere."""

_ERRORS: Final[Mapping[int, str]] = {
    400: "The request is malformed; `error_description` names what.",
    401: "The caller did not prove who it is.",
    413: f"The body is larger than 64 KiB, or comes in more than {MAX_CHUNKS} chunks.",
    429: "Too many such requests came; `Retry-After` says when to try again.",
    503: "Redis or the keys cannot be reached, or too many requests are under way; `Retry-After` says when to try again.",
}

_ERROR_SCHEMA: Final = {
    "type": "object",
    "title": "Error",
    "required": ["error", "error_description"],
    "properties": {
        "error": {"type": "string", "description": "A stable code."},
        "error_description": {"type": "string", "description": "What was wrong, for people."},
    },
    "additionalProperties": False,
}

_TEXT: Final = {"type": "string"}

_SECURITY_SCHEMES: Final = {
    "administrator": {"type": "http", "scheme": "bearer", "description": "The administrator's token."},
    "application": {
        "type": "http",
        "scheme": "basic",
        "description": "An application's client_id and client_secret; where a form is sent, they may be in it instead.",
    },
    "assertion": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JWT the connection's identity provider signed.",
    },
    "hookSecret": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The connection's hook secret, alone.",
    },
}

_SECURITY: Final[Mapping[Access, list[dict[str, list[str]]]]] = {
    "administrator": [{"administrator": []}],
    "administrator or application": [{"administrator": []}, {"application": []}],
    "assertion": [{"assertion": []}],
    "hook secret": [{"hookSecret": []}],
    "logout token": [],
    "anyone": [],
}

_Mode: TypeAlias = Literal["validation", "serialization"]
_References: TypeAlias = Mapping[tuple[Any, _Mode], Mapping[str, Any]]
"""How the document refers to a model, by the model and which way it goes."""


def build_openapi(operations: Iterable[Operation], *, base_url: str, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these operations."""
    listed = list(operations)
    references, definitions = models_json_schema(
        sorted(_models(listed), key=lambda each: each[0].__name__), ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for each in listed:
        paths[each.path][each.method.lower()] = _describe(each, references)
    used = dict.fromkeys([*TAGS, *(each.tag for each in listed)])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "logoutd",
            "version": version,
            "summary": "Universal logout as a service.",
            "description": DESCRIPTION,
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": name, "description": TAGS.get(name, "")} for name in used],
        "paths": dict(paths),
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Error": _ERROR_SCHEMA},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _models(operations: Iterable[Operation]) -> set[tuple[type[BaseModel], _Mode]]:
    found: set[tuple[type[BaseModel], _Mode]] = set()
    for each in operations:
        if each.body is not None:
            found.add((each.body, "validation"))
        found |= {(answer, "serialization") for answer in each.answers.values() if not isinstance(answer, Media)}
    return found


def _describe(operation: Operation, references: _References) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.endpoint.__name__,
        "summary": operation.summary,
        "description": inspect.getdoc(operation.endpoint) or "",
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "security": _SECURITY[operation.access],
        "responses": _responses(operation, references),
    }
    content = _content(operation, references)
    if content:
        described["requestBody"] = {"required": not operation.body_optional, "content": content}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    in_path = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    return [
        *({"name": each, "in": "path", "required": True, "schema": _schema(operation, each)} for each in in_path),
        *(
            {
                "name": name,
                "in": "query",
                "required": name in operation.required_query,
                "description": text,
                "schema": _schema(operation, name),
            }
            for name, text in operation.query.items()
        ),
        *(
            {"name": name, "in": "header", "required": True, "description": text, "schema": _schema(operation, name)}
            for name, text in operation.required_headers.items()
        ),
    ]


def _schema(operation: Operation, name: str) -> Mapping[str, Any]:
    return operation.schemas.get(name, _SCHEMAS.get(name, _TEXT))


def _content(operation: Operation, references: _References) -> dict[str, Any] | None:
    example = {} if operation.example is None else {"example": as_example(operation.example)}
    if operation.body is not None:
        return {"application/json": {"schema": references[operation.body, "validation"], **example}}
    if operation.body_schema is not None:
        return {"application/json": {"schema": dict(operation.body_schema), **example}}
    if operation.form:
        schema = {
            "type": "object",
            "required": [operation.form[0]],
            "properties": {name: _schema(operation, name) for name in operation.form},
        }
        return {"application/x-www-form-urlencoded": {"schema": schema, **example}}
    return None


def _responses(operation: Operation, references: _References) -> dict[str, Any]:
    told: dict[int, str] = dict(operation.responses)
    if not operation.always:
        told = {503: _ERRORS[503], **told}
    reads = operation.body is not None or operation.body_schema is not None or bool(operation.form)
    if operation.access not in {"logout token", "anyone"}:
        told = {401: _ERRORS[401], 429: _ERRORS[429], **told}
    if operation.access == "hook secret":
        # Its caller gives up what is refused with any 4xx: 503 stands for it.
        del told[429]
    if operation.access == "logout token":
        told = {400: _ERRORS[400], 429: _ERRORS[429], **told}
    elif reads:
        told = {400: _ERRORS[400], 413: _ERRORS[413], **told}
    if operation.query:
        told = {400: _ERRORS[400], **told}
    if operation.max_body_bytes is not None:
        told[413] = (
            f"The body is larger than {operation.max_body_bytes // 1024} KiB, or comes in more than {MAX_CHUNKS} chunks."
        )
    return {str(status): _response(operation, status, text, references) for status, text in sorted(told.items())}


def _response(operation: Operation, status: int, text: str, references: _References) -> dict[str, Any]:
    answer = operation.answers.get(status)
    told: dict[str, Any] = {"description": text, "headers": _headers(operation, status)}
    if isinstance(answer, Media):
        told["content"] = {answer.type: {"schema": dict(answer.schema)}}
    elif answer is not None:
        told["content"] = {"application/json": {"schema": references[answer, "serialization"]}}
    elif status >= 400:
        told["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return told


def _headers(operation: Operation, status: int) -> dict[str, Any]:
    cache = operation.cache_control if status < 400 else "no-store"
    told: dict[str, Any] = {"Cache-Control": {"required": True, "schema": {"type": "string", "const": cache}}}
    if status < 400:
        told |= {
            name: {"required": True, "description": text, "schema": _TEXT} for name, text in operation.headers.items()
        }
    if status == 401:
        told["WWW-Authenticate"] = {"required": True, "description": "What was asked for.", "schema": _TEXT}
    if status in {429, 503}:
        seconds = {"type": "integer", "minimum": 0}
        told["Retry-After"] = {"required": True, "description": "When to try again, in seconds.", "schema": seconds}
    return told
