"""Discovery documents: what is taken from them, and every way they are refused (OpenID Connect Discovery, RFC 8414)."""

import json
import re
from typing import Any

import pytest

from service.domain.connection import SIGNING_ALGORITHMS
from service.errors import InvalidRequest
from service.outbound import Outbound
from service.verify.provider_metadata import ProviderMetadata, fetch_provider_metadata, well_known_url
from tests.support.identity_provider import IdentityProvider
from tests.support.tokens import REMOVED


async def fetch(
    idp: IdentityProvider, outbound: Outbound, given: str | None = None, **options: Any
) -> ProviderMetadata:
    return await fetch_provider_metadata(
        idp.discovery_url if given is None else given, fetcher=outbound, expected_issuer=options.get("issuer")
    )


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://idp.example", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/tenant", "https://idp.example/tenant/.well-known/openid-configuration"),
        ("https://idp.example/tenant/", "https://idp.example/tenant/.well-known/openid-configuration"),
        *(
            (url, url)
            for url in (
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/tenant/.well-known/openid-configuration?appid=1",
                "https://idp.example/.well-known/openid-configuration/tenant",
                "https://idp.example/oauth2/default/.well-known/oauth-authorization-server",
                "https://idp.example/.well-known/oauth-authorization-server/tenant",
            )
        ),
    ],
)
def test_the_base_url_and_the_full_url_lead_to_the_same_document(given: str, url: str) -> None:
    assert well_known_url(given) == url


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="absolute URL"):
        well_known_url("https://[")


async def test_every_member_we_use_is_taken(idp: IdentityProvider, outbound: Outbound) -> None:
    assert await fetch(idp, outbound) == ProviderMetadata(
        issuer=idp.issuer,
        authorization_endpoint=f"{idp.issuer}/oauth2/v1/authorize",
        token_endpoint=f"{idp.issuer}/oauth2/v1/token",
        jwks_uri=f"{idp.issuer}/oauth2/v1/keys",
        signing_algorithms=SIGNING_ALGORITHMS,
        discovery_url=f"{idp.issuer}/.well-known/openid-configuration",
    )


@pytest.mark.parametrize("path", ["", "/", "/tenant", "/tenant/"])
async def test_the_base_url_is_enough_whether_or_not_it_or_the_issuer_ends_with_a_slash(
    outbound: Outbound, path: str
) -> None:
    async with IdentityProvider.running(path=path) as idp:
        for given in (idp.base_url, idp.base_url + "/", idp.discovery_url):
            metadata = await fetch(idp, outbound, given)
            assert (metadata.issuer, metadata.discovery_url) == (idp.origin + path, idp.discovery_url)


@pytest.mark.parametrize(
    "form",
    [
        "{origin}/tenant/.well-known/oauth-authorization-server",
        "{origin}/.well-known/oauth-authorization-server/tenant",
        "{origin}/.well-known/openid-configuration/tenant",
        "{origin}/tenant/.well-known/openid-configuration?appid=1",
    ],
)
async def test_the_other_places_an_issuers_document_may_stand_are_accepted(outbound: Outbound, form: str) -> None:
    async with IdentityProvider.running(path="/tenant") as idp:
        given = form.format(origin=idp.origin)
        metadata = await fetch(idp, outbound, given)
        assert (metadata.issuer, metadata.discovery_url) == (idp.issuer, given)


async def test_a_missing_token_endpoint_is_none(idp: IdentityProvider, outbound: Outbound) -> None:
    for absent in (REMOVED, None):
        idp.discovery_overrides = {"token_endpoint": absent}
        assert (await fetch(idp, outbound)).token_endpoint is None


@pytest.mark.parametrize(
    ("listed", "taken"),
    [
        (["RS256"], ("RS256",)),
        (["HS256", "ES512", "EdDSA", "none", "RS256"], ("RS256", "EdDSA")),
        (["Ed25519"], ("EdDSA",)),
        (REMOVED, SIGNING_ALGORITHMS),
    ],
)
async def test_signing_algorithms_are_those_we_support_in_our_order(
    idp: IdentityProvider, outbound: Outbound, listed: object, taken: tuple[str, ...]
) -> None:
    idp.discovery_overrides = {"id_token_signing_alg_values_supported": listed}
    assert (await fetch(idp, outbound)).signing_algorithms == taken


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (["HS256"], "has none of RS256"),
        ([], "has none of"),
        ("RS256", "list of strings"),
        ([["RS256"]], "list of strings"),
    ],
)
async def test_signing_algorithms_that_leave_none_are_refused(
    idp: IdentityProvider, outbound: Outbound, listed: object, message: str
) -> None:
    idp.discovery_overrides = {"id_token_signing_alg_values_supported": listed}
    with pytest.raises(InvalidRequest, match=f"`id_token_signing_alg_values_supported`.*{message}"):
        await fetch(idp, outbound)


