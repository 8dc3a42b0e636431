"""For every operation that reads a JSON body: where to send one, and the least that it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.app import OPERATIONS
from service.web.operation import Operation
from tests.support.asgi import SUBJECT, Api, connection_body, sign_in_body
from tests.support.identity_provider import IdentityProvider

READING = [each for each in OPERATIONS if each.body is not None]
"""Every operation with a model for its body."""

TOKEN = "a-refresh-token-of-the-examples"
"""A refresh token of the shop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A request that succeeds."""

    method: str
    path: str
    body: Any


def name_of(operation: Operation) -> str:
    """An operation as a test's id, and as a key here."""
    return f"{operation.method} {operation.path}"


async def prepare(api: Api, idp: IdentityProvider) -> Mapping[str, Example]:
    """One of everything there is, and an example for each operation of `READING`."""
    connection = await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop")
    token = await api.refresh_token(session, "shop", token=TOKEN)
    ids = {"connection_id": connection["id"], "session_id": session["session_id"], "client_id": "shop"}
    bodies: dict[str, Any] = {
        "POST /api/v2/sessions": sign_in_body(idp, "shop"),
        "POST /api/v2/sessions/{session_id}/clients": {"client_id": "wiki"},
        "POST /api/v2/refresh-tokens": {"session_id": session["session_id"], "client_id": "shop"},
        "POST /api/v2/refresh-tokens/rotate": {"refresh_token": token, "client_id": "shop"},
        "POST /api/v2/connections": connection_body(idp, name="second"),
        "PATCH /api/v2/connections/{connection_id}": {"display_name": "Okta"},
        "PATCH /api/v2/connections/{connection_id}/clients": [{"client_id": "wiki", "status": True}],
        "POST /api/v2/clients": {"client_id": "third"},
        "PATCH /api/v2/clients/{client_id}": {"client_name": "The shop"},
        "POST /api/v2/clients/{client_id}/pause": {"reason": "maintenance"},
        "POST /api/v2/revocations": {
            "connection": "okta",
            "subject": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT},
        },
    }
    return {
        name: Example(method=name.partition(" ")[0], path=name.partition(" ")[2].format(**ids), body=body)
        for name, body in bodies.items()
    }
