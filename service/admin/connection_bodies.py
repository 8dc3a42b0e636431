"""A connection as the management API takes and gives it: Auth0's shape, checked against the identity provider itself."""

import asyncio
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue

from service.admin.key_sources import describe_certificates, inline_jwks, pinned_certificates, require_one_key_source
from service.domain.connection import NAME, SIGNING_ALGORITHMS, Connection, ConnectionOptions, ConnectionType
from service.errors import InvalidRequest
from service.outbound import Outbound, OutboundError
from service.settings import Settings
from service.store.blast_radius import Hold
from service.verify.certificates import MAX_CERTIFICATE_LENGTH, MAX_SIGNING_CERTIFICATES
from service.verify.encrypted_token import check_decryption_key
from service.verify.hook_secret import MAX_SECRET_LENGTH, check_hook_secret, hash_hook_secret
from service.verify.issuer_keys import IssuerKeys
from service.verify.provider_metadata import fetch_provider_metadata
from service.web.bodies import Body, moment, never_null
from service.web.published import (
    backchannel_logout_url,
    global_token_revocation_url,
    okta_event_hook_url,
)

MAX_ENABLED_CLIENTS = 1000
"""Most applications of one connection."""

MAX_ASSERTION_ISSUERS = 10
"""Most `iss` values one connection's assertions may carry: an org's own domain, its custom ones, an entity id."""

DISCOVERABLE = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
"""The members a discovery document has too. What is configured beside it wins; `issuer` is what it must name."""

Text = Annotated[str, Field(min_length=1, max_length=1024)]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
Pem = Annotated[str, Field(min_length=1, max_length=MAX_CERTIFICATE_LENGTH)]
HookSecret = Annotated[str, Field(min_length=8, max_length=MAX_SECRET_LENGTH), AfterValidator(check_hook_secret)]


