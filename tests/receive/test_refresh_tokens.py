"""Refresh tokens: minted here or registered from elsewhere, shown once, kept as a hash."""

import asyncio
import re

import pytest

from service.domain.refresh_token import MAX_TOKEN_LENGTH, MIN_TOKEN_LENGTH
from service.receive.refresh_tokens import DEFAULT_LIFETIME_S, MAX_LIFETIME_S
from service.web.bodies import moment
from tests.support.asgi import Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOREIGN = "minted-by-somebody-else-0123456789"


async def session_at_shop(api: Api, idp: IdentityProvider, **members: object) -> dict[str, str]:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop", **members)
    return {"session_id": session["session_id"], "client_id": "shop"}


async def test_a_token_of_ours_is_random_recognisable_and_shown_once(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp)
    answer = await api.post("/api/v2/refresh-tokens", {**body, "scope": "openid offline_access", "expires_in": 60})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    # 43 characters of base64url are 256 bits and a little.
    assert re.fullmatch(r"logoutd_rt_[A-Za-z0-9_-]{43}", told["refresh_token"])
    assert re.fullmatch(r"rt_[a-z2-7]{26}", told["refresh_token_id"])
    assert told == {
        **body,
        "refresh_token": told["refresh_token"],
        "refresh_token_id": told["refresh_token_id"],
        "family_id": told["refresh_token_id"],
        "scope": "openid offline_access",
        "offline": False,
        "issued_at": moment(api.clock.now_ms()),
        "expires_at": moment(api.clock.now_ms() + 60_000),
        "family_expires_at": moment(api.clock.now_ms() + 60_000),
    }
    another = (await api.post("/api/v2/refresh-tokens", {**body, "offline": True})).json()
    assert another["refresh_token"] != told["refresh_token"]
    assert another["scope"] is None
    assert another["expires_at"] == moment(api.clock.now_ms() + DEFAULT_LIFETIME_S * 1000)


async def test_one_without_offline_access_says_that_it_ends_with_its_session(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp)
    session = (await api.get(f"/api/v2/sessions/{body['session_id']}")).json()
    token = (await api.post("/api/v2/refresh-tokens", body)).json()
    assert token["expires_at"] == session["expires_at"] < moment(api.clock.now_ms() + DEFAULT_LIFETIME_S * 1000)


async def test_only_a_hash_of_it_is_in_redis(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp)
    tokens = [
        (await api.post("/api/v2/refresh-tokens", body)).json()["refresh_token"],
        (await api.post("/api/v2/refresh-tokens", {**body, "token": FOREIGN})).json()["refresh_token"],
    ]
    redis = api.resources.record.client
    for key in [each async for each in redis.scan_iter("*")]:
        dumped = key.encode() + await api.resources.queue_redis.dump(key)
        for token in tokens:
            assert token.encode() not in dumped, key


async def test_a_token_minted_elsewhere_is_honoured_from_then_on(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp)
    assert (await api.introspect(FOREIGN)).json() == {"active": False}
    answer = await api.post("/api/v2/refresh-tokens", {**body, "token": FOREIGN})
    assert answer.status_code == 201
    assert answer.json()["refresh_token"] == FOREIGN
    assert (await api.introspect(FOREIGN)).json()["active"] is True


@pytest.mark.parametrize("length", [MIN_TOKEN_LENGTH, MAX_TOKEN_LENGTH])
async def test_a_token_minted_elsewhere_may_be_as_short_and_as_long_as(
    api: Api, idp: IdentityProvider, length: int
) -> None:
    body = await session_at_shop(api, idp)
    assert (await api.post("/api/v2/refresh-tokens", {**body, "token": "x" * length})).status_code == 201
    assert (await api.introspect("x" * length)).json()["active"] is True


@pytest.mark.parametrize("token", ["", "x" * (MIN_TOKEN_LENGTH - 1), "x" * (MAX_TOKEN_LENGTH + 1), 7, [FOREIGN]])
async def test_a_token_too_short_too_long_or_no_text_is_refused_and_not_repeated(
    api: Api, idp: IdentityProvider, token: object
) -> None:
    body = await session_at_shop(api, idp)
    answer = await api.post("/api/v2/refresh-tokens", {**body, "token": token})
    assert "xxx" not in refused(answer, 400, "invalid_request", "token")


