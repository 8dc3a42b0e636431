"""A dry run of an operator's revocation: all that it would do, none of it done."""

from typing import Any

import pytest

from service.store import keyspace
from service.store.people import MAX_PEOPLE
from service.store.sessions import DAY_MS
from tests.support.asgi import SUBJECT, Api, refused
from tests.support.contents import contents
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

DRY_RUN = "/api/v2/revocations?dry_run=true"
DAY_S = DAY_MS / 1000


def ada(idp: IdentityProvider) -> dict[str, Any]:
    """The body of a revocation of whoever signs in where a test does not say."""
    return {"connection": "okta", "subject": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT}}


async def foretold(api: Api, idp: IdentityProvider) -> dict[str, dict[str, Any]]:
    """The rows of a dry run, by client_id."""
    answer = await api.post(DRY_RUN, ada(idp))
    assert answer.status_code == 200, answer.text
    rows = answer.json()["applications"]
    assert [each["client_id"] for each in rows] == sorted({each["client_id"] for each in rows})
    return {each["client_id"]: each for each in rows}


def told(client_id: str, *sids: str, tokens: int = 1) -> dict[str, Any]:
    row = {"client_id": client_id, "state": "would_be_told", "logout_tokens": len(sids) or tokens}
    return {**row, "sids": sorted(sids)} if sids else row


def skipped(client_id: str, reason: str) -> dict[str, Any]:
    return {"client_id": client_id, "state": "would_be_skipped", "logout_tokens": 0, "reason": reason}


async def test_it_says_what_would_be_ended_and_who_would_be_told_and_why_others_not(
    api: Api, idp: IdentityProvider
) -> None:
    await api.client("mute", backchannel_logout_uri=None)
    await api.client("by-sid", backchannel_logout_session_required=True)
    connection = await api.connection(idp, "shop", "mute", "by-sid", "never", "gone")
    first = await api.sign_in(idp, "shop", "mute", "by-sid", "gone")
    second = await api.sign_in(idp, "shop", "by-sid")
    for session, client_id, offline in ((first, "shop", False), (first, "mute", True), (second, "by-sid", False)):
        await api.refresh_token(session, client_id, offline=offline)
    await api.delete("/api/v2/clients/gone")

    answer = await api.post(DRY_RUN, {**ada(idp), "reason": "asked beforehand"})

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "dry_run": True,
        "connection_id": connection["id"],
        "user_ids": [first["user_id"]],
        "sessions_ended": 2,
        "refresh_tokens_revoked": 3,
        "applications": [
            told("by-sid", first["session_id"], second["session_id"]),
            skipped("gone", "client_deleted"),
            skipped("mute", "no_logout_uri"),
            skipped("never", "not_signed_in"),
            told("shop"),
        ],
    }


async def test_it_changes_nothing_at_all(api: Api, idp: IdentityProvider, redis_url: str) -> None:
    await api.connection(idp, "shop", "wiki")
    sessions = [await api.sign_in(idp, "shop", "wiki") for _ in range(2)]
    tokens = [await api.refresh_token(each, "shop", offline=True) for each in sessions]
    before = contents(redis_url)
    for _ in range(2):
        assert (await api.post(DRY_RUN, ada(idp))).json()["sessions_ended"] == 2
    assert contents(redis_url) == before
    assert [(await api.introspect(each)).json()["active"] for each in tokens] == [True, True]
    assert (await api.get("/api/v2/revocations")).json()["items"] == []


