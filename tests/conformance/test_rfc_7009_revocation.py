"""RFC 7009, token revocation: one test a clause. We know refresh tokens only."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.domain.refresh_token import MAX_TOKEN_LENGTH
from tests.support.asgi import ADMINISTRATOR, AGE_S, NOBODY, Api, basic, refused, serving
from tests.support.contents import trail
from tests.support.heard import listening
from tests.support.identity_provider import IdentityProvider
from tests.support.redis_server import start_redis

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def api(module_api: Api, redis_url: str, idp: IdentityProvider) -> Api:
    """The service with a connection `okta` and two applications enabled for it."""
    module_api.clock.advance(AGE_S)
    module_api.secrets.clear()
    await module_api.connection(idp, "shop", "wiki")
    return module_api


async def revoke(
    api: Api, token: str | None, *, by: Mapping[str, str] | None = None, **parameters: str
) -> httpx.Response:
    """As the shop asks, unless somebody else does."""
    form = ({} if token is None else {"token": token}) | parameters
    return await api.http.post("/oauth/revoke", data=form, headers=api.by("shop") if by is None else dict(by))


async def issued(api: Api, idp: IdentityProvider, **members: Any) -> str:
    return await api.refresh_token(await api.sign_in(idp, "shop"), "shop", **members)


async def active(api: Api, *tokens: str) -> list[bool]:
    return [(await api.introspect(each)).json()["active"] for each in tokens]


async def rotated(api: Api, token: str) -> str:
    answer = await api.post("/api/v2/refresh-tokens/rotate", {"refresh_token": token, "client_id": "shop"})
    return str(answer.json()["refresh_token"])


async def test_section_2_1_a_client_revokes_its_refresh_token_and_it_is_not_honoured_from_then_on(
    api: Api, idp: IdentityProvider
) -> None:
    token = await issued(api, idp, offline=True)
    answer = await revoke(api, token)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert await active(api, token) == [False]
    body = {"refresh_token": token, "client_id": "shop"}
    refused(await api.post("/api/v2/refresh-tokens/rotate", body), 400, "invalid_grant")


async def test_section_2_1_all_tokens_of_the_same_grant_go_with_it(api: Api, idp: IdentityProvider) -> None:
    first, other = await issued(api, idp), await issued(api, idp)
    second = await rotated(api, first)
    # Also by one that was spent: a client may sign out while its rotation is under way.
    assert (await revoke(api, first)).status_code == 200
    assert await active(api, first, second, other) == [False, False, True]


async def test_section_2_1_the_session_goes_on_and_there_is_no_receipt(api: Api, idp: IdentityProvider) -> None:
    session = await api.sign_in(idp, "shop")
    token = await api.refresh_token(session, "shop")
    await revoke(api, token)
    assert (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"] is True
    assert (await api.get("/api/v2/revocations")).json()["items"] == []


@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "session", "", "something-else"])
async def test_section_2_1_a_wrong_or_unknown_hint_does_not_end_the_search(
    api: Api, idp: IdentityProvider, hint: str
) -> None:
    token = await issued(api, idp)
    assert (await revoke(api, token, token_type_hint=hint, resource="x")).status_code == 200
    assert await active(api, token) == [False]


async def test_section_2_1_the_client_must_authenticate(api: Api, idp: IdentityProvider) -> None:
    token = await issued(api, idp)
    refused(await revoke(api, token, by=NOBODY), 401, "invalid_client", "missing")
    refused(await revoke(api, token, by=NOBODY, client_id="shop"), 401, "invalid_client", "missing")
    refused(await revoke(api, token, by=basic("shop", "wrong")), 401, "invalid_client")
    refused(await revoke(api, token, by=NOBODY, client_id="shop", client_secret="wrong"), 401, "invalid_client")
    assert await active(api, token) == [True]


async def test_section_2_1_it_may_do_so_in_the_form(api: Api, idp: IdentityProvider) -> None:
    token = await issued(api, idp)
    credential = {"client_id": "shop", "client_secret": api.secrets["shop"]}
    assert (await revoke(api, token, by=NOBODY, **credential)).status_code == 200
    assert await active(api, token) == [False]


async def test_section_2_1_another_clients_token_is_left_alone_and_answered_as_one_that_does_not_exist(
    api: Api, idp: IdentityProvider
) -> None:
    """To this client it is an invalid token, and section 2.2 has no error for those; nobody learns what others hold."""
    token = await issued(api, idp)
    with listening() as heard:
        known = await revoke(api, token, by=api.by("wiki"))
        unknown = await revoke(api, "never-heard-of-this-one", by=api.by("wiki"))
    assert (known.status_code, known.content, known.headers) == (200, b"", unknown.headers)
    assert unknown.status_code == 200
    assert await active(api, token) == [True]
    line = heard.one("refresh_token.not_its_own")
    assert (line["caller"], line["client_id"]) == ("wiki", "shop")
    assert token not in str(heard.lines)


async def test_the_administrator_may_revoke_any(api: Api, idp: IdentityProvider) -> None:
    token = await issued(api, idp)
    assert (await revoke(api, token, by=ADMINISTRATOR)).status_code == 200
    assert await active(api, token) == [False]


async def test_section_2_2_an_invalid_token_is_no_error(api: Api, idp: IdentityProvider) -> None:
    token = await issued(api, idp, expires_in=60)
    for each in ("never-heard-of-this-one", "x", "x" * (MAX_TOKEN_LENGTH + 1), token, token):
        answer = await revoke(api, each)
        assert (answer.status_code, answer.content) == (200, b"")
    expired = await issued(api, idp, expires_in=60)
    api.clock.advance(60)
    assert (await revoke(api, expired)).status_code == 200


async def test_section_2_1_token_is_required_and_the_request_is_a_post_of_a_form(api: Api) -> None:
    refused(await revoke(api, None, other="1"), 400, "invalid_request", "`token`")
    refused(await revoke(api, ""), 400, "invalid_request", "`token`")
    refused(await api.get("/oauth/revoke?token=a", by=api.by("shop")), 405, "method_not_allowed")
    refused(await api.post("/oauth/revoke", {"token": "a"}, by=api.by("shop")), 415, "invalid_request")


async def test_it_is_in_the_audit_trail_once_with_the_application_that_gave_it_back(
    api: Api, idp: IdentityProvider, redis_url: str
) -> None:
    token, other = await issued(api, idp), await issued(api, idp)
    newest = await rotated(api, token)
    for each in (token, newest, token, "unknown"):
        assert (await revoke(api, each)).status_code == 200
    assert (await revoke(api, other, by=api.by("wiki"))).status_code == 200, "another's is left alone"
    (entry,) = [each for each in trail(redis_url) if each["event"] == "refresh_token.revoked"]
    assert entry["actor"] == {"type": "application", "id": "shop"}
    assert (entry["client_id"], entry["people_total"], len(entry["people"])) == ("shop", 1, 1)
    assert entry["resource"].startswith("rt_")
    assert not [each for each in (token, newest) if each in repr(trail(redis_url))]


async def test_section_2_2_1_it_is_503_and_when_to_try_again_while_the_record_is_away(
    idp: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("outage")
    server = start_redis(folder / "redis")
    try:
        async with serving(server.url, folder) as api:
            await api.connection(idp, "shop")
            token = await issued(api, idp)
            server.kill()
            for by in (api.by("shop"), ADMINISTRATOR):
                answer = await revoke(api, token, by=by)
                refused(answer, 503, "temporarily_unavailable")
                assert int(answer.headers["retry-after"]) > 0
    finally:
        server.stop()


async def test_the_log_says_that_it_was_revoked_and_not_which_token_it_was(api: Api, idp: IdentityProvider) -> None:
    token = await issued(api, idp)
    with listening() as heard:
        await revoke(api, token)
    line = heard.one("refresh_token.revoked")
    assert line["client_id"] == "shop"
    assert line["refresh_token_id"].startswith("rt_")
    assert token not in str(heard.lines)
    assert api.secrets["shop"] not in str(heard.lines)
