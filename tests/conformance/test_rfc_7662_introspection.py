"""RFC 7662, token introspection: one test a clause, for refresh tokens and, by `token_type_hint=session`, sessions."""

from typing import Any

import pytest
import pytest_asyncio

from tests.support.asgi import AGE_S, NOBODY, PUBLIC_URL, Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

INACTIVE = b'{"active":false}'
"""Section 2.2: and nothing else."""


@pytest_asyncio.fixture(loop_scope="module")
async def api(module_api: Api, redis_url: str, idp: IdentityProvider) -> Api:
    """The service with a connection `okta` and two applications enabled for it."""
    module_api.clock.advance(AGE_S)
    module_api.secrets.clear()
    await module_api.connection(idp, "shop", "wiki")
    return module_api


async def session(api: Api, idp: IdentityProvider, **members: Any) -> dict[str, Any]:
    """A session at the shop, which knows the person and the session by names of its own."""
    return await api.sign_in(
        idp, clients=[{"client_id": "shop", "sub": "ada-at-shop", "sid": "sid-at-shop"}], **members
    )


async def test_section_2_3_the_caller_must_authenticate_and_reads_how(api: Api) -> None:
    answer = await api.introspect("anything", by=NOBODY)
    refused(answer, 401, "invalid_client", "by HTTP Basic or in the form")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    operator = await api.introspect("anything", by={"Authorization": "Bearer not-the-administrators"})
    refused(operator, 401, "invalid_token")
    assert operator.headers["www-authenticate"].startswith("Bearer ")


async def test_section_2_1_it_may_do_so_in_the_form(api: Api, idp: IdentityProvider) -> None:
    made = await session(api, idp)
    token = await api.refresh_token(made, "shop")
    credential = {"client_id": "shop", "client_secret": api.secrets["shop"]}
    assert (await api.introspect(token, by=NOBODY, **credential)).json()["active"] is True
    asked = await api.introspect(made["session_id"], by=NOBODY, token_type_hint="session", **credential)
    assert asked.json()["sid"] == "sid-at-shop"
    others = {"client_id": "wiki", "client_secret": api.secrets["wiki"]}
    assert (await api.introspect(token, by=NOBODY, **others)).content == INACTIVE
    refused(await api.introspect(token, by=NOBODY, client_id="shop", client_secret="x"), 401, "invalid_client")


async def test_section_2_1_the_request_is_a_post_of_a_form(api: Api) -> None:
    refused(await api.get("/oauth/introspect?token=a"), 405, "method_not_allowed")
    refused(await api.post("/oauth/introspect", {"token": "a"}), 415, "invalid_request")


async def test_section_2_1_token_is_required(api: Api) -> None:
    refused(await api.introspect(""), 400, "invalid_request", "`token`")


async def test_section_2_1_an_unknown_hint_and_unknown_parameters_are_left_alone(
    api: Api, idp: IdentityProvider
) -> None:
    token = await api.refresh_token(await session(api, idp), "shop")
    for hint in ("refresh_token", "access_token", "", "something-else"):
        assert (await api.introspect(token, token_type_hint=hint, resource="x")).json()["active"] is True


async def test_section_2_2_an_active_refresh_token_is_described(api: Api, idp: IdentityProvider) -> None:
    made = await session(api, idp)
    body = {"session_id": made["session_id"], "client_id": "shop", "scope": "openid profile", "expires_in": 60}
    issued = (await api.post("/api/v2/refresh-tokens", body)).json()
    answer = await api.introspect(issued["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "active": True,
        "token_type": "refresh_token",
        "iss": PUBLIC_URL,
        "client_id": "shop",
        "sub": "ada-at-shop",
        "scope": "openid profile",
        "iat": api.clock.now_s,
        "exp": api.clock.now_s + 60,
        "jti": issued["refresh_token_id"],
        "session_id": made["session_id"],
    }


async def test_section_2_2_a_token_without_scope_is_described_without(api: Api, idp: IdentityProvider) -> None:
    token = await api.refresh_token(await session(api, idp), "shop")
    assert "scope" not in (await api.introspect(token)).json()


async def test_section_2_2_an_active_session_is_described(api: Api, idp: IdentityProvider) -> None:
    made = await session(api, idp, expires_in=60)
    whole = {
        "active": True,
        "token_type": "session",
        "iss": PUBLIC_URL,
        "sub": made["user_id"],
        "iat": api.clock.now_s,
        "exp": api.clock.now_s + 60,
        "session_id": made["session_id"],
    }
    asked = await api.introspect(made["session_id"], token_type_hint="session")
    assert asked.json() == whole
    own = await api.introspect(made["session_id"], token_type_hint="session", by=api.by("shop"))
    assert own.json() == {**whole, "client_id": "shop", "sub": "ada-at-shop", "sid": "sid-at-shop"}


async def test_section_2_2_answers_are_not_to_be_stored(api: Api, idp: IdentityProvider) -> None:
    token = await api.refresh_token(await session(api, idp), "shop")
    for asked in (await api.introspect(token), await api.introspect("unknown")):
        assert asked.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "token", ["unknown", "logoutd_rt_" + "x" * 43, "\x00", "\U0001f511", "x" * 4096, "x" * 20_000, " "]
)
async def test_section_2_2_an_unknown_token_is_inactive_and_nothing_more(api: Api, token: str) -> None:
    for hint in ("refresh_token", "session"):
        answer = await api.introspect(token, token_type_hint=hint)
        assert (answer.status_code, answer.content) == (200, INACTIVE)


