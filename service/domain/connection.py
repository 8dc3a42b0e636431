"""A connection: one identity provider that may ask us to sign people out, and the applications it signs people in to."""

import re
from dataclasses import dataclass, field
from typing import Final, Literal

NAME: Final = re.compile(r"[A-Za-z0-9-]{1,128}", re.ASCII)
"""What a connection may be called. It stands in URLs an identity provider is configured with, so it never changes."""

ConnectionType = Literal["front_channel", "back_channel"]

SIGNING_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
"""Every algorithm we verify and sign with: asymmetric, one family each. HS* and `none` are not among them, ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How the identity provider is reached and recognised. Strings are kept exactly as given: issuers compare so."""

    type: ConnectionType
    client_id: str
    """Our client_id at the identity provider; the `sub` of its Global Token Revocation assertions unless overridden."""
    issuer: str
    """Its issuer, from the discovery document or as configured; compared character by character."""
    authorization_endpoint: str
    discovery_url: str | None = None
    """The well-known URL the metadata came from; None when it was configured by hand."""
    configured: tuple[str, ...] = ()
    """Which of the members that discovery finds were configured beside it, and so are not to be found anew."""
    token_endpoint: str | None = None
    jwks_uri: str | None = None
    """Where its keys are; None until the issuer's discovery document tells (needed first by a verification), and where
    they are pinned."""
    jwks: str | None = None
    """Its public keys as configured, a JWK Set (RFC 7517 section 5) as JSON; they are then looked for nowhere else."""
    signing_certificates: tuple[str, ...] = ()
    """The X.509 certificates it signs with, each as PEM; several while one takes over from another. Nothing else is then
    a key of its: a SAML application publishes none."""
    client_secret: str | None = field(default=None, repr=False)
    """Our secret there. Stored, never returned."""
    scopes: str = "openid"
    """Space-separated, as sent in an authorization request (RFC 6749 section 3.3)."""
    id_token_signed_response_alg: str | None = None
    """The one algorithm it signs with (OpenID Connect Registration); None: any of `signing_algorithms`."""
    signing_algorithms: tuple[str, ...] = SIGNING_ALGORITHMS
    """What its discovery document says it signs with, of those we support."""
    global_token_revocation_jwt_iss: tuple[str, ...] = ()
    """The `iss` values its assertions may carry, where they differ from `issuer` (a SAML application's entity id)."""
    global_token_revocation_jwt_sub: str | None = None
    """The `sub` its assertions carry, where it is not `client_id` (a SAML application's instance id)."""
    allow_missing_exp: bool = False
    """Whether its logout tokens may lack `exp`; their age is then bounded by `iat`."""
    revoke_offline_access: bool = False
    """Whether its logout tokens end `offline` refresh tokens too (OIDC Back-Channel Logout section 2.7 would not)."""
    decryption_jwk: str | None = field(default=None, repr=False)
    """Our private key for its encrypted logout tokens, as JSON; None: it encrypts none. Stored, never returned."""
    okta_event_hook_secret_hash: str | None = None
    """Hash of the secret its event hooks carry in `Authorization`; None: that door is closed."""
    capture_refused_assertions: bool = False
    """Whether refused messages are logged with the names of their headers and claims, while it is being set up."""

    @property
    def has_pinned_keys(self) -> bool:
        """Whether its keys were configured, and are fetched from nowhere."""
        return self.jwks is not None or bool(self.signing_certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One identity provider, by name. `enabled` false: its doors answer 403, its people stay as they are."""

    id: str
    name: str
    options: ConnectionOptions
    enabled_clients: tuple[str, ...] = ()
    """The client_ids of applications that may have sessions through this connection."""
    enabled: bool = True
    display_name: str | None = None
    created_at_ms: int
    updated_at_ms: int
    revision: int = 1
    """Counts its changes: of two made at once, one is told to look again."""
    strategy: Literal["oidc"] = "oidc"

    @property
    def assertion_issuers(self) -> tuple[str, ...]:
        """The exact `iss` values a Global Token Revocation assertion may carry."""
        return self.options.global_token_revocation_jwt_iss or (self.options.issuer,)

    @property
    def assertion_subject(self) -> str:
        """The exact `sub` of a Global Token Revocation assertion: who calls, not who is signed out."""
        return self.options.global_token_revocation_jwt_sub or self.options.client_id

    @property
    def id_token_algorithm(self) -> str:
        """The one algorithm of its ID tokens and logout tokens: as configured, RS256 where nothing is said (OpenID Connect
        Registration section 2), or the first it has where that is not among them."""
        options = self.options
        if options.id_token_signed_response_alg:
            return options.id_token_signed_response_alg
        return "RS256" if "RS256" in options.signing_algorithms else options.signing_algorithms[0]

    @property
    def allowed_algorithms(self) -> tuple[str, ...]:
        """The signature algorithms accepted from this identity provider (RFC 8725 section 3.1)."""
        pinned = self.options.id_token_signed_response_alg
        return (pinned,) if pinned else self.options.signing_algorithms
