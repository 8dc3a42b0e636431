"""OpenID Connect Back-Channel Logout 1.0 section 2.6, rule by rule: which logout tokens are accepted.

`suite`: a row of the certification suite's plan for relying parties; what it sends and what it wants are its own. Every
refusal is checked to be exactly 400, and to have ended nothing.
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
from tests.support.asgi import SUBJECT, Api, bcl_path, bearer, gtr_path, idp, module_api, refused
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


# The certification suite's rows


async def test_suite_a_valid_token_with_sub_and_sid_no_typ_and_what_is_to_be_ignored_is_answered_200(
    api: Api, idp: IdentityProvider
) -> None:
    session = await api.sign_in(idp, "shop", upstream_sid="upstream-1")
    text = await token(
        api, idp, sid="upstream-1", header={"typ": REMOVED}, claims={"ignored_claim": {"any": ["thing"]}}
    )
    answer = await api.http.post(bcl_path("okta"), data={"logout_token": text, "ignored_parameter": "x"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert not (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"]


async def test_suite_alg_none(api: Api, idp: IdentityProvider) -> None:
    claims = idp.logout_claims(sub=SUBJECT, now_s=api.clock.now_s)
    for alg in ("none", "None", "NONE"):
        text = tokens.unsigned(claims, header={"alg": alg, "typ": "logout+jwt"})
        await is_refused(api, idp, await api.backchannel_logout(text), "`alg`")


@pytest.mark.parametrize("events", [REMOVED, {"http://schemas.openid.net/event/foobar": {}}])
async def test_suite_no_event_and_wrong_event(api: Api, idp: IdentityProvider, events: object) -> None:
    text = await token(api, idp, claims={"events": events})
    await is_refused(api, idp, await api.backchannel_logout(text), "`events`")


async def test_suite_with_nonce(api: Api, idp: IdentityProvider) -> None:
    text = await token(api, idp, claims={"nonce": "n-0S6_WzA2Mj"})
    await is_refused(api, idp, await api.backchannel_logout(text), "`nonce`")


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
async def test_suite_wrong_alg_though_that_key_is_in_the_jwks(api: Api, idp: IdentityProvider, alg: str) -> None:
    await is_refused(api, idp, await api.backchannel_logout(await token(api, idp, alg=alg)))


async def test_suite_wrong_aud(api: Api, idp: IdentityProvider) -> None:
    text = await token(api, idp, claims={"aud": f"{CLIENT_ID}INVALID"})
    await is_refused(api, idp, await api.backchannel_logout(text), "`aud`")


async def test_suite_wrong_iss(api: Api, idp: IdentityProvider) -> None:
    text = await token(api, idp, claims={"iss": f"{idp.issuer}INVALID"})
    await is_refused(api, idp, await api.backchannel_logout(text), "`iss`")


# Steps 2 and 3: signature and algorithm


async def test_step_2_a_signature_of_somebody_else_or_none_at_all(api: Api, idp: IdentityProvider) -> None:
    claims, header = idp.logout_claims(sub=SUBJECT, now_s=api.clock.now_s), {"alg": "RS256", "typ": "logout+jwt"}
    stranger = tokens.private_key("RS256", 77)
    for text in (
        tokens.signed(claims, key=stranger, alg="RS256", header={**header, "kid": idp.keys["RS256"].kid}),
        tokens.signed(claims, key=stranger, alg="RS256", header={**header, "kid": "unknown"}),
        tokens.signed(claims, key=stranger, alg="RS256", header=header),
        tokens.signed_with_public_key(claims, key=idp.keys["RS256"], header={**header, "alg": "HS256"}),
        (await token(api, idp))[:-4],
        "not.a.token",
        "three parts",
        "a.b.c.d",
    ):
        await is_refused(api, idp, await api.backchannel_logout(text))


async def test_step_2_a_key_that_is_new_since_the_last_fetch_is_fetched(api: Api, idp: IdentityProvider) -> None:
    idp.rotate()
    api.clock.advance(11)
    await accepted(api, idp, await token(api, idp))


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


# RFC 8725 sections 3.11 and 3.12: one kind of JWT is not another


@pytest.mark.parametrize("typ", [REMOVED, "JWT", "jwt", "logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
async def test_rfc_8725_3_11_typ_of_a_logout_token(api: Api, idp: IdentityProvider, typ: object) -> None:
    await accepted(api, idp, await token(api, idp, header={"typ": typ}))


@pytest.mark.parametrize("typ", ["at+jwt", "secevent+jwt", "global-token-revocation+jwt", "logout", "", "JWE"])
async def test_rfc_8725_3_11_typ_of_another_kind(api: Api, idp: IdentityProvider, typ: str) -> None:
    text = await token(api, idp, header={"typ": typ})
    await is_refused(api, idp, await api.backchannel_logout(text), "`typ`")


async def test_rfc_8725_3_12_an_assertion_and_an_id_token_are_no_logout_tokens(api: Api, idp: IdentityProvider) -> None:
    now = api.clock.now_s
    assertion = idp.assertion(audience=CLIENT_ID, now_s=now)
    id_token = await token(api, idp, header={"typ": "JWT"}, claims={"events": REMOVED, "nonce": "n", "auth_time": now})
    for text in (assertion, id_token):
        await is_refused(api, idp, await api.backchannel_logout(text))


async def test_rfc_8725_3_12_a_logout_token_is_no_assertion(api: Api, idp: IdentityProvider) -> None:
    body = {"sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT}}
    answer = await api.http.post(gtr_path("okta"), json=body, headers=bearer(await token(api, idp)))
    refused(answer, 401, "invalid_token")


# The request (section 2.5)


async def test_section_2_5_logout_token_is_there_exactly_once(api: Api, idp: IdentityProvider) -> None:
    text = await token(api, idp)
    for body in (b"", b"other=1", b"logout_token=", f"logout_token={text}&logout_token={text}".encode()):
        answer = await api.http.post(bcl_path("okta"), content=body, headers=FORM)
        await is_refused(api, idp, answer)


async def test_section_2_5_other_parameters_are_ignored_however_often_they_come(
    api: Api, idp: IdentityProvider
) -> None:
    body = f"a=1&a=2&logout_token={await token(api, idp)}&b="
    assert (await api.http.post(bcl_path("okta"), content=body, headers=FORM)).status_code == 200


async def test_section_2_5_it_is_a_form_in_a_post(api: Api, idp: IdentityProvider) -> None:
    text = await token(api, idp)
    await is_refused(api, idp, await api.http.post(bcl_path("okta"), json={"logout_token": text}))
    in_the_query = await api.http.post(f"{bcl_path('okta')}?logout_token={text}", content=b"", headers=FORM)
    await is_refused(api, idp, in_the_query)
    got = await api.http.get(bcl_path("okta"), params={"logout_token": text})
    assert (got.status_code, got.headers["allow"], got.headers["cache-control"]) == (405, "POST", "no-store")


async def test_section_2_5_a_token_or_a_body_that_is_too_large(api: Api, idp: IdentityProvider) -> None:
    for length in (16_385, 70_000):
        answer = await api.http.post(bcl_path("okta"), data={"logout_token": "x" * length})
        await is_refused(api, idp, answer)


async def test_section_2_8_a_connection_that_is_not_there_or_disabled_is_a_refusal_like_any_other(
    api: Api, idp: IdentityProvider
) -> None:
    text = await token(api, idp)
    for name in ("nobody", "no~name"):
        await is_refused(api, idp, await api.backchannel_logout(text, name=name))
    (connection,) = (await api.get("/api/v2/connections")).json()["items"]
    await api.patch(f"/api/v2/connections/{connection['id']}", {"enabled": False})
    await is_refused(api, idp, await api.backchannel_logout(text), "disabled")


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
    await is_refused(api, idp, answer, "not encrypted")


async def test_step_1_where_it_was_not_an_encrypted_token_is_refused(api: Api, idp: IdentityProvider) -> None:
    sealed = encrypted(await token(api, idp), KEYS["RSA-OAEP"], {"alg": "RSA-OAEP", "enc": "A128GCM"})
    await is_refused(api, idp, await api.backchannel_logout(sealed), "encrypted")


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
    refused(await api.backchannel_logout(await token(api, idp)), 400, "invalid_request", "not encrypted")


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
