"""Capture mode at the door: switched on with a PATCH, told in one line, and not noticed by whoever knocks."""

import json

import pytest
import structlog
from structlog.testing import capture_logs

from tests.receive.door import assertion, forged, knock
from tests.support.asgi import SUBJECT, Api, gtr_url, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_refused_assertion_is_captured_while_the_connection_is_set_up(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp)
    path = f"/api/v2/connections/{connection['id']}"
    wrong = "https://wrong.example.com/door"
    for switch, told in ((True, 1), (False, 0)):
        await api.patch(path, {"options": {"capture_refused_assertions": switch}})
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
            answer = await knock(api, assertion(api, idp, claims={"aud": wrong}))
        refused(answer, 401, "invalid_token", "`aud`")
        captured = [each for each in lines if each["event"] == "assertion.captured"]
        assert len(captured) == told
        for line in captured:
            assert (line["door"], line["connection"]) == ("global_token_revocation", "okta")
            assert (line["reason"], line["aud"], line["aud_sent"]) == ("wrong_aud", "mismatch", wrong)
            assert line["aud_expected"] == gtr_url("okta")
            assert (line["iss"], line["sub"]) == ("match", "match")
            assert json.loads(json.dumps(line)) == line


async def test_whoever_knocks_cannot_tell_that_it_is_on(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp)
    tokens = [forged(api, idp), "x", "a.b.c", assertion(api, idp, claims={"iss": 7})]
    quiet = [await knock(api, each) for each in tokens]
    await api.patch(f"/api/v2/connections/{connection['id']}", {"options": {"capture_refused_assertions": True}})
    captured = [await knock(api, each) for each in tokens]
    assert [(each.status_code, each.content, each.headers) for each in captured] == [
        (each.status_code, each.content, each.headers) for each in quiet
    ]


async def test_a_refused_logout_token_is_captured_too(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, options={"capture_refused_assertions": True})
    token = idp.logout_token(sub=SUBJECT, now_s=api.clock.now_s, claims={"aud": "another-application"})
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = await api.http.post("/oauth/backchannel-logout/connection/okta", data={"logout_token": token})
    refused(answer, 400, "invalid_request", "`aud`")
    (line,) = [each for each in lines if each["event"] == "assertion.captured"]
    assert (line["door"], line["reason"]) == ("backchannel_logout", "wrong_aud")
    assert (line["iss"], line["aud"], line["aud_sent"]) == ("match", "mismatch", "another string")
    assert "sub" not in line, "it names a person"
    assert "sub" in line["claims"]
    assert SUBJECT not in json.dumps(line)
