"""A connection that could verify nothing is not made: each thing that may be wrong with a provider is named."""

import json
from collections.abc import Callable

import pytest

from tests.support import tokens
from tests.support.asgi import Api, connection_body, refused
from tests.support.identity_provider import REMOVED, IdentityProvider
from tests.support.strangers import closed_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

Break = Callable[[IdentityProvider], None]


def override(name: str, value: object) -> Break:
    return lambda idp: idp.discovery_overrides.update({name: value})


def discovery_body(body: bytes) -> Break:
    return lambda idp: idp.bodies.update(discovery=body)


def keys_body(body: bytes) -> Break:
    return lambda idp: idp.bodies.update(keys=body)


SYMMETRIC = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256", "kid": "h"}
FOR_ENCRYPTION = {**tokens.public_jwk(tokens.private_key("RS256")), "use": "enc"}
SHORT = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"}


@pytest.mark.parametrize(
    ("break_it", "naming"),
    [
        (lambda idp: idp.broken.add("discovery"), ("discovery document", "cannot be fetched", "500")),
        (discovery_body(b"<html>"), ("discovery document", "cannot be fetched", "JSON")),
        (discovery_body(b""), ("discovery document", "cannot be fetched", "JSON")),
        (discovery_body(b"[]"), ("discovery document", "not a JSON object")),
        (discovery_body(b'{"issuer":"' + b"x" * 200_000 + b'"}'), ("discovery document", "too large")),
        (override("issuer", REMOVED), ("discovery document", "`issuer`")),
        (override("issuer", 7), ("`issuer`", "string")),
        (override("issuer", ""), ("`issuer`", "string")),
        (override("issuer", "https://elsewhere.example.com"), ("another issuer", "https://elsewhere.example.com")),
        (override("authorization_endpoint", REMOVED), ("discovery document", "`authorization_endpoint`")),
        (override("authorization_endpoint", "https://10.0.0.1/"), ("discovery document", "`authorization_endpoint`")),
        (override("token_endpoint", "ftp://idp.example.com"), ("discovery document", "`token_endpoint`")),
        (override("jwks_uri", REMOVED), ("discovery document", "`jwks_uri`")),
        (override("jwks_uri", None), ("discovery document", "`jwks_uri`")),
        (override("jwks_uri", "http://169.254.169.254/keys"), ("discovery document", "`jwks_uri`")),
        (
            override("id_token_signing_alg_values_supported", ["HS256"]),
            ("id_token_signing_alg_values_supported", "RS256"),
        ),
        (override("id_token_signing_alg_values_supported", "RS256"), ("id_token_signing_alg_values_supported", "list")),
        (lambda idp: idp.broken.add("keys"), ("keys", "`jwks_uri`", "500")),
        (keys_body(b"<html>"), ("keys", "`jwks_uri`", "JSON")),
        (keys_body(b'{"keys": 7}'), ("keys",)),
        (keys_body(b"{}"), ("keys",)),
        (keys_body(b'{"keys": []}'), ("`jwks_uri` has no key",)),
        (keys_body(json.dumps({"keys": [SYMMETRIC, FOR_ENCRYPTION, SHORT, 7]}).encode()), ("`jwks_uri` has no key",)),
    ],
)
async def test_what_is_wrong_with_the_provider_is_said(
    api: Api, idp: IdentityProvider, break_it: Break, naming: tuple[str, ...]
) -> None:
    break_it(idp)
    refused(await api.post("/api/v2/connections", connection_body(idp)), 400, "invalid_request", *naming)
    assert (await api.get("/api/v2/connections")).json()["items"] == []


async def test_a_provider_that_cannot_be_reached_is_said_to_be(api: Api, idp: IdentityProvider) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    by_discovery = connection_body(idp, options={"discovery_url": nowhere})
    refused(
        await api.post("/api/v2/connections", by_discovery),
        400,
        "invalid_request",
        "discovery document cannot be fetched",
        nowhere,
        "no connection",
    )
    idp.discovery_overrides["jwks_uri"] = f"{nowhere}/keys"
    refused(
        await api.post("/api/v2/connections", connection_body(idp)),
        400,
        "invalid_request",
        "keys cannot be fetched",
        "`jwks_uri`",
        "no connection",
    )


async def test_a_provider_of_another_issuer_than_expected_is_refused(api: Api, idp: IdentityProvider) -> None:
    for expected in (idp.issuer + "/", idp.issuer.replace("127.0.0.1", "localhost"), f"{idp.issuer}/tenant"):
        body = connection_body(idp, options={"issuer": expected})
        refused(await api.post("/api/v2/connections", body), 400, "invalid_request", "another issuer", expected)
    await api.connection(idp, options={"issuer": idp.issuer})


async def test_a_pinned_algorithm_needs_a_key_for_it(api: Api, idp: IdentityProvider) -> None:
    idp.published = [tokens.public_jwk(tokens.private_key("ES256"))]
    pinned = connection_body(idp, options={"id_token_signed_response_alg": "RS256"})
    refused(await api.post("/api/v2/connections", pinned), 400, "invalid_request", "`jwks_uri` has no key")
    await api.connection(idp, options={"id_token_signed_response_alg": "ES256"})


async def test_one_odd_key_spoils_nothing(api: Api, idp: IdentityProvider) -> None:
    idp.published = [SYMMETRIC, {"kty": "odd"}, None, *idp.published]
    await api.connection(idp)


async def test_a_provider_is_asked_for_its_documents_only_within_the_operators_networks(
    api: Api, idp: IdentityProvider
) -> None:
    for host in ("localhost.", "0.0.0.0", "[::]", "10.1.2.3", "[fd00::1]"):  # addresses that must not be called
        body = connection_body(idp, options={"discovery_url": f"http://{host}:8080"})
        answer = await api.post("/api/v2/connections", body)
        if host == "localhost.":
            refused(answer, 400, "invalid_request", "discovery")
        else:
            refused(answer, 400, "invalid_request", "discovery_url", "private or special")
