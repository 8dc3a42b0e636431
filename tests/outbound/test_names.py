import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from service.outbound import AddressPolicy, Outbound, OutboundError, connections, open_outbound
from service.outbound.connections import MAX_ADDRESSES, CheckedResolver, checked_socket
from service.outbound.failures import BlockedAddressError
from tests.outbound.conftest import LOOPBACK
from tests.support.certificates import Authority
from tests.support.strangers import answer, closed_port, full_port, stranger

FORM = {"logout_token": "eyJ.eyJ.sig"}


class Names:
    """A name server of the test's: says what is in `answers` and counts how often it is asked."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): addresses for name, addresses in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.answers[host]


async def _fails(outbound: Outbound, url: str) -> str:
    with pytest.raises(OutboundError) as failed:
        await outbound.post_form(url, FORM)
    return failed.value.reason


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["::ffff:10.0.0.1"],
        ["169.254.169.254"],
        ["fd00:ec2::254"],
        ["8.8.8.8"],
        ["10.0.0.1", "fe80::1%lo"],
    ],
)
async def test_a_name_that_stands_for_refused_addresses_is_blocked(addresses: list[str]) -> None:
    names = Names(app_test=addresses)
    async with open_outbound(allowed_networks=LOOPBACK, resolve=names) as outbound:
        assert await _fails(outbound, "http://app.test:9/") == "blocked_address"
        assert outbound.in_use == 0
    assert names.asked == ["app.test"]


async def test_of_a_good_and_a_bad_address_only_the_good_one_is_used() -> None:
    async with stranger(answer(204)) as app:
        names = Names(app_test=["10.0.0.1", "127.0.0.1", "169.254.169.254"])
        async with open_outbound(allowed_networks=LOOPBACK, resolve=names, deadline_s=2) as outbound:
            assert (await outbound.post_form(app.url(host="app.test"), FORM)).status == 204
        assert app.requests[0].headers["host"] == f"app.test:{app.port}"


async def test_of_a_dead_and_a_good_address_the_good_one_is_used_whichever_comes_first() -> None:
    async with stranger(answer(204, connection="close")) as app:
        for addresses in (["127.0.0.9", "127.0.0.1"], ["127.0.0.1", "127.0.0.9"]):
            async with open_outbound(allowed_networks=LOOPBACK, resolve=Names(app_test=addresses)) as outbound:
                assert (await outbound.post_form(app.url(host="app.test"), FORM)).status == 204


@pytest.mark.parametrize("silent", [True, False])
async def test_addresses_that_take_no_connection_are_tried_once_each_whether_they_refuse_it_or_are_silent(
    monkeypatch: pytest.MonkeyPatch, *, silent: bool
) -> None:
    tried: list[str] = []

    def noting(*given: Any, **named: Any) -> Any:
        make = checked_socket(*given, **named)

        def note(info: Any) -> socket.socket:
            tried.append(info[4][0])
            return make(info)

        return note

    monkeypatch.setattr(connections, "checked_socket", noting)
    addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    with full_port("") as full:
        port = full if silent else closed_port()
        names = Names(app_test=addresses)
        async with open_outbound(allowed_networks=LOOPBACK, resolve=names, deadline_s=2.5) as outbound:
            reason = await _fails(outbound, f"http://app.test:{port}/")
            assert outbound.in_use == 0
    assert reason == ("connect_timeout" if silent else "connect_error")
    assert tried == addresses


async def test_where_one_address_takes_the_connection_and_hangs_at_tls_the_next_is_tried(authority: Authority) -> None:
    names = Names(app_test=["127.0.0.2", "127.0.0.1"])
    async with (
        stranger(answer(204), tls=authority.server_tls("app.test")) as app,
        open_outbound(allowed_networks=LOOPBACK, ca_file=authority.ca_file, resolve=names, deadline_s=2.5) as outbound,
    ):
        with socket.create_server(("127.0.0.2", app.port)):
            assert (await outbound.post_form(app.url(host="app.test"), FORM)).status == 204


async def test_an_answer_that_changes_is_checked_again_before_the_next_connection() -> None:
    async with stranger(answer(204, connection="close")) as app:
        names = Names(app_test=["127.0.0.1"])
        async with open_outbound(allowed_networks=LOOPBACK, resolve=names, names_kept_s=0) as outbound:
            assert (await outbound.post_form(app.url(host="app.test"), FORM)).status == 204
            names.answers["app.test"] = ["10.0.0.1"]
            assert await _fails(outbound, app.url(host="app.test")) == "blocked_address"
            names.answers["app.test"] = ["127.0.0.1"]
            assert (await outbound.post_form(app.url(host="app.test"), FORM)).status == 204
        assert len(names.asked) == 3


async def test_a_name_is_asked_for_once_by_calls_at_the_same_time_and_soon_after() -> None:
    async with stranger(answer(204, connection="close")) as app:
        names = Names(app_test=["127.0.0.1"])
        async with open_outbound(allowed_networks=LOOPBACK, resolve=names) as outbound:
            await asyncio.gather(*(outbound.post_form(app.url(host="app.test"), FORM) for _ in range(10)))
            await outbound.post_form(app.url(host="app.test"), FORM)
        assert names.asked == ["app.test"]


async def test_a_name_without_addresses_or_unknown_is_a_dns_error() -> None:
    async with open_outbound(allowed_networks=LOOPBACK, resolve=Names(app_test=[])) as outbound:
        assert await _fails(outbound, "https://app.test/") == "dns_error"
    async with open_outbound(allowed_networks=LOOPBACK) as outbound:
        assert await _fails(outbound, "https://nobody.invalid/") == "dns_error"


async def test_a_name_server_that_never_answers_costs_half_a_deadline_and_no_connection() -> None:
    asked = asyncio.Event()

    async def never(_host: str) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        return []

    async with open_outbound(allowed_networks=LOOPBACK, resolve=never, deadline_s=0.2) as outbound:
        assert await _fails(outbound, "http://app.test/") == "dns_timeout"
        assert asked.is_set()
        assert outbound.in_use == 0


async def test_the_systems_own_resolver_passes_the_same_checks() -> None:
    async with stranger(answer(204)) as app:
        async with open_outbound(allowed_networks=LOOPBACK) as outbound:
            assert (await outbound.post_form(app.url(host="localhost"), FORM)).status == 204
        async with open_outbound(allowed_networks=()) as outbound:
            assert await _fails(outbound, app.url(host="localhost")) == "blocked_address"
        assert app.connections == 1


async def test_the_resolver_alone_hands_on_only_what_may_be_reached() -> None:
    names = Names(mixed_test=["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111", "8.8.8.8"], bad_test=["10.0.0.1", "::1"])
    resolver = CheckedResolver(AddressPolicy(()), names, encrypted=True)
    assert [(each["host"], each["port"], each["family"]) for each in await resolver.resolve("mixed.test", 443)] == [
        ("8.8.8.8", 443, socket.AF_INET),
        ("2606:4700::1111", 443, socket.AF_INET6),
    ]
    with pytest.raises(BlockedAddressError):
        await resolver.resolve("bad.test", 443)
    with pytest.raises(BlockedAddressError):
        await CheckedResolver(AddressPolicy(()), names, encrypted=False).resolve("mixed.test", 80)


async def test_of_a_name_with_hundreds_of_addresses_few_are_tried() -> None:
    names = Names(app_test=[f"8.8.{i}.8" for i in range(200)])
    resolver = CheckedResolver(AddressPolicy(()), names, encrypted=True)
    assert [each["host"] for each in await resolver.resolve("app.test", 443)] == names.answers["app.test"][
        :MAX_ADDRESSES
    ]


@pytest.mark.parametrize(
    ("address", "encrypted", "allowed"),
    [
        ("127.0.0.1", False, True),
        ("8.8.8.8", True, True),
        ("8.8.8.8", False, False),
        ("10.0.0.1", True, False),
        ("::ffff:10.0.0.1", True, False),
        ("::1", True, False),
    ],
)
def test_a_socket_is_made_only_for_an_address_that_may_be_reached(address: str, encrypted: bool, allowed: bool) -> None:
    make = checked_socket(AddressPolicy((ipaddress.IPv4Network("127.0.0.0/8"),)), encrypted=encrypted)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    info = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443))
    if allowed:
        with make(info) as made:
            assert made.family == family
    else:
        with pytest.raises(BlockedAddressError):
            make(info)
