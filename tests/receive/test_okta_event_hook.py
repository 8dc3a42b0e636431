"""The door for Okta's event hooks: what a batch leaves behind, what is counted and logged, and what Redis's absence does."""

import asyncio
import json
from typing import Any

import pytest

from service.domain.okta_events import ENDING_EVENTS
from service.receive.okta_event_hook import AT_ONCE
from service.store import people
from tests.support.asgi import Api, refused
from tests.support.breaks import Moment, redis_away
from tests.support.heard import listening
from tests.support.hook_door import EMAIL, HookDoor
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, okta_user
from tests.support.tokens import REMOVED

pytestmark = pytest.mark.asyncio(loop_scope="module")

UUID = "f790999f-fe87-467a-9880-6982a583986c"


def counted(api: Api) -> dict[tuple[str, str], float]:
    """What the process has counted of events, by type and outcome."""
    return {
        (sample.labels["type"], sample.labels["outcome"]): sample.value
        for metric in api.resources.numbers.okta_events.collect()
        for sample in metric.samples
        if sample.name == "logoutd_okta_events_total"
    }


async def test_each_event_is_counted_once_and_told_in_one_line_without_a_name(api: Api, idp: IdentityProvider) -> None:
    door = await HookDoor.open(api, idp)
    repeated = door.event("user.session.end", uuid=UUID)
    await door.told(repeated)
    stranger = [okta_user("00u2ben", "ben@example.com")]
    for event, shown, outcome in (
        (door.event(), "user.session.clear", "revoked"),
        (repeated, "user.session.end", "repeated"),
        (door.event("user.lifecycle.suspend", target=stranger), "user.lifecycle.suspend", "unknown_person"),
        (door.event("user.lifecycle.suspend", target=[]), "user.lifecycle.suspend", "no_person"),
        (door.event(outcome={"result": "FAILURE"}), "user.session.clear", "not_done"),
        (door.event(uuid=REMOVED), "user.session.clear", "malformed"),
        (door.event("user.session.start"), "other", "ignored"),
        (door.event("ada@example.com"), "other", "ignored"),
        ("ada@example.com", "other", "malformed"),
    ):
        before = counted(api)
        with listening() as heard:
            answer = await door.send(event)
        assert answer.status_code == 200
        after = counted(api)
        changed = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
        assert changed == {(shown, outcome): 1}
        line = heard.one("okta_event")
        assert (line["type"], line["outcome"]) == (shown, outcome)
        assert (line["level"] == "warning") is (outcome == "malformed")
        assert line["people"] == (1 if outcome in {"revoked", "repeated"} else 0)
        assert (line["connection"], line["door"]) == ("okta", "okta_event_hook")
        assert line["uuid"] == (event.get("uuid") if isinstance(event, dict) else None)
        written = json.dumps(heard.lines, default=str)
        for private in ("@example.com", "00u1ada", "00u2ben", HOOK_SECRET, "192.0.2.7"):
            assert private not in written


async def test_a_uuid_that_is_none_is_not_repeated_in_the_log_and_still_names_the_event(
    api: Api, idp: IdentityProvider
) -> None:
    door = await HookDoor.open(api, idp)
    event = door.event(uuid="ada@example.com \ud800")
    with listening() as heard:
        assert [await door.told(event), await door.told(event)] == [(1, 0)] * 2
    assert [(line["uuid"], line["outcome"]) for line in heard.of("okta_event")] == [
        (None, "revoked"),
        (None, "repeated"),
    ]
    assert len(await door.receipts()) == 1


