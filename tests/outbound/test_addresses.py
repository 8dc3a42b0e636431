import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.outbound import AddressPolicy

NOBODY = AddressPolicy(())
OFFICE = AddressPolicy((ipaddress.IPv4Network("10.20.0.0/16"), ipaddress.IPv6Network("fd12:3456::/32")))

SPECIAL = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::8.8.8.8",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:a00:1::",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:8.8.8.8",
    "169.254.170.2",
    "fd20:ce::254",
    "64:ff9b::100.64.0.1",
    "64:ff9b::224.0.0.1",
    "64:ff9b:1:ffff::10.0.0.1",
    "fec0::1",
    "ff02::1",
]

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

NO_ADDRESS = [
    "",
    "localhost",
    "example.com",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "010.0.0.1",
    "1.1.1.1 ",
    "1.1.1",
    "[::1]",
]


@pytest.mark.parametrize("address", SPECIAL)
@pytest.mark.parametrize("encrypted", [True, False])
def test_a_special_address_is_never_reached(address: str, encrypted: bool) -> None:
    assert not NOBODY.allows(address, encrypted=encrypted)
    assert not OFFICE.allows(address, encrypted=encrypted)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached_encrypted_only(address: str) -> None:
    assert NOBODY.allows(address, encrypted=True)
    assert not NOBODY.allows(address, encrypted=False)
    assert not OFFICE.allows(address, encrypted=False)


@pytest.mark.parametrize("address", ["10.20.0.1", "10.20.255.255", "fd12:3456::1", "::ffff:10.20.3.4"])
@pytest.mark.parametrize("encrypted", [True, False])
def test_an_address_in_the_operators_networks_is_reached_either_way(address: str, encrypted: bool) -> None:
    assert OFFICE.allows(address, encrypted=encrypted)


@pytest.mark.parametrize("address", ["10.21.0.1", "fd12:3457::1", "::10.20.0.1", "64:ff9b::10.20.0.1", "2002:a14:1::1"])
def test_an_address_beside_or_dressed_as_the_operators_networks_is_not(address: str) -> None:
    assert not OFFICE.allows(address, encrypted=True)


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_a_clouds_metadata_is_not_allowed_by_a_network_that_happens_to_hold_it(address: str) -> None:
    wide = ("169.254.0.0/16", "100.64.0.0/10", "fd00::/8", "0.0.0.0/0", "::/0")
    assert not AddressPolicy(tuple(map(ipaddress.ip_network, wide))).allows(address, encrypted=True)
    named = ("169.254.169.254/32", "100.100.100.200/32", "fd00:ec2::254/128")
    assert AddressPolicy(tuple(map(ipaddress.ip_network, named))).allows(address, encrypted=False)


WIDE = AddressPolicy(
    tuple(map(ipaddress.ip_network, ("0.0.0.0/0", "::/0", "fd00::/8", "64:ff9b::/96", "64:ff9b:1::/48")))
)


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::168.63.129.16",
        "64:ff9b:1::a9fe:a9fe",  # a /96 of a site's own (RFC 6052 section 2.2)
        "64:ff9b:1:ffff:1:2:100.100.100.200",
        "64:ff9b:1:a9fe:a9:fe00::",  # its /48
        "64:ff9b:1:12a9:fe:a9fe::",  # a /56 of it
        "64:ff9b:1:1234:a9:fea9:fe00:0",  # a /64 of it
        "2002:a9fe:a9fe::1",
        "::a9fe:a9fe",
        "::ffff:0:169.254.169.254",
        "fd12:3456::5efe:169.254.169.254",
        "169.254.0.23",
        "169.254.42.42",
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fe80::a9fe:a9fe",
    ],
)
@pytest.mark.parametrize("encrypted", [True, False])
def test_a_clouds_metadata_is_not_allowed_in_any_dress_but_by_itself(address: str, encrypted: bool) -> None:
    assert not NOBODY.allows(address, encrypted=encrypted)
    assert not WIDE.allows(address, encrypted=encrypted)
    assert AddressPolicy((ipaddress.ip_network(address),)).allows(address, encrypted=encrypted)


@pytest.mark.parametrize(
    "address", ["64:ff9b::a00:1", "64:ff9b:1::a00:1", "64:ff9b:1:a00:1::", "fd00:c1::a9fe:a9ff", "2002:a00:1::1"]
)
def test_what_else_is_in_the_operators_networks_is_reached_in_any_dress(address: str) -> None:
    assert WIDE.allows(address, encrypted=False)


@pytest.mark.parametrize("text", NO_ADDRESS)
def test_what_is_no_plain_address_is_never_reached(text: str) -> None:
    everything = AddressPolicy((ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0")))
    assert not everything.allows(text, encrypted=True)


@given(st.ip_addresses())
def test_nothing_the_standard_library_calls_private_is_reached(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if NOBODY.allows(address, encrypted=True):
        plain = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped else address
        assert not plain.is_private
        assert not plain.is_multicast
        assert not plain.is_link_local
        # NAT64's prefix counts as reserved there, being in ::/8; it is judged by what is inside.
        assert not plain.is_reserved or plain in ipaddress.IPv6Network("64:ff9b::/96")


@given(st.ip_addresses(v=4), st.booleans())
def test_an_ipv4_address_is_judged_alike_when_mapped_into_ipv6(address: ipaddress.IPv4Address, encrypted: bool) -> None:
    mapped = f"::ffff:{address}"
    assert NOBODY.allows(mapped, encrypted=encrypted) == NOBODY.allows(address, encrypted=encrypted)
    assert OFFICE.allows(mapped, encrypted=encrypted) == OFFICE.allows(address, encrypted=encrypted)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_behind_nat64_is_reached_only_if_public(address: ipaddress.IPv4Address) -> None:
    assert NOBODY.allows(f"64:ff9b::{address}", encrypted=True) == NOBODY.allows(address, encrypted=True)


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert NOBODY.allows(text, encrypted=False) is False
