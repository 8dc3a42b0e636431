"""What the environment may say of outgoing calls, and what it may not. Each variable is one somebody sets for another program."""

from pathlib import Path

import pytest

from service.domain.tls_identity import TlsIdentity
from service.outbound import OutboundError, open_outbound
from tests.outbound.conftest import LOOPBACK
from tests.support.certificates import Authority
from tests.support.strangers import answer, stranger

FORM = {"logout_token": "eyJ.eyJ.sig"}


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"])
async def test_a_proxy_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, name: str, upper: bool
) -> None:
    for each in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(each, raising=False)
    async with stranger(answer(200)) as proxy:
        monkeypatch.setenv(name.upper() if upper else name, proxy.url(""))
        async with (
            open_outbound(allowed_networks=LOOPBACK, ca_file=authority.ca_file) as outbound,
            stranger(answer(204)) as app,
            stranger(answer(204), tls=authority.server_tls("localhost")) as encrypted,
        ):
            assert (await outbound.post_form(app.url(), FORM)).status == 204
            assert (await outbound.post_form(encrypted.url(host="localhost"), FORM)).status == 204
            own = TlsIdentity(ca_certificates=authority.root)
            assert (await outbound.post_form(encrypted.url(host="localhost"), FORM, tls=own)).status == 204
        assert proxy.connections == 0


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
async def test_an_exception_from_proxies_opens_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "*")
    async with open_outbound(allowed_networks=()) as outbound, stranger(answer(204)) as app:
        with pytest.raises(OutboundError) as failed:
            await outbound.post_form(app.url(), FORM)
        assert failed.value.reason == "blocked_address"


async def test_passwords_for_hosts_are_not_taken_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("netrc", ".netrc"):
        (tmp_path / name).write_text("machine 127.0.0.1 login someone password hunter2\ndefault login a password b\n")
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with open_outbound(allowed_networks=LOOPBACK) as outbound, stranger(answer(204)) as app:
        assert (await outbound.post_form(app.url(), FORM)).status == 204
        assert "authorization" not in app.requests[0].headers


async def test_the_secrets_of_connections_are_written_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority
) -> None:
    file = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(file))
    async with (
        open_outbound(allowed_networks=LOOPBACK, ca_file=authority.ca_file) as outbound,
        stranger(answer(204), tls=authority.server_tls("localhost")) as app,
    ):
        for tls in (None, TlsIdentity(ca_certificates=authority.root)):
            assert (await outbound.post_form(app.url(host="localhost"), FORM, tls=tls)).status == 204
    assert not file.exists()


async def test_the_systems_authorities_are_where_openssl_is_told_and_an_applications_own_stand_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    other = Authority(tmp_path, name="Another")
    async with (
        open_outbound(allowed_networks=LOOPBACK) as outbound,
        stranger(answer(204), tls=authority.server_tls("localhost")) as app,
    ):
        assert (await outbound.post_form(app.url(host="localhost"), FORM)).status == 204
        with pytest.raises(OutboundError) as failed:
            await outbound.post_form(app.url(host="localhost"), FORM, tls=TlsIdentity(ca_certificates=other.root))
        assert failed.value.reason == "certificate_untrusted"


@pytest.mark.parametrize("name", ["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PYTHONHTTPSVERIFY"])
async def test_other_programs_ways_to_choose_authorities_or_none_change_nothing(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, name: str
) -> None:
    monkeypatch.setenv(name, "0" if name.endswith("VERIFY") else str(authority.ca_file))
    async with (
        open_outbound(allowed_networks=LOOPBACK) as outbound,
        stranger(answer(204), tls=authority.server_tls("localhost")) as app,
    ):
        with pytest.raises(OutboundError) as failed:
            await outbound.post_form(app.url(host="localhost"), FORM)
        assert failed.value.reason == "certificate_untrusted"
