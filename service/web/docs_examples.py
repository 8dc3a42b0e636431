"""The example of an operation: a call to paste into a shell, with the variables of the page's story."""

import json
from collections.abc import Mapping
from typing import Final

from service.web.operation import Access, Operation

CREDENTIALS: Final[Mapping[Access, str | None]] = {
    "administrator": "Bearer $TOKEN",
    "administrator or application": "Bearer $TOKEN",
    "assertion": "Bearer $ASSERTION",
    "hook secret": "$HOOK_SECRET",
    "logout token": None,
    "anyone": None,
}
"""What each kind of caller sends in `Authorization`."""

PLACES: Final[Mapping[str, str]] = {
    "client_id": "notes",
    "delivery_id": "$DELIVERY",
    "connection_id": "$CONNECTION_ID",
    "connection_name": "acme-okta",
    "refresh_token_id": "$REFRESH_TOKEN_ID",
    "revocation_id": "$REVOCATION",
    "session_id": "$SESSION",
    "user_id": "$USER_ID",
}
"""What stands for each part of a path."""


def curl(operation: Operation) -> str:
    """A call by curl. What begins with `$` is a variable, from the answer of an example before or out of the caller's hands."""
    path = operation.path
    for name, value in PLACES.items():
        path = path.replace(f"{{{name}}}", value)
    asked = f"?{operation.query_example}" if operation.query_example else ""
    lines = [f'curl -s {_method(operation)}"$LOGOUTD{path}{asked}"']
    if credential := CREDENTIALS[operation.access]:
        lines.append(f'-H "Authorization: {credential}"')
    lines += [f'-H "{each}: ${each.upper().replace("-", "_")}"' for each in operation.required_headers]
    return " \\\n  ".join([*lines, *_body(operation)])


def _method(operation: Operation) -> str:
    implied = "POST" if _body(operation) else "GET"
    return "" if operation.method == implied else f"-X {operation.method} "


def _body(operation: Operation) -> list[str]:
    example = operation.example
    if operation.form:
        given = {operation.form[0]: f"${operation.form[0].upper()}"} if not isinstance(example, Mapping) else example
        return [f'--data-urlencode "{name}={value}"' for name, value in given.items()]
    if example is None:
        return []
    document = json.dumps(example, indent=2, ensure_ascii=False)
    # A here-document, and not a quoted word: variables in it are replaced, and its quotation marks stay.
    return ['-H "Content-Type: application/json"', f"--data @- <<END\n{document}\nEND"]
