"""What answers about connections hold, as OpenAPI tells it."""

from typing import Any, Literal

from pydantic import Field

from service.domain.connection import ConnectionType
from service.web.answers import Answer, Moment, absent


class ConnectionOptionsAnswer(Answer):
    """How the identity provider is reached; secrets never come back. What is not set is left out."""

    type: ConnectionType
    client_id: str
    scopes: str
    discovery_url: str = absent()
    issuer: str
    authorization_endpoint: str
    token_endpoint: str = absent()
    jwks_uri: str = absent()
    jwks: dict[str, Any] = absent()
    signing_certificates: list[str] = absent()
    id_token_signed_response_alg: str = absent()
    global_token_revocation_jwt_iss: list[str] = absent()
    global_token_revocation_jwt_sub: str = absent()
    allow_missing_exp: bool = absent()
    revoke_offline_access: bool = absent()
    capture_refused_assertions: bool = absent()


class CertificateAnswer(Answer):
    """A pinned certificate."""

    sha256_fingerprint: str
    not_before: Moment
    expires_at: Moment


class HoldAnswer(Answer):
    """A connection that asked to sign out more people than it may."""

    since: Moment
    people: int = Field(ge=0, description="Whom the requests that are kept are about.")
    requests: int = Field(ge=0, description="Requests that are kept, none of them in force.")
    not_kept: int = Field(ge=0, description="Requests that came when too many were kept.")


class ConnectionAnswer(Answer):
    """A connection."""

    id: str
    name: str
    strategy: Literal["oidc"]
    display_name: str | None
    options: ConnectionOptionsAnswer
    enabled_clients: list[str]
    enabled: bool
    created_at: Moment
    updated_at: Moment
    global_token_revocation_endpoint: str = Field(description="Paste it into the identity provider to the letter.")
    backchannel_logout_uri: str = Field(description="For its OpenID Connect back-channel logout tokens.")
    okta_event_hook_uri: str = Field(description="For Okta's event hooks.")
    hold: HoldAnswer = absent("While what its identity provider asks is held (`POST …/release` ends it).")
    certificates: list[CertificateAnswer] = absent("Of `signing_certificates`.")