async def test_section_2_2_an_expired_token_is_inactive_from_its_last_moment_on(
    api: Api, idp: IdentityProvider
) -> None:
    made = await session(api, idp)
    token = await api.refresh_token(made, "shop", expires_in=60)
    api.clock.advance(59.999)
    assert (await api.introspect(token)).json()["active"] is True
    api.clock.advance(0.001)
    assert (await api.introspect(token)).content == INACTIVE


async def test_section_2_2_an_expired_session_is_inactive_and_its_tokens_with_it(
    api: Api, idp: IdentityProvider
) -> None:
    made = await session(api, idp, expires_in=60)
    token = await api.refresh_token(made, "shop", expires_in=3600)
    api.clock.advance(60)
    assert (await api.introspect(made["session_id"], token_type_hint="session")).content == INACTIVE
    assert (await api.introspect(token)).content == INACTIVE


async def test_section_2_2_what_was_revoked_is_inactive_at_once(api: Api, idp: IdentityProvider) -> None:
    made = await session(api, idp)
    token = await api.refresh_token(made, "shop", offline=True)
    answer = await api.global_token_revocation(idp, {"sub_id": {"format": "opaque", "id": made["user_id"]}})
    assert answer.status_code == 204
    for by in ({}, {"by": api.by("shop")}):
        assert (await api.introspect(token, **by)).content == INACTIVE
        asked = await api.introspect(made["session_id"], token_type_hint="session", **by)
        assert asked.content == INACTIVE


async def test_section_2_2_a_rotated_token_is_inactive_and_its_successor_is_described(
    api: Api, idp: IdentityProvider
) -> None:
    made = await session(api, idp)
    token = await api.refresh_token(made, "shop", offline=True, expires_in=600, idle_expires_in=60, scope="openid")
    api.clock.advance(30)
    body = {"refresh_token": token, "client_id": "shop"}
    rotated = (await api.post("/api/v2/refresh-tokens/rotate", body)).json()
    assert (await api.introspect(token)).content == INACTIVE
    assert (await api.introspect(rotated["refresh_token"], by=api.by("shop"))).json() == {
        "active": True,
        "token_type": "refresh_token",
        "iss": PUBLIC_URL,
        "client_id": "shop",
        "sub": "ada-at-shop",
        "scope": "openid",
        "iat": api.clock.now_s,
        "exp": api.clock.now_s + 60,
        "jti": rotated["refresh_token_id"],
        "session_id": made["session_id"],
    }
    await api.post("/api/v2/refresh-tokens/rotate", body)
    assert (await api.introspect(rotated["refresh_token"])).content == INACTIVE


async def test_section_2_2_another_clients_token_is_inactive_to_an_application(api: Api, idp: IdentityProvider) -> None:
    made = await session(api, idp)
    token = await api.refresh_token(made, "shop")
    assert (await api.introspect(token, by=api.by("shop"))).json()["active"] is True
    assert (await api.introspect(token, by=api.by("wiki"))).content == INACTIVE
    asked = await api.introspect(made["session_id"], token_type_hint="session", by=api.by("wiki"))
    assert asked.content == INACTIVE


async def test_section_2_1_a_wrong_hint_does_not_end_the_search_for_a_refresh_token(
    api: Api, idp: IdentityProvider
) -> None:
    token = await api.refresh_token(await session(api, idp), "shop")
    assert (await api.introspect(token, token_type_hint="session")).json()["token_type"] == "refresh_token"


async def test_section_2_2_a_session_id_is_no_token_unless_the_hint_says_that_it_is_one(
    api: Api, idp: IdentityProvider
) -> None:
    made = await session(api, idp)
    assert (await api.introspect(made["session_id"])).content == INACTIVE
    assert (await api.introspect(made["session_id"], token_type_hint="refresh_token")).content == INACTIVE


async def test_section_4_asking_changes_nothing(api: Api, idp: IdentityProvider) -> None:
    token = await api.refresh_token(await session(api, idp), "shop")
    first, second = await api.introspect(token), await api.introspect(token)
    assert first.content == second.content
