"""Which URLs are taken, at registration and again before each call.

Several parsers read a URL on its way to a socket, and where two disagree a stranger chooses whom we call. So only what
all of them read alike is taken: printable ASCII, a plain authority, addresses in their usual spelling.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

import httpx

from service.errors import InvalidRequest
from service.outbound.addresses import Address, AddressPolicy

MAX_URL_LENGTH: Final = 2048
"""Longest URL, in characters: the customary limit of browsers and servers."""

MAX_NAME_LENGTH: Final = 253
"""Longest host name, in characters (RFC 1035 section 2.3.4, less the root label)."""

_PLAIN: Final = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without space and backslash."""

_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)[^#]*", re.IGNORECASE)

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
"""Host and port. No zone (`%eth0`), no percent-encoding, no empty port."""

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
"""One part of a name. Underscores are not for host names, but container networks use them."""

_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes the whole host an IPv4 address to `inet_aton`: 2130706433, 0x7f.1, 127.1, 0177.0.0.1."""

_LOCALHOST: Final[tuple[Address, ...]] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


class InvalidUrlError(ValueError):
    """Not a URL we call; the text says what it must be, without naming or repeating it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What a URL says about whom it reaches."""

    encrypted: bool
    addresses: tuple[Address, ...]
    """Known without asking DNS: of an IP literal and of `localhost`. Empty for every other name."""


def parse_url(url: str) -> Destination:
    """Read a URL. Raises InvalidUrlError for anything but a plain absolute http or https URL."""
    if len(url) > MAX_URL_LENGTH:
        raise InvalidUrlError(f"must not be longer than {MAX_URL_LENGTH} characters")
    if not _PLAIN.fullmatch(url):
        raise InvalidUrlError("must be printable ASCII without spaces or backslashes; encode what is not")
    if "#" in url:
        raise InvalidUrlError("must not have a fragment")
    found = _URL.fullmatch(url)
    if not found:
        raise InvalidUrlError("must be an absolute http or https URL")
    if "@" in found["authority"]:
        raise InvalidUrlError("must not hold a user name or password")
    authority = _AUTHORITY.fullmatch(found["authority"])
    if not authority:
        raise InvalidUrlError("must have a host, and a port only as digits")
    if authority["port"] and not 1 <= int(authority["port"]) <= 65535:
        raise InvalidUrlError("must have a port between 1 and 65535")
    addresses = _bracketed(authority["bracketed"]) if authority["bracketed"] else _named(authority["name"].lower())
    try:
        httpx.URL(url)
    except httpx.InvalidURL:
        # Such as `xn--` followed by what no domain encodes to.
        raise InvalidUrlError("must have a valid host name") from None
    return Destination(encrypted=found["scheme"].lower() == "https", addresses=addresses)


def check_url(url: str, policy: AddressPolicy, *, what: str) -> None:
    """Raise InvalidRequest, naming the member `what`, for a URL that could never be called.

    Names are not resolved here: what they stand for when the call is made is what counts.
    """
    try:
        destination = parse_url(url)
    except InvalidUrlError as error:
        raise InvalidRequest(f"`{what}` {error}") from None
    if not destination.encrypted and not policy.allowed_networks:
        raise InvalidRequest(f"`{what}` must be an https URL")
    if destination.addresses and not any(
        policy.allows(address, encrypted=destination.encrypted) for address in destination.addresses
    ):
        raise InvalidRequest(
            f"`{what}` must not name a private or special address outside LOGOUTD_ALLOWED_PRIVATE_NETWORKS"
            + ("" if destination.encrypted else ", nor any other with plain http")
        )


def _bracketed(text: str) -> tuple[Address, ...]:
    try:
        return (ipaddress.IPv6Address(text),)
    except ValueError:
        raise InvalidUrlError("must not have brackets around anything but an IPv6 address") from None


def _named(name: str) -> tuple[Address, ...]:
    labels = name.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return (ipaddress.IPv4Address(name),)
        except ValueError:
            raise InvalidUrlError("must write an IPv4 address as four decimal numbers") from None
    if len(name) > MAX_NAME_LENGTH or not all(map(_LABEL.fullmatch, labels)):
        raise InvalidUrlError("must have a valid host name")
    return _LOCALHOST if labels[-1] == "localhost" else ()
