"""Health, readiness and keys: what anyone may ask, told without a secret."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.domain.connection import SIGNING_ALGORITHMS
from service.store.heartbeats import FRESH_MS
from tests.support.asgi import NOBODY, Api, serving
from tests.support.identity_provider import IdentityProvider
from tests.support.redis_server import start_redis

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
"""The members of a JWK that hold private or symmetric keys (RFC 7518 section 6)."""


async def test_alive_asks_nothing_but_the_process(api: Api) -> None:
    answer = await api.get("/healthz", by=NOBODY)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


async def test_ready_tells_of_redis_keys_queue_and_workers(api: Api) -> None:
    answer = await api.get("/readyz", by=NOBODY)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "status": "ok",
        "redis": "ok",
        "signing_keys": list(SIGNING_ALGORITHMS),
        "queue": {"open_revocations": 0, "overdue_seconds": 0.0},
        "workers": 0,
    }


async def test_ready_counts_what_lags_and_stays_ready(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    await api.delete(f"/api/v2/sessions/{session['session_id']}")
    await api.resources.heartbeats.beat("here:1", now_ms=api.clock.now_ms())
    api.clock.advance(10)
    told = (await api.get("/readyz")).json()
    assert told["status"] == "ok"
    assert told["queue"]["open_revocations"] == 1
    assert 0 < told["queue"]["overdue_seconds"] <= 10
    assert told["workers"] == 1
    api.clock.advance(FRESH_MS / 1000)
    assert (await api.get("/readyz")).json()["workers"] == 0


@asynccontextmanager
async def evicting(api: Api, policy: str) -> AsyncIterator[None]:
    """The test's Redis with another maxmemory-policy, put right afterwards."""
    redis = api.resources.record.client
    before = (await redis.config_get("maxmemory-policy"))["maxmemory-policy"]
    await redis.config_set("maxmemory-policy", policy)
    try:
        yield
    finally:
        await redis.config_set("maxmemory-policy", before)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_redis_that_evicts_makes_it_unready(api: Api, policy: str) -> None:
    async with evicting(api, policy):
        answer = await api.get("/readyz", by=NOBODY)
        assert answer.status_code == 503
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        assert told["status"] == "unavailable"
        assert policy in told["redis"]
        assert (await api.get("/healthz")).status_code == 200
    assert (await api.get("/readyz")).status_code == 200


async def test_without_redis_it_is_alive_and_not_ready_until_redis_is_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("outage")
    server = start_redis(folder / "redis")
    try:
        async with serving(server.url, folder) as api:
            assert (await api.get("/readyz")).status_code == 200
            server.kill()
            answer = await api.get("/readyz", by=NOBODY)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            told = answer.json()
            assert told["status"] == "unavailable"
            assert "cannot be reached" in told["redis"]
            assert str(server.socket) not in answer.text
            assert (await api.get("/healthz")).status_code == 200
            assert "logoutd_record_up 0.0" in (await api.get("/metrics")).text
            server.start()
            assert (await api.get("/readyz")).status_code == 200
            assert "logoutd_record_up 1.0" in (await api.get("/metrics")).text
    finally:
        server.stop()


async def test_the_published_keys_are_public_halves_only(api: Api) -> None:
    answer = await api.get("/.well-known/jwks.json", by=NOBODY)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    keys = answer.json()["keys"]
    assert [each["alg"] for each in keys] == list(SIGNING_ALGORITHMS)
    assert len({each["kid"] for each in keys}) == len(keys)
    for each in keys:
        assert not PRIVATE & set(each)
        assert each["use"] == "sig"
    file = api.resources.settings.signing_keys_file
    assert file is not None
    for each in json.loads(file.read_text(encoding="utf-8"))["keys"]:
        assert each["d"] not in answer.text
