"""Not ready is an error like any other: it says which and why, and when to look again."""

from pathlib import Path

import httpx
import pytest

from tests.support.asgi import NOBODY, Api, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


def says_why(answer: httpx.Response, naming: str) -> bool:
    told = answer.json()
    assert answer.status_code == 503
    assert told["error"] == "temporarily_unavailable"
    assert naming in told["error_description"]
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["cache-control"] == "no-store"
    return True


async def test_without_redis_readyz_says_so_in_the_form_of_an_error(tmp_path: Path) -> None:
    async with serving(f"unix://{tmp_path}/nobody.sock", tmp_path) as api:
        answer = await api.get("/readyz", by=NOBODY)
    assert says_why(answer, "cannot be reached")
    assert str(tmp_path) not in answer.text


async def test_with_a_redis_that_is_not_fit_readyz_says_so_in_the_form_of_an_error(api: Api) -> None:
    redis = api.resources.record.client
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert says_why(await api.get("/readyz", by=NOBODY), "allkeys-lru")
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
