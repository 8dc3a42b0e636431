"""Where a connection's keys come from, as the management API takes and gives it: one source, public, fit to verify."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.domain.connection import ConnectionOptions
from service.errors import InvalidRequest
from service.verify.certificates import InvalidCertificateError, read_certificate
from service.verify.pinned_keys import pinned_keys, public_jwks
from service.web.bodies import moment


def require_one_key_source(given: Mapping[str, object]) -> None:
    """Raise ValueError when more than one of these options is given: keys of one would be believed beside the other's."""
    named = [f"`{name}`" for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ValueError(
            f"{' and '.join(named)} contradict each other: a connection has one source of keys; set the other to null"
        )


def inline_jwks(document: dict[str, Any] | None) -> dict[str, Any] | None:
    """An inline JWK Set as it is kept. Raises ValueError, also for one that holds a private key."""
    if document is None:
        return None
    try:
        return public_jwks(document)
    except InvalidRequest as error:
        raise ValueError(str(error)) from None


def pinned_certificates(given: Sequence[str] | None) -> list[str] | None:
    """Certificates as they are kept, each once, without what stood around them. Raises ValueError, naming which is wrong."""
    if given is None:
        return None
    found = []
    for number, each in enumerate(given, start=1):
        try:
            found.append(read_certificate(each).pem)
        except InvalidCertificateError as error:
            raise ValueError(f"certificate {number} {error}") from None
    return list(dict.fromkeys(found))


def refuse_expired_certificates(
    options: ConnectionOptions, *, kept: ConnectionOptions | None = None, now_ms: int
) -> None:
    """Raise InvalidRequest for a certificate that has expired already.

    Not for those that were `kept` from before: a change of something else does not stumble over the calendar.
    """
    pinned = pinned_keys(options)
    known = () if kept is None else kept.signing_certificates
    for number, each in enumerate(() if pinned is None else pinned.certificates, start=1):
        if each.pem not in known and each.has_expired(now_ms):
            ended = moment(each.expires_at_ms)
            raise InvalidRequest(f"`signing_certificates`: certificate {number} expired at {ended}")


def describe_certificates(options: ConnectionOptions) -> list[dict[str, Any]]:
    """The pinned certificates by fingerprint, with their dates."""
    pinned = pinned_keys(options)
    return [
        {
            "sha256_fingerprint": each.fingerprint,
            "not_before": moment(each.not_before_ms),
            "expires_at": moment(each.expires_at_ms),
        }
        for each in (() if pinned is None else pinned.certificates)
    ]
