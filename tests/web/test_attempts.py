"""Guessing credentials: slow for whoever guesses, and nobody else notices."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from service.domain.identifiers import new_client_secret
from service.setting_values import MIN_ADMIN_TOKEN_LENGTH, UNGUESSABLE_LENGTH
from service.web.throttles import Attempts
from tests.support.asgi import ADMIN_TOKEN, ADMINISTRATOR, Api, basic, bearer, calling_from, refused, serving
from tests.support.clock import HandClock

MOST = 4
"""Wrong credentials in a minute."""

STRANGER = ("203.0.113.9", 50_000)


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(redis_url, tmp_path, failed_authentications_per_minute=MOST) as opened:
        yield opened


async def ask(http: httpx.AsyncClient, credential: dict[str, str]) -> httpx.Response:
    return await http.post("/oauth/introspect", data={"token": "none-of-ours"}, headers=credential)


async def guess(http: httpx.AsyncClient, times: int, account: str = "shop") -> list[int]:
    return [(await ask(http, basic(account, f"guess-{number}"))).status_code for number in range(times)]


@pytest.mark.parametrize("wrong", ["guess", new_client_secret()], ids=["of any form", "of the form of ours"])
async def test_after_so_many_wrong_secrets_the_next_is_429_until_the_minute_has_passed_and_the_client_is_heard_all_the_same(
    api: Api, wrong: str
) -> None:
    """Behind a proxy that is not trusted a stranger has the client's address, and this process has heard of neither."""
    await api.client("shop")
    async with calling_from(api, STRANGER[0]) as http:
        assert await guess(http, MOST + 2) == [401] * MOST + [429] * 2
        answer = await ask(http, basic("shop", wrong))
        refused(answer, 429, "too_many_requests", "wrong credentials")
        assert answer.headers["retry-after"] == str(60 // MOST)
        assert (await ask(http, api.by("shop"))).status_code == 200
        assert await guess(http, 1) == [429]
        api.clock.advance(60 // MOST)
        assert await guess(http, 2) == [401, 429]


async def lock(http: httpx.AsyncClient) -> None:
    """Guess until no more is looked at."""
    for number in range(MOST):
        assert (await http.get("/api/v2/clients", headers=bearer(f"guess-{number}"))).status_code == 401
    refused(await http.get("/api/v2/clients", headers=bearer("guess")), 429, "too_many_requests")


async def test_after_so_many_wrong_tokens_the_next_wrong_one_is_429_and_the_administrator_is_heard_all_the_same(
    api: Api,
) -> None:
    """Behind a proxy that is not trusted a stranger has the administrator's address, and this process has heard of neither."""
    async with calling_from(api, STRANGER[0]) as http:
        await lock(http)
        assert (await http.get("/api/v2/clients", headers=dict(ADMINISTRATOR))).status_code == 200
        refused(await http.get("/api/v2/clients", headers=bearer("guess")), 429, "too_many_requests")
    assert (await api.get("/api/v2/clients")).status_code == 200


@pytest.mark.parametrize(("length", "status"), [(MIN_ADMIN_TOKEN_LENGTH, 429), (31, 429), (UNGUESSABLE_LENGTH, 200)])
async def test_a_token_so_short_that_it_might_be_guessed_is_not_looked_at_once_too_many_were_wrong(
    redis_url: str, tmp_path: Path, length: int, status: int
) -> None:
    token = "x" * length
    limits = {"failed_authentications_per_minute": MOST, "admin_token": SecretStr(token)}
    async with serving(redis_url, tmp_path, **limits) as api:
        async with calling_from(api, STRANGER[0]) as http:
            await lock(http)
            assert (await http.get("/api/v2/clients", headers=bearer(token))).status_code == status
        async with calling_from(api, "198.51.100.7") as elsewhere:
            assert (await elsewhere.get("/api/v2/clients", headers=bearer(token))).status_code == 200


async def test_a_token_that_might_be_guessed_is_known_only_where_it_was_right_within_the_hour(
    redis_url: str, tmp_path: Path
) -> None:
    token = "x" * (UNGUESSABLE_LENGTH - 1)
    limits = {"failed_authentications_per_minute": MOST, "admin_token": SecretStr(token)}
    async with (
        serving(redis_url, tmp_path, **limits) as api,
        calling_from(api, "198.51.100.7") as administrator,
        calling_from(api, STRANGER[0]) as stranger,
    ):
        assert (await administrator.get("/api/v2/clients", headers=bearer(token))).status_code == 200
        await lock(stranger)
        refused(await stranger.get("/api/v2/clients", headers=bearer(token)), 429, "too_many_requests")
        await lock(administrator)
        assert (await administrator.get("/api/v2/clients", headers=bearer(token))).status_code == 200
        api.clock.advance(60)
        assert (await stranger.get("/api/v2/clients", headers=bearer(token))).status_code == 200


async def test_the_real_client_elsewhere_is_never_locked_out(api: Api) -> None:
    await api.client("shop")
    async with calling_from(api, STRANGER[0]) as stranger, calling_from(api, "198.51.100.7") as real:
        assert (await guess(stranger, 50))[-1] == 429
        assert (await ask(real, api.by("shop"))).status_code == 200


async def test_whoever_is_right_is_heard_though_a_stranger_who_tries_names_shares_their_address(api: Api) -> None:
    await api.client("shop")
    async with calling_from(api, "10.0.0.1") as shared:
        await guess(shared, 50)
        for account in range(50):
            await guess(shared, 1, f"account-{account}")
        assert (await ask(shared, basic("wiki", "guess"))).status_code == 429
        assert (await ask(shared, api.by("shop"))).status_code == 200
        assert (await shared.get("/api/v2/clients", headers=dict(ADMINISTRATOR))).status_code == 200


async def test_a_secret_that_was_right_and_is_no_longer_opens_nothing(api: Api) -> None:
    await api.client("shop")
    old = api.by("shop")
    async with calling_from(api, "10.0.0.1") as http:
        assert (await ask(http, old)).status_code == 200
        assert (await api.post("/api/v2/clients/shop/secret")).status_code == 200
        assert [(await ask(http, old)).status_code for _ in range(MOST + 1)] == [401] * MOST + [429]


async def test_whoever_tries_names_is_bounded_over_all_of_them(api: Api) -> None:
    async with calling_from(api, STRANGER[0]) as http:
        found = [(await guess(http, 1, f"client-{number}"))[0] for number in range(MOST * 5 + 3)]
    assert found == [401] * (MOST * 5) + [429] * 3


async def test_one_clients_mistake_is_not_held_against_another_at_its_address(api: Api) -> None:
    await api.client("shop")
    async with calling_from(api, "10.0.0.1") as http:
        await guess(http, 20, "misconfigured")
        assert (await ask(http, api.by("shop"))).status_code == 200


async def test_all_addresses_of_an_ipv6_network_count_as_one(api: Api) -> None:
    found = []
    for number in range(MOST + 1):
        async with calling_from(api, f"2001:db8:0:1::{number:x}") as http:
            found += await guess(http, 1)
    assert found == [401] * MOST + [429]
    async with calling_from(api, "2001:db8:0:2::1") as http:
        assert await guess(http, 1) == [401]
    async with calling_from(api, "::ffff:198.51.100.7") as mapped, calling_from(api, "198.51.100.7") as plain:
        assert await guess(mapped, MOST) == [401] * MOST
        assert await guess(plain, 1) == [429]


async def test_no_credential_and_a_malformed_one_are_no_guess(api: Api) -> None:
    async with calling_from(api, STRANGER[0]) as http:
        for _ in range(MOST * 2):
            assert (await ask(http, {})).status_code == 401
            assert (await ask(http, {"Authorization": "Basic !"})).status_code == 401
        assert await guess(http, 1) == [401]


async def test_what_a_header_says_of_the_address_is_not_believed(api: Api) -> None:
    async with calling_from(api, STRANGER[0]) as http:
        for number in range(MOST):
            headers = {
                **bearer(f"guess-{number}"),
                "X-Forwarded-For": f"198.51.100.{number}",
                "Forwarded": "for=1.2.3.4",
            }
            assert (await http.get("/api/v2/clients", headers=headers)).status_code == 401
        assert (await http.get("/api/v2/clients", headers=bearer("guess"))).status_code == 429


@pytest.fixture
def attempts() -> Attempts:
    return Attempts(HandClock(), per_minute=MOST)


def test_memory_is_bounded_whoever_tries_whatever(attempts: Attempts) -> None:
    for number in range(25_000):
        attempts.failed(f"198.51.{number}", "x" * 1000 + str(number))
        attempts.succeeded(f"198.51.{number}", str(number), "secret")
    assert len(attempts._by_account) == len(attempts._by_source) == len(attempts._known) == 10_000
    assert "secret" not in str(attempts._known._seen)


# Several administrators' tokens.


async def test_every_configured_token_is_the_administrators_and_no_digest_is(redis_url: str, tmp_path: Path) -> None:
    other = "another-administrators-token-of-the-tests"
    digest = sha256(other.encode()).hexdigest()
    async with serving(redis_url, tmp_path, admin_token_sha256=(digest,)) as api:
        for token, status in ((ADMIN_TOKEN, 200), (other, 200), (digest, 401), (other[:-1], 401)):
            assert (await api.get("/api/v2/clients", by=bearer(token))).status_code == status
