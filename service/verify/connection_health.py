"""How a connection's keys are: can they be had, do they fit, when do its certificates end? For whoever looks after it.

Findings name keys by where they are and certificates by fingerprint: whoever they belong to is nobody's business here.
"""

from datetime import UTC, datetime
from typing import Final

from service.domain.connection import Connection, ConnectionOptions
from service.errors import InvalidRequest
from service.outbound import OutboundError
from service.store.health import Finding
from service.store.sessions import DAY_MS
from service.verify.certificates import InvalidCertificateError, SigningCertificate, read_certificate
from service.verify.issuer_keys import IssuerKeys

EXPIRY_WARNING_DAYS: Final = 30
"""How long before a pinned certificate expires it is warned of, in days: a rollover needs people on both sides."""


async def look_at_keys(connection: Connection, keys: IssuerKeys) -> Finding:
    """Whether there are keys that can check what its identity provider signs; they are fetched now where they are not pinned."""
    subject = f"connection {connection.name}"
    try:
        usable = await keys.prime(connection)
    except (OutboundError, InvalidRequest) as error:
        return Finding(level="fail", subject=subject, detail=f"its identity provider's keys cannot be had: {error}")
    source = _key_source(connection.options)
    if not usable:
        lacking = f"there is no key for {', '.join(connection.allowed_algorithms)} in {source}"
        return Finding(level="fail", subject=subject, detail=lacking)
    there = f"{usable} usable {'key' if usable == 1 else 'keys'} in {source}"
    of_logout_tokens = connection.id_token_algorithm
    # Whoever signs with certificates alone is a SAML application, and sends none.
    sends_them = not connection.options.signing_certificates
    if sends_them and not await keys.candidates(connection, alg=of_logout_tokens, kid=None):
        lacking = (
            f"{there}, and none for {of_logout_tokens}: logout tokens are held to that (`id_token_signed_response_alg`)"
        )
        return Finding(level="warn", subject=subject, detail=lacking)
    return Finding(level="ok", subject=subject, detail=there)


def look_at_certificates(connection: Connection, *, now_ms: int) -> list[Finding]:
    """Each pinned certificate, and until when it counts."""
    found = []
    for number, pem in enumerate(connection.options.signing_certificates, start=1):
        subject = f"connection {connection.name} certificate {number}"
        try:
            found.append(_look_at(read_certificate(pem), subject, now_ms=now_ms))
        except InvalidCertificateError as error:
            found.append(Finding(level="fail", subject=subject, detail=str(error)))
    return found


def _look_at(certificate: SigningCertificate, subject: str, *, now_ms: int) -> Finding:
    name = f"SHA-256 {certificate.fingerprint}"
    ends = day(certificate.expires_at_ms)
    days = (certificate.expires_at_ms - now_ms) // DAY_MS
    left = f"expires in {days} {'day' if days == 1 else 'days'}, on {ends}"
    if certificate.has_expired(now_ms):
        detail = f"expired on {ends}, and what it signs is refused: remove it ({name})"
        return Finding(level="fail", subject=subject, detail=detail)
    if not certificate.has_begun(now_ms):
        detail = f"counts from {day(certificate.not_before_ms)} on, and not yet ({name})"
        return Finding(level="warn", subject=subject, detail=detail)
    if days < EXPIRY_WARNING_DAYS:
        return Finding(level="warn", subject=subject, detail=f"{left}: pin its successor beside it ({name})")
    return Finding(level="ok", subject=subject, detail=f"{left} ({name})")


def _key_source(options: ConnectionOptions) -> str:
    if options.signing_certificates:
        return "its pinned certificates"
    return "its identity provider's JWKS" if options.jwks is None else "its inline JWKS"


def day(ms: int) -> str:
    """A moment's date, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