async def test_a_token_is_registered_once(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp)
    other = await api.sign_in(idp, "wiki", subject={"iss": idp.issuer, "sub": "00u2grace"})
    assert (await api.post("/api/v2/refresh-tokens", {**body, "token": FOREIGN})).status_code == 201
    for again in (body, {"session_id": other["session_id"], "client_id": "wiki"}):
        answer = await api.post("/api/v2/refresh-tokens", {**again, "token": FOREIGN})
        assert FOREIGN not in refused(answer, 409, "conflict", "registered already")
    assert (await api.introspect(FOREIGN)).json()["client_id"] == "shop"


async def test_of_two_that_register_a_token_at_once_one_has_it(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp)
    sessions = [await api.sign_in(idp, "shop") for _ in range(4)]
    bodies = [{**body, "session_id": each["session_id"], "token": FOREIGN} for each in sessions]
    answers = await asyncio.gather(*(api.post("/api/v2/refresh-tokens", each) for each in bodies))
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]
    winner = next(each for each in answers if each.status_code == 201).json()
    assert (await api.introspect(FOREIGN)).json()["session_id"] == winner["session_id"]


async def test_only_a_client_in_the_session_may_have_a_token_of_it(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp)
    for other in ("wiki", "nobodys"):
        answer = await api.post("/api/v2/refresh-tokens", {**body, "client_id": other, "token": FOREIGN})
        refused(answer, 400, "invalid_request", "not in this session")
    # What was refused has left nothing behind.
    assert (await api.introspect(FOREIGN)).json() == {"active": False}
    assert (await api.post("/api/v2/refresh-tokens", {**body, "token": FOREIGN})).status_code == 201


async def test_a_session_that_has_ended_expired_or_never_was_has_no_new_tokens(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp, expires_in=60)
    ended = await api.sign_in(idp, "shop")
    await api.delete(f"/api/v2/sessions/{ended['session_id']}")
    nothing = {**body, "session_id": "ses_nothing"}
    refused(await api.post("/api/v2/refresh-tokens", nothing), 404, "not_found", "no such session")
    after_end = {**body, "session_id": ended["session_id"], "token": FOREIGN}
    refused(await api.post("/api/v2/refresh-tokens", after_end), 404, "not_found", "ended")
    api.clock.advance(60)
    refused(await api.post("/api/v2/refresh-tokens", {**body, "token": FOREIGN}), 404, "not_found", "ended")
    refused(await api.post("/api/v2/refresh-tokens", {**body, "offline": True}), 404, "not_found", "ended")
    api.clock.advance(-60)
    assert (await api.post("/api/v2/refresh-tokens", {**body, "token": FOREIGN})).status_code == 201


@pytest.mark.parametrize(
    ("members", "naming"),
    [
        ({"session_id": ""}, "session_id"),
        ({"client_id": None}, "client_id"),
        ({"scope": ["openid"]}, "scope"),
        ({"scope": "x" * 4097}, "scope"),
        ({"offline": 1}, "offline"),
        ({"offline": None}, "offline"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": 1.0}, "expires_in"),
        ({"expires_in": MAX_LIFETIME_S + 1}, "expires_in"),
        ({"idle_expires_in": 0}, "idle_expires_in"),
        ({"idle_expires_in": MAX_LIFETIME_S + 1}, "idle_expires_in"),
        ({"refresh_token": FOREIGN}, "refresh_token"),
    ],
)
async def test_a_wrong_member_is_named(
    api: Api, idp: IdentityProvider, members: dict[str, object], naming: str
) -> None:
    body = await session_at_shop(api, idp)
    refused(await api.post("/api/v2/refresh-tokens", {**body, **members}), 400, "invalid_request", f"`{naming}`")


async def test_an_offline_token_outlives_its_session_and_no_revocation(api: Api, idp: IdentityProvider) -> None:
    body = await session_at_shop(api, idp, expires_in=60)
    session = {"session_id": body["session_id"]}
    online = await api.refresh_token(session, "shop", expires_in=3600)
    offline = await api.refresh_token(session, "shop", expires_in=3600, offline=True)
    api.clock.advance(60)
    assert (await api.introspect(online)).json() == {"active": False}
    assert (await api.introspect(offline)).json()["active"] is True
    user = (await api.get(f"/api/v2/sessions/{body['session_id']}")).json()["user_id"]
    await api.delete(f"/api/v2/users/{user}/sessions")
    assert (await api.introspect(offline)).json() == {"active": False}
