"""Where a request comes from, for limits that are counted by address."""

import ipaddress
from typing import Final

from service.web.state import Request

IPV6_PREFIX: Final = 64
"""How many bits of an IPv6 address tell one caller from another: whoever has one address has the whole network of it."""

UNKNOWN_SOURCE: Final = "unknown"
"""The address of a caller that has none, as on a Unix socket."""


def source_of(request: Request) -> str:
    """Where a request comes from: the address of whoever connected, or what a trusted proxy says in their place; of IPv6 the
    network."""
    return source_of_host(request.client.host if request.client else "")


def source_of_host(host: str) -> str:
    """The same, of an address as text."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return UNKNOWN_SOURCE
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)
