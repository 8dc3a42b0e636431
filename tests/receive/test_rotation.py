"""Rotation over HTTP: a successor once, `invalid_grant` for everything else, and a receipt for what was spent twice."""

import re
from typing import Any

import httpx
import pytest

from service.domain.refresh_token import MAX_TOKEN_LENGTH, MIN_TOKEN_LENGTH
from service.web.bodies import moment
from tests.support.asgi import ADMINISTRATOR, Api, refused, serving
from tests.support.breaks import Moment, redis_away
from tests.support.heard import listening
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = "/api/v2/refresh-tokens"
ROTATE = f"{TOKENS}/rotate"
SUCCESSOR = "a-successor-minted-elsewhere"


async def issued(api: Api, idp: IdentityProvider, **members: object) -> dict[str, Any]:
    """What the shop is told of a new refresh token."""
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop", "wiki")
    answer = await api.post(TOKENS, {"session_id": session["session_id"], "client_id": "shop", **members})
    assert answer.status_code == 201
    told: dict[str, Any] = answer.json()
    return told


async def rotate(api: Api, spent: str, client_id: str = "shop", **members: object) -> httpx.Response:
    return await api.post(ROTATE, {"refresh_token": spent, "client_id": client_id, **members})


async def rotated(api: Api, token: str) -> str:
    answer = await rotate(api, token)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["refresh_token"])


async def active(api: Api, *tokens: str) -> list[bool]:
    return [(await api.introspect(each)).json()["active"] for each in tokens]


async def receipts(api: Api) -> list[dict[str, Any]]:
    return list((await api.get("/api/v2/revocations")).json()["items"])


async def test_the_successor_is_told_as_a_new_token_is_and_shown_once(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp, scope="openid", offline=True, expires_in=3600, idle_expires_in=60)
    api.clock.advance(30)

    answer = await rotate(api, first["refresh_token"])

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert re.fullmatch(r"logoutd_rt_[A-Za-z0-9_-]{43}", told["refresh_token"])
    assert told["refresh_token_id"] != first["refresh_token_id"]
    assert told == {
        **first,
        "refresh_token": told["refresh_token"],
        "refresh_token_id": told["refresh_token_id"],
        "issued_at": moment(api.clock.now_ms()),
        "expires_at": moment(api.clock.now_ms() + 60_000),
    }
    assert await active(api, first["refresh_token"], told["refresh_token"]) == [False, True]


async def test_what_introspection_tells_is_when_the_token_itself_expires(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp, offline=True, expires_in=100, idle_expires_in=60)
    assert first["expires_at"] == moment(api.clock.now_ms() + 60_000)
    assert first["family_expires_at"] == moment(api.clock.now_ms() + 100_000)
    assert (await api.introspect(first["refresh_token"])).json()["exp"] == api.clock.now_s + 60
    api.clock.advance(59)
    second = await rotated(api, first["refresh_token"])
    assert (await api.introspect(second)).json()["exp"] == api.clock.now_s + 41


async def test_one_idle_for_too_long_is_refused(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp, offline=True, expires_in=3600, idle_expires_in=60)
    api.clock.advance(60)
    assert await active(api, first["refresh_token"]) == [False]
    refused(await rotate(api, first["refresh_token"]), 400, "invalid_grant")
    assert await receipts(api) == []


@pytest.mark.parametrize("length", [MIN_TOKEN_LENGTH, MAX_TOKEN_LENGTH])
async def test_the_successor_may_be_minted_elsewhere(api: Api, idp: IdentityProvider, length: int) -> None:
    first = await issued(api, idp)
    answer = await rotate(api, first["refresh_token"], token="x" * length)
    assert answer.json()["refresh_token"] == "x" * length
    assert await active(api, first["refresh_token"], "x" * length) == [False, True]


