"""What published answers hold, as OpenAPI tells it."""

from typing import Final, Literal

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field

from service.web.answers import Answer, absent
from service.web.operation import Media


class Metadata(Answer):
    """Metadata of RFC 8414 and OpenID Connect Discovery, as far as it is ours."""

    issuer: str
    jwks_uri: str
    introspection_endpoint: str
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: list[str]
    global_token_revocation_endpoint: str = Field(description="With `{connection_name}` to be filled in.")
    global_token_revocation_endpoint_auth_methods_supported: list[str]
    backchannel_logout_supported: bool
    backchannel_logout_session_supported: bool
    id_token_signing_alg_values_supported: list[str]
    subject_types_supported: list[str]
    response_types_supported: list[str]


class Health(Answer):
    """The process is alive."""

    status: Literal["ok"]


class Backlog(Answer):
    """What workers have not seen to."""

    open_revocations: int = Field(ge=0)
    overdue_seconds: float = Field(ge=0)


class Readiness(Answer):
    """Requests can be served."""

    status: Literal["ok"]
    redis: Literal["ok"]
    signing_keys: list[str]
    signing_keys_error: str = absent(
        "Why the file of signing keys cannot be read now; the keys read before go on signing."
    )
    queue: Backlog
    workers: int = Field(ge=0, description="Heard of lately.")


class Unreadiness(Answer):
    """Requests cannot be served."""

    error: Literal["temporarily_unavailable"]
    error_description: str
    status: Literal["unavailable"]
    redis: str
    signing_keys: list[str]
    signing_keys_error: str = absent()


JWKS: Final = Media(
    type="application/jwk-set+json",
    schema={
        "type": "object",
        "required": ["keys"],
        "properties": {
            "keys": {"type": "array", "items": {"type": "object", "required": ["kty", "kid", "alg", "use"]}}
        },
        "additionalProperties": False,
    },
)
"""A JWK Set (RFC 7517 section 5)."""

METRICS: Final = Media(type=CONTENT_TYPE_LATEST)
"""Prometheus's text format."""

PAGE: Final = Media(type="text/html")
"""For people."""

DOCUMENT: Final = Media(schema={"type": "object", "required": ["openapi", "info", "paths"]})
"""An OpenAPI document."""
