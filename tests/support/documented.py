"""Every answer the tests see is held against the OpenAPI document: its status, its headers, its body."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import httpx
from jsonschema import Draft202012Validator

from service.app import OPERATIONS
from service.web.openapi import build_openapi

ANYWHERE: Final = frozenset({405, 408, 414, 431, 500})
"""Statuses the document speaks of once, for all operations."""


_SEEN: Final[set[tuple[str, int]]] = set()
"""Answers that were held against the document in this run: of which operation, with which status."""


async def hold_as_documented(response: httpx.Response) -> None:
    """Fail unless the answer is one the document tells of. For httpx's event hooks."""
    await response.aread()
    hold(response)


def hold(response: httpx.Response) -> None:
    """The same, of an answer that has been read."""
    request = response.request
    operation = operation_at(request.method, request.url.raw_path.decode("ascii", "replace"))
    if operation is None or response.status_code in ANYWHERE:
        return
    name = f"{operation['operationId']} answers {response.status_code}"
    documented = operation["responses"].get(str(response.status_code))
    assert documented is not None, f"{name}, which is not documented: {response.text[:200]}"
    _SEEN.add((operation["operationId"], response.status_code))
    for header, told in documented["headers"].items():
        value = response.headers.get(header)
        assert value is not None, f"{name} without {header}"
        assert value == told["schema"].get("const", value), f"{name} with another {header}: {value}"
    content = documented.get("content", {})
    if not content or request.method == "HEAD":
        assert response.content == b"", f"{name} with a body nobody documented"
        return
    ((media, told),) = content.items()
    sent = response.headers["content-type"]
    assert sent.replace(" ", "").startswith(media.replace(" ", "")), f"{name} as {sent}"
    if media.endswith("json"):  # not JSON lines
        problems = [each.message for each in validator_of(operation["operationId"], response.status_code)
                    .iter_errors(response.json())]  # fmt: skip
        assert not problems, f"{name} with another body than documented: {problems[0][:500]}"


def seen() -> frozenset[tuple[str, int]]:
    """The answers tests have had in this process: operation and status."""
    return frozenset(_SEEN)


def see(answers: Iterable[tuple[str, int]]) -> None:
    """Count answers that tests have had in another process."""
    _SEEN.update(answers)


def never_seen() -> list[str]:
    """Answers the document tells of and no test of this run has had."""
    return [
        f"{method.upper()} {path}: {status}"
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        for status in operation["responses"]
        if (operation["operationId"], int(status)) not in _SEEN
    ]


@cache
def document() -> dict[str, Any]:
    """The document of the application under test."""
    return build_openapi(OPERATIONS, base_url="https://logout.example.com", version="0")


def operation_at(method: str, raw_path: str) -> dict[str, Any] | None:
    """The operation that answers there."""
    path = raw_path.partition("?")[0]
    wanted = "get" if method == "HEAD" else method.lower()
    for pattern, item in _routes():
        if pattern.fullmatch(path):
            found: dict[str, Any] | None = item.get(wanted)
            return found
    return None


@cache
def validator_of(operation_id: str, status: int) -> Draft202012Validator:
    """Of the body of one answer."""
    (operation,) = [
        each for item in document()["paths"].values() for each in item.values() if each["operationId"] == operation_id
    ]
    ((_, told),) = operation["responses"][str(status)]["content"].items()
    return Draft202012Validator({**told["schema"], "components": document()["components"]})


@cache
def _routes() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    return [
        (re.compile(re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(path))), item)
        for path, item in document()["paths"].items()
    ]