class ConnectionOptionsBody(Body):
    """How the identity provider is reached: by its discovery document, or by hand."""

    type: ConnectionType
    client_id: Text
    client_secret: Text | None = Field(default=None, repr=False)
    scopes: Text = "openid"
    discovery_url: Url | None = Field(default=None, description="The issuer, or the whole well-known URL.")
    issuer: Text | None = None
    authorization_endpoint: Url | None = None
    token_endpoint: Url | None = None
    jwks_uri: Url | None = None
    jwks: dict[str, Any] | None = Field(
        default=None, repr=False, description="Its public keys (RFC 7517 section 5), where it serves none."
    )
    signing_certificates: list[Pem] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_SIGNING_CERTIFICATES,
        repr=False,
        description="The X.509 certificates it signs with, each as PEM; several during a rollover.",
    )
    id_token_signed_response_alg: Literal["RS256", "PS256", "ES256", "EdDSA"] | None = Field(
        default=None,
        description="The one algorithm it signs with. Without it logout tokens are held to RS256, where it has that, and Global "
        "Token Revocation requests to any it has.",
    )
    global_token_revocation_jwt_iss: Text | Annotated[list[Text], Field(max_length=MAX_ASSERTION_ISSUERS)] | None = (
        Field(
            default=None,
            description="The `iss` of its Global Token Revocation requests, one or a list of all, where that is not `issuer`.",
        )
    )
    global_token_revocation_jwt_sub: Text | None = Field(
        default=None, description="Their `sub`, where that is not `client_id`."
    )
    allow_missing_exp: bool = Field(default=False, description="Logout tokens may lack `exp`; `iat` bounds their age.")
    revoke_offline_access: bool = Field(default=False, description="Logout tokens end `offline` refresh tokens too.")
    decryption_jwk: dict[str, Any] | None = Field(
        default=None, repr=False, description="Our private key (RFC 7517), if its logout tokens are encrypted."
    )
    okta_event_hook_secret: HookSecret | None = Field(
        default=None, repr=False, description="What its event hooks carry in `Authorization`."
    )
    capture_refused_assertions: bool = Field(
        default=False, description="Log the names of headers and claims of refused messages, while setting up."
    )

    @field_validator("jwks")
    @classmethod
    def _holds_public_keys(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return inline_jwks(value)

    @field_validator("signing_certificates")
    @classmethod
    def _are_certificates(cls, value: list[str] | None) -> list[str] | None:
        return pinned_certificates(value)

    @model_validator(mode="after")
    def _knows_its_provider(self) -> "ConnectionOptionsBody":
        require_one_key_source({name: getattr(self, name) for name in ("jwks_uri", "jwks", "signing_certificates")})
        by_hand = self.issuer is not None and self.authorization_endpoint is not None
        if self.discovery_url is None and not by_hand:
            raise ValueError("needs `discovery_url`, or `issuer` and `authorization_endpoint`")
        return self


class ConnectionBody(Body):
    """A connection to be."""

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$", description="Unique; never changes.")]
    strategy: Literal["oidc"]
    options: ConnectionOptionsBody
    display_name: Text | None = None
    enabled_clients: list[Text] = Field(default=[], max_length=MAX_ENABLED_CLIENTS)
    enabled: bool = True


def _some_options(schema: JsonSchemaValue) -> None:
    never_null(schema)
    schema["description"] = (
        "Members as in the request that makes a connection; they are checked together with the others."
    )
    schema["propertyNames"] = {"enum": [*ConnectionOptionsBody.model_fields]}


class ConnectionPatch(Body):
    """What may change of a connection. `options` is merged member by member; null unsets one."""

    never_changes = frozenset({"id", "name", "strategy"})

    display_name: Text | None = None
    options: dict[str, Any] | None = Field(default=None, json_schema_extra=_some_options)
    enabled_clients: Annotated[list[Text], Field(max_length=MAX_ENABLED_CLIENTS)] | None = Field(
        default=None, json_schema_extra=never_null
    )
    enabled: bool | None = Field(default=None, json_schema_extra=never_null)


async def resolve_options(
    body: ConnectionOptionsBody, *, outbound: Outbound, kept_hook_secret_hash: str | None = None
) -> ConnectionOptions:
    """The options with what the discovery document adds. Raises InvalidRequest, saying what is wrong with which.

    `kept_hook_secret_hash`: of the event hook's secret as it was, for a change that does not name it.
    """
    pinned = body.jwks is not None or body.signing_certificates is not None
    for member in DISCOVERABLE:
        value = getattr(body, member)
        # An issuer that nothing is fetched from is only a name: the entity id of a SAML application need be no https URL.
        named_only = member == "issuer" and pinned and body.discovery_url is None
        if value is not None and not named_only:
            outbound.check_url(value, what=member)
    if body.decryption_jwk is not None:
        # In a thread: to check the primes of a long RSA key may take a second, and nobody's door waits for that.
        await asyncio.to_thread(check_decryption_key, body.decryption_jwk)
    given = body.global_token_revocation_jwt_iss
    common: dict[str, Any] = {
        "type": body.type,
        "client_id": body.client_id,
        "client_secret": body.client_secret,
        "scopes": body.scopes,
        "id_token_signed_response_alg": body.id_token_signed_response_alg,
        "jwks": None if body.jwks is None else json.dumps(body.jwks),
        "signing_certificates": tuple(body.signing_certificates or ()),
        "global_token_revocation_jwt_iss": (given,) if isinstance(given, str) else tuple(dict.fromkeys(given or ())),
        "global_token_revocation_jwt_sub": body.global_token_revocation_jwt_sub,
        "allow_missing_exp": body.allow_missing_exp,
        "revoke_offline_access": body.revoke_offline_access,
        "decryption_jwk": None if body.decryption_jwk is None else json.dumps(body.decryption_jwk),
        "okta_event_hook_secret_hash": (
            hash_hook_secret(body.okta_event_hook_secret) if body.okta_event_hook_secret else kept_hook_secret_hash
        ),
        "capture_refused_assertions": body.capture_refused_assertions,
    }
    if body.discovery_url is None:
        return ConnectionOptions(
            issuer=body.issuer or "",
            authorization_endpoint=body.authorization_endpoint or "",
            token_endpoint=body.token_endpoint,
            jwks_uri=body.jwks_uri,
            signing_algorithms=SIGNING_ALGORITHMS,
            **common,
        )
    metadata = await fetch_provider_metadata(body.discovery_url, fetcher=outbound, expected_issuer=body.issuer)
    return ConnectionOptions(
        discovery_url=body.discovery_url,
        configured=tuple(name for name in DISCOVERABLE if getattr(body, name) is not None),
        issuer=metadata.issuer,
        authorization_endpoint=body.authorization_endpoint or metadata.authorization_endpoint,
        token_endpoint=body.token_endpoint or metadata.token_endpoint,
        # Where keys are pinned, those that discovery leads to are not this connection's.
        jwks_uri=None if pinned else body.jwks_uri or metadata.jwks_uri,
        signing_algorithms=metadata.signing_algorithms,
        **common,
    )


async def require_usable_keys(connection: Connection, issuer_keys: IssuerKeys) -> None:
    """Fetch the keys once, now, so that a connection that cannot verify anything is not created; pinned ones are looked at.

    Configured by hand and without `jwks_uri`, the keys are looked for when they are first needed. Raises InvalidRequest.
    """
    options = connection.options
    if options.jwks_uri is None and not options.has_pinned_keys:
        return
    try:
        usable = await issuer_keys.prime(connection)
    except OutboundError as error:
        raise InvalidRequest(f"the keys cannot be fetched from `jwks_uri`: {error}") from error
    if usable == 0:
        algorithms = ", ".join(connection.allowed_algorithms)
        if options.signing_certificates:
            raise InvalidRequest(f"`signing_certificates` has none that is valid now and fits {algorithms}")
        source = "`jwks_uri`" if options.jwks is None else "`jwks`"
        raise InvalidRequest(f"{source} has no key that could verify a signature by {algorithms}")


def describe_connection(connection: Connection, settings: Settings, *, hold: Hold | None = None) -> dict[str, Any]:
    """A connection as answered: its secret never, and the URLs to paste into the identity provider."""
    held = {
        "since": moment(hold.since_ms),
        "people": hold.people,
        "requests": hold.requests,
        "not_kept": hold.not_kept,
    } if hold else None  # fmt: skip
    options = connection.options
    told: dict[str, Any] = {
        "type": options.type,
        "client_id": options.client_id,
        "scopes": options.scopes,
        "discovery_url": options.discovery_url,
        "issuer": options.issuer,
        "authorization_endpoint": options.authorization_endpoint,
        "token_endpoint": options.token_endpoint,
        "jwks_uri": options.jwks_uri,
        "jwks": None if options.jwks is None else json.loads(options.jwks),
        "signing_certificates": list(options.signing_certificates) or None,
        "id_token_signed_response_alg": options.id_token_signed_response_alg,
        "global_token_revocation_jwt_iss": list(options.global_token_revocation_jwt_iss) or None,
        "global_token_revocation_jwt_sub": options.global_token_revocation_jwt_sub,
        "allow_missing_exp": options.allow_missing_exp or None,
        "revoke_offline_access": options.revoke_offline_access or None,
        "capture_refused_assertions": options.capture_refused_assertions or None,
    }
    certificates = describe_certificates(options)
    return {
        "id": connection.id,
        "name": connection.name,
        "strategy": connection.strategy,
        "display_name": connection.display_name,
        "options": {name: value for name, value in told.items() if value is not None},
        "enabled_clients": list(connection.enabled_clients),
        "enabled": connection.enabled,
        "created_at": moment(connection.created_at_ms),
        "updated_at": moment(connection.updated_at_ms),
        "global_token_revocation_endpoint": global_token_revocation_url(settings, connection.name),
        "backchannel_logout_uri": backchannel_logout_url(settings, connection.name),
        "okta_event_hook_uri": okta_event_hook_url(settings, connection.name),
        **({"hold": held} if held else {}),
        **({"certificates": certificates} if certificates else {}),
    }


def body_of(options: ConnectionOptions) -> dict[str, Any]:
    """Options as the body that would give them: what a PATCH is merged into. What was discovered is left to discovery."""
    told: dict[str, Any] = {
        "type": options.type,
        "client_id": options.client_id,
        "client_secret": options.client_secret,
        "scopes": options.scopes,
        "jwks": None if options.jwks is None else json.loads(options.jwks),
        "signing_certificates": list(options.signing_certificates) or None,
        "id_token_signed_response_alg": options.id_token_signed_response_alg,
        "global_token_revocation_jwt_iss": list(options.global_token_revocation_jwt_iss) or None,
        "global_token_revocation_jwt_sub": options.global_token_revocation_jwt_sub,
        "allow_missing_exp": options.allow_missing_exp,
        "revoke_offline_access": options.revoke_offline_access,
        "decryption_jwk": None if options.decryption_jwk is None else json.loads(options.decryption_jwk),
        "capture_refused_assertions": options.capture_refused_assertions,
    }
    given = DISCOVERABLE if options.discovery_url is None else options.configured
    return {**told, "discovery_url": options.discovery_url, **{name: getattr(options, name) for name in given}}
