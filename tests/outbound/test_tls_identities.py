"""An application's own authorities and the certificate it wants of us, against real TLS servers."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.tls_identity import TlsIdentity
from service.outbound import Outbound, OutboundError, open_outbound
from tests.outbound.conftest import LOOPBACK
from tests.support.blunt_tls import blunt_server
from tests.support.certificates import Authority
from tests.support.strangers import Stranger, answer, say_and_hold, stranger
from tests.support.waiting import eventually

FORM = {"logout_token": "eyJ.eyJ.sig"}


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    """An authority that nobody trusts but whom it is given to."""
    return Authority(tmp_path, name="An authority of theirs")


@pytest.fixture
async def outbound(authority: Authority) -> AsyncIterator[Outbound]:
    """Trusts the tests' authority; every name is this machine's; keeps two identities."""

    async def resolve(_host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    async with open_outbound(
        allowed_networks=LOOPBACK, ca_file=authority.ca_file, resolve=resolve, deadline_s=2, max_identities=2
    ) as opened:
        yield opened
        assert opened.in_use == 0


def _client_of(authority: Authority, name: str = "logoutd", *, trusting: Authority | None = None) -> TlsIdentity:
    pair = authority.pair(common_name=name)
    return TlsIdentity(
        ca_certificates=trusting and trusting.root, client_certificate=pair.certificate, client_key=pair.key
    )


def _app(tls: ssl.SSLContext) -> AbstractAsyncContextManager[Stranger]:
    return stranger(answer(204), tls=tls)


async def _post(outbound: Outbound, app: Stranger, tls: TlsIdentity | None) -> str | int:
    """The status, or the reason for none."""
    try:
        return (await outbound.post_form(app.url(host="app.test"), FORM, tls=tls)).status
    except OutboundError as error:
        return error.reason


async def test_an_applications_own_authorities_are_the_only_ones_it_is_checked_against(
    outbound: Outbound, authority: Authority, theirs: Authority
) -> None:
    own = TlsIdentity(ca_certificates=theirs.root)
    async with _app(theirs.server_tls("app.test")) as private, _app(authority.server_tls("app.test")) as public:
        assert await _post(outbound, private, None) == "certificate_untrusted"
        assert await _post(outbound, private, own) == 204
        assert await _post(outbound, public, None) == 204
        assert await _post(outbound, public, own) == "certificate_untrusted"


async def test_own_authorities_do_not_soften_the_other_checks(outbound: Outbound, theirs: Authority) -> None:
    own = TlsIdentity(ca_certificates=theirs.root)
    async with _app(theirs.server_tls("other.test")) as app:
        assert await _post(outbound, app, own) == "certificate_wrong_name"
    async with _app(theirs.server_tls("app.test", expired=True)) as app:
        assert await _post(outbound, app, own) == "certificate_expired"


async def test_a_servers_own_certificate_may_be_all_that_is_trusted(outbound: Outbound, theirs: Authority) -> None:
    signed, selfmade = theirs.pair("app.test"), theirs.pair("app.test", self_signed=True, common_name="app")
    for pair in (signed, selfmade):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(theirs.file_of(pair))
        async with _app(server) as app:
            assert await _post(outbound, app, TlsIdentity(ca_certificates=pair.certificate)) == 204
            assert await _post(outbound, app, TlsIdentity(ca_certificates=theirs.pair("x.test").certificate)) in {
                "certificate_untrusted",
                "certificate_self_signed",
            }


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_demands_a_certificate_gets_the_applications_and_refuses_others(
    outbound: Outbound, authority: Authority, theirs: Authority, version: ssl.TLSVersion
) -> None:
    tls = authority.server_tls("app.test", clients_of=theirs, least=version, most=version)
    shown: list[object] = []

    async with stranger(answer(204), tls=tls, on_tls=lambda peer: shown.append(peer.getpeercert())) as app:
        assert await _post(outbound, app, _client_of(theirs)) == 204
        chain = theirs.chain("by way of another")
        assert (
            await _post(outbound, app, TlsIdentity(client_certificate=chain.certificate, client_key=chain.key)) == 204
        )
        assert [dict(each[0] for each in peer["subject"]) for peer in shown] == [  # type: ignore[index]
            {"commonName": "logoutd"},
            {"commonName": "by way of another"},
        ]
        assert len(app.requests) == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_refuses_our_certificate_or_misses_one_is_understood(
    outbound: Outbound, authority: Authority, theirs: Authority, version: ssl.TLSVersion
) -> None:
    tls = authority.server_tls("app.test", clients_of=theirs, least=version, most=version)
    with blunt_server(tls) as port:

        async def post(identity: TlsIdentity | None) -> str | int:
            try:
                return (await outbound.post_form(f"https://app.test:{port}/", FORM, tls=identity)).status
            except OutboundError as error:
                return error.reason

        assert await post(_client_of(theirs)) == 204
        # TLS 1.2 calls a missing certificate a failed handshake and no more (RFC 5246 section 7.4.6).
        missing = "tls_error" if version == ssl.TLSVersion.TLSv1_2 else "client_certificate_refused"
        assert await post(None) == missing
        assert await post(_client_of(authority)) == "client_certificate_refused"
        expired = theirs.pair(common_name="late", expired=True)
        late = TlsIdentity(client_certificate=expired.certificate, client_key=expired.key)
        assert await post(late) == "client_certificate_refused"
        assert await post(_client_of(theirs)) == 204


async def test_connections_are_shared_by_equals_and_by_nobody_else(
    outbound: Outbound, authority: Authority, theirs: Authority
) -> None:
    one = _client_of(theirs)
    async with _app(authority.server_tls("app.test")) as app:
        for tls in (one, replace(one), one, None, None):
            assert await _post(outbound, app, tls) == 204
        assert app.connections == 2
        assert outbound.identities_kept == 1
        assert await _post(outbound, app, _client_of(theirs)) == 204
        assert await _post(outbound, app, TlsIdentity(ca_certificates=authority.root)) == 204
        assert app.connections == 4


async def test_a_context_is_made_once_and_few_are_kept(
    outbound: Outbound, authority: Authority, theirs: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    load = ssl.SSLContext.load_cert_chain
    monkeypatch.setattr(
        ssl.SSLContext, "load_cert_chain", lambda *args, **kwargs: (made.append(1), load(*args, **kwargs))
    )
    one, two, three = (_client_of(theirs, name) for name in ("one", "two", "three"))
    async with _app(authority.server_tls("app.test")) as app:
        made.clear()
        assert set(await asyncio.gather(*(_post(outbound, app, one) for _ in range(20)))) == {204}
        assert (len(made), outbound.identities_kept) == (1, 1)
        for tls in (two, one, three, one):
            assert await _post(outbound, app, tls) == 204
        assert (len(made), outbound.identities_kept) == (3, 2)
        assert await _post(outbound, app, two) == 204
        assert (len(made), outbound.identities_kept) == (4, 2)


async def test_identities_in_use_are_kept_beyond_the_bound_and_closed_after(
    outbound: Outbound, authority: Authority, theirs: Authority
) -> None:
    before = len(_open_files())
    async with stranger(say_and_hold(b""), tls=authority.server_tls("app.test")) as app:
        identities = [_client_of(theirs, str(i)) for i in range(6)]
        calls = [asyncio.create_task(_post(outbound, app, each)) for each in identities]
        await app.seen(6)
        assert (outbound.identities_kept, outbound.in_use) == (6, 6)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert (outbound.identities_kept, outbound.in_use) == (2, 0)
    await asyncio.to_thread(eventually, _open_files, lambda files: len(files) <= before + 2)


@pytest.mark.parametrize("cancel_after_s", [0, 0.001, 0.01])
async def test_a_call_cancelled_while_its_context_is_made_harms_no_other(
    outbound: Outbound, authority: Authority, theirs: Authority, cancel_after_s: float
) -> None:
    async with _app(authority.server_tls("app.test")) as app:
        one = _client_of(theirs)
        first = asyncio.create_task(_post(outbound, app, one))
        second = asyncio.create_task(_post(outbound, app, one))
        await asyncio.wait([first], timeout=cancel_after_s)
        first.cancel()
        assert await second == 204


async def test_an_identity_that_cannot_be_used_says_so_each_time_and_is_not_kept(
    outbound: Outbound, authority: Authority, theirs: Authority
) -> None:
    pair, other = theirs.pair(common_name="one"), theirs.pair(common_name="two")
    async with _app(authority.server_tls("app.test")) as app:
        for broken in (
            TlsIdentity(client_certificate=pair.certificate, client_key=other.key),
            TlsIdentity(client_certificate=pair.certificate, client_key="no key"),
            TlsIdentity(ca_certificates="no certificate"),
        ):
            assert [await _post(outbound, app, broken) for _ in range(2)] == ["tls_identity_invalid"] * 2
        assert outbound.identities_kept == 0
        assert app.connections == 0


async def test_an_identity_is_never_taken_over_plain_http(outbound: Outbound, theirs: Authority) -> None:
    async with stranger(answer(204)) as app:
        assert await _post(outbound, app, _client_of(theirs)) == "invalid_url"
        assert app.connections == 0


async def test_the_key_leaves_no_file_and_is_not_shown(
    outbound: Outbound, authority: Authority, theirs: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = tmp_path / "tmp"
    empty.mkdir()
    monkeypatch.setenv("TMPDIR", str(empty))
    own = _client_of(theirs)
    async with _app(authority.server_tls("app.test")) as app:
        assert await _post(outbound, app, own) == 204
        assert own.client_key is not None
        assert own.client_key not in repr(own)
        assert not [each for each in _open_files() if "memfd:tls" in each]
    assert list(empty.iterdir()) == []


def _open_files() -> list[str]:
    """What this process has open, by what it is."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the folder's own
            found.append(str(each.readlink()))
    return found
