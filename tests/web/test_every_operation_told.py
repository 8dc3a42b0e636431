"""Every operation against the audit trail: whatever changes the record leaves an entry with who did it and from where, and
what only reads changes nothing."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest

from service.app import OPERATIONS
from service.domain.revocation import RevocationRequest
from service.store.blast_radius import BlastRadius
from service.web.operation import Operation
from tests.support.asgi import ADMINISTRATOR, Api, bcl_path, bearer, connection_body, gtr_path, sign_in_body
from tests.support.contents import contents, trail
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event, okta_user
from tests.web.examples import dead_delivery, name_of, prepare

CHANGING = [each for each in OPERATIONS if each.method != "GET"]
READING = [each for each in OPERATIONS if each.method == "GET"]

EVERYDAY = {"create_session", "join_session", "create_refresh_token", "rotate_refresh_token"}
"""What succeeds many times a day and is told by the sessions themselves."""

NOTHING = {"introspect", "check_connection"}
"""What changes nothing, though it is asked for by POST."""

EMAIL = {"format": "email", "email": "ada@example.com"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def scene(api: Api, idp: IdentityProvider) -> Mapping[str, str]:
    """One of everything there is, by what paths call it; two people were asked for, of whom one may be signed out."""
    examples = await prepare(api, idp)
    session = await api.sign_in(idp, "shop", "wiki", subject={"iss": idp.issuer, "sub": "00u9"}, identifiers=[EMAIL])
    body = {"session_id": session["session_id"], "client_id": "shop"}
    issued = (await api.post("/api/v2/refresh-tokens", body)).json()
    dead = await dead_delivery(api, idp, "00u8")
    connection = (await api.get("/api/v2/connections/okta")).json()
    await api.patch("/api/v2/connections/okta", {"options": {"okta_event_hook_secret": HOOK_SECRET}})
    radius = BlastRadius(api.resources.record, people=1, window_ms=60_000)
    for user_id in ("usr_1", "usr_2"):
        asked = RevocationRequest(
            revocation_id=f"rev_{user_id}",
            connection_id=connection["id"],
            user_ids=(user_id,),
            initiator="global_token_revocation",
        )
        if await radius.count(asked, now_ms=api.clock.now_ms()) != "passed":
            await radius.keep(asked, now_ms=api.clock.now_ms())
    return {
        "connection_id": connection["id"],
        "connection_name": "okta",
        "client_id": "shop",
        "delivery_id": examples["POST /api/v2/deliveries/{delivery_id}/redeliver"].path.split("/")[4],
        "revocation_id": "rev_" + dead.split("_")[1],
        "session_id": session["session_id"],
        "user_id": session["user_id"],
        "refresh_token_id": issued["refresh_token_id"],
        "refresh_token": issued["refresh_token"],
    }


async def act_of(api: Api, idp: IdentityProvider, operation: Operation) -> Callable[[], Awaitable[httpx.Response]]:
    """A call of it that succeeds, and changes something where it can."""
    ids = await scene(api, idp)
    path = operation.path.format(**ids)
    now_ms = api.clock.now_ms()
    event = okta_event("user.session.clear", at_ms=now_ms, target=[okta_user("00u9", "ada@example.com")])
    bodies: dict[str, Any] = {
        "update_connection": {"display_name": "Okta"},
        "update_enabled_clients": [{"client_id": "wiki", "status": False}],
        "release_connection": {"apply": False},
        "update_client": {"client_name": "The shop"},
        "pause_client": {"reason": "maintenance"},
        "redeliver_client": {"since": "2001-01-31T09:00:00Z"},
        "redeliver_delivery": {"force": True},
        "create_revocation": {"connection": "okta", "subject": EMAIL},
        "create_client": {"client_id": "third"},
        "create_connection": connection_body(idp, name="second"),
        "join_session": {"client_id": "wiki", "sid": "another"},
        "create_session": sign_in_body(idp, "shop"),
        "create_refresh_token": {"session_id": ids["session_id"], "client_id": "shop"},
        "rotate_refresh_token": {"refresh_token": ids["refresh_token"], "client_id": "shop"},
    }
    name = operation.endpoint.__name__
    if name == "resume_client":
        await api.post("/api/v2/clients/shop/pause")
    if name == "join_session":
        await api.delete(f"/api/v2/sessions/{ids['session_id']}/clients/wiki")
    match path:
        case "/oauth/introspect" | "/oauth/revoke":
            return lambda: api.http.post(path, data={"token": ids["refresh_token"]}, headers=api.by("shop"))
        case _ if path == gtr_path("okta"):
            return lambda: api.global_token_revocation(idp, {"sub_id": EMAIL})
        case _ if path == bcl_path("okta"):
            token = idp.logout_token(sub="00u9", now_s=api.clock.now_s)
            return lambda: api.backchannel_logout(token)
        case _ if path == hook_path("okta"):
            return lambda: api.http.post(path, json=okta_batch(event), headers=bearer(HOOK_SECRET))
        case _:
            return lambda: api.call(operation.method, path, bodies.get(name))


@pytest.mark.parametrize("operation", CHANGING, ids=name_of)
async def test_what_it_changes_is_in_the_trail_with_who_did_it_and_from_where(
    api: Api, idp: IdentityProvider, redis_url: str, operation: Operation
) -> None:
    name = operation.endpoint.__name__
    act = await act_of(api, idp, operation)
    before, told = contents(redis_url), len(trail(redis_url))
    answered = await act()
    assert answered.is_success, answered.text
    assert (contents(redis_url) != before) == (name not in NOTHING), "the call of this test is to change something"
    entries = trail(redis_url)[told:]
    if not operation.is_audited and name in EVERYDAY | NOTHING:
        assert entries == []
        return
    assert entries
    for each in entries:
        assert each["actor"]["type"] != "anyone"
        assert each["actor"]["id"]
        assert each["origin"]["network"] == "127.0.0.0/24"
        assert each["request_id"]
    if operation.is_audited and operation.access == "administrator":
        events = [each["event"] for each in entries if each["event"].startswith("operation.")]
        assert events == ["operation.requested", "operation.done"]
        assert {each.get("operation") for each in entries} <= {name, None}
        if "{" in operation.path:
            assert entries[0]["resource"] == entries[-1]["resource"], (
                "it is known what was asked for, whatever comes of it"
            )


@pytest.mark.parametrize("operation", READING, ids=name_of)
async def test_what_only_reads_changes_nothing(
    api: Api, idp: IdentityProvider, redis_url: str, operation: Operation
) -> None:
    ids = await scene(api, idp)
    before, told = contents(redis_url), trail(redis_url)
    headers = {"X-Okta-Verification-Challenge": "abc"} if operation.path.startswith("/webhooks/") else {}
    credential = bearer(HOOK_SECRET) if headers else dict(ADMINISTRATOR)
    await api.http.get(f"{operation.path.format(**ids)}?{operation.query_example}", headers={**credential, **headers})
    assert contents(redis_url) == before
    # A message at a door is told whatever it changes.
    assert (trail(redis_url) == told) == (not operation.path.startswith("/webhooks/"))
