"""Does a connection work? Its discovery document, issuer and keys, asked of the identity provider now."""

from service.domain.connection import Connection
from service.errors import InvalidRequest, LogoutdError
from service.outbound import OutboundError
from service.store.health import Finding
from service.verify.issuer_keys import IssuerKeys
from service.verify.provider_metadata import JsonFetcher, fetch_provider_metadata


async def examine_connection(connection: Connection, *, fetcher: JsonFetcher, issuer_keys: IssuerKeys) -> list[Finding]:
    """What was found; nothing is changed. Every failure is a finding, none is raised."""
    subject = f"connection {connection.name}"
    found = []
    if not connection.enabled:
        found.append(Finding(level="warn", subject=subject, detail="disabled: its doors answer 403"))
    if not connection.enabled_clients:
        found.append(Finding(level="warn", subject=subject, detail="no application is enabled for it"))
    if connection.options.discovery_url is not None:
        found.append(await _discovery(connection, subject, fetcher))
    found.append(await _keys(connection, subject, issuer_keys))
    return found


async def _discovery(connection: Connection, subject: str, fetcher: JsonFetcher) -> Finding:
    options = connection.options
    try:
        metadata = await fetch_provider_metadata(
            options.discovery_url or options.issuer, fetcher=fetcher, expected_issuer=options.issuer
        )
    except LogoutdError as error:
        return Finding(level="fail", subject=subject, detail=str(error))
    if options.jwks_uri != metadata.jwks_uri:
        detail = f"its discovery document now has another jwks_uri: {metadata.jwks_uri}; PATCH the connection"
        return Finding(level="warn", subject=subject, detail=detail)
    return Finding(level="ok", subject=subject, detail=f"discovery: issuer {metadata.issuer}")


async def _keys(connection: Connection, subject: str, issuer_keys: IssuerKeys) -> Finding:
    try:
        usable = await issuer_keys.prime(connection)
    except (OutboundError, InvalidRequest) as error:
        return Finding(level="fail", subject=subject, detail=f"its keys cannot be fetched: {error}")
    if usable == 0:
        algorithms = ", ".join(connection.allowed_algorithms)
        return Finding(level="fail", subject=subject, detail=f"it has no key for {algorithms}")
    return Finding(level="ok", subject=subject, detail=f"keys: {usable} usable")
