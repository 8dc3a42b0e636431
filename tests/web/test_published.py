"""Health, readiness and keys: what anyone may ask, told without a secret."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.rotate import add_next_keys
from service.keys.times import LEAST_USE_AFTER_S
from service.store.heartbeats import FRESH_MS
from tests.support.asgi import NOBODY, Api, refused, serving
from tests.support.identity_provider import IdentityProvider
from tests.support.redis_server import start_redis
from tests.support.signing_keys import read_keys, write_keys

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


JWKS = "/.well-known/jwks.json"


@pytest.fixture
async def file(api: Api) -> AsyncIterator[Path]:
    """The file of the running service's keys, put back afterwards."""
    path = api.resources.settings.signing_keys_file
    assert path is not None
    before = read_keys(path)
    yield path
    write_keys(path, before)
    await api.resources.key_file.look()


async def change(api: Api, file: Path, document: Any) -> None:
    write_keys(file, document)
    await api.resources.key_file.look()


async def test_a_key_is_published_for_far_longer_before_it_signs_than_an_answer_may_be_kept(api: Api) -> None:
    kept = re.fullmatch(r"public, max-age=(\d+)", (await api.get(JWKS, by=NOBODY)).headers["cache-control"])
    assert kept is not None
    assert 0 < int(kept[1]) <= LEAST_USE_AFTER_S / 2


async def test_the_keys_to_come_and_their_predecessors_are_published_without_times(api: Api, file: Path) -> None:
    before = (await api.get(JWKS, by=NOBODY)).json()["keys"]
    document, made = add_next_keys(read_keys(file), now_s=api.clock.now_s)
    await change(api, file, document)

    published = (await api.get(JWKS, by=NOBODY)).json()["keys"]

    assert published[: len(before)] == before
    assert [each["kid"] for each in published[len(before) :]] == list(made)
    members = {name for each in published for name in each}
    assert members == {"kty", "crv", "x", "y", "n", "e", "use", "alg", "kid"}
    assert not PRIVATE & members


@pytest.mark.parametrize("sent", ["{}", "W/{}", '"other", {}', "*"])
async def test_whoever_has_the_keys_is_told_so_and_may_keep_them_on(api: Api, sent: str) -> None:
    tag = (await api.get(JWKS, by=NOBODY)).headers["etag"]

    answer = await api.call("GET", JWKS, by=NOBODY, headers={"If-None-Match": sent.format(tag)})

    assert (answer.status_code, answer.content) == (304, b"")
    assert (answer.headers["etag"], answer.headers["cache-control"]) == (tag, "public, max-age=300")


async def test_whoever_has_other_keys_gets_these(api: Api, file: Path) -> None:
    tag = (await api.get(JWKS, by=NOBODY)).headers["etag"]
    await change(api, file, {"keys": read_keys(file)["keys"][1:]})

    for known in (tag, '"other"', "", f'"{tag}"'):
        answer = await api.call("GET", JWKS, by=NOBODY, headers={"If-None-Match": known})
        assert (answer.status_code, len(answer.json()["keys"])) == (200, len(SIGNING_ALGORITHMS) - 1)
        assert answer.headers["etag"] != tag


async def test_a_broken_file_leaves_it_ready_with_the_keys_from_before_and_says_why(api: Api, file: Path) -> None:
    before = (await api.get(JWKS)).content
    await change(api, file, {"keys": []})

    answer = await api.get("/readyz", by=NOBODY)

    assert answer.status_code == 200
    assert answer.json()["signing_keys"] == list(SIGNING_ALGORITHMS)
    assert answer.json()["signing_keys_error"] == "the signing keys are not a JWKS: no `keys`"
    assert (await api.get(JWKS)).content == before


async def test_an_algorithm_is_offered_and_taken_from_the_moment_a_key_signs_with_it(api: Api, file: Path) -> None:
    document = read_keys(file)
    *others, eddsa = document["keys"]
    await change(api, file, {"keys": others})
    asked = {"client_id": "app", "id_token_signed_response_alg": "EdDSA"}
    refused(
        await api.post("/api/v2/clients", asked), 400, "invalid_client_metadata", "there is no signing key for", "EdDSA"
    )

    use_from_s = api.clock.now_s + 600
    await change(api, file, {"keys": [*others, {**eddsa, "logoutd_use_from": use_from_s}]})
    told = refused(await api.post("/api/v2/clients", asked), 400, "invalid_client_metadata", "EdDSA before 20")
    await api.client("other")
    refused(
        await api.patch("/api/v2/clients/other", {"id_token_signed_response_alg": "EdDSA"}),
        400,
        "invalid_client_metadata",
        told,
    )
    assert "EdDSA" not in await offered(api)

    api.clock.advance(600)
    assert (await api.post("/api/v2/clients", asked)).status_code == 201
    assert "EdDSA" in await offered(api)


async def offered(api: Api) -> list[str]:
    told: list[str] = (await api.get("/.well-known/openid-configuration")).json()[
        "id_token_signing_alg_values_supported"
    ]
    return told
