import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from service.outbound import Outbound, OutboundError, open_outbound
from tests.outbound.conftest import LOOPBACK
from tests.support.blunt_tls import blunt_server
from tests.support.certificates import Authority
from tests.support.strangers import answer, say_and_hold, stranger

FORM = {"logout_token": "eyJ.eyJ.sig"}


@pytest.fixture
async def outbound(authority: Authority) -> AsyncIterator[Outbound]:
    """Trusts the test's authority; every name is a name of this machine's."""

    async def resolve(_host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    async with open_outbound(
        allowed_networks=LOOPBACK, ca_file=authority.ca_file, resolve=resolve, deadline_s=1
    ) as opened:
        yield opened
        assert opened.in_use == 0


async def _fails(outbound: Outbound, url: str) -> str:
    with pytest.raises(OutboundError) as failed:
        await outbound.post_form(url, FORM)
    return failed.value.reason


async def test_a_certificate_is_checked_against_the_name_in_the_url_which_the_server_is_told(
    outbound: Outbound, authority: Authority
) -> None:
    asked_for: list[str | None] = []
    tls = authority.server_tls("app.test", "*.apps.test")
    tls.sni_callback = lambda _connection, name, _context: asked_for.append(name)
    async with stranger(answer(204), tls=tls) as app:
        assert (await outbound.post_form(app.url(host="app.test"), FORM)).status == 204
        assert (await outbound.post_form(app.url(host="one.apps.test"), FORM)).status == 204
        assert await _fails(outbound, app.url(host="other.test")) == "certificate_wrong_name"
        assert await _fails(outbound, app.url(host="a.b.apps.test")) == "certificate_wrong_name"
        # The certificate names no address, so it proves nothing about one.
        assert await _fails(outbound, app.url(host="127.0.0.1")) == "certificate_wrong_name"
        assert len(app.requests) == 2
    assert asked_for == ["app.test", "one.apps.test", "other.test", "a.b.apps.test", None]


async def test_a_document_is_fetched_over_tls(outbound: Outbound, authority: Authority) -> None:
    async with stranger(answer(200, b'{"issuer": "x"}'), tls=authority.server_tls("idp.test")) as provider:
        assert await outbound.get_json(provider.url(host="idp.test"), max_bytes=100) == {"issuer": "x"}


@pytest.mark.parametrize("name", ["An authority of the tests", "Another"])
async def test_an_unknown_authority_is_refused_also_one_of_a_known_name(
    outbound: Outbound, tmp_path: Path, name: str
) -> None:
    async with stranger(answer(204), tls=Authority(tmp_path, name=name).server_tls("app.test")) as app:
        assert await _fails(outbound, app.url(host="app.test")) == "certificate_untrusted"
        assert app.requests == []


async def test_an_authority_given_by_hand_is_unknown_by_default(authority: Authority) -> None:
    async with (
        open_outbound(allowed_networks=LOOPBACK) as outbound,
        stranger(answer(204), tls=authority.server_tls("localhost")) as app,
    ):
        assert await _fails(outbound, app.url(host="localhost")) == "certificate_untrusted"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("expired", "certificate_expired"),
        ("early", "certificate_not_yet_valid"),
        ("self_signed", "certificate_self_signed"),
    ],
)
async def test_a_certificate_that_is_not_valid_is_refused_by_its_fault(
    outbound: Outbound, authority: Authority, fault: str, reason: str
) -> None:
    async with stranger(answer(204), tls=authority.server_tls("app.test", **{fault: True})) as app:
        assert await _fails(outbound, app.url(host="app.test")) == reason
        assert app.requests == []


async def test_a_server_that_speaks_an_old_tls_alone_is_refused(outbound: Outbound, authority: Authority) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old = authority.server_tls("app.test", least=ssl.TLSVersion.TLSv1, most=ssl.TLSVersion.TLSv1_1)
    with blunt_server(old) as port:
        assert await _fails(outbound, f"https://app.test:{port}/") == "tls_error"


async def test_a_name_with_a_dot_at_its_end_is_checked_without_it(outbound: Outbound, authority: Authority) -> None:
    async with stranger(answer(204), tls=authority.server_tls("app.test")) as app:
        assert (await outbound.post_form(app.url(host="app.test."), FORM)).status == 204


async def test_a_server_without_tls_is_told_from_one_that_never_shakes_hands(outbound: Outbound) -> None:
    async with stranger(say_and_hold(b""), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as plain:
        assert await _fails(outbound, f"https://app.test:{plain.port}/") == "tls_error"
    async with stranger(say_and_hold(b"")) as silent:
        assert await _fails(outbound, f"https://app.test:{silent.port}/") == "connect_timeout"


async def test_cancelled_and_failed_handshakes_give_their_connections_back(authority: Authority) -> None:
    async with (
        stranger(say_and_hold(b"")) as silent,
        stranger(answer(204), tls=authority.server_tls("localhost")) as app,
        open_outbound(
            allowed_networks=LOOPBACK, ca_file=authority.ca_file, max_connections=2, deadline_s=0.2
        ) as outbound,
    ):
        for _ in range(20):
            calls = [
                asyncio.create_task(outbound.post_form(url, FORM))
                for url in (f"https://localhost:{silent.port}/", app.url(), app.url(host="localhost"))
            ]
            await asyncio.wait(calls, timeout=0.01)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        assert outbound.in_use == 0
        assert (await outbound.post_form(app.url(host="localhost"), FORM)).status == 204
