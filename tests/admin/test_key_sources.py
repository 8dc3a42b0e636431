"""Where a connection's keys come from: one source, public, checked when it is configured and changed as a whole."""

import datetime as dt
import json
from typing import Any

import pytest

from service.verify.certificates import MAX_SIGNING_CERTIFICATES, read_certificate
from tests.support import tokens
from tests.support.asgi import Api, connection_body, refused
from tests.support.certificates import signing_certificate
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86_400

ENTITY_ID = "http://www.okta.com/exk1acme"
"""A SAML identity provider's name: a URL that nobody can call here."""

BY_HAND: dict[str, Any] = {
    "discovery_url": None,
    "issuer": ENTITY_ID,
    "authorization_endpoint": "https://acme.okta.com/app/acme_shop/exk1acme/sso/saml",
}
"""Options of a connection whose identity provider is not to be reached by anybody."""

NOBODY = {"sub_id": {"format": "opaque", "id": "nobody"}}


def certificate(api: Api, number: int = 1, *, alg: str = "ES256", begins: int = -DAY, ends: int = 90 * DAY) -> str:
    """A certificate; its dates in seconds from now."""
    key = tokens.private_key(alg, number)
    pem = signing_certificate(key, begins_s=api.clock.now_s + begins, ends_s=api.clock.now_s + ends, name="Acme Inc")
    return read_certificate(pem).pem


def jwks(*algs: str, **changes: Any) -> dict[str, Any]:
    """A public set; `changes` lay over each key."""
    keys = [tokens.public_jwk(tokens.private_key(alg)) for alg in algs]
    return {"keys": [tokens.overridden({**each, "use": "sig"}, changes) for each in keys]}


def path_of(connection: dict[str, Any]) -> str:
    return f"/api/v2/connections/{connection['id']}"


async def create(api: Api, idp: IdentityProvider, **options: Any) -> dict[str, Any]:
    """A connection by hand, with these options."""
    return await api.connection(idp, options={**BY_HAND, **options})


async def refuse(api: Api, idp: IdentityProvider, options: dict[str, Any], *naming: str) -> str:
    """The description of a refusal of a connection by hand with these options; nothing was made."""
    answer = await api.post("/api/v2/connections", connection_body(idp, options={**BY_HAND, **options}))
    description = refused(answer, 400, "invalid_request", *naming)
    assert (await api.get("/api/v2/connections")).json()["items"] == []
    return description


async def door_answers(api: Api, idp: IdentityProvider, *, number: int = 1, iss: str = ENTITY_ID) -> int:
    """What the connection's door says to an assertion signed with a key, about nobody: 404 where it is believed."""
    idp.keys = {alg: tokens.private_key(alg, number) for alg in idp.keys}
    assertion = idp.assertion(
        audience="https://logout.example.com/oauth/global-token-revocation/connection/okta",
        alg="ES256",
        now_s=api.clock.now_s,
        claims={"iss": iss},
    )
    return (await api.global_token_revocation(idp, NOBODY, assertion=assertion)).status_code


# Certificates.


async def test_a_connection_with_pinned_certificates_asks_nobody_for_anything(api: Api, idp: IdentityProvider) -> None:
    pems = [certificate(api, 1), certificate(api, 2, ends=3 * DAY)]
    told = await create(api, idp, signing_certificates=pems)
    assert told["options"]["signing_certificates"] == pems
    assert told["options"]["issuer"] == ENTITY_ID
    assert "jwks_uri" not in told["options"]
    read = [read_certificate(each) for each in pems]
    assert [each["sha256_fingerprint"] for each in told["certificates"]] == [each.fingerprint for each in read]
    expected = [dt.datetime.fromtimestamp(each.expires_at_ms / 1000, dt.UTC) for each in read]
    assert [dt.datetime.fromisoformat(each["expires_at"]) for each in told["certificates"]] == expected
    assert set(told["certificates"][0]) == {"sha256_fingerprint", "not_before", "expires_at"}
    assert "Acme" not in json.dumps(told["certificates"])
    assert (await api.get(path_of(told))).json() == told
    assert [await door_answers(api, idp, number=number) for number in (1, 2, 3)] == [404, 404, 401]
    assert idp.fetches == {}


