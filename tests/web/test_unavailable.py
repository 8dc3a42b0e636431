"""Redis gone: every operation that needs it answers 503 and when to try again, and nothing from memory (law 6)."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from service.app import OPERATIONS
from service.embedded_redis import EmbeddedRedis
from service.web.operation import Operation
from tests.support.asgi import ADMINISTRATOR, SUBJECT, Api, gtr_path, refused, serving
from tests.support.identity_provider import IdentityProvider
from tests.support.redis_server import start_redis
from tests.web.examples import Example, prepare

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHOUT_REDIS = {
    "/api/v2/delivery-schedule",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
}
"""What is answered all the same; the first three have tests of their own."""


class Outage:
    """A service with one of everything, whose own Redis can be ended."""

    def __init__(self, api: Api, idp: IdentityProvider, server: EmbeddedRedis) -> None:
        self.api = api
        self.idp = idp
        self.server = server


@pytest_asyncio.fixture(loop_scope="module")
async def outage(idp: IdentityProvider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outage]:
    folder = tmp_path_factory.mktemp("outage")
    server = start_redis(folder / "redis")
    try:
        async with serving(server.url, folder) as api:
            yield Outage(api, idp, server)
    finally:
        server.stop()


async def ask(api: Api, operation: Operation, examples: dict[str, Example], idp: IdentityProvider) -> httpx.Response:
    example = examples.get(f"{operation.method} {operation.path}")
    if operation.access == "assertion":
        return await api.global_token_revocation(idp, {"sub_id": {"format": "opaque", "id": SUBJECT}})
    if operation.access == "logout token":
        return await api.backchannel_logout(idp.logout_token(sub=SUBJECT))
    if operation.form:
        return await api.http.post(operation.path, data={"token": "a-token-of-no-meaning"}, headers=dict(ADMINISTRATOR))
    # A connection's own name: one that none can have is not looked for.
    path = operation.path.replace("{connection_name}", "okta").replace("{", "").replace("}", "")
    path = example.path if example else f"{path}?{operation.query_example}"
    return await api.call(operation.method, path, example.body if example else None)


async def test_every_operation_is_503_while_redis_is_gone(outage: Outage) -> None:
    examples = dict(await prepare(outage.api, outage.idp))
    outage.server.kill()
    for each in OPERATIONS:
        answer = await ask(outage.api, each, examples, outage.idp)
        if each.path in WITHOUT_REDIS:
            assert answer.status_code == (503 if each.path == "/readyz" else 200), each.path
            continue
        refused(answer, 503, "temporarily_unavailable", "the record cannot be reached")
        assert int(answer.headers["retry-after"]) > 0
        assert "redis.sock" not in answer.text


async def test_what_was_honoured_before_is_not_called_active_from_memory(outage: Outage) -> None:
    api, idp = outage.api, outage.idp
    await api.connection(idp, "shop")
    token = await api.refresh_token(await api.sign_in(idp, "shop"), "shop")
    assert (await api.introspect(token)).json()["active"] is True
    outage.server.kill()
    refused(await api.introspect(token), 503, "temporarily_unavailable")
    refused(await api.introspect(token, by=api.by("shop")), 503, "temporarily_unavailable")


async def test_a_revocation_refused_with_503_is_taken_when_redis_is_back(outage: Outage) -> None:
    """The same request again, assertion and all, as an identity provider repeats it."""
    api, idp = outage.api, outage.idp
    await api.connection(idp, "shop")
    assertion = idp.assertion(
        audience=f"{api.resources.settings.base_url}{gtr_path('okta')}", alg="ES256", now_s=api.clock.now_s
    )
    body = {"sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT}}
    outage.server.kill()
    refused(await api.global_token_revocation(idp, body, assertion=assertion), 503, "temporarily_unavailable")
    outage.server.start()
    # It came back empty: this server of the tests keeps nothing.
    api.secrets.clear()
    await api.connection(idp, "shop")
    token = await api.refresh_token(await api.sign_in(idp, "shop"), "shop")
    assert (await api.global_token_revocation(idp, body, assertion=assertion)).status_code == 204
    assert (await api.introspect(token)).json() == {"active": False}


async def test_a_redis_that_refuses_writes_is_503_too(outage: Outage) -> None:
    await outage.api.resources.record.client.config_set("min-replicas-to-write", 1)
    answer = await outage.api.post("/api/v2/clients", {"client_id": "shop"})
    refused(answer, 503, "temporarily_unavailable")
    assert "NOREPLICAS" not in json.dumps(answer.json())


async def test_a_key_of_the_wrong_type_is_503_and_names_nothing(outage: Outage) -> None:
    await outage.api.resources.record.client.lpush("logoutd:client:shop", "not a client")
    refused(await outage.api.get("/api/v2/clients/shop"), 503, "temporarily_unavailable")


async def test_a_fault_of_ours_is_500_without_a_word_of_what_it_was(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with serving(redis_url, tmp_path_factory.mktemp("fault"), raise_faults=False) as api:
        await api.resources.record.client.set("logoutd:client:shop", '{"not": "a client"}')
        answer = await api.get("/api/v2/clients/shop")
        refused(answer, 500, "server_error", "the log has it")
        assert "a client" not in answer.text
        assert "alid" not in answer.text