@pytest.mark.parametrize("member", ["issuer", "authorization_endpoint", "jwks_uri"])
async def test_a_document_that_lacks_a_member_is_refused_by_its_name(
    idp: IdentityProvider, outbound: Outbound, member: str
) -> None:
    for absent in (REMOVED, None):
        idp.discovery_overrides = {member: absent}
        with pytest.raises(InvalidRequest, match=f"has no `{member}`"):
            await fetch(idp, outbound)


@pytest.mark.parametrize("member", ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("value", [7, "", ["https://idp.example"], {}, "https://idp.example/" + "a" * 2048, "a\nb"])
async def test_a_member_that_is_no_printable_string_is_refused_by_its_name(
    idp: IdentityProvider, outbound: Outbound, member: str, value: object
) -> None:
    idp.discovery_overrides = {member: value}
    with pytest.raises(InvalidRequest, match=f"`{member}` in the discovery document must be a string"):
        await fetch(idp, outbound)


@pytest.mark.parametrize("member", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", ["/keys", "ftp://idp.example/x", "http://10.0.0.1/x", "https://169.254.169.254/latest"])
async def test_a_url_we_may_not_call_is_refused_by_its_name(
    idp: IdentityProvider, outbound: Outbound, member: str, url: str
) -> None:
    idp.discovery_overrides = {member: url}
    with pytest.raises(InvalidRequest, match=f"in the discovery document, `{member}` must"):
        await fetch(idp, outbound)


@pytest.mark.parametrize("given", ["idp.example", "ftp://idp.example", "https://user@idp.example", "http://10.1.1.1"])
async def test_a_discovery_url_we_may_not_call_is_refused_before_any_call(
    idp: IdentityProvider, outbound: Outbound, given: str
) -> None:
    with pytest.raises(InvalidRequest, match="`discovery_url` must"):
        await fetch(idp, outbound, given)


@pytest.mark.parametrize(
    "named",
    [
        "https://other.example",
        "{origin}/tenant",
        "{origin}//",
        "{origin}?x=1",
        "{origin}#",
        "{origin}/.",
        "origin",
        "https://[",
    ],
)
async def test_a_document_that_names_another_issuer_is_refused(
    idp: IdentityProvider, outbound: Outbound, named: str
) -> None:
    idp.discovery_overrides = {"issuer": named.format(origin=idp.origin)}
    with pytest.raises(InvalidRequest, match=r"another issuer|absolute URL"):
        await fetch(idp, outbound)


async def test_a_document_in_anothers_place_is_refused(outbound: Outbound) -> None:
    async with IdentityProvider.running(path="/tenant") as idp:
        with pytest.raises(InvalidRequest, match=re.escape(f"another issuer: {idp.issuer} does not belong to")):
            await fetch(idp, outbound, f"{idp.origin}/other")


async def test_the_issuer_that_was_expected_is_compared_character_by_character(
    idp: IdentityProvider, outbound: Outbound
) -> None:
    assert (await fetch(idp, outbound, issuer=idp.issuer)).issuer == idp.issuer
    with pytest.raises(InvalidRequest, match=re.escape(f"expected {idp.issuer}/, got {idp.issuer}")):
        await fetch(idp, outbound, issuer=idp.issuer + "/")


async def test_a_document_that_cannot_be_fetched_is_refused_with_the_reason(
    idp: IdentityProvider, outbound: Outbound
) -> None:
    idp.broken = {"discovery"}
    with pytest.raises(InvalidRequest, match=re.escape(f"cannot be fetched from {idp.discovery_url}: it answered 500")):
        await fetch(idp, outbound)


async def test_a_server_that_is_not_there_is_refused_with_the_reason(outbound: Outbound) -> None:
    async with IdentityProvider.running() as idp:
        pass
    with pytest.raises(InvalidRequest, match="no connection could be made"):
        await fetch(idp, outbound)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "did not answer with a JSON"),
        (b"[]", "not a JSON object"),
        (json.dumps({"x": "a" * 131_072}).encode(), "too large"),
    ],
)
async def test_a_document_that_is_no_json_object_of_bearable_size_is_refused(
    idp: IdentityProvider, outbound: Outbound, body: bytes, message: str
) -> None:
    idp.bodies["discovery"] = body
    with pytest.raises(InvalidRequest, match=message):
        await fetch(idp, outbound)