async def test_without_certificates_none_are_told_of(api: Api, idp: IdentityProvider) -> None:
    told = await api.connection(idp)
    assert "certificates" not in told
    assert not set(told["options"]) & {"jwks", "signing_certificates"}


async def test_a_certificate_is_kept_once_and_without_what_stood_around_it(api: Api, idp: IdentityProvider) -> None:
    pem = certificate(api)
    told = await create(api, idp, signing_certificates=[f"subject=/CN=acme\r\n{pem}", pem])
    assert told["options"]["signing_certificates"] == [pem]


@pytest.mark.parametrize(
    ("value", "naming"),
    [
        ([], "options.signing_certificates"),
        ("PEM", "options.signing_certificates"),
        (["PEM", "PEM2"], "certificate 2 must be exactly one PEM certificate"),
        (["PEM", ""], "options.signing_certificates"),
        (["PEM", 7], "options.signing_certificates"),
        (["PEM" + "x" * 8192], "options.signing_certificates"),
        (["PEM"] * (MAX_SIGNING_CERTIFICATES + 1), "options.signing_certificates"),
        (["PEM", "PEM-----BEGIN PRIVATE KEY-----"], "certificate 2 holds a private key"),
    ],
)
async def test_what_is_no_list_of_certificates_is_refused(
    api: Api, idp: IdentityProvider, value: Any, naming: str
) -> None:
    pem = certificate(api)

    def filled(text: Any) -> Any:
        return pem if text == "PEM" else text.replace("PEM-", f"{pem}-") if isinstance(text, str) else text

    given = [filled(each) for each in value] if isinstance(value, list) else filled(value)
    description = await refuse(api, idp, {"signing_certificates": given}, naming)
    assert "BEGIN PRIVATE" not in description
    assert pem.splitlines()[1] not in description


async def test_a_certificate_that_has_expired_is_refused_and_the_answer_says_when(
    api: Api, idp: IdentityProvider
) -> None:
    expired = certificate(api, 2, ends=-1)
    pair = [certificate(api), expired]
    ended = read_certificate(expired).expires_at_ms / 1000
    day = dt.datetime.fromtimestamp(ended, dt.UTC).date().isoformat()
    await refuse(api, idp, {"signing_certificates": pair}, "certificate 2 expired", day)


async def test_certificates_of_which_none_verifies_anything_now_are_refused(api: Api, idp: IdentityProvider) -> None:
    future = certificate(api, begins=DAY)
    await refuse(api, idp, {"signing_certificates": [future]}, "`signing_certificates`", "valid now")
    mismatched = {"signing_certificates": [certificate(api)], "id_token_signed_response_alg": "RS256"}
    await refuse(api, idp, mismatched, "`signing_certificates`", "RS256")


async def test_beside_discovery_the_pinned_certificates_are_the_only_keys(api: Api, idp: IdentityProvider) -> None:
    idp.broken = {"keys"}
    told = await api.connection(idp, options={"signing_certificates": [certificate(api, 2)]})
    assert told["options"]["issuer"] == idp.issuer
    assert told["options"]["token_endpoint"] == f"{idp.base_url}/oauth2/v1/token"
    assert "jwks_uri" not in told["options"]
    assert [await door_answers(api, idp, number=number, iss=idp.issuer) for number in (1, 2)] == [401, 404]
    assert idp.fetches["keys"] == 0


# An inline JWK Set.


async def test_an_inline_set_is_answered_as_it_is_and_verifies(api: Api, idp: IdentityProvider) -> None:
    told = await create(api, idp, jwks=jwks("ES256", "RS256"))
    assert told["options"]["jwks"] == jwks("ES256", "RS256")
    assert (await api.get(path_of(told))).json() == told
    assert [await door_answers(api, idp, number=number) for number in (1, 2)] == [404, 401]
    assert idp.fetches == {}


async def test_a_private_key_in_an_inline_set_is_refused_and_kept_nowhere(api: Api, idp: IdentityProvider) -> None:
    private = dict(tokens.private_key("ES256").as_dict(private=True))
    before = await create(api, idp, jwks=jwks("ES256"))
    bad = {"jwks": {"keys": [*jwks("RS256")["keys"], private]}}
    answers = [
        await api.post("/api/v2/connections", connection_body(idp, name="other", options={**BY_HAND, **bad})),
        await api.patch(path_of(before), {"options": bad}),
    ]
    for answer in answers:
        refused(answer, 400, "invalid_request", "jwks", "key 2 has `d`", "public keys alone")
        assert private["d"] not in answer.text
    assert (await api.get(path_of(before))).json() == before
    client = api.resources.record.client
    for key in await client.keys("logoutd:connection*"):
        if await client.type(key) == "string":
            assert private["d"] not in await client.get(key)