async def test_a_refusal_is_counted_by_its_reason_and_told_without_the_secret(api: Api, idp: IdentityProvider) -> None:
    door = await HookDoor.open(api, idp)
    await api.connection(idp, name="no-hook")
    almost = HOOK_SECRET[:-1]
    for asked, reason in (
        (door.send(door.event(), authorization=almost), "wrong_hook_secret"),
        (door.send(door.event(), authorization=None), "missing_hook_secret"),
        (door.send(door.event(), authorization="x" * 9000), "malformed_hook_secret"),
        (door.send(door.event(), name="no-hook"), "no_hook_secret"),
        (door.send(door.event(), name="nowhere"), "unknown_connection"),
        (door.send_body(b"{"), "invalid_request"),
        (door.verification(), "invalid_request"),
    ):
        requests = api.resources.numbers.door_requests.labels("okta_event_hook", reason)
        before = requests._value.get()
        with listening() as heard:
            await asked
        assert requests._value.get() == before + 1
        assert heard.one("door.refused")["outcome"] == reason
        assert almost not in json.dumps(heard.lines, default=str)


async def test_the_uuid_of_one_connection_is_not_that_of_another(api: Api, idp: IdentityProvider) -> None:
    door = await HookDoor.open(api, idp)
    await api.connection(idp, "shop", name="other", options={"okta_event_hook_secret": "the-others-secret"})
    body = {"connection": "other", "subject": {"iss": idp.issuer, "sub": "00u1ada"}, "clients": [{"client_id": "shop"}]}
    there = (await api.post("/api/v2/sessions", body)).json()
    event = door.event()
    await door.told(event)
    assert not await door.is_over(there["session_id"])
    answer = await door.send(event, name="other", authorization="the-others-secret")
    assert answer.json() == {"revocations": 1, "ignored": 0}
    assert await door.is_over(there["session_id"])


async def test_an_event_that_names_too_many_people_does_not_take_the_others_along(
    api: Api, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = await HookDoor.open(api, idp)
    await api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": "00u2ben"}, identifiers=[EMAIL])
    monkeypatch.setattr(people, "MAX_PEOPLE", 1)
    both = door.event("user.lifecycle.suspend", target=[okta_user("00u9nobody")])
    with listening() as heard:
        assert await door.told(both, door.event()) == (1, 1)
    assert sorted(line["outcome"] for line in heard.of("okta_event")) == ["cannot_be_ended", "revoked"]
    assert await door.everything_is_dead()


async def test_every_kind_of_event_at_once_and_again_at_once(api: Api, idp: IdentityProvider) -> None:
    door = await HookDoor.open(api, idp)
    events = [door.event(each) for each in ENDING_EVENTS for _ in range(3)]
    assert len(events) > 2 * AT_ONCE
    answers = await asyncio.gather(*(door.told(*events) for _ in range(4)))
    assert answers == [(len(events), 0)] * 4
    assert len(await door.receipts()) == len(events)
    assert await door.everything_is_dead()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_redis_away_at_any_moment_is_503_and_the_repeat_finishes_it(
    api: Api, idp: IdentityProvider, moment: Moment
) -> None:
    at = 0
    while True:
        at += 1
        await api.resources.record.client.flushall()
        api.secrets.clear()
        door = await HookDoor.open(api, idp)
        ben = await api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": "00u2ben"})
        events = [door.event(), door.event("user.session.end", target=[okta_user("00u2ben", "ben@example.com")])]
        with redis_away(at=at, moment=moment) as broken:
            answer = await door.send(*events)
        if not broken.happened:
            break
        refused(answer, 503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert await door.told(*events) == (2, 0)
        assert await door.everything_is_dead()
        assert await door.is_over(ben["session_id"])
        assert len(await door.receipts()) == 2
    assert answer.json() == {"revocations": 2, "ignored": 0}
    assert at > 8, "the connection, and for each event: the person, the record, the cut-off, that it is done"


async def test_a_batch_is_not_gone_on_with_once_redis_is_away(api: Api, idp: IdentityProvider) -> None:
    door = await HookDoor.open(api, idp)
    events: list[Any] = [door.event() for _ in range(5 * AT_ONCE)]
    with redis_away(at=2, moment="before") as broken:
        refused(await door.send(*events), 503, "temporarily_unavailable")
    # Okta waits three seconds: with Redis hanging, each further group would take as long as the first.
    assert broken.calls <= 1 + AT_ONCE
    assert await door.nothing_happened()
