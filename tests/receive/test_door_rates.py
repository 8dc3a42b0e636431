"""How often a connection may be asked for: a stranger who knows its name takes nothing from its identity provider."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.telemetry import LINES_A_MINUTE
from service.verify import issuer_keys
from service.web.throttles import NAMES
from tests.receive.door import EMAIL, assertion, forged
from tests.support.asgi import Api, bcl_path, bearer, calling_from, gtr_path, refused, serving
from tests.support.heard import listening
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event

PER_SECOND = 1
AT_ONCE = 10
PROVIDER, STRANGER, PROXY = "198.51.100.7", "203.0.113.9", "10.0.0.1"


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(redis_url, tmp_path, door_requests_per_second=PER_SECOND) as opened:
        yield opened


@pytest.fixture
async def idp() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider.running() as running:
        yield running


@pytest.fixture(autouse=True)
async def connection(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", options={"okta_event_hook_secret": HOOK_SECRET})
    await api.sign_in(idp, "shop", identifiers=[EMAIL])


async def knock(api: Api, address: str, door: str, credential: str) -> httpx.Response:
    """One request at a door, from an address."""
    async with calling_from(api, address) as http:
        match door:
            case "global_token_revocation":
                return await http.post(gtr_path("okta"), json={"sub_id": EMAIL}, headers=bearer(credential))
            case "backchannel_logout":
                return await http.post(bcl_path("okta"), data={"logout_token": credential})
            case _:
                batch = okta_batch(okta_event("user.session.clear", at_ms=api.clock.now_ms()))
                return await http.post(hook_path("okta"), json=batch, headers={"Authorization": credential})


def genuine(api: Api, idp: IdentityProvider, door: str) -> str:
    match door:
        case "global_token_revocation":
            return assertion(api, idp)
        case "backchannel_logout":
            return idp.logout_token(sub="00u1ada", now_s=api.clock.now_s)
        case _:
            return HOOK_SECRET


DOORS = ("global_token_revocation", "backchannel_logout", "okta_event_hook")

LATER = dict.fromkeys(DOORS, (429, "too_many_requests")) | {"okta_event_hook": (503, "temporarily_unavailable")}
"""How each says that too much came: Okta never sends again what was answered with a 4xx."""


@pytest.mark.parametrize("door", DOORS)
async def test_a_strangers_flood_is_refused_before_any_signature_and_the_provider_is_heard(
    api: Api, idp: IdentityProvider, door: str
) -> None:
    wrong = 400 if door == "backchannel_logout" else 401
    later, error = LATER[door]
    found = [(await knock(api, STRANGER, door, "a.b.c")).status_code for _ in range(50)]
    assert found == [wrong] * AT_ONCE + [later] * 40
    answer = await knock(api, STRANGER, door, "a.b.c")
    refused(answer, later, error)
    assert answer.headers["retry-after"] == "1"
    assert (await knock(api, PROVIDER, door, genuine(api, idp, door))).is_success
    # What is wrong with it is not even looked at.
    assert (await knock(api, STRANGER, door, genuine(api, idp, door))).status_code == later
    api.clock.advance(1)
    assert (await knock(api, STRANGER, door, "a.b.c")).status_code == wrong


@pytest.mark.parametrize("door", DOORS)
async def test_a_provider_has_its_own_allowance_and_is_told_when_to_come_again(
    api: Api, idp: IdentityProvider, door: str
) -> None:
    found = [(await knock(api, PROVIDER, door, genuine(api, idp, door))).is_success for _ in range(AT_ONCE)]
    assert found == [True] * AT_ONCE
    answer = await knock(api, PROVIDER, door, genuine(api, idp, door))
    refused(answer, *LATER[door], "more than it may")
    assert answer.headers["retry-after"] == "1"
    api.clock.advance(1)
    assert (await knock(api, PROVIDER, door, genuine(api, idp, door))).is_success


async def test_where_strangers_share_the_providers_address_it_is_heard_once_it_has_been(
    api: Api, idp: IdentityProvider
) -> None:
    """Behind a proxy that is not trusted everybody has one address. Then every message is looked at."""
    door = "global_token_revocation"
    assert (await knock(api, PROXY, door, genuine(api, idp, door))).is_success
    for _ in range(50):
        assert (await knock(api, PROXY, door, forged(api, idp))).status_code == 401
    assert (await knock(api, PROXY, door, genuine(api, idp, door))).is_success


async def test_another_connection_has_its_own(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", name="other")
    door = "global_token_revocation"
    for _ in range(50):
        await knock(api, STRANGER, door, "a.b.c")
    async with calling_from(api, STRANGER) as http:
        answer = await http.post(gtr_path("other"), json={"sub_id": EMAIL}, headers=bearer("a.b.c"))
    assert answer.status_code == 401


async def gtr(api: Api, address: str, name: str, credential: str) -> int:
    async with calling_from(api, address) as http:
        return (await http.post(gtr_path(name), json={"sub_id": EMAIL}, headers=bearer(credential))).status_code


async def test_whoever_varies_the_connections_name_is_bounded_over_all_names(api: Api, idp: IdentityProvider) -> None:
    found = [await gtr(api, STRANGER, f"name-{number}", "a.b.c") for number in range(AT_ONCE * NAMES + 20)]
    assert found == [401] * (AT_ONCE * NAMES) + [429] * 20
    assert await gtr(api, PROVIDER, "okta", assertion(api, idp)) == 204
    api.clock.advance(1)
    found = [await gtr(api, STRANGER, f"other-{number}", "a.b.c") for number in range(NAMES * PER_SECOND + 1)]
    assert found == [401] * (NAMES * PER_SECOND) + [429]


async def test_where_strangers_share_the_providers_address_names_they_make_up_take_nothing_from_it(
    api: Api, idp: IdentityProvider
) -> None:
    """One address of many connections, or a proxy that is not trusted: what was proven from there is heard."""
    await api.connection(idp, "shop", name="other")
    assert await gtr(api, PROXY, "okta", assertion(api, idp)) == 204
    for number in range(AT_ONCE * NAMES + 20):
        assert await gtr(api, PROXY, f"name-{number}", "a.b.c") == 401
    assert await gtr(api, PROXY, "other", "a.b.c") == 401, "it is looked at"
    assert await gtr(api, PROXY, "okta", assertion(api, idp)) == 204


async def test_what_is_proven_gives_back_what_it_took_before(api: Api, idp: IdentityProvider) -> None:
    """A provider that is slow and steady is never refused, however long it goes on."""
    for _ in range(60):
        assert (await knock(api, PROVIDER, "backchannel_logout", genuine(api, idp, "backchannel_logout"))).is_success
        api.clock.advance(1 / PER_SECOND)


async def test_a_flood_of_made_up_keys_costs_the_provider_few_fetches(api: Api, idp: IdentityProvider) -> None:
    before = idp.fetches["keys"]
    for number in range(50):
        token = idp.logout_token(sub="00u1ada", now_s=api.clock.now_s, header={"kid": f"made-up-{number}"})
        await knock(api, f"203.0.113.{number}", "backchannel_logout", token)
    assert idp.fetches["keys"] - before <= issuer_keys.FETCHES_PER_COOL_DOWN
    token = genuine(api, idp, "backchannel_logout")
    assert (await knock(api, PROVIDER, "backchannel_logout", token)).is_success


async def test_a_flood_of_refusals_takes_a_bounded_number_of_lines_and_hides_nobody_elses(
    api: Api, idp: IdentityProvider
) -> None:
    with listening() as heard:
        for _ in range(LINES_A_MINUTE + 20):
            await knock(api, STRANGER, "global_token_revocation", "a.b.c")
        assert len(heard.of("door.refused")) == LINES_A_MINUTE
        assert (await knock(api, PROVIDER, "global_token_revocation", "a.b.c")).status_code == 401
    told = heard.of("door.refused")[LINES_A_MINUTE:]
    assert [(each["outcome"], each["omitted"]) for each in told] == [("malformed_token", 20)]
    api.clock.advance(60)
    with listening() as later:
        await knock(api, STRANGER, "global_token_revocation", "a.b.c")
    assert "omitted" not in later.one("door.refused")