@pytest.mark.parametrize(
    ("value", "naming"),
    [
        ({}, "JWK Set"),
        ({"keys": {}}, "JWK Set"),
        ({"keys": ["a"]}, "JWK Set"),
        ([], "options.jwks"),
        ("https://acme.okta.com/keys", "options.jwks"),
        ({"keys": []}, "`jwks` has no key"),
        ({"keys": [{"kty": "EC"}]}, "`jwks` has no key"),
        ({"keys": [{"kty": "oct", "k": "AA"}]}, "has `k`"),
        (jwks("ES256", use="enc"), "`jwks` has no key"),
    ],
)
async def test_what_is_no_usable_set_is_refused(api: Api, idp: IdentityProvider, value: Any, naming: str) -> None:
    await refuse(api, idp, {"jwks": value}, naming)


async def test_a_set_whose_keys_are_for_another_algorithm_is_refused(api: Api, idp: IdentityProvider) -> None:
    options = {"jwks": jwks("ES256"), "id_token_signed_response_alg": "RS256"}
    await refuse(api, idp, options, "`jwks` has no key that could verify a signature by RS256")


# One source.


@pytest.mark.parametrize("first", ["jwks_uri", "jwks", "signing_certificates"])
@pytest.mark.parametrize("second", ["jwks_uri", "jwks", "signing_certificates"])
async def test_two_sources_contradict_each_other(api: Api, idp: IdentityProvider, first: str, second: str) -> None:
    sources = {"jwks_uri": idp.jwks_uri, "jwks": jwks("ES256"), "signing_certificates": [certificate(api)]}
    body = connection_body(idp, options={first: sources[first], second: sources[second]})
    answer = await api.post("/api/v2/connections", body)
    if first == second:
        assert answer.status_code == 201
    else:
        refused(answer, 400, "invalid_request", f"`{first}`", f"`{second}`", "contradict", "one source")


async def test_a_change_of_source_says_what_to_unset(api: Api, idp: IdentityProvider) -> None:
    by_hand = {"discovery_url": None, "issuer": idp.issuer, "authorization_endpoint": f"{idp.base_url}/authorize"}
    before = await api.connection(idp, options={**by_hand, "jwks_uri": idp.jwks_uri})
    path = path_of(before)
    pinned = {"signing_certificates": [certificate(api, 2)]}
    refused(await api.patch(path, {"options": pinned}), 400, "invalid_request", "`jwks_uri`", "set the other to null")
    assert (await api.get(path)).json() == before
    after = (await api.patch(path, {"options": {**pinned, "jwks_uri": None}})).json()
    assert after["options"] == {
        **{name: value for name, value in before["options"].items() if name != "jwks_uri"},
        **pinned,
    }
    assert await door_answers(api, idp, number=2, iss=idp.issuer) == 404
    inline = (await api.patch(path, {"options": {"signing_certificates": None, "jwks": jwks("ES256")}})).json()
    assert "certificates" not in inline
    assert [await door_answers(api, idp, number=number, iss=idp.issuer) for number in (1, 2)] == [404, 401]
    back = (await api.patch(path, {"options": {"jwks": None, "jwks_uri": idp.jwks_uri}})).json()
    assert back["options"] == before["options"]


async def test_null_hands_a_discovered_connections_keys_back_to_discovery(api: Api, idp: IdentityProvider) -> None:
    for pinned in ({"signing_certificates": [certificate(api, 2)]}, {"jwks": jwks("ES256")}):
        before = await api.connection(idp, name=next(iter(pinned)).replace("_", "-"), options=pinned)
        after = (await api.patch(path_of(before), {"options": dict.fromkeys(pinned)})).json()
        assert after["options"]["jwks_uri"] == idp.jwks_uri
        assert not set(after["options"]) & set(pinned)


