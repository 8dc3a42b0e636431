"""The door for Global Token Revocation: in which order it refuses, what it says of it, to whom, and what it counts."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from service.web.bodies import MAX_BODY_BYTES
from tests.receive.door import EMAIL, ada, assertion, forged, knock
from tests.support.asgi import PUBLIC_URL, SUBJECT, Api, gtr_path, gtr_url, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOT_JSON = {"Content-Type": "text/plain"}
TOO_LARGE = b" " * (MAX_BODY_BYTES + 1)


async def test_a_bad_credential_comes_before_a_disabled_connection(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp)
    await api.patch(f"/api/v2/connections/{connection['id']}", {"enabled": False})
    refused(await knock(api, forged(api, idp)), 401, "invalid_token")


async def test_a_bad_credential_comes_before_a_body_of_the_wrong_kind_or_size(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp)
    refused(await knock(api, forged(api, idp), headers=NOT_JSON), 401, "invalid_token")
    refused(await knock(api, forged(api, idp), TOO_LARGE), 401, "invalid_token")
    refused(await knock(api, None, b"{"), 401, "invalid_token")


async def test_a_disabled_connection_comes_before_a_body_of_the_wrong_kind_or_size(
    api: Api, idp: IdentityProvider
) -> None:
    connection = await api.connection(idp)
    await api.patch(f"/api/v2/connections/{connection['id']}", {"enabled": False})
    refused(await knock(api, assertion(api, idp), headers=NOT_JSON), 403, "access_denied")
    refused(await knock(api, assertion(api, idp), TOO_LARGE), 403, "access_denied")


async def test_a_body_of_the_wrong_kind_comes_before_a_malformed_or_large_one(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp)
    refused(await knock(api, assertion(api, idp), b"{", headers=NOT_JSON), 415, "invalid_request")
    refused(await knock(api, assertion(api, idp), TOO_LARGE, headers=NOT_JSON), 415, "invalid_request")


async def test_a_malformed_body_comes_before_an_unknown_person(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp)
    both = json.dumps({"sub_id": EMAIL, "subject": EMAIL}).encode()
    refused(await knock(api, assertion(api, idp), both), 400, "invalid_request")
    refused(await knock(api, assertion(api, idp)), 404, "not_found", "this connection")


async def test_a_replayed_credential_comes_before_an_unknown_person(api: Api, idp: IdentityProvider) -> None:
    await ada(api, idp)
    token = assertion(api, idp)
    assert (await knock(api, token)).status_code == 204
    stranger = json.dumps({"sub_id": {"format": "email", "email": "nobody@example.com"}}).encode()
    refused(await knock(api, token, stranger), 401, "invalid_token", "another body")


async def test_a_connection_that_does_not_exist_answers_byte_for_byte_like_a_bad_signature(
    api: Api, idp: IdentityProvider
) -> None:
    await api.connection(idp)
    for token in (forged(api, idp), "a.b.c", "x", "", assertion(api, idp, header={"alg": "none"})):
        here, nowhere = [await knock(api, token, name=name) for name in ("okta", "nobodys")]
        assert here.status_code == nowhere.status_code == 401
        assert (here.content, here.headers) == (nowhere.content, nowhere.headers)
    good = await knock(api, assertion(api, idp, name="nobodys"), name="nobodys")
    bad = await knock(api, forged(api, idp))
    assert (good.status_code, good.content, good.headers) == (bad.status_code, bad.content, bad.headers)


@pytest.mark.parametrize(
    "name",
    [
        "%20okta",
        "okta%20",
        "okta%00",
        "okta%0A",
        "ok_ta",
        "okta.",
        "%D0%BEkta",
        "%ff",
        "x" * 129,
        "x" * 5000,
        "*",
        "{name}",
        "%2e%2e",
    ],
)
async def test_a_name_no_connection_can_have_is_answered_like_one_that_none_has(
    api: Api, idp: IdentityProvider, name: str
) -> None:
    await api.connection(idp)
    expected = await knock(api, assertion(api, idp), name="nobodys")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = await knock(api, assertion(api, idp), name=name)
    assert (answer.status_code, answer.content) == (401, expected.content)
    (line,) = [each for each in lines if each["event"] == "door.refused"]
    assert line["connection"] is None, "a name of a stranger's choosing is not repeated in the log"
    assert line["outcome"] == "unknown_connection"


async def test_a_name_may_be_percent_encoded_and_is_compared_as_it_is(api: Api, idp: IdentityProvider) -> None:
    await ada(api, idp)
    assert (await knock(api, assertion(api, idp), name="%6Fkt%61")).status_code == 204
    refused(await knock(api, assertion(api, idp, name="%6Fkt%61"), name="%6Fkt%61"), 401, "invalid_token", "`aud`")
    refused(await knock(api, assertion(api, idp, name="OKTA"), name="OKTA"), 401, "invalid_token")


CLAIMING = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "host=evil.example;proto=http",
    "X-Original-URL": "/evil",
}
"""What a request may say about the address it was sent to."""


async def test_no_header_changes_the_audience_that_is_expected(api: Api, idp: IdentityProvider) -> None:
    await ada(api, idp)
    for header, value in CLAIMING.items():
        assert (await knock(api, assertion(api, idp), headers={header: value})).status_code == 204
        for base in (
            "http://evil.example",
            "https://evil.example",
            f"{PUBLIC_URL}/evil",
            PUBLIC_URL.replace("https", "http"),
        ):
            token = assertion(api, idp, claims={"aud": base + gtr_path("okta")})
            answer = await knock(api, token, headers={header: value})
            assert "evil" not in refused(answer, 401, "invalid_token", gtr_url("okta")).partition("expected")[2]


async def test_a_refusal_says_what_was_wrong_in_the_form_of_rfc_6750(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp)
    for token in (None, "x", forged(api, idp), assertion(api, idp, claims={"exp": 0, "aud": 'quo"te\\'})):
        answer = await knock(api, token)
        description = refused(answer, 401, "invalid_token")
        challenge = answer.headers["www-authenticate"]
        found = re.fullmatch(r'Bearer error="invalid_token", error_description="([ !#-\[\]-~]*)"', challenge)
        assert found, challenge
        assert found[1] == description.replace('"', "").replace("\\", "")
        if token:
            assert token == "x" or token not in answer.text + challenge


async def test_every_outcome_is_counted_and_every_refusal_is_one_line_without_a_token(
    api: Api, idp: IdentityProvider
) -> None:
    connection = await api.connection(idp, "shop")
    await api.sign_in(idp, "shop", identifiers=[EMAIL])
    numbers = api.resources.numbers
    replayed = assertion(api, idp)
    other = json.dumps({"sub_id": {"format": "opaque", "id": "another"}}).encode()

    async def outcome(token: str | None, raw: bytes = b"", **how: Any) -> tuple[str, Mapping[str, Any] | None]:
        before = {tuple(each.labels.values()): each.value for each in counted()}
        raw = raw or json.dumps({"sub_id": EMAIL}).encode()
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
            answer = await knock(api, token, raw, **how)
        written = json.dumps(lines, default=str)
        assert token is None or token not in written
        assert token is None or token.split(".")[-1] not in written
        assert "ada@" not in written
        changed = [
            each.labels["outcome"] for each in counted() if each.value != before.get(tuple(each.labels.values()), 0.0)
        ]
        assert len(changed) == 1, changed
        told = [each for each in lines if each["event"] == "door.refused"]
        assert len(told) == (answer.status_code >= 400)
        return changed[0], told[0] if told else None

    def counted() -> list[Any]:
        return [
            sample
            for metric in numbers.registry.collect()
            for sample in metric.samples
            if sample.name == "logoutd_door_requests_total" and sample.labels["door"] == "global_token_revocation"
        ]

    for expected, asked in (
        ("accepted", outcome(replayed)),
        ("missing_token", outcome(None)),
        ("malformed_token", outcome("x")),
        ("bad_signature", outcome(forged(api, idp))),
        ("unknown_connection", outcome(assertion(api, idp), name="nobodys")),
        ("wrong_aud", outcome(assertion(api, idp, name="other"))),
        ("expired", outcome(assertion(api, idp, claims={"iat": api.clock.now_s - 500, "exp": api.clock.now_s - 400}))),
        ("replayed_token", outcome(replayed, other)),
        ("invalid_request", outcome(assertion(api, idp), b"{}")),
        ("invalid_request", outcome(assertion(api, idp), headers=NOT_JSON)),
        ("http_413", outcome(assertion(api, idp), TOO_LARGE)),
        ("not_found", outcome(assertion(api, idp), other)),
    ):
        found, line = await asked
        assert found == expected
        assert line is None or line["outcome"] == expected
        assert line is None or line["log_level"] == "warning"
        assert line is None or line["door"] == "global_token_revocation"
        assert line is None or {"detail", "request_id", "connection"} <= set(line)
    await api.patch(f"/api/v2/connections/{connection['id']}", {"enabled": False})
    assert (await outcome(assertion(api, idp)))[0] == "access_denied"


async def test_an_acceptance_is_timed_and_told_in_one_line_without_a_name(api: Api, idp: IdentityProvider) -> None:
    await ada(api, idp)
    timed = api.resources.numbers.accept_seconds.labels("global_token_revocation")
    before = timed._sum.get()
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await knock(api, assertion(api, idp))
    assert timed._sum.get() > before
    (line,) = [each for each in lines if each["event"] == "revocation.accepted"]
    (receipt,) = (await api.get("/api/v2/revocations")).json()["items"]
    assert line["revocation_id"] == receipt["revocation_id"]
    assert line["connection"] == "okta"
    assert line["people"] == 1
    assert SUBJECT not in json.dumps(lines, default=str)
    assert "ada@" not in json.dumps(lines, default=str)
