"""A client's own TLS, as the management API takes and gives it: whom to trust, what to show, and never the key."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field

from service.domain.application import Application
from service.domain.tls_identity import TlsIdentity
from service.errors import InvalidClientMetadata
from service.outbound.certificates import (
    MAX_CA_LENGTH,
    MAX_CHAIN_LENGTH,
    MAX_KEY_LENGTH,
    CertificateFacts,
    InvalidTlsError,
    check_pair,
    facts_of,
    read_ca_certificates,
    read_client_certificate,
    read_client_key,
)
from service.outbound.contexts import tls_context
from service.outbound.failures import InvalidTlsIdentityError
from service.web.answers import Answer, Moment, absent
from service.web.bodies import Body, moment

MEMBERS = ("tls_ca_certificates", "tls_client_certificate", "tls_client_key")


class ClientTlsBody(Body):
    """The members of a client that say how TLS with it goes. Each is unset by null."""

    tls_ca_certificates: Annotated[str, Field(min_length=1, max_length=MAX_CA_LENGTH)] | None = Field(
        default=None,
        description="Certificates its server's must lead to, as PEM; instead of the system's authorities, not beside them.",
    )
    tls_client_certificate: Annotated[str, Field(min_length=1, max_length=MAX_CHAIN_LENGTH)] | None = Field(
        default=None,
        description="The certificate it wants of us (mutual TLS), as PEM, those it leads to after it. Null removes its key too.",
    )
    tls_client_key: Annotated[str, Field(min_length=1, max_length=MAX_KEY_LENGTH)] | None = Field(
        default=None,
        repr=False,
        description="The private key of that certificate, as PEM without a passphrase. Never shown.",
        json_schema_extra={"writeOnly": True},
    )


class TlsCertificateAnswer(Answer):
    """A certificate."""

    subject: str = Field(description="As in RFC 4514.")
    sha256_fingerprint: str
    not_before: Moment
    expires_at: Moment


class ClientTlsAnswer(Answer):
    """A client's own TLS."""

    ca_certificates: list[TlsCertificateAnswer] = absent("Of `tls_ca_certificates`.")
    client_certificate_chain: list[TlsCertificateAnswer] = absent("Of `tls_client_certificate`, its own first.")


async def tls_members(body: ClientTlsBody, *, kept: Application | None = None, now_ms: int) -> dict[str, Any]:
    """Those of MEMBERS that `body` sets, as they are kept. Raises InvalidClientMetadata, naming the member and the fault.

    What was `kept` from before is not judged anew: a change of something else does not stumble over the calendar.
    """
    given = {name: getattr(body, name) for name in MEMBERS if name in body.model_fields_set}
    if not given:
        return {}
    # In a thread: to check the primes of a long RSA key may take a second.
    return await asyncio.to_thread(_read, given, kept, now_ms)


def require_https(application: Application) -> None:
    """Raise InvalidClientMetadata where TLS is agreed on with a client that is called without."""
    uri = application.backchannel_logout_uri
    if application.tls_identity is not None and uri is not None and not uri.lower().startswith("https:"):
        raise InvalidClientMetadata("`backchannel_logout_uri` must be https for a client with `tls_` members")


def describe_tls(application: Application) -> dict[str, Any]:
    """The member `tls` of a client as answered, where there is any."""
    identity = application.tls_identity
    if identity is None:
        return {}
    trusted, shown = facts_of(identity)
    told = {
        "ca_certificates": [_describe(each) for each in trusted],
        "client_certificate_chain": [_describe(each) for each in shown],
    }
    return {"tls": {name: value for name, value in told.items() if value}}


def _read(given: Mapping[str, str | None], kept: Application | None, now_ms: int) -> dict[str, str | None]:
    read: dict[str, Callable[[str], str]] = {
        "tls_ca_certificates": lambda pem: read_ca_certificates(pem, now_ms=now_ms),
        "tls_client_certificate": lambda pem: read_client_certificate(pem, now_ms=now_ms),
        "tls_client_key": read_client_key,
    }
    found: dict[str, str | None] = {}
    for name, value in given.items():
        try:
            found[name] = None if value is None else read[name](value)
        except InvalidTlsError as error:
            raise InvalidClientMetadata(f"`{name}` {error}") from None
    if "tls_client_certificate" in found and found["tls_client_certificate"] is None:
        # A key is of no use without its certificate, and not a thing to leave lying about.
        found.setdefault("tls_client_key", None)
    _check_together({**{name: getattr(kept, name, None) for name in MEMBERS}, **found})
    return found


def _check_together(members: Mapping[str, str | None]) -> None:
    certificate, key = members["tls_client_certificate"], members["tls_client_key"]
    if (certificate is None) != (key is None):
        raise InvalidClientMetadata("`tls_client_certificate` and `tls_client_key` belong together: give both")
    if not any(members.values()):
        return
    identity = TlsIdentity(
        ca_certificates=members["tls_ca_certificates"], client_certificate=certificate, client_key=key
    )
    try:
        if certificate is not None and key is not None:
            check_pair(certificate, key)
        # The proof: OpenSSL also has a mind of its own, on weak digests for one.
        tls_context(identity=identity)
    except InvalidTlsError as error:
        raise InvalidClientMetadata(f"`tls_client_key` {error}") from None
    except InvalidTlsIdentityError:
        raise InvalidClientMetadata(
            "the `tls_` members cannot be used: OpenSSL takes no weak digest, small key or unknown curve"
        ) from None


def _describe(each: CertificateFacts) -> dict[str, Any]:
    return {
        "subject": each.subject,
        "sha256_fingerprint": each.fingerprint,
        "not_before": moment(each.not_before_ms),
        "expires_at": moment(each.expires_at_ms),
    }
