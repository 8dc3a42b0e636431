"""What becomes of live sessions and refresh tokens when a client or a connection is removed, and of a secret that is replaced:
as the reference says of these operations."""

import pytest

from tests.support.asgi import SUBJECT, Api, basic, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_removed_clients_refresh_tokens_are_dead_and_its_sessions_live_on(
    api: Api, idp: IdentityProvider
) -> None:
    """RFC 7592 section 2.3."""
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop", "wiki")
    of_shop = await api.refresh_token(session, "shop", offline=True)
    of_wiki = await api.refresh_token(session, "wiki")

    assert (await api.delete("/api/v2/clients/shop")).status_code == 204

    assert (await api.introspect(of_shop)).json() == {"active": False}
    rotated = await api.post("/api/v2/refresh-tokens/rotate", {"refresh_token": of_shop, "client_id": "shop"})
    refused(rotated, 400, "invalid_grant")
    assert (await api.introspect(of_wiki)).json()["active"] is True
    listed = (await api.get(f"/api/v2/users/{session['user_id']}/sessions")).json()["items"]
    for shown in ((await api.get(f"/api/v2/sessions/{session['session_id']}")).json(), *listed):
        assert (shown["active"], shown["live_refresh_tokens"]) == (True, 1)


async def test_a_client_registered_anew_does_not_get_the_tokens_of_its_namesake(
    api: Api, idp: IdentityProvider
) -> None:
    connection = await api.connection(idp, "shop")
    before = await api.refresh_token(await api.sign_in(idp, "shop"), "shop", offline=True)
    await api.delete("/api/v2/clients/shop")
    api.clock.advance(1)
    await api.client("shop")
    await api.patch(f"/api/v2/connections/{connection['id']}", {"enabled_clients": ["shop"]})
    session = await api.sign_in(idp, "shop")
    after = await api.refresh_token(session, "shop")

    listed = (await api.get(f"/api/v2/users/{session['user_id']}/sessions")).json()["items"]
    assert sorted(each["live_refresh_tokens"] for each in listed) == [0, 1]
    for by in (api.by("shop"), None):
        answers = [await (api.introspect(each, by=by) if by else api.introspect(each)) for each in (before, after)]
        assert [each.json()["active"] for each in answers] == [False, True]
    rotated = await api.post("/api/v2/refresh-tokens/rotate", {"refresh_token": before, "client_id": "shop"})
    refused(rotated, 400, "invalid_grant")


async def test_what_a_removed_connection_began_lives_on_until_it_is_ended(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    first, second = await api.sign_in(idp, "shop"), await api.sign_in(idp, "shop")
    token = await api.refresh_token(first, "shop")

    assert (await api.delete(f"/api/v2/connections/{connection['id']}")).status_code == 204

    body = {"sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT}}
    assert (await api.global_token_revocation(idp, body)).status_code == 401
    assert (await api.introspect(token)).json()["active"] is True
    join = await api.post(f"/api/v2/sessions/{first['session_id']}/clients", {"client_id": "shop"})
    refused(join, 404, "not_found", "connection is gone")
    by_name = {"connection": "okta", "subject": body["sub_id"]}
    refused(await api.post("/api/v2/revocations", by_name), 404, "not_found")

    assert (await api.delete(f"/api/v2/sessions/{first['session_id']}")).status_code == 202
    assert (await api.introspect(token)).json() == {"active": False}
    assert (await api.delete(f"/api/v2/users/{second['user_id']}/sessions")).status_code == 202
    assert (await api.get(f"/api/v2/sessions/{second['session_id']}")).json()["active"] is False


async def test_a_new_connection_of_the_same_name_knows_none_of_them(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    token = await api.refresh_token(await api.sign_in(idp, "shop"), "shop")
    await api.delete(f"/api/v2/connections/{connection['id']}")
    await api.connection(idp, "shop")
    body = {"sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT}}
    assert (await api.global_token_revocation(idp, body)).status_code == 404
    assert (await api.introspect(token)).json()["active"] is True


async def test_a_secret_is_replaced_from_one_moment_to_the_next(api: Api) -> None:
    before = await api.client("shop")
    api.clock.advance(1)
    answer = await api.post("/api/v2/clients/shop/secret")
    assert answer.status_code == 200
    after = answer.json()
    assert after["client_secret"] != before["client_secret"]
    assert after["updated_at"] > before["updated_at"]
    assert after == {**before, "client_secret": after["client_secret"], "updated_at": after["updated_at"]}
    refused(await api.introspect("a-token", by=basic("shop", before["client_secret"])), 401, "invalid_client")
    assert (await api.introspect("a-token", by=basic("shop", after["client_secret"]))).status_code == 200
    assert "client_secret" not in (await api.get("/api/v2/clients/shop")).json()
    refused(await api.post("/api/v2/clients/nothing/secret"), 404, "not_found", "no such client")