async def test_the_revocation_that_follows_is_as_foretold(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    await api.sign_in(idp, "shop")
    await api.post(DRY_RUN, ada(idp))
    answer = await api.post("/api/v2/revocations?dry_run=false", ada(idp))
    assert (answer.status_code, set(answer.json())) == (202, {"revocation_id"})
    after = (await api.post(DRY_RUN, ada(idp))).json()
    assert (after["sessions_ended"], after["refresh_tokens_revoked"]) == (0, 0)
    # Nobody has told it yet: a second revocation would tell it too.
    assert after["applications"] == [told("shop")]


async def test_what_has_expired_or_ended_is_not_counted_and_offline_tokens_are(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    expired, ended = [await api.sign_in(idp, "shop", expires_in=60) for _ in range(2)]
    for each in (expired, ended):
        await api.refresh_token(each, "shop")
        await api.refresh_token(each, "shop", offline=True)
    await api.delete(f"/api/v2/sessions/{ended['session_id']}")
    api.clock.advance(60)
    answer = (await api.post(DRY_RUN, ada(idp))).json()
    assert (answer["sessions_ended"], answer["refresh_tokens_revoked"]) == (0, 1)


async def test_whoever_has_left_would_not_be_told_and_whoever_is_disabled_since_would(
    api: Api, idp: IdentityProvider
) -> None:
    connection = await api.connection(idp, "shop", "wiki", "board")
    session = await api.sign_in(idp, "shop", "wiki")
    await api.delete(f"/api/v2/sessions/{session['session_id']}/clients/wiki")
    await api.patch(f"/api/v2/connections/{connection['id']}/clients", [{"client_id": "shop", "status": False}])
    assert await foretold(api, idp) == {
        "board": skipped("board", "not_signed_in"),
        "shop": told("shop"),
        "wiki": skipped("wiki", "not_signed_in"),
    }


async def test_an_application_is_told_until_it_can_hold_nothing_any_more(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    await api.sign_in(idp, "shop", "wiki", expires_in=60)
    await api.sign_in(idp, "wiki", expires_in=3600)
    days = api.resources.settings.participation_days
    api.clock.advance(days * DAY_S + 59.999)
    assert await foretold(api, idp) == {"shop": told("shop"), "wiki": told("wiki")}
    api.clock.advance(0.001)
    assert await foretold(api, idp) == {"shop": skipped("shop", "participation_expired"), "wiki": told("wiki")}


async def test_everyone_behind_a_shared_name_is_part_of_it(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    email = {"format": "email", "email": "team@example.com"}
    people = [
        await api.sign_in(idp, client_id, subject={"iss": idp.issuer, "sub": sub}, identifiers=[email])
        for sub, client_id in ((SUBJECT, "shop"), ("00u2grace", "shop"), ("00u3mary", "wiki"))
    ]
    answer = (await api.post(DRY_RUN, {"connection": "okta", "subject": email})).json()
    assert answer["user_ids"] == sorted(each["user_id"] for each in people)
    assert answer["sessions_ended"] == 3
    assert answer["applications"] == [told("shop", tokens=2), told("wiki")]
    assert "team@" not in str(answer)


async def test_it_is_refused_as_the_revocation_would_be(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    nobody = {"format": "opaque", "id": "nobody"}
    for body, status, error in (
        ({"connection": "okta", "subject": nobody}, 404, "not_found"),
        ({"connection": "nobodys", "subject": nobody}, 404, "not_found"),
        ({"connection": "okta", "subject": {}}, 400, "invalid_request"),
        ({"connection": "okta"}, 400, "invalid_request"),
        ({"connection": "okta", "subject": nobody, "surprise": 1}, 400, "invalid_request"),
    ):
        for path in ("/api/v2/revocations", DRY_RUN):
            refused(await api.post(path, body), status, error)

    await api.sign_in(idp, "shop")
    redis = api.resources.record.client
    async for each in redis.scan_iter(keyspace.identifier(connection["id"], "*")):
        await redis.sadd(each, *(f"usr_{number}" for number in range(MAX_PEOPLE)))
    for path in ("/api/v2/revocations", DRY_RUN):
        refused(await api.post(path, ada(idp)), 422, "cannot_be_ended", str(MAX_PEOPLE))


async def test_of_very_many_people_each_is_looked_at(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    redis = api.resources.record.client
    async for each in redis.scan_iter(keyspace.identifier(connection["id"], "*")):
        await redis.sadd(each, *(f"usr_{number}" for number in range(1200)))
    answer = (await api.post(DRY_RUN, ada(idp))).json()
    assert len(answer["user_ids"]) == 1201
    assert session["user_id"] in answer["user_ids"]
    assert (answer["sessions_ended"], answer["applications"]) == (1, [told("shop")])


@pytest.mark.parametrize("value", ["", "yes", "1", "True", "true&dry_run=true", "false&dry_run=true"])
async def test_a_dry_run_that_is_neither_true_nor_false_does_nothing(
    api: Api, idp: IdentityProvider, value: str
) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    answer = await api.post(f"/api/v2/revocations?dry_run={value}", ada(idp))
    refused(answer, 400, "invalid_request", "dry_run", "`true` or `false`")
    assert (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"] is True


async def test_a_misspelt_parameter_signs_nobody_out(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    answer = await api.post("/api/v2/revocations?dryrun=true", ada(idp))
    refused(answer, 400, "invalid_request", "dryrun", "not a parameter")
    assert (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"] is True
