"""The test of a connection: a checklist over real identity providers, whole and broken."""

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from tests.support import tokens
from tests.support.asgi import CREDENTIAL, PUBLIC_URL, Api, refused
from tests.support.certificates import signing_certificate
from tests.support.identity_provider import REMOVED, IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECKS = ["enabled", "discovery", "issuer", "keys", "clock", "endpoints", "enabled_clients", "event_hook"]
"""Every line, in order; `keys` has one more for each pinned certificate."""

SAML: dict[str, Any] = {
    "discovery_url": None,
    "issuer": "http://www.okta.com/exk1acme",
    "authorization_endpoint": "https://acme.okta.com/app/acme_shop/exk1acme/sso/saml",
}
"""Options of a connection whose identity provider nothing is fetched from."""

DAY_S = 86_400

Break = Callable[[IdentityProvider], None]


def set_clock(api: Api, *, behind_s: float = 0) -> None:
    """Our clock is so far behind the identity provider's, which is the real one."""
    api.clock.advance(time.time() - behind_s - api.clock.now_ms() / 1000)


async def checklist(api: Api, connection: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    answer = await api.post(f"/api/v2/connections/{connection['id']}/test")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert CREDENTIAL not in answer.text
    told = answer.json()
    assert set(told) == {"ok", "checks"}
    assert list(dict.fromkeys(each["check"] for each in told["checks"])) == CHECKS
    assert told["ok"] is all(each["level"] != "fail" for each in told["checks"])
    found: dict[str, list[tuple[str, str]]] = {}
    for each in told["checks"]:
        assert set(each) == {"check", "level", "detail"}
        found.setdefault(each["check"], []).append((each["level"], each["detail"]))
    return found


async def test_a_connection_that_works_has_nothing_but_ok(api: Api, idp: IdentityProvider) -> None:
    set_clock(api)
    connection = await api.connection(idp, "shop", options={"okta_event_hook_secret": "an-event-hooks-secret"})
    found = await checklist(api, connection)
    assert {level for lines in found.values() for level, _ in lines} == {"ok"}
    assert found["issuer"] == [("ok", idp.issuer)]
    assert found["keys"] == [("ok", "4 usable keys in its identity provider's JWKS")]
    assert found["enabled_clients"] == [("ok", "1 client")]
    assert found["event_hook"] == [("ok", "its secret is set")]
    for name in ("global_token_revocation_endpoint", "backchannel_logout_uri", "okta_event_hook_uri"):
        assert connection[name].startswith(PUBLIC_URL)
        assert connection[name] in found["endpoints"][0][1]


async def test_keys_that_fit_no_logout_token_are_warned_of(api: Api, idp: IdentityProvider) -> None:
    """Without an algorithm of its own a connection's logout tokens are held to RS256: they would all be refused."""
    set_clock(api)
    idp.published = [each for each in idp.published if isinstance(each, dict) and each["alg"] == "ES256"]
    connection = await api.connection(idp, "shop", name="curves")
    found = await checklist(api, connection)
    ((level, detail),) = found["keys"]
    assert level == "warn"
    assert detail.startswith("1 usable key in its identity provider's JWKS, and none for RS256")
    assert (await api.backchannel_logout(idp.logout_token(sub="ada", alg="ES256"), name="curves")).status_code == 400

    await api.patch(f"/api/v2/connections/{connection['id']}", {"options": {"id_token_signed_response_alg": "ES256"}})
    assert (await checklist(api, connection))["keys"] == [("ok", "1 usable key in its identity provider's JWKS")]
    text = idp.logout_token(sub="ada", alg="ES256", now_s=api.clock.now_s)
    assert (await api.backchannel_logout(text, name="curves")).status_code == 200


@pytest.mark.parametrize(
    ("break_it", "check", "naming"),
    [
        (lambda idp: idp.broken.add("discovery"), "discovery", "it answered 500, not 200"),
        (lambda idp: idp.bodies.update(discovery=b"<html>private"), "discovery", "JSON object or array"),
        (lambda idp: idp.discovery_overrides.update(jwks_uri=REMOVED), "discovery", "no `jwks_uri`"),
        (lambda idp: idp.discovery_overrides.update(issuer="https://else.example.com"), "issuer", "another issuer"),
        (lambda idp: idp.broken.add("keys"), "keys", "it answered 500, not 200"),
        (lambda idp: idp.bodies.update(keys=b"private"), "keys", "JSON object or array"),
        (lambda idp: idp.published.clear(), "keys", "there is no key for RS256, PS256, ES256, EdDSA"),
    ],
)
async def test_what_broke_since_is_on_the_list(
    api: Api, idp: IdentityProvider, break_it: Break, check: str, naming: str
) -> None:
    connection = await api.connection(idp, "shop")
    break_it(idp)
    found = await checklist(api, connection)
    [(level, detail)] = found[check]
    assert level == "fail"
    assert naming in detail
    assert "private" not in str(found)


async def test_a_key_must_fit_the_pinned_algorithm(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop", options={"id_token_signed_response_alg": "RS256"})
    idp.published = [tokens.public_jwk(tokens.private_key("ES256"))]
    found = await checklist(api, connection)
    assert found["keys"] == [("fail", "there is no key for RS256 in its identity provider's JWKS")]


@pytest.mark.parametrize(("behind_s", "level"), [(0, "ok"), (30, "warn"), (-30, "warn"), (90, "fail"), (-90, "fail")])
async def test_a_clock_that_is_off_is_told(api: Api, idp: IdentityProvider, behind_s: int, level: str) -> None:
    connection = await api.connection(idp, "shop")
    set_clock(api, behind_s=behind_s)
    [(found, detail)] = (await checklist(api, connection))["clock"]
    assert found == level
    assert behind_s == 0 or ("ahead of ours" if behind_s > 0 else "behind ours") in detail


@pytest.mark.parametrize(
    ("age", "level"),
    [("3600", "ok"), (" 3600 ", "ok"), ("0", "fail"), ("-1", "fail"), ("soon", "fail"), ("9" * 40, "fail")],
)
async def test_what_a_cache_has_kept_for_a_while_is_no_clock_that_is_off(
    api: Api, idp: IdentityProvider, age: str, level: str
) -> None:
    """RFC 9111 section 5.1: `Date` stays that of the origin, and `Age` says how long ago that was."""
    connection = await api.connection(idp, "shop")
    set_clock(api)
    idp.headers |= {"Date": formatdate(api.clock.now_s - 3600, usegmt=True), "Age": age}
    [(found, _)] = (await checklist(api, connection))["clock"]
    assert found == level


async def test_pinned_certificates_are_told_by_when_they_end(api: Api, idp: IdentityProvider) -> None:
    set_clock(api)
    now = api.clock.now_s
    pinned = [
        signing_certificate(tokens.private_key("ES256", number), begins_s=now - DAY_S, ends_s=now + days * DAY_S)
        for number, days in enumerate((1, 60))
    ]
    connection = await api.connection(idp, "shop", options={**SAML, "signing_certificates": pinned})

    api.clock.advance(2 * DAY_S)
    found = await checklist(api, connection)
    assert [level for level, _ in found["keys"]] == ["ok", "fail", "ok"]
    assert found["keys"][0][1] == "1 usable key in its pinned certificates"
    assert found["keys"][1][1].startswith("certificate 1 expired on ")
    assert found["discovery"] == found["issuer"] == [("ok", "not looked at: its keys are pinned")]
    assert found["clock"] == [("ok", "not compared: nothing was fetched from its identity provider")]

    api.clock.advance(60 * DAY_S)
    found = await checklist(api, connection)
    assert [level for level, _ in found["keys"]] == ["fail", "fail", "fail"]


async def test_a_connection_by_hand_has_no_discovery_and_its_clock_is_compared(api: Api, idp: IdentityProvider) -> None:
    set_clock(api)
    by_hand = {"discovery_url": None, "issuer": idp.issuer, "authorization_endpoint": idp.origin}
    connection = await api.connection(idp, "shop", options={**by_hand, "jwks_uri": idp.jwks_uri})
    found = await checklist(api, connection)
    assert found["discovery"] == [("ok", "not looked at: it was configured by hand")]
    assert found["keys"][0][0] == found["clock"][0][0] == "ok"
    assert idp.fetches["discovery"] == 0


async def test_a_disabled_connection_without_clients_is_warned_of(api: Api, idp: IdentityProvider) -> None:
    set_clock(api)
    connection = await api.connection(idp)
    await api.patch(f"/api/v2/connections/{connection['id']}", {"enabled": False})
    found = await checklist(api, connection)
    assert found["enabled"][0][0] == found["enabled_clients"][0][0] == "warn"
    assert found["event_hook"] == [("ok", "no secret is set: that door is closed")]


async def test_a_removed_client_that_is_still_named_is_warned_of(api: Api, idp: IdentityProvider) -> None:
    set_clock(api)
    connection = await api.connection(idp, "shop", "wiki", "board")
    for name, told in (("wiki", "1 of them removed, and so told of nothing: wiki"), ("shop", "2 of them removed")):
        await api.delete(f"/api/v2/clients/{name}")
        ((level, detail),) = (await checklist(api, connection))["enabled_clients"]
        assert level == "warn"
        assert detail.startswith(f"3 clients, {told}")


async def test_only_a_connection_that_is_there_is_tested_and_only_by_the_administrator(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop")
    refused(await api.post("/api/v2/connections/con_nobody/test"), 404, "not_found", "no such connection")
    answer = await api.post("/api/v2/connections/con_nobody/test", by=api.by("shop"))
    refused(answer, 401, "invalid_token")
