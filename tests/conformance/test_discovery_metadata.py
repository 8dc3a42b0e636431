"""The metadata documents (RFC 8414, OpenID Connect Discovery 1.0), as far as they are ours to publish."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from service.app import OPERATIONS
from service.domain.connection import SIGNING_ALGORITHMS
from service.embedded_redis import EmbeddedRedis
from tests.support.asgi import NOBODY, PUBLIC_URL, Api, gtr_url, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
ISSUER = "https://auth.example.com/tenant/"
"""The authorization server we stand beside: not where we are."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serving(redis_server.url, tmp_path_factory.mktemp("service"), issuer=ISSUER) as opened:
        yield opened


async def metadata(api: Api, path: str = OPENID) -> dict[str, Any]:
    answer = await api.get(path, by=NOBODY)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize("path", [OPENID, OAUTH])
async def test_rfc_8414_section_3_2_it_is_a_json_object_anyone_may_read_and_keep(api: Api, path: str) -> None:
    answer = await api.get(path, by=NOBODY)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=300"


async def test_rfc_8414_section_3_1_both_well_known_places_say_the_same(api: Api) -> None:
    assert await metadata(api, OPENID) == await metadata(api, OAUTH)


async def test_rfc_8414_section_2_issuer_is_that_of_our_logout_tokens_to_the_letter(api: Api) -> None:
    assert (await metadata(api))["issuer"] == ISSUER == api.resources.settings.token_issuer


async def test_rfc_8414_section_3_2_no_member_is_null_or_an_empty_text(api: Api) -> None:
    assert all(value is not None and value != "" for value in (await metadata(api)).values())


async def test_every_url_is_built_from_public_url_and_is_served(api: Api) -> None:
    served = {each.path for each in OPERATIONS}
    told = await metadata(api)
    urls = {name: value for name, value in told.items() if name.endswith(("_uri", "_endpoint"))}
    assert set(urls) == {
        "jwks_uri",
        "introspection_endpoint",
        "revocation_endpoint",
        "global_token_revocation_endpoint",
    }
    for value in urls.values():
        assert value.startswith(PUBLIC_URL)
        assert urlsplit(value).path in served


async def test_no_header_of_a_request_changes_them(api: Api) -> None:
    expected = await metadata(api)
    claiming = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    assert (await api.call("GET", OPENID, by=claiming)).json() == expected


async def test_jwks_uri_leads_to_the_keys_our_logout_tokens_are_signed_with(api: Api) -> None:
    answer = await api.get(urlsplit((await metadata(api))["jwks_uri"]).path, by=NOBODY)
    kids = {each["kid"] for each in answer.json()["keys"]}
    ring = api.resources.key_ring
    assert kids == {each["kid"] for each in ring.jwks()["keys"]}
    assert (await metadata(api))["id_token_signing_alg_values_supported"] == list(SIGNING_ALGORITHMS)
    assert set(SIGNING_ALGORITHMS) == set(ring.algorithms)


async def test_back_channel_logout_section_2_1_support_is_announced(api: Api) -> None:
    told = await metadata(api)
    assert told["backchannel_logout_supported"] is True
    assert told["backchannel_logout_session_supported"] is True


async def test_global_token_revocation_metadata_the_endpoint_is_announced(api: Api) -> None:
    told = await metadata(api)
    assert told["global_token_revocation_endpoint"] == gtr_url("{connection_name}")
    assert told["global_token_revocation_endpoint_auth_methods_supported"] == ["Bearer"]


@pytest.mark.parametrize(("name", "path"), [("introspection", "/oauth/introspect"), ("revocation", "/oauth/revoke")])
async def test_rfc_8414_section_2_an_endpoint_takes_the_methods_it_announces(api: Api, name: str, path: str) -> None:
    told = await metadata(api)
    assert told[f"{name}_endpoint"] == PUBLIC_URL + path
    assert told[f"{name}_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]
    secret = (await api.client(name))["client_secret"]
    form = {"token": "a-token-of-no-meaning"}
    for headers, more in ((api.by(name), {}), ({}, {"client_id": name, "client_secret": secret})):
        assert (await api.http.post(path, data={**form, **more}, headers=headers)).status_code == 200


async def test_discovery_section_3_the_lists_that_are_required_are_there(api: Api) -> None:
    told = await metadata(api)
    assert isinstance(told["response_types_supported"], list)
    assert told["subject_types_supported"] == ["public", "pairwise"]


async def test_without_an_issuer_of_its_own_it_is_public_url(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with serving(redis_url, tmp_path_factory.mktemp("service"), public_url=PUBLIC_URL + "/") as other:
        told = await metadata(other)
        assert told["issuer"] == PUBLIC_URL + "/"
        assert told["jwks_uri"] == f"{PUBLIC_URL}/.well-known/jwks.json"
