"""How an application's own TLS certificates are: when does which of them end? For whoever looks after it."""

from service.domain.application import Application
from service.outbound.certificates import CertificateFacts, facts_of
from service.store.health import Finding
from service.store.sessions import DAY_MS
from service.verify.connection_health import EXPIRY_WARNING_DAYS, day


def look_at_tls(application: Application, *, now_ms: int) -> list[Finding]:
    """What is wrong with its certificates, or will be soon; nothing where all is well."""
    if application.tls_identity is None:
        return []
    subject = f"application {application.client_id}"
    trusted, shown = facts_of(application.tls_identity)
    found = [_look_at(each, subject, "client certificate", now_ms=now_ms) for each in shown]
    found += [_look_at(each, subject, "CA certificate", now_ms=now_ms) for each in trusted]
    return [each for each in found if each]


def _look_at(certificate: CertificateFacts, subject: str, what: str, *, now_ms: int) -> Finding | None:
    name = f"SHA-256 {certificate.fingerprint}"
    ends = day(certificate.expires_at_ms)
    days = (certificate.expires_at_ms - now_ms) // DAY_MS
    if now_ms > certificate.expires_at_ms:
        return Finding(level="fail", subject=subject, detail=f"its {what} expired on {ends} ({name})")
    if now_ms < certificate.not_before_ms:
        begins = day(certificate.not_before_ms)
        return Finding(
            level="warn", subject=subject, detail=f"its {what} counts from {begins} on, and not yet ({name})"
        )
    if days < EXPIRY_WARNING_DAYS:
        left = f"{days} {'day' if days == 1 else 'days'}"
        return Finding(level="warn", subject=subject, detail=f"its {what} expires in {left}, on {ends} ({name})")
    return None