async def test_the_same_request_again_is_answered_the_same_when_the_successor_is_given(
    api: Api, idp: IdentityProvider
) -> None:
    first = await issued(api, idp)
    answers = [await rotate(api, first["refresh_token"], token=SUCCESSOR) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert await active(api, SUCCESSOR) == [True]


async def test_a_successor_that_is_registered_already_is_409_and_the_token_goes_on(
    api: Api, idp: IdentityProvider
) -> None:
    first = await issued(api, idp)
    taken = await issued_again(api, first)
    answer = await rotate(api, first["refresh_token"], token=taken)
    assert taken not in refused(answer, 409, "conflict", "registered already")
    assert await active(api, first["refresh_token"], taken) == [True, True]


async def issued_again(api: Api, first: dict[str, Any]) -> str:
    return await api.refresh_token({"session_id": first["session_id"]}, "shop")


async def test_every_refusal_reads_alike(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp)
    spent = first["refresh_token"]
    other = await rotated(api, spent)
    reasons = [
        refused(await rotate(api, "never-heard-of-this-one"), 400, "invalid_grant"),
        refused(await rotate(api, other, "wiki"), 400, "invalid_grant"),
        refused(await rotate(api, other, "nobodys"), 400, "invalid_grant"),
        refused(await rotate(api, spent), 400, "invalid_grant"),
        refused(await rotate(api, spent), 400, "invalid_grant"),
        refused(await rotate(api, other), 400, "invalid_grant"),
    ]
    assert set(reasons) == {"the refresh token is not valid"}


async def test_what_is_spent_twice_ends_its_family_with_one_receipt(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp, offline=True)
    other = await issued_again(api, first)
    second = await rotated(api, first["refresh_token"])
    third = await rotated(api, second)

    with listening() as heard:
        for each in (first["refresh_token"], second, first["refresh_token"], third):
            refused(await rotate(api, each), 400, "invalid_grant")

    assert await active(api, first["refresh_token"], second, third, other) == [False, False, False, True]
    (receipt,) = await receipts(api)
    assert receipt["initiator"] == "refresh_token_reuse"
    assert (receipt["scope"]["family_id"], receipt["session_id"]) == (first["refresh_token_id"], None)
    assert (await api.get(f"/api/v2/sessions/{first['session_id']}")).json()["active"] is True
    line = heard.one("refresh_token.reused")
    assert (line["refresh_token_id"], line["client_id"]) == (first["refresh_token_id"], "shop")
    assert not [each for each in (first["refresh_token"], second, third) if each in str(heard.lines)]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(1, 15))
async def test_whenever_redis_goes_away_no_family_has_ended_without_a_receipt(
    api: Api, idp: IdentityProvider, at: int, moment: Moment
) -> None:
    first = (await issued(api, idp))["refresh_token"]
    second = await rotated(api, first)

    with redis_away(at=at, moment=moment) as broken:
        answer = await rotate(api, first)

    assert answer.status_code == (503 if broken.happened else 400)
    ended, told = await active(api, second) == [False], await receipts(api)
    assert bool(told) or not ended
    assert ended or broken.happened


async def test_an_application_rotates_its_own_and_no_other(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp)
    body = {"refresh_token": first["refresh_token"], "client_id": "shop"}
    refused(await api.post(ROTATE, body, by=api.by("wiki")), 403, "access_denied", "itself only")
    as_its_own = {**body, "client_id": "wiki"}
    refused(await api.post(ROTATE, as_its_own, by=api.by("wiki")), 400, "invalid_grant")
    assert await active(api, first["refresh_token"]) == [True]
    assert (await api.post(ROTATE, body, by=api.by("shop"))).status_code == 200


