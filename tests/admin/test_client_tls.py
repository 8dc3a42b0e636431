"""A client's own TLS: what is registered, what is shown, what is refused."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.domain.application import Application
from tests.support.asgi import Api, refused
from tests.support.certificates import Authority, Pair
from tests.support.clock import START_MS

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEGUN = dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC)
LATER = BEGUN + dt.timedelta(days=1000)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that outlasts the test's clock."""
    return Authority(tmp_path_factory.mktemp("theirs"), ends=LATER)


@pytest.fixture(scope="module")
def pair(theirs: Authority) -> Pair:
    return theirs.pair(common_name="logoutd", ends=LATER)


def _all(authority: Authority, pair: Pair) -> dict[str, str]:
    return {
        "tls_ca_certificates": authority.root,
        "tls_client_certificate": pair.certificate,
        "tls_client_key": pair.key,
    }


async def _kept(api: Api, client_id: str = "shop") -> Application:
    found = await api.resources.applications.get(client_id)
    assert found is not None
    return found


async def _bad(api: Api, body: Mapping[str, Any], *naming: str) -> str:
    given = {"client_id": "other", "backchannel_logout_uri": "https://app.example.com/logout", **body}
    told = refused(await api.post("/api/v2/clients", given), 400, "invalid_client_metadata", *naming)
    assert "-----" not in told.replace("-----BEGIN CERTIFICATE-----", "")
    return told


async def test_certificates_are_shown_by_what_they_are_and_the_key_never(
    api: Api, theirs: Authority, pair: Pair
) -> None:
    told = await api.client("shop", **_all(theirs, pair))
    answers = [
        told,
        (await api.get("/api/v2/clients/shop")).json(),
        (await api.patch("/api/v2/clients/shop", {"client_name": "Shop"})).json(),
        (await api.post("/api/v2/clients/shop/secret")).json(),
        (await api.get("/api/v2/clients")).json()["items"][0],
    ]
    for each in answers:
        (trusted,) = each["tls"]["ca_certificates"]
        (shown,) = each["tls"]["client_certificate_chain"]
        assert trusted["subject"] == "CN=An authority of the tests"
        assert shown["subject"] == "CN=logoutd"
        assert shown["expires_at"] == LATER.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert set(shown) == {"subject", "sha256_fingerprint", "not_before", "expires_at"}
        assert "PRIVATE" not in str(each)
        assert not [name for name in each if name.startswith("tls_")]
    kept = await _kept(api)
    assert (kept.tls_ca_certificates, kept.tls_client_certificate) == (theirs.root, pair.certificate)
    assert kept.tls_client_key == pair.key
    assert pair.key not in repr(kept)
    assert pair.key not in repr(kept.tls_identity)


async def test_a_client_without_any_has_no_such_member(api: Api) -> None:
    assert "tls" not in await api.client("shop")


async def test_null_takes_away_and_the_key_goes_with_its_certificate(api: Api, theirs: Authority, pair: Pair) -> None:
    await api.client("shop", **_all(theirs, pair))
    answer = await api.patch("/api/v2/clients/shop", {"tls_ca_certificates": None})
    assert set(answer.json()["tls"]) == {"client_certificate_chain"}
    told = refused(await api.patch("/api/v2/clients/shop", {"tls_client_key": None}), 400, "invalid_client_metadata")
    assert "belong together" in told
    answer = await api.patch("/api/v2/clients/shop", {"tls_client_certificate": None})
    assert "tls" not in answer.json()
    assert (await _kept(api)).tls_client_key is None


async def test_a_certificate_is_renewed_with_its_key_or_with_the_key_it_had(
    api: Api, theirs: Authority, pair: Pair
) -> None:
    await api.client("shop", **_all(theirs, pair))
    new = theirs.pair(common_name="new", ends=LATER)
    told = refused(
        await api.patch("/api/v2/clients/shop", {"tls_client_certificate": new.certificate}),
        400,
        "invalid_client_metadata",
    )
    assert "`tls_client_key` is not the key" in told
    both = {"tls_client_certificate": new.certificate, "tls_client_key": new.key}
    assert (await api.patch("/api/v2/clients/shop", both)).status_code == 200
    kept = await _kept(api)
    assert (kept.tls_client_certificate, kept.tls_client_key) == (new.certificate, new.key)


async def test_half_a_pair_a_strangers_key_and_what_is_none_are_refused_by_name(
    api: Api, theirs: Authority, pair: Pair
) -> None:
    both = "`tls_client_certificate` and `tls_client_key` belong together"
    await _bad(api, {"tls_client_certificate": pair.certificate}, both)
    await _bad(api, {"tls_client_key": pair.key}, both)
    other = theirs.pair(common_name="other", ends=LATER)
    await _bad(
        api, {"tls_client_certificate": pair.certificate, "tls_client_key": other.key}, "`tls_client_key`", "key"
    )
    await _bad(api, {"tls_ca_certificates": "hello"}, "`tls_ca_certificates` must be certificates as PEM")
    await _bad(api, {"tls_ca_certificates": pair.key}, "`tls_ca_certificates` holds a private key")
    await _bad(api, {"tls_client_key": pair.certificate}, "`tls_client_key` must be exactly one private key")
    refused(await api.post("/api/v2/clients", {"tls_client_key": ""}), 400, "invalid_request", "tls_client_key")
    long = {"tls_ca_certificates": "x" * 40_000}
    refused(await api.post("/api/v2/clients", long), 400, "invalid_request", "tls_ca_certificates")
    assert (await api.get("/api/v2/clients")).json()["items"] == []


async def test_an_expired_certificate_is_refused_and_one_that_expires_later_blocks_no_other_change(
    api: Api, theirs: Authority, pair: Pair
) -> None:
    late = theirs.pair(common_name="late", ends=BEGUN - dt.timedelta(days=300))
    body = {"tls_client_certificate": late.certificate, "tls_client_key": late.key}
    await _bad(api, body, "`tls_client_certificate` has a certificate that expired on")
    await api.client("shop", **_all(theirs, pair))
    passing_s = (LATER - BEGUN).total_seconds() + 3600
    api.clock.advance(passing_s)
    try:
        assert (await api.patch("/api/v2/clients/shop", {"client_name": "Shop"})).status_code == 200
    finally:
        api.clock.advance(-passing_s)


async def test_tls_is_not_agreed_on_with_a_client_that_is_called_without(
    api: Api, theirs: Authority, pair: Pair
) -> None:
    plain = "http://127.0.0.1:9/logout"
    await _bad(api, {"backchannel_logout_uri": plain, "tls_ca_certificates": theirs.root}, "must be https")
    await api.client("shop", **_all(theirs, pair))
    told = await api.patch("/api/v2/clients/shop", {"backchannel_logout_uri": plain})
    refused(told, 400, "invalid_client_metadata", "`backchannel_logout_uri` must be https")
    assert (await api.patch("/api/v2/clients/shop", {"backchannel_logout_uri": None})).status_code == 200


async def test_what_openssl_would_not_take_is_refused_now_and_not_when_somebody_signs_out(
    api: Api, tmp_path: Path
) -> None:
    weak = Authority(tmp_path, ends=LATER).chain("weak", ends=LATER, weak=True)
    body = {"tls_client_certificate": weak.certificate, "tls_client_key": weak.key}
    await _bad(api, body, "OpenSSL")
