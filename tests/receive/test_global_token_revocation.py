"""The door for Global Token Revocation: whom it signs out, by which names, and what it answers."""

import asyncio
import json

import pytest

from service.verify.issuer_keys import RETRY_AFTER_S
from tests.receive.door import EMAIL, NAMES, ada, assertion, knock
from tests.support.asgi import SUBJECT, Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("kind", [*NAMES, "iss_sub", "aliases", "user_id"])
async def test_a_person_is_signed_out_by_each_kind_of_name(api: Api, idp: IdentityProvider, kind: str) -> None:
    token = await ada(api, idp)
    user = (await api.introspect(token)).json()["sub"]
    name = {
        **NAMES,
        "iss_sub": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT},
        "aliases": {"format": "aliases", "identifiers": [{"format": "opaque", "id": "unknown"}, EMAIL]},
        "user_id": {"format": "opaque", "id": user},
    }[kind]
    for member in ("sub_id", "subject"):
        answer = await knock(api, assertion(api, idp), json.dumps({member: name}).encode())
        assert (answer.status_code, answer.content) == (204, b""), answer.text
        assert answer.headers["cache-control"] == "no-store"
    assert (await api.introspect(token)).json() == {"active": False}


async def test_the_receipt_tells_who_asked(api: Api, idp: IdentityProvider) -> None:
    await ada(api, idp)
    await knock(api, assertion(api, idp))
    (receipt,) = (await api.get("/api/v2/revocations")).json()["items"]
    assert receipt["initiator"] == "global_token_revocation"
    assert receipt["state"] == "accepted"


async def test_somebody_known_without_a_session_is_204_too(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    await api.sign_in(idp, "shop", identifiers=[EMAIL], expires_in=1)
    api.clock.advance(86_400)
    assert (await knock(api, assertion(api, idp))).status_code == 204


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/secevent+json", "application/json;"]
)
async def test_json_may_be_called_by_each_of_its_names(api: Api, idp: IdentityProvider, kind: str) -> None:
    await ada(api, idp)
    assert (await knock(api, assertion(api, idp), headers={"Content-Type": kind})).status_code == 204


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "+json"]
)
async def test_what_is_not_called_json_is_415(api: Api, idp: IdentityProvider, kind: str) -> None:
    token = await ada(api, idp)
    answer = await knock(api, assertion(api, idp), headers={"Content-Type": kind})
    refused(answer, 415, "invalid_request", "application/json")
    assert (await api.introspect(token)).json()["active"] is True


@pytest.mark.parametrize(
    ("raw", "naming"),
    [
        (b"", "not valid JSON"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b"{}", "`sub_id`"),
        (json.dumps({"sub_id": EMAIL, "subject": EMAIL}).encode(), "not both"),
        (json.dumps({"user": EMAIL}).encode(), "`sub_id`"),
        (json.dumps({"sub_id": "ada@example.com"}).encode(), "JSON object"),
        (json.dumps({"sub_id": {**EMAIL, "sub": "x"}}).encode(), "no member 'sub'"),
        (json.dumps({"sub_id": {"format": "login", "login": "ada"}}).encode(), "not supported"),
        (b'{"sub_id": {"format": "email", "email": "a@b.example"}, "sub_id": {}}', "same member twice"),
        (b'{"sub_id": NaN}', "NaN"),
        (b'{"sub_id": "\xff"}', "UTF-8"),
        (b'{"sub_id":' * 6_000, "not valid JSON"),
    ],
)
async def test_a_malformed_body_is_400_and_named(api: Api, idp: IdentityProvider, raw: bytes, naming: str) -> None:
    token = await ada(api, idp)
    refused(await knock(api, assertion(api, idp), raw), 400, "invalid_request", naming)
    assert (await api.introspect(token)).json()["active"] is True


async def test_members_beside_the_subject_are_left_alone(api: Api, idp: IdentityProvider) -> None:
    await ada(api, idp)
    raw = json.dumps({"sub_id": EMAIL, "reason": "left the company", "x": [None]}).encode()
    assert (await knock(api, assertion(api, idp), raw)).status_code == 204


async def test_the_same_request_again_is_the_same_answer_and_nothing_more(api: Api, idp: IdentityProvider) -> None:
    await ada(api, idp)
    token = assertion(api, idp)
    answers = await asyncio.gather(*(knock(api, token) for _ in range(5)))
    answers += [await knock(api, token)]
    assert {each.status_code for each in answers} == {204}
    assert len((await api.get("/api/v2/revocations")).json()["items"]) == 1
    later = await api.refresh_token(await api.sign_in(idp, "shop"), "shop")
    assert (await knock(api, token)).status_code == 204
    assert (await api.introspect(later)).json()["active"] is True


async def test_without_the_providers_keys_it_is_503_and_says_when_to_come_back(api: Api, idp: IdentityProvider) -> None:
    token = await ada(api, idp)
    idp.broken.add("keys")
    api.clock.advance(2 * 86_400)
    good = assertion(api, idp)
    answer = await knock(api, good)
    refused(answer, 503, "temporarily_unavailable", "identity provider's keys")
    assert int(answer.headers["retry-after"]) == RETRY_AFTER_S
    assert idp.origin not in answer.text
    assert (await api.introspect(token)).json()["active"] is True
    idp.broken.clear()
    api.clock.advance(RETRY_AFTER_S)
    assert (await knock(api, good)).status_code == 204
    assert (await api.introspect(token)).json() == {"active": False}


async def test_law_1_with_no_worker_everything_is_dead_at_the_204(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    sessions = [await api.sign_in(idp, "shop", "wiki", identifiers=[EMAIL]) for _ in range(3)]
    held = [await api.refresh_token(each, client) for each in sessions for client in ("shop", "wiki")]
    assert (await knock(api, assertion(api, idp))).status_code == 204
    for token in held:
        assert (await api.introspect(token)).json() == {"active": False}
    for each in sessions:
        assert (await api.introspect(each["session_id"], token_type_hint="session")).json() == {"active": False}
        shown = (await api.get(f"/api/v2/sessions/{each['session_id']}")).json()
        assert (shown["active"], shown["state"]) == (False, "ended")
        body = {"session_id": each["session_id"], "client_id": "shop"}
        refused(await api.post("/api/v2/refresh-tokens", body), 404, "not_found", "ended")