@pytest.mark.parametrize("by", ["door", "session", "person", "token"])
async def test_after_a_revocation_it_is_refused_at_once(api: Api, idp: IdentityProvider, by: str) -> None:
    first = await issued(api, idp, offline=True)
    second = await rotated(api, first["refresh_token"])
    session = (await api.get(f"/api/v2/sessions/{first['session_id']}")).json()
    match by:
        case "door":
            subject = {"sub_id": {"format": "opaque", "id": session["user_id"]}}
            done = await api.global_token_revocation(idp, subject)
        case "session":
            done = await api.delete(f"/api/v2/sessions/{session['session_id']}")
        case "person":
            done = await api.delete(f"/api/v2/users/{session['user_id']}/sessions")
        case _:
            done = await api.delete(f"{TOKENS}/{first['refresh_token_id']}")
    assert done.is_success
    for each in (second, first["refresh_token"]):
        refused(await rotate(api, each), 400, "invalid_grant")
    assert await active(api, second) == [False]
    assert len(await receipts(api)) == 1


async def test_a_lost_answer_is_made_good_where_the_operator_allows_it(
    redis_url: str, idp: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("grace")
    async with serving(redis_url, folder, refresh_token_grace_seconds=10) as api:
        first = (await issued(api, idp))["refresh_token"]
        lost = await rotated(api, first)
        api.clock.advance(9)
        again = await rotated(api, first)
        assert await active(api, first, lost, again) == [False, True, True]
        api.clock.advance(1)
        refused(await rotate(api, first), 400, "invalid_grant")
        assert await active(api, lost, again) == [False, False]


@pytest.mark.parametrize(
    ("members", "naming"),
    [
        ({"refresh_token": ""}, "refresh_token"),
        ({"refresh_token": "x" * (MAX_TOKEN_LENGTH + 1)}, "refresh_token"),
        ({"refresh_token": None}, "refresh_token"),
        ({"client_id": ""}, "client_id"),
        ({"token": "x" * (MIN_TOKEN_LENGTH - 1)}, "token"),
        ({"scope": "openid"}, "scope"),
    ],
)
async def test_a_wrong_member_is_named_and_no_token_repeated(
    api: Api, idp: IdentityProvider, members: dict[str, object], naming: str
) -> None:
    first = await issued(api, idp)
    body = {"refresh_token": first["refresh_token"], "client_id": "shop", **members}
    answer = await api.post(ROTATE, body)
    described = refused(answer, 400, "invalid_request", f"`{naming}`")
    assert first["refresh_token"] not in described
    assert "xxx" not in described


# One refresh token deleted


async def test_deleting_a_token_by_its_name_ends_its_family_with_a_receipt(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp, offline=True)
    other = await issued_again(api, first)
    second = (await rotate(api, first["refresh_token"])).json()

    answer = await api.delete(f"{TOKENS}/{second['refresh_token_id']}")

    assert answer.status_code == 202
    assert await active(api, first["refresh_token"], second["refresh_token"], other) == [False, False, True]
    receipt = (await api.get(f"/api/v2/revocations/{answer.json()['revocation_id']}")).json()
    assert (receipt["initiator"], receipt["scope"]["family_id"]) == ("refresh_token_delete", first["refresh_token_id"])
    assert (await api.get(f"/api/v2/sessions/{first['session_id']}")).json()["active"] is True


async def test_a_spent_one_names_its_family_too_and_that_ends_once(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp)
    await rotated(api, first["refresh_token"])
    path = f"{TOKENS}/{first['refresh_token_id']}"
    answers = [await api.delete(path) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert len(await receipts(api)) == 1


async def test_an_application_deletes_its_own_and_never_learns_of_another(api: Api, idp: IdentityProvider) -> None:
    first = await issued(api, idp)
    path = f"{TOKENS}/{first['refresh_token_id']}"
    refused(await api.delete(path, by=api.by("wiki")), 404, "not_found", "no such refresh token")
    assert await active(api, first["refresh_token"]) == [True]
    assert (await api.delete(path, by=api.by("shop"))).status_code == 202


@pytest.mark.parametrize("name", ["rt_nothing", "rotate", "logoutd_rt_x"])
async def test_a_name_of_nothing_is_404_or_no_name(api: Api, name: str) -> None:
    status, error = (405, "method_not_allowed") if name == "rotate" else (404, "not_found")
    refused(await api.delete(f"{TOKENS}/{name}", by=ADMINISTRATOR), status, error)
