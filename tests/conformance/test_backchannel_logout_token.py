"""OpenID Connect Back-Channel Logout 1.0 section 2.6, rule by rule: which logout tokens are accepted.

Who signed them, how they are sent, and the certification suite's rows are in `test_backchannel_logout`. Every refusal is checked
to be exactly 400, and to have ended nothing.
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey, Key, RSAKey

from tests.support import tokens
from tests.support.asgi import SUBJECT, Api, bcl_path, idp, module_api, refused
from tests.support.asgi import api as service
from tests.support.identity_provider import CLIENT_ID, IdentityProvider
from tests.support.tokens import REMOVED

__all__ = ["idp", "module_api", "service"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVENT = "http://schemas.openid.net/event/backchannel-logout"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest_asyncio.fixture(loop_scope="module")
async def api(service: Api, idp: IdentityProvider) -> Api:
    """The service with a connection `okta`, and an application enabled for it."""
    await service.connection(idp, "shop")
    return service


async def token(api: Api, idp: IdentityProvider, **overrides: Any) -> str:
    """A logout token of SUBJECT, right but for `overrides`."""
    return idp.logout_token(**{"sub": SUBJECT, "now_s": api.clock.now_s, **overrides})


async def accepted(api: Api, idp: IdentityProvider, text: str) -> None:
    """The token is accepted and ends a session that there was."""
    session = await api.sign_in(idp, "shop", upstream_sid="upstream-1")
    answer = await api.backchannel_logout(text)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    assert not (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"]


async def is_refused(api: Api, idp: IdentityProvider, answer: httpx.Response, *naming: str) -> None:
    """It was, with exactly 400, and there is no trace of it."""
    refused(answer, 400, "invalid_request", *naming)
    assert (await api.get("/api/v2/revocations")).json()["items"] == []


# Step 3: the algorithm


async def test_step_3_the_algorithm_is_the_one_registered(api: Api, idp: IdentityProvider) -> None:
    pinned = {"id_token_signed_response_alg": "ES256"}
    await api.connection(idp, "shop", name="pinned", options=pinned)
    text = await token(api, idp, alg="ES256")
    assert (await api.backchannel_logout(text, name="pinned")).status_code == 200
    refused(await api.backchannel_logout(await token(api, idp), name="pinned"), 400, "invalid_request")


# Step 4: issuer, audience, times


@pytest.mark.parametrize("aud", [REMOVED, None, [], [CLIENT_ID, "other"], ["other"], {"a": 1}, 1, CLIENT_ID.upper()])
async def test_step_4_an_audience_that_is_not_this_client_alone(api: Api, idp: IdentityProvider, aud: object) -> None:
    text = await token(api, idp, claims={"aud": aud})
    await is_refused(api, idp, await api.backchannel_logout(text), "`aud`")


async def test_step_4_an_audience_that_is_a_list_of_this_client(api: Api, idp: IdentityProvider) -> None:
    await accepted(api, idp, await token(api, idp, claims={"aud": [CLIENT_ID]}))


@pytest.mark.parametrize("iss", [REMOVED, None, 1, "", "SLASH"])
async def test_step_4_an_issuer_that_is_not_the_connections_to_the_letter(
    api: Api, idp: IdentityProvider, iss: object
) -> None:
    text = await token(api, idp, claims={"iss": f"{idp.issuer}/" if iss == "SLASH" else iss})
    await is_refused(api, idp, await api.backchannel_logout(text), "`iss`")


@pytest.mark.parametrize(
    ("claim", "away_s", "fine"),
    [
        ("exp", -59, True),
        ("exp", -60, False),
        ("iat", 60, True),
        ("iat", 61, False),
        ("nbf", 60, True),
        ("nbf", 61, False),
    ],
)
async def test_step_4_clocks_may_differ_by_a_minute(
    api: Api, idp: IdentityProvider, claim: str, away_s: int, fine: bool
) -> None:
    now = api.clock.now_s
    claims = {"iat": now - 100, "exp": now + 100, "nbf": now, claim: now + away_s}
    text = await token(api, idp, claims=claims)
    if fine:
        assert (await api.backchannel_logout(text)).status_code == 200
    else:
        await is_refused(api, idp, await api.backchannel_logout(text), f"`{claim}`")


async def test_step_4_a_token_older_than_a_day_is_refused_however_late_it_expires(
    api: Api, idp: IdentityProvider
) -> None:
    now = api.clock.now_s
    fine = await token(api, idp, claims={"iat": now - 86_400, "exp": now + 100})
    assert (await api.backchannel_logout(fine)).status_code == 200
    old = await token(api, idp, claims={"iat": now - 86_461, "exp": now + 100})
    refused(await api.backchannel_logout(old), 400, "invalid_request", "`iat`")


@pytest.mark.parametrize("value", [REMOVED, None, True, "1", [], -1, 1e300, 10**400, b"NaN", b"Infinity", b"1e400"])
@pytest.mark.parametrize("claim", ["exp", "iat"])
async def test_step_4_a_time_that_is_none(api: Api, idp: IdentityProvider, claim: str, value: object) -> None:
    claims: Any = idp.logout_claims(sub=SUBJECT, now_s=api.clock.now_s)
    if isinstance(value, bytes):
        # As some serializers would write it; JSON has no such number.
        claims = json.dumps({**claims, claim: "HERE"}).encode().replace(b'"HERE"', value)
    else:
        claims = tokens.overridden(claims, {claim: value})
    text = tokens.signed(claims, key=idp.keys["RS256"], alg="RS256", header={"alg": "RS256"})
    await is_refused(api, idp, await api.backchannel_logout(text))


async def test_step_4_exp_may_be_missing_where_the_connection_says_so_and_iat_then_bounds_the_age(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp, "shop", name="hydra", options={"allow_missing_exp": True})
    now = api.clock.now_s
    for age_s, status in ((0, 200), (660, 200), (661, 400)):
        text = await token(api, idp, claims={"exp": REMOVED, "iat": now - age_s})
        assert (await api.backchannel_logout(text, name="hydra")).status_code == status
    expired = await token(api, idp, claims={"exp": now - 61, "iat": now - 100})
    refused(await api.backchannel_logout(expired, name="hydra"), 400, "invalid_request", "`exp`")


# Steps 5 to 8: subject, event, kind, name


@pytest.mark.parametrize("sub", [REMOVED, None])
async def test_step_5_neither_sub_nor_sid(api: Api, idp: IdentityProvider, sub: object) -> None:
    text = await token(api, idp, claims={"sub": sub})
    await is_refused(api, idp, await api.backchannel_logout(text), "`sub`", "`sid`")


@pytest.mark.parametrize("missing", [{"sub": REMOVED}, {"sub": None}, {"sid": REMOVED}, {"sid": None}])
async def test_step_5_one_of_the_two_is_enough_and_null_is_none(
    api: Api, idp: IdentityProvider, missing: Mapping[str, object]
) -> None:
    await accepted(api, idp, await token(api, idp, sid="upstream-1", claims=missing))


@pytest.mark.parametrize("value", [1, True, "", [], {}, "x" * 1025, "\ud800"])
@pytest.mark.parametrize("claim", ["sub", "sid"])
async def test_step_5_a_name_that_is_none(api: Api, idp: IdentityProvider, claim: str, value: object) -> None:
    text = await token(api, idp, sid="upstream-1", claims={claim: value})
    await is_refused(api, idp, await api.backchannel_logout(text), f"`{claim}`")


@pytest.mark.parametrize("events", [None, [], [EVENT], EVENT, {EVENT: None}, {EVENT: True}, {EVENT: []}, {EVENT: "x"}])
async def test_step_6_events_is_an_object_and_so_is_its_member(api: Api, idp: IdentityProvider, events: object) -> None:
    text = await token(api, idp, claims={"events": events})
    await is_refused(api, idp, await api.backchannel_logout(text), "`events`")


async def test_step_6_an_event_that_is_not_empty_and_a_member_beside_it(api: Api, idp: IdentityProvider) -> None:
    events = {EVENT: {"reason": "x"}, "revoke_offline_access": True}
    await accepted(api, idp, await token(api, idp, claims={"events": events}))


@pytest.mark.parametrize("nonce", ["", None, 0])
async def test_step_7_nonce_is_absent_whatever_it_is(api: Api, idp: IdentityProvider, nonce: object) -> None:
    text = await token(api, idp, claims={"nonce": nonce})
    await is_refused(api, idp, await api.backchannel_logout(text), "`nonce`")


@pytest.mark.parametrize("jti", [REMOVED, None, "", 1, "x" * 257])
async def test_step_8_jti_is_there(api: Api, idp: IdentityProvider, jti: object) -> None:
    text = await token(api, idp, claims={"jti": jti})
    await is_refused(api, idp, await api.backchannel_logout(text), "`jti`")


# RFC 8725 section 3.11: one kind of JWT is not another


@pytest.mark.parametrize("typ", [REMOVED, "JWT", "jwt", "logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
async def test_rfc_8725_3_11_typ_of_a_logout_token(api: Api, idp: IdentityProvider, typ: object) -> None:
    await accepted(api, idp, await token(api, idp, header={"typ": typ}))


@pytest.mark.parametrize("typ", ["at+jwt", "secevent+jwt", "global-token-revocation+jwt", "logout", "", "JWE"])
async def test_rfc_8725_3_11_typ_of_another_kind(api: Api, idp: IdentityProvider, typ: str) -> None:
    text = await token(api, idp, header={"typ": typ})
    await is_refused(api, idp, await api.backchannel_logout(text), "`typ`")


# Step 1: encrypted tokens


KEYS: Mapping[str, Key] = {
    "RSA-OAEP": RSAKey.generate_key(2048),
    "RSA-OAEP-256": RSAKey.generate_key(2048),
    "ECDH-ES": ECKey.generate_key("P-256"),
    "ECDH-ES+A256KW": ECKey.generate_key("P-256"),
}


def encrypted(text: str, key: Key, header: dict[str, Any]) -> str:
    """A JWE of `text` for the holder of `key` (OIDC Core section 10.2)."""
    registry = jwe.JWERegistry(algorithms=[header["alg"], header["enc"], "DEF"], strict_check_header=False)
    return jwe.encrypt_compact(header, text.encode(), key, registry=registry)


@pytest.mark.parametrize("alg", KEYS)
@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A256GCM"])
async def test_step_1_an_encrypted_token_is_decrypted_with_the_connections_key(
    api: Api, idp: IdentityProvider, alg: str, enc: str
) -> None:
    key = KEYS[alg]
    await api.connection(idp, "shop", name="sealed", options={"decryption_jwk": key.as_dict(private=True)})
    sealed = encrypted(await token(api, idp), key, {"alg": alg, "enc": enc, "cty": "JWT", "iss": idp.issuer})
    answer = await api.backchannel_logout(sealed, name="sealed")
    assert answer.status_code == 200, answer.text


async def test_step_1_where_encryption_was_agreed_a_token_that_is_not_encrypted_is_refused(
    api: Api, idp: IdentityProvider
) -> None:
    key = KEYS["RSA-OAEP"]
    await api.connection(idp, "shop", name="sealed", options={"decryption_jwk": key.as_dict(private=True)})
    answer = await api.backchannel_logout(await token(api, idp), name="sealed")
    await is_refused(api, idp, answer, "not one this connection accepts")


async def test_step_1_where_it_was_not_an_encrypted_token_is_refused(api: Api, idp: IdentityProvider) -> None:
    sealed = encrypted(await token(api, idp), KEYS["RSA-OAEP"], {"alg": "RSA-OAEP", "enc": "A128GCM"})
    await is_refused(api, idp, await api.backchannel_logout(sealed), "not one this connection accepts")


@pytest.mark.filterwarnings("ignore:JWE algorithm:joserfc.errors.SecurityWarning")
async def test_step_1_whatever_cannot_be_decrypted_is_refused_in_the_same_words(
    api: Api, idp: IdentityProvider
) -> None:
    key = KEYS["RSA-OAEP"]
    await api.connection(idp, "shop", name="sealed", options={"decryption_jwk": key.as_dict(private=True)})
    text = await token(api, idp)
    good = encrypted(text, key, {"alg": "RSA-OAEP", "enc": "A128GCM"})
    refusals = set()
    for sealed in (
        encrypted(text, key, {"alg": "RSA1_5", "enc": "A128GCM"}),
        encrypted(text, key, {"alg": "RSA-OAEP", "enc": "A128GCM", "zip": "DEF"}),
        encrypted(text, KEYS["RSA-OAEP-256"], {"alg": "RSA-OAEP", "enc": "A128GCM"}),
        encrypted(text, KEYS["ECDH-ES"], {"alg": "ECDH-ES", "enc": "A128GCM"}),
        good[:-6] + "AAAAAA",
        "a.b.c.d.e",
        "....",
    ):
        answer = await api.backchannel_logout(sealed, name="sealed")
        await is_refused(api, idp, answer)
        refusals.add(answer.text)
    assert len(refusals) == 1


async def test_step_1_what_is_inside_must_be_signed_all_the_same(api: Api, idp: IdentityProvider) -> None:
    key = KEYS["RSA-OAEP"]
    await api.connection(idp, "shop", name="sealed", options={"decryption_jwk": key.as_dict(private=True)})
    claims = idp.logout_claims(sub=SUBJECT, now_s=api.clock.now_s)
    for inside in (
        tokens.unsigned(claims, header={"alg": "none"}),
        tokens.signed(claims, key=tokens.private_key("RS256", 77), alg="RS256", header={"alg": "RS256"}),
        json.dumps(claims),
    ):
        sealed = encrypted(inside, key, {"alg": "RSA-OAEP", "enc": "A128GCM"})
        await is_refused(api, idp, await api.backchannel_logout(sealed, name="sealed"))


async def test_step_1_a_key_that_could_not_decrypt_is_refused_when_it_is_given_and_a_good_one_never_comes_back(
    api: Api, idp: IdentityProvider
) -> None:
    (connection,) = (await api.get("/api/v2/connections")).json()["items"]
    path = f"/api/v2/connections/{connection['id']}"
    good = KEYS["RSA-OAEP"].as_dict(private=True)
    for bad in (
        {},
        {"kty": "RSA"},
        {"kty": "oct", "k": "c2VjcmV0"},
        KEYS["RSA-OAEP"].as_dict(private=False),
        {**good, "use": "sig"},
        {"kty": "OKP", "crv": "Ed25519", **tokens.private_key("EdDSA").as_dict(private=True)},
        {**good, "n": str(good["n"])[:171]},  # 1024 bits
    ):
        answer = await api.patch(path, {"options": {"decryption_jwk": bad}})
        refused(answer, 400, "invalid_request", "`decryption_jwk`")
    assert (await api.patch(path, {"options": {"decryption_jwk": good}})).status_code == 200
    for answer in (await api.get(path), await api.get("/api/v2/connections")):
        assert str(good["d"]) not in answer.text
    # A change of something else leaves it as it is.
    assert (await api.patch(path, {"options": {"scopes": "openid email"}})).status_code == 200
    refused(
        await api.backchannel_logout(await token(api, idp)), 400, "invalid_request", "not one this connection accepts"
    )


# Whatever anybody sends


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "aud", "iat", "exp", "nbf", "jti", "events", "sub", "sid", "nonce"]), JSON, max_size=3
)


@settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(claims=CLAIMS, header=st.dictionaries(st.sampled_from(["typ", "kid", "crit", "b64", "alg"]), JSON, max_size=2))
async def test_any_claims_and_headers_are_accepted_or_refused_and_nothing_else(
    api: Api, idp: IdentityProvider, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    text = await token(api, idp, claims=claims, header=header)
    answer = await api.backchannel_logout(text)
    assert answer.status_code in {200, 400}, (claims, header)
    if answer.status_code == 200:
        assert set(claims) <= {"sub", "sid", "jti", "nbf", "exp", "iat"}


@settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,6}", fullmatch=True))
async def test_any_text_is_refused(api: Api, idp: IdentityProvider, text: str) -> None:
    refused(await api.http.post(bcl_path("okta"), data={"logout_token": text}), 400, "invalid_request")
