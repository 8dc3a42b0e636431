"""An operator's revocation, and the receipts of all."""

import re
from typing import Any

import pytest

from service.store import keyspace
from service.store.people import MAX_PEOPLE
from tests.support.asgi import SUBJECT, Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMAIL = {"format": "email", "email": "ada@example.com"}
RECEIPT = {
    "revocation_id",
    "connection_id",
    "user_ids",
    "session_id",
    "scope",
    "initiator",
    "reason",
    "lane",
    "state",
    "accepted_at",
    "revoked_at",
    "completed_at",
    "sessions_ended",
    "refresh_tokens_revoked",
}


async def revoke(api: Api, subject: object, **members: object) -> Any:
    return await api.post("/api/v2/revocations", {"connection": "okta", "subject": subject, **members})


async def test_an_operator_signs_a_person_out_and_has_a_receipt(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop", identifiers=[EMAIL])
    token = await api.refresh_token(session, "shop", offline=True)

    answer = await revoke(api, {"format": "email", "email": "ADA@Example.COM"}, reason="INC-7: laptop lost")

    assert answer.status_code == 202
    assert set(answer.json()) == {"revocation_id"}
    assert re.fullmatch(r"rev_[a-z2-7]{26}", answer.json()["revocation_id"])
    assert (await api.introspect(token)).json() == {"active": False}
    receipt = (await api.get(f"/api/v2/revocations/{answer.json()['revocation_id']}")).json()
    assert set(receipt) == RECEIPT | {"deliveries"}
    assert receipt["connection_id"] == connection["id"]
    assert receipt["user_ids"] == [session["user_id"]]
    assert receipt["session_id"] is None
    assert receipt["scope"] == {"kind": "everything"}
    assert receipt["initiator"] == "operator"
    assert receipt["reason"] == "INC-7: laptop lost"
    assert receipt["state"] == "accepted"
    assert receipt["accepted_at"] == receipt["revoked_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", receipt["accepted_at"])
    assert receipt["completed_at"] is None
    assert receipt["deliveries"] == []
    (listed,) = (await api.get("/api/v2/revocations")).json()["items"]
    assert listed == {name: receipt[name] for name in RECEIPT}
    assert "ada@" not in str(receipt).lower()


async def test_the_connection_may_be_named_or_given_by_id(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    await api.sign_in(idp, "shop", identifiers=[EMAIL])
    for named in ("okta", connection["id"]):
        assert (await revoke(api, EMAIL, connection=named)).status_code == 202
    refused(await revoke(api, EMAIL, connection="nobodys"), 404, "not_found", "no such connection")


async def test_a_revocation_stays_within_its_connection(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    await api.connection(idp, "shop", name="other")
    here = await api.sign_in(idp, "shop", identifiers=[EMAIL])
    there = await api.sign_in(idp, "shop", identifiers=[EMAIL], connection="other")
    tokens = [await api.refresh_token(each, "shop") for each in (here, there)]
    assert here["user_id"] != there["user_id"]
    await revoke(api, EMAIL)
    assert [(await api.introspect(each)).json()["active"] for each in tokens] == [False, True]
    by_id = {"format": "opaque", "id": there["user_id"]}
    refused(await revoke(api, by_id), 404, "not_found", "this connection")
    assert (await api.introspect(tokens[1])).json()["active"] is True


async def test_a_user_id_of_ours_is_an_opaque_name(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    assert (await revoke(api, {"format": "opaque", "id": session["user_id"]})).status_code == 202


async def test_everyone_behind_a_shared_name_is_signed_out(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    people = [
        await api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": sub}, identifiers=[EMAIL])
        for sub in (SUBJECT, "00u2grace")
    ]
    tokens = [await api.refresh_token(each, "shop") for each in people]
    answer = await revoke(api, EMAIL)
    assert [(await api.introspect(each)).json() for each in tokens] == [{"active": False}] * 2
    receipt = (await api.get(f"/api/v2/revocations/{answer.json()['revocation_id']}")).json()
    assert receipt["user_ids"] == sorted(each["user_id"] for each in people)


async def test_a_name_of_too_many_people_is_no_name(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    await api.sign_in(idp, "shop", identifiers=[EMAIL])
    redis = api.resources.record.client
    named = [each async for each in redis.scan_iter(keyspace.identifier(connection["id"], "*"))]
    assert len(named) == 2
    for each in named:
        await redis.sadd(each, *(f"usr_{number}" for number in range(MAX_PEOPLE)))
    refused(await revoke(api, EMAIL), 422, "cannot_be_ended", str(MAX_PEOPLE))
    answer = await api.global_token_revocation(idp, {"sub_id": EMAIL})
    refused(answer, 422, "cannot_be_ended", str(MAX_PEOPLE))
    assert (await api.get("/api/v2/revocations")).json()["items"] == []


@pytest.mark.parametrize(
    ("subject", "naming"),
    [
        ({}, "format"),
        ({"format": "username", "username": "ada"}, "not supported"),
        ({"format": "email"}, "`email`"),
        ({"format": "email", "email": "ada"}, "local@domain"),
        ({"format": "email", "email": "ada@example.com", "sub": "x"}, "'sub'"),
        ({"format": "aliases", "identifiers": []}, "identifiers"),
    ],
)
async def test_a_subject_that_is_none_is_refused(api: Api, subject: object, naming: str) -> None:
    refused(await revoke(api, subject), 400, "invalid_request", naming)


async def test_a_subject_nobody_knows_is_404_and_leaves_no_trace(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp)
    refused(await revoke(api, EMAIL), 404, "not_found", "this connection")
    refused(await api.get("/api/v2/revocations/rev_nothing"), 404, "not_found", "no such revocation")
    assert (await api.get("/api/v2/revocations")).json()["items"] == []


@pytest.mark.parametrize("reason", ["", "x" * 257, 7, ["lost"]])
async def test_a_reason_is_a_short_text(api: Api, idp: IdentityProvider, reason: object) -> None:
    await api.connection(idp)
    refused(await revoke(api, EMAIL, reason=reason), 400, "invalid_request", "reason")


async def test_each_of_an_operators_revocations_is_one_of_its_own(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    await api.sign_in(idp, "shop", identifiers=[EMAIL])
    ids = {(await revoke(api, EMAIL)).json()["revocation_id"] for _ in range(3)}
    assert len(ids) == 3
    assert len((await api.get("/api/v2/revocations")).json()["items"]) == 3
