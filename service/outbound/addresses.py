"""Which addresses a call may reach: public ones, and those inside the operator's networks."""

import ipaddress
from collections.abc import Iterator
from typing import Final

from service.setting_values import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # "this network"; 0.0.0.0 reaches the machine itself
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT; Alibaba's instance metadata is in here
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # public by number, but Azure's host agent to every machine of Azure's
            "169.254.0.0/16",  # link-local, and with 169.254.169.254 most clouds' instance metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # IETF protocol assignments; Oracle's instance metadata is in here
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays (RFC 7526 withdrew them)
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
"""IANA's IPv4 special-purpose registry, less what is globally reachable, and one address clouds misuse.

A list of ours, not `ipaddress.is_global`: that answers differently from one patch release of Python to the next.
"""

_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is handed out as global unicast. Loopback, unique local (also fd00:ec2::254, a cloud's metadata),
link-local, site-local, multicast and IPv4-compatible addresses lie outside it."""

_NOT_PUBLIC_V6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments: Teredo (an IPv4 address inside), benchmarking, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address inside, possibly a private one; nobody serves from it any more
            "3fff::/20",  # documentation
        ),
    )
)
"""What IANA's IPv6 special-purpose registry takes out of that."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as machines without IPv4 see them (RFC 6052 section 2.1). A translator's own prefix cannot be told
from any other network; a translator must not forward to private addresses by itself."""


_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
"""What the lower half of an ISATAP address begins with; the rest is an IPv4 address (RFC 5214 section 6.1)."""

_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        (
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure's host agent
            "169.254.0.23",  # Tencent
            "169.254.42.42",  # Scaleway
            "169.254.169.254",  # most clouds
            "169.254.170.2",  # Amazon's, of a task
            "169.254.170.23",  # Amazon's, of a pod
            "192.0.0.192",  # Oracle
            "fd00:42::42",  # Scaleway
            "fd00:c1::a9fe:a9fe",  # Oracle
            "fd00:ec2::23",  # Amazon's, of a pod
            "fd00:ec2::254",  # Amazon
            "fd20:ce::254",  # Google
            "fe80::a9fe:a9fe",  # OpenStack
        ),
    )
)
"""Where clouds hand out a machine's credentials. No network that happens to hold one allows it; only itself, by name."""

_CARRIERS: Final = tuple(
    (ipaddress.IPv6Network(network), places)
    for network, places in (
        ("64:ff9b::/96", ((12, 16),)),  # NAT64
        # A site's own NAT64 (RFC 8215), however long its prefix.
        ("64:ff9b:1::/48", ((12, 16), (6, 8, 9, 11), (7, 8, 9, 12), (9, 13))),
        ("2002::/16", ((2, 6),)),  # 6to4
        ("::/96", ((12, 16),)),  # IPv4-compatible
        ("::ffff:0:0:0/96", ((12, 16),)),  # IPv4-translated (RFC 2765)
    )
)
"""IPv6 networks whose addresses lead to an IPv4 one inside, and for each way to put it there the bytes it begins and ends at; in
two pieces where the byte between them is left out (RFC 6052 section 2.2)."""


class AddressPolicy:
    """Decides, address by address. It is asked about the very address a socket is about to be connected to."""

    def __init__(self, allowed_networks: tuple[Network, ...]) -> None:
        self.allowed_networks = allowed_networks

    def allows(self, address: str | Address, *, encrypted: bool) -> bool:
        """Whether a call may reach `address`. Public ones only when `encrypted`; what is no plain address never."""
        judged = _judged(address)
        if judged is None:
            return False
        holding = [network for network in self.allowed_networks if judged in network]
        if judged in _METADATA or not _METADATA.isdisjoint(_inside(judged)):
            return any(network.num_addresses == 1 for network in holding)
        if holding:
            return True
        return encrypted and _public(judged)


def _judged(address: str | Address) -> Address | None:
    """The address that would be reached: an IPv4 one mapped into IPv6 counts as itself. None: not a plain address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed
    if parsed.scope_id is not None:
        # `fe80::1%eth0`: names one of our own interfaces, which is nobody else's business.
        return None
    return parsed.ipv4_mapped or parsed


def _inside(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that whoever translates an IPv6 one may make of it."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    for network, places in _CARRIERS:
        if address in network:
            for place in places:
                pieces = zip(place[::2], place[1::2], strict=True)
                yield ipaddress.IPv4Address(b"".join(address.packed[start:end] for start, end in pieces))
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield ipaddress.IPv4Address(address.packed[-4:])


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address in _NAT64:
        return _public(ipaddress.IPv4Address(address.packed[-4:]))
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        return False
    return address in _UNICAST_V6 and not any(address in network for network in _NOT_PUBLIC_V6)
