"""An operation's example as a command that can be pasted: `curl`, with variables for what earlier answers gave.

`$LOGOUTD` is the service, `$TOKEN` the administrator's token. A placeholder of the path, or a string `{name}` in an example, is
the variable of that name in capitals.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from service.web.operation import Access, Operation

_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z_]*)\}")

_SHOWN: Final[Mapping[str, str]] = {
    "client_id": "notes",
    "session_id": "ses_7Vh3kq0cG1mXw2Zb9RtLpA",
    "refresh_token": "rt_the-token-itself",
    "assertion": "eyJhbGciOiJSUzI1NiJ9…",
    "logout_token": "eyJhbGciOiJSUzI1NiJ9…",
}
"""What stands for a variable in the document's examples, where nothing can be pasted."""

_CREDENTIAL: Final[Mapping[Access, str]] = {
    "administrator": "Bearer $TOKEN",
    "administrator or application": "Bearer $TOKEN",
    "assertion": "Bearer $ASSERTION",
    "hook secret": "$HOOK_SECRET",
}


def as_example(value: Any) -> Any:
    """An example as the document shows it, placeholders filled in."""
    if isinstance(value, Mapping):
        return {name: as_example(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_example(each) for each in value]
    found = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else _SHOWN.get(found[1], f"the-{found[1].replace('_', '-')}")


def as_command(operation: Operation) -> str:
    """The example as a command for a POSIX shell, one option a line."""
    method = operation.method
    reads = operation.body is not None or operation.body_schema is not None or bool(operation.form)
    usual = "POST" if reads else "GET"
    parts = [f'curl -s{"" if method == usual else f" -X {method}"} "$LOGOUTD{_with_variables(operation.path)}"']
    if operation.access in _CREDENTIAL:
        parts.append(f'-H "Authorization: {_CREDENTIAL[operation.access]}"')
    parts += [f'-H "{name}: {_variable(name)}"' for name in operation.required_headers]
    if operation.access == "assertion":
        # This door alone asks for it (`read_json(demand_type=True)`).
        parts.append('-H "Content-Type: application/json"')
    document = ""
    if operation.form:
        given = operation.example or {operation.form[0]: f"{{{operation.form[0]}}}"}
        parts += [f'--data-urlencode "{name}={_with_variables(value)}"' for name, value in given.items()]
    elif reads:
        written = json.dumps(operation.example, indent=2, ensure_ascii=False)
        filled = _with_variables(written)
        if filled == written and "'" not in written:
            parts.append(f"--data '{written}'")
        else:
            parts.append("--data @- <<JSON")
            document = f"\n{filled}\nJSON"
    return " \\\n  ".join(parts) + document


def _with_variables(text: str) -> str:
    return _PLACEHOLDER.sub(lambda found: _variable(found[1]), text)


def _variable(name: str) -> str:
    return "$" + re.sub(r"[^a-z]", "_", name.lower()).upper()
