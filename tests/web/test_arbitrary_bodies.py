"""Whatever JSON is sent to the management API, it is taken or refused in words: never an error of ours."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.okta_events import ENDING_EVENTS
from tests.support.asgi import Api, bearer, gtr_path, gtr_url
from tests.support.heard import listening
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event, okta_user
from tests.web.examples import READING, Example, name_of, prepare

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = [name_of(each) for each in READING]
CLOSELY = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "\x00", "\ud800", "\U0001f469\u200d\U0001f680", "x" * 3000, "http://[::1", "https://\uff0e", "}{", "-0"]
    ),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**63, -(2**63) - 1, 10**30]), st.floats(), TEXTS
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def bent(draw: st.DrawFn, body: Any) -> Any:
    """A body that is taken, with some of its members, at any depth, replaced by anything or left out."""
    if isinstance(body, Mapping):
        found = {}
        for name, value in body.items():
            match draw(st.integers(0, 5)):
                case 0:
                    found[name] = draw(ANYTHING)
                case 1:
                    pass
                case _:
                    found[name] = draw(bent(value))
        return found
    if isinstance(body, list) and body:
        return [draw(bent(each)) for each in body] * draw(st.integers(1, 2))
    return body if draw(st.booleans()) else draw(SCALARS)


def written(value: Any) -> bytes:
    """As JSON; NaN, Infinity and lone surrogates stand there as Python writes them."""
    return json.dumps(value).encode()


@pytest.mark.parametrize("name", NAMES)
@CLOSELY
@given(data=st.data())
async def test_any_json_is_answered_in_words(api: Api, idp: IdentityProvider, name: str, data: st.DataObject) -> None:
    example = (await prepared(api, idp))[name]
    everything = WITH_ALL_MEMBERS.get(name, {})
    full = {**example.body, **everything} if isinstance(example.body, Mapping) else example.body
    body = data.draw(st.one_of(ANYTHING, bent(full), bent(full)))
    answer = await api.call(example.method, example.path, raw=written(body))

    assert answer.status_code < 500
    if not answer.is_success:
        assert set(answer.json()) == {"error", "error_description"}
        assert len(answer.json()["error_description"]) < 1000


@CLOSELY
@given(data=st.data())
async def test_any_json_at_the_door_is_answered_in_words(api: Api, idp: IdentityProvider, data: st.DataObject) -> None:
    await prepared(api, idp)
    subject = {"format": "aliases", "identifiers": [{"format": "email", "email": "ada@example.com"}]}
    body = data.draw(st.one_of(ANYTHING, bent({"sub_id": subject}), bent({"subject": subject["identifiers"]})))
    assertion = idp.assertion(audience=gtr_url("okta"), alg="ES256", now_s=api.clock.now_s)
    headers = {"Content-Type": "application/json"}
    answer = await api.call("POST", gtr_path("okta"), raw=written(body), by=bearer(assertion), headers=headers)

    assert answer.status_code in {204, 400, 404}
    if answer.status_code != 204:
        assert set(answer.json()) == {"error", "error_description"}


@CLOSELY
@given(data=st.data())
async def test_any_json_at_the_event_hook_is_answered_in_words_and_no_line_repeats_it(
    api: Api, idp: IdentityProvider, data: st.DataObject
) -> None:
    await prepared(api, idp)
    secret = {"okta_event_hook_secret": HOOK_SECRET}
    await api.connection(idp, "shop", name="hooked", options=secret)
    kinds = st.sampled_from([*ENDING_EVENTS, "user.session.start"])
    events = [okta_event(data.draw(kinds), at_ms=api.clock.now_ms(), target=[okta_user(), None]) for _ in range(3)]
    whole = okta_batch(*events)
    within = okta_batch(*(data.draw(st.one_of(ANYTHING, bent(each), bent(each))) for each in events))
    body = data.draw(st.one_of(ANYTHING, bent(whole), st.just(within), st.just(within)))
    authorization = data.draw(st.sampled_from([HOOK_SECRET, f"Bearer {HOOK_SECRET}", "wrong"]))
    with listening() as heard:
        answer = await api.call("POST", hook_path("hooked"), raw=written(body), by={"Authorization": authorization})

    assert answer.status_code in ({401} if authorization == "wrong" else {200, 400})
    if answer.status_code == 200:
        assert sum(answer.json().values()) == len(body["data"]["events"])
    else:
        assert set(answer.json()) == {"error", "error_description"}
        assert len(answer.json()["error_description"]) < 200
    for line in (json.dumps(each, default=str) for each in heard.lines):
        assert HOOK_SECRET not in line
        assert "ada@" not in line


WITH_ALL_MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "POST /api/v2/sessions": {
        "identifiers": [{"format": "email", "email": "ada@example.com"}],
        "upstream_sid": "upstream",
        "auth_time": 1_700_000_000,
        "expires_in": 60,
        "clients": [{"client_id": "shop", "sub": "ada", "sid": "one"}],
    },
    "POST /api/v2/sessions/{session_id}/clients": {"sub": "ada", "sid": "two"},
    "POST /api/v2/refresh-tokens": {
        "scope": "openid",
        "offline": True,
        "expires_in": 60,
        "idle_expires_in": 30,
        "token": "a-token-minted-elsewhere",
    },
    "POST /api/v2/refresh-tokens/rotate": {"token": "a-successor-minted-elsewhere"},
    "PATCH /api/v2/connections/{connection_id}": {"enabled": True, "enabled_clients": ["shop", "wiki"]},
    "POST /api/v2/clients": {"client_name": "Third", "id_token_signed_response_alg": "ES256"},
    "PATCH /api/v2/clients/{client_id}": {
        "backchannel_logout_uri": "https://shop.example.com/logout",
        "backchannel_logout_session_required": True,
        "id_token_signed_response_alg": "EdDSA",
    },
    "POST /api/v2/revocations": {"reason": "ticket 7"},
}
"""The members that may be left out."""


async def prepared(api: Api, idp: IdentityProvider) -> Mapping[str, Example]:
    """Examples, made once for all the bodies one test tries."""
    await api.resources.record.client.flushall()
    api.secrets.clear()
    return await prepare(api, idp)
