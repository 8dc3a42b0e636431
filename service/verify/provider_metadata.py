"""What an identity provider says of itself: its discovery document, fetched, held against the specification, cut down."""

from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, urlsplit, urlunsplit

from service.domain.connection import SIGNING_ALGORITHMS
from service.errors import InvalidRequest
from service.keys.algorithms import algorithm_name
from service.outbound import OutboundError

MAX_DOCUMENT_BYTES: Final = 128 * 1024
"""Longest discovery document, in bytes; the ones in use have under 10 KiB."""

MAX_MEMBER_LENGTH: Final = 2048
"""Longest issuer or URL in it, in characters."""

OPENID_CONFIGURATION: Final = "/.well-known/openid-configuration"
"""Where OpenID Connect Discovery section 4 puts the document: appended to the issuer."""

OAUTH_AUTHORIZATION_SERVER: Final = "/.well-known/oauth-authorization-server"
"""Where RFC 8414 section 3 puts it: between the issuer's host and path. Some append it instead."""


class OtherIssuer(InvalidRequest):
    """The document is there and another's: it does not name the issuer it was asked for, or stands elsewhere than that does."""


class JsonFetcher(Protocol):
    """The outbound client, as far as this room uses it."""

    def check_url(self, url: str, *, what: str) -> None:
        """Raise InvalidRequest, naming the member `what`, when `url` could never be called."""
        ...

    async def get_json(self, url: str, *, max_bytes: int) -> object:
        """Fetch a JSON document. Raises OutboundError, whose text is safe to show, on any failure."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderMetadata:
    """The members we use, with the names of OpenID Connect Discovery section 3."""

    issuer: str
    """To the letter as in the document."""
    authorization_endpoint: str
    token_endpoint: str | None
    jwks_uri: str
    signing_algorithms: tuple[str, ...]
    """What it signs ID tokens with, of the algorithms we support; all of them where it does not say."""
    discovery_url: str
    """Where the document was fetched."""


def well_known_url(given: str) -> str:
    """The discovery document's URL for `given`, which is an issuer or already that URL. Raises InvalidRequest."""
    parts = _split(given)
    if any(suffix in parts.path for suffix in (OPENID_CONFIGURATION, OAUTH_AUTHORIZATION_SERVER)):
        return given
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + OPENID_CONFIGURATION))


async def fetch_provider_metadata(
    url_or_base: str, *, fetcher: JsonFetcher, expected_issuer: str | None
) -> ProviderMetadata:
    """Fetch and check the discovery document of one identity provider.

    `expected_issuer` is compared character by character; None takes the document's own, which must be the one whose
    document stands at this URL (OpenID Connect Discovery section 4.3). Raises InvalidRequest, saying what is wrong: the
    document cannot be fetched, is no JSON object, lacks a member, has one that is no URL we may call, or names another
    issuer.
    """
    url = well_known_url(url_or_base)
    document = await _fetch(url, fetcher=fetcher, what="discovery_url")
    issuer = _issuer(document, url=url, expected=expected_issuer)
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", fetcher=fetcher),
        token_endpoint=(
            None if document.get("token_endpoint") is None else _endpoint(document, "token_endpoint", fetcher=fetcher)
        ),
        jwks_uri=_endpoint(document, "jwks_uri", fetcher=fetcher),
        signing_algorithms=_signing_algorithms(document),
        discovery_url=url,
    )


async def fetch_jwks_uri(issuer: str, *, discovery_url: str | None, fetcher: JsonFetcher) -> str:
    """Where the keys of `issuer` are, by its discovery document; nothing else in it matters. Raises InvalidRequest."""
    url = well_known_url(discovery_url or issuer)
    document = await _fetch(url, fetcher=fetcher, what="issuer")
    _issuer(document, url=url, expected=issuer)
    return _endpoint(document, "jwks_uri", fetcher=fetcher)


async def _fetch(url: str, *, fetcher: JsonFetcher, what: str) -> dict[str, Any]:
    fetcher.check_url(url, what=what)
    try:
        document = await fetcher.get_json(url, max_bytes=MAX_DOCUMENT_BYTES)
    except OutboundError as error:
        raise InvalidRequest(f"the discovery document cannot be fetched from {url}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest(f"the discovery document at {url} is not a JSON object")
    return document


def _issuer(document: dict[str, Any], *, url: str, expected: str | None) -> str:
    issuer = _member(document, "issuer")
    if expected is not None and issuer != expected:
        raise OtherIssuer(f"the discovery document names another issuer: expected {expected}, got {issuer}")
    # OpenID Connect Discovery section 4.3, RFC 8414 section 3.3: nobody speaks for an issuer from another place. A query
    # may choose among one issuer's documents; host and path may not differ.
    if urlunsplit(_split(url)._replace(query="", fragment="")) not in _well_known_urls(issuer):
        raise OtherIssuer(f"the discovery document names another issuer: {issuer} does not belong to {url}")
    return issuer


def _well_known_urls(issuer: str) -> frozenset[str]:
    """Where the discovery document of `issuer` may stand. A slash at its end does not count (section 4.1)."""
    if "?" in issuer or "#" in issuer:
        # An issuer has neither (section 3).
        return frozenset()
    parts = _split(issuer.removesuffix("/"))
    paths = {
        path
        for suffix in (OPENID_CONFIGURATION, OAUTH_AUTHORIZATION_SERVER)
        for path in (parts.path + suffix, suffix + parts.path)
    }
    return frozenset(urlunsplit(parts._replace(path=path)) for path in paths)


def _endpoint(document: dict[str, Any], name: str, *, fetcher: JsonFetcher) -> str:
    url = _member(document, name)
    try:
        fetcher.check_url(url, what=name)
    except InvalidRequest as error:
        raise InvalidRequest(f"in the discovery document, {error}") from error
    return url


def _member(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        raise InvalidRequest(f"the discovery document has no `{name}`")
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_MEMBER_LENGTH or not value.isprintable():
        raise InvalidRequest(
            f"`{name}` in the discovery document must be a string of 1 to {MAX_MEMBER_LENGTH} printable characters"
        )
    return value


def _signing_algorithms(document: dict[str, Any]) -> tuple[str, ...]:
    name = "id_token_signing_alg_values_supported"
    if name not in document:
        return SIGNING_ALGORITHMS
    listed = document[name]
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise InvalidRequest(f"`{name}` in the discovery document must be a list of strings")
    named = {algorithm_name(each) for each in listed}
    supported = tuple(each for each in SIGNING_ALGORITHMS if each in named)
    if not supported:
        raise InvalidRequest(f"`{name}` in the discovery document has none of {', '.join(SIGNING_ALGORITHMS)}")
    return supported


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise InvalidRequest("the URL of an identity provider must be an absolute URL") from None
