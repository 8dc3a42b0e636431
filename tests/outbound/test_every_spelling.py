"""Whatever a URL says and whatever name servers answer: the address a socket is connected to is one that was allowed.

Seen at the last step before the kernel, which the test stands in for: tests do not call other people's addresses.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from service.outbound import AddressPolicy, Outbound, OutboundError, open_outbound
from service.outbound.urls import InvalidUrlError, parse_url

OFFICE = (ipaddress.IPv4Network("10.20.0.0/16"), ipaddress.IPv6Network("fd12:3456::/32"))
POLICY = AddressPolicy(OFFICE)

INTERESTING = [
    "127.0.0.1",
    "10.0.0.1",
    "10.20.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "1.1.1.1",
    "8.8.8.8",
    "9.9.9.9",
    "192.168.1.1",
]

V4 = st.one_of(st.sampled_from(INTERESTING).map(ipaddress.IPv4Address), st.ip_addresses(v=4))

FULL_WIDTH = str.maketrans("0123456789.", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\u3002")
CIRCLED = str.maketrans("123456789", "\u2460\u2461\u2462\u2463\u2464\u2465\u2466\u2467\u2468")


def _spellings(address: ipaddress.IPv4Address) -> list[str]:
    """Ways in which some parser or other would read this address."""
    number, (a, b, c, d) = int(address), address.packed
    text = str(address)
    wrapped = [
        f"[::ffff:{text}]",
        f"[::{text}]",
        f"[::ffff:0:{text}]",
        f"[64:ff9b::{text}]",
        f"[64:ff9b:1::{text}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
        f"[2001:0:{number >> 16:x}:{number & 0xFFFF:x}::1]",
        f"[2001::{0xFFFF_FFFF ^ number >> 16:x}:{0xFFFF ^ number & 0xFFFF:x}]".replace("ffff", "0", 1),
        f"[2606:4700::5efe:{text}]",
        f"[::ffff:{text}%25eth0]",
        f"[fe80::{number >> 16:x}:{number & 0xFFFF:x}%eth0]",
        f"[0:0:0:0:0:FFFF:{number >> 16:X}:{number & 0xFFFF:X}]",
    ]
    numeric = [
        text,
        f"{text}.",
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a:03}.{b:03}.{c:03}.{d:03}",
        f"{a + 256}.{b}.{c}.{d}",
        str(number + 2**32),
    ]
    odd = [
        text.translate(FULL_WIDTH),
        text.translate(CIRCLED),
        text.replace(".", "\u3002"),
        text.replace(".", "%2e"),
        "".join(f"%{ord(each):02x}" for each in text),
        f"user@{text}",
        f"app.example@{text}",
        f"{text}#@app.example",
        f"app.example\\@{text}",
        f"{text}\t",
        f"{text}%00.app.example",
        f"\u200b{text}",
    ]
    return [*wrapped, *numeric, *odd]


class Names:
    """A name server whose every answer differs from the last."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = answers
        self.asked = 0

    async def __call__(self, _host: str) -> Sequence[str]:
        self.asked += 1
        return self._answers[(self.asked - 1) % len(self._answers)]


async def _connected(url: str, names: Names, *, calls: int = 1) -> list[str]:
    """The addresses that sockets were about to be connected to by `calls` to `url`."""
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    async def connect(_socket: socket.socket, address: Any) -> None:
        seen.append(str(address[0]))
        raise ConnectionRefusedError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "sock_connect", connect)
        async with open_outbound(allowed_networks=OFFICE, resolve=names, names_kept_s=0, deadline_s=2) as outbound:
            for _ in range(calls):
                await _refused(outbound, url)
            assert outbound.in_use == 0
    return seen


async def _refused(outbound: Outbound, url: str) -> None:
    with pytest.raises(OutboundError) as failed:
        await outbound.post_form(url, {})
    assert failed.value.reason in {"invalid_url", "blocked_address", "connect_error", "dns_error"}


def _all_allowed(seen: Sequence[str], *, encrypted: bool) -> bool:
    return all(POLICY.allows(each, encrypted=encrypted) for each in seen)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(V4, st.data(), st.sampled_from(["http", "https"]))
def test_no_spelling_of_an_address_gets_past_the_check(
    cheap_authorities: None, address: ipaddress.IPv4Address, data: st.DataObject, scheme: str
) -> None:
    host = data.draw(st.sampled_from(_spellings(address)))
    seen = asyncio.run(_connected(f"{scheme}://{host}:8443/logout", Names([str(address)])))
    event("connected" if seen else "refused")
    assert _all_allowed(seen, encrypted=scheme == "https"), host
    # What was taken for a URL and names an address is either that address or a refusal.
    try:
        literal = parse_url(f"{scheme}://{host}:8443/logout").addresses
    except InvalidUrlError:
        assert seen == []
    else:
        assert {ipaddress.ip_address(each) for each in seen} <= set(literal) or not literal


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.one_of(V4.map(str), V4.map("::ffff:{}".format), st.ip_addresses(v=6).map(str)), max_size=6),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["http", "https"]),
)
def test_no_answer_of_a_name_server_gets_past_the_check(
    cheap_authorities: None, answers: list[list[str]], scheme: str
) -> None:
    names = Names(*answers)
    seen = asyncio.run(_connected(f"{scheme}://app.example/logout", names, calls=len(answers)))
    assert names.asked == len(answers)
    assert _all_allowed(seen, encrypted=scheme == "https")
    allowed = [each for answer in answers for each in answer if POLICY.allows(each, encrypted=scheme == "https")]
    assert bool(seen) == bool(allowed)


async def test_an_answer_that_turns_private_between_two_calls_is_never_followed(cheap_authorities: None) -> None:
    names = Names(["8.8.8.8"], ["127.0.0.1"], ["8.8.4.4", "10.0.0.1"], ["169.254.169.254"])
    assert await _connected("https://app.example/", names, calls=8) == ["8.8.8.8", "8.8.4.4"] * 2


async def test_the_system_is_asked_once_a_call_and_its_answer_is_what_is_connected_to(
    cheap_authorities: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No second look at the name lies between the check and the connection, for an answer to change in."""
    answers = iter([["8.8.8.8"], ["127.0.0.1"], ["127.0.0.1"]])
    asked: list[str] = []
    system = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "app.example":
            asked.append(host)
            # As for an alias: the name that has the address is another one.
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "inside.example", (each, 0)) for each in next(answers)]
        return system(host, *args, **kwargs)

    seen: list[str] = []

    async def connect(_socket: socket.socket, address: Any) -> None:
        seen.append(str(address[0]))
        raise ConnectionRefusedError

    async with open_outbound(allowed_networks=(), names_kept_s=0) as outbound:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
        reasons = []
        for _ in range(2):
            with pytest.raises(OutboundError) as failed:
                await outbound.post_form("https://app.example/", {})
            reasons.append(failed.value.reason)
    assert reasons == ["connect_error", "blocked_address"]
    assert seen == ["8.8.8.8"]
    assert len(asked) == 2


@pytest.fixture
def cheap_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """No handshake takes place here; reading the system's authorities hundreds of times would take a minute."""
    monkeypatch.setattr("ssl.SSLContext.load_default_certs", lambda *_args, **_kwargs: None)
