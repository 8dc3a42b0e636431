"""Headers of every answer, whoever gives it and whatever it says."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.app import OPERATIONS
from service.resources import Resources
from tests.support.asgi import NOBODY, Api, serving

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
}
NOTHING_AT_ALL = "default-src 'none'; frame-ancestors 'none'"


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(redis_url, tmp_path, raise_faults=False) as opened:
        yield opened


def held(answer: httpx.Response) -> None:
    for name, value in ALWAYS.items():
        assert answer.headers.get_list(name) == [value], (answer.request.url, name)
    (policy,) = answer.headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert (policy == NOTHING_AT_ALL) == (answer.request.url.path != "/docs" or answer.status_code != 200)
    assert "server" not in answer.headers
    assert not [each for each in answer.headers if each.startswith("access-control-")]


async def test_every_operation_has_them_whether_it_succeeds_or_not(api: Api) -> None:
    for each in OPERATIONS:
        path = "/".join("nothing" if part.startswith("{") else part for part in each.path.split("/"))
        held(await api.call(each.method, path))
        held(await api.call(each.method, path, by=NOBODY))


async def test_what_is_refused_before_it_is_routed_has_them(api: Api) -> None:
    for answer in (
        await api.get("/nothing"),
        await api.call("BREW", "/healthz"),
        await api.get("/healthz?" + "x" * 9000),
        await api.call("GET", "/healthz", headers={f"x-{number}": "x" for number in range(120)}),
    ):
        assert answer.status_code in {404, 405, 414, 431}
        held(answer)


async def test_a_fault_of_ours_has_them(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Resources) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(api.resources.key_ring), "jwks", broken)
    answer = await api.get("/.well-known/jwks.json")
    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
    held(answer)


async def test_without_tls_nobody_is_told_to_come_by_it(redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, tmp_path, public_url="http://127.0.0.1:8000") as plain:
        assert "strict-transport-security" not in (await plain.get("/healthz")).headers