async def test_a_name_that_leads_nowhere_is_an_issuer_only_as_long_as_keys_are_pinned(
    api: Api, idp: IdentityProvider
) -> None:
    for issuer in ("urn:example:idp", ENTITY_ID):
        name = "urn" if issuer.startswith("urn") else "okta"
        told = await api.connection(
            idp, name=name, options={**BY_HAND, "issuer": issuer, "signing_certificates": [certificate(api)]}
        )
        assert told["options"]["issuer"] == issuer
    unset = await api.patch(path_of(told), {"options": {"signing_certificates": None, "issuer": "urn:example:idp"}})
    refused(unset, 400, "invalid_request", "`issuer`")
    await api.delete(path_of(told))
    body = connection_body(idp, options={**BY_HAND, "issuer": "urn:example:idp"})
    refused(await api.post("/api/v2/connections", body), 400, "invalid_request", "`issuer`")


# Changes.


async def test_a_change_of_something_else_keeps_the_certificates_even_those_that_have_expired_since(
    api: Api, idp: IdentityProvider
) -> None:
    old, new = certificate(api, 1, ends=DAY), certificate(api, 2, ends=9 * DAY)
    before = await create(api, idp, signing_certificates=[old, new])
    path = path_of(before)
    api.clock.advance(2 * DAY)
    after = (await api.patch(path, {"options": {"scopes": "openid"}})).json()
    assert after["options"] == {**before["options"], "scopes": "openid"}
    renewed = certificate(api, 3)
    after = (await api.patch(path, {"options": {"signing_certificates": [old, new, renewed]}})).json()
    assert len(after["certificates"]) == 3
    another = certificate(api, 4, ends=-1)
    answer = await api.patch(path, {"options": {"signing_certificates": [old, new, another]}})
    refused(answer, 400, "invalid_request", "certificate 3 expired")
    after = (await api.patch(path, {"options": {"signing_certificates": [new]}})).json()
    assert after["options"]["signing_certificates"] == [new]
    refused(
        await api.patch(path, {"options": {"signing_certificates": [old]}}), 400, "invalid_request", "certificate 1"
    )


async def test_a_removed_certificate_is_not_believed_from_the_next_request_on(api: Api, idp: IdentityProvider) -> None:
    old, new = certificate(api, 1), certificate(api, 2)
    before = await create(api, idp, signing_certificates=[old, new])
    assert [await door_answers(api, idp, number=number) for number in (1, 2)] == [404, 404]
    await api.patch(path_of(before), {"options": {"signing_certificates": [new]}})
    assert [await door_answers(api, idp, number=number) for number in (1, 2)] == [401, 404]


# Who calls.


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (ENTITY_ID, [ENTITY_ID]),
        ([ENTITY_ID], [ENTITY_ID]),
        (["https://a.example", "https://a.example/", "https://A.example"],) * 2,
        (["https://a.example", "b", "https://a.example"], ["https://a.example", "b"]),
        ("x" * 1024, ["x" * 1024]),
        ([f"https://{number}.example" for number in range(10)],) * 2,
    ],
)
async def test_assertion_issuers_are_one_or_a_list_each_kept_once_and_to_the_letter(
    api: Api, idp: IdentityProvider, given: Any, kept: list[str]
) -> None:
    told = await api.connection(idp, options={"global_token_revocation_jwt_iss": given})
    assert told["options"]["global_token_revocation_jwt_iss"] == kept
    same = (await api.patch(path_of(told), {"options": {"scopes": "openid"}})).json()
    assert same["options"]["global_token_revocation_jwt_iss"] == kept


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("global_token_revocation_jwt_iss", ""),
        ("global_token_revocation_jwt_iss", "x" * 1025),
        ("global_token_revocation_jwt_iss", ["https://a.example", ""]),
        ("global_token_revocation_jwt_iss", ["x" * 1025]),
        ("global_token_revocation_jwt_iss", ["https://a.example"] * 11),
        ("global_token_revocation_jwt_iss", [["https://a.example"]]),
        ("global_token_revocation_jwt_sub", ""),
        ("global_token_revocation_jwt_sub", "x" * 1025),
        ("global_token_revocation_jwt_sub", ["0oa1"]),
    ],
)
async def test_assertion_issuers_and_subject_have_their_bounds(
    api: Api, idp: IdentityProvider, member: str, value: Any
) -> None:
    answer = await api.post("/api/v2/connections", connection_body(idp, options={member: value}))
    refused(answer, 400, "invalid_request", member)
