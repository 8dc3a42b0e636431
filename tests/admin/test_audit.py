"""The audit trail through the API: what each act leaves in it, what narrows it down, and that it can be proved."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from service.admin import audit
from service.store import keyspace
from service.store.audit import MOST_A_MINUTE
from service.store.audit_seals import Seals
from tests.support.asgi import (
    ADMIN_TOKEN,
    CREDENTIAL,
    NOBODY,
    SUBJECT,
    Api,
    basic,
    bcl_path,
    bearer,
    gtr_path,
    gtr_url,
    refused,
    sign_in_body,
)
from tests.support.breaks import redis_away
from tests.support.contents import trail
from tests.support.dead_letters import let_die
from tests.support.documented import validator_of
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event, okta_user

EMAIL = {"format": "email", "email": "ada@example.com"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def entries(api: Api, query: str = "") -> list[dict[str, Any]]:
    """The trail by the API, the oldest first."""
    answer = await api.get(f"/api/v2/audit/export?{query}")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def left_by(api: Api, act: Callable[[], Awaitable[httpx.Response]], *, status: int) -> list[dict[str, Any]]:
    """What one request adds to the trail."""
    before = len(await entries(api))
    answer = await act()
    assert answer.status_code == status, answer.text
    return (await entries(api))[before:]


def worker(api: Api) -> Seals:
    """A worker that has just been started: it remembers no seal of the test before."""
    return Seals(api.resources.record, api.resources.trail, keep_ms=86_400_000)


def shown(entry: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(entry.get(each) for each in names)


class TestAMessageAtADoor:
    async def test_that_signs_somebody_out_leaves_the_revocation_with_who_asked(
        self, api: Api, idp: IdentityProvider
    ) -> None:
        connection = await api.connection(idp, "shop")
        await api.sign_in(idp, "shop", identifiers=[EMAIL])
        (entry,) = await left_by(api, lambda: api.global_token_revocation(idp, {"sub_id": EMAIL}), status=204)
        assert shown(entry, "event", "door", "initiator", "scope", "people_total") == (
            "revocation.recorded",
            "global_token_revocation",
            "global_token_revocation",
            "everything",
            1,
        )
        assert entry["actor"] == {"type": "connection", "id": connection["id"], "issuer": idp.issuer}
        assert entry["origin"]["network"] == "127.0.0.0/24"
        assert entry["request_id"]
        (person,) = entry["people"]
        assert person.startswith("prs_")

    async def test_that_comes_again_leaves_that_it_was_repeated(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop")
        await api.sign_in(idp, "shop", identifiers=[EMAIL])
        assertion = idp.assertion(audience=gtr_url("okta"), alg="ES256", now_s=api.clock.now_s)

        async def send() -> httpx.Response:
            return await api.global_token_revocation(idp, {"sub_id": EMAIL}, assertion=assertion)

        (first,) = await left_by(api, send, status=204)
        (again,) = await left_by(api, send, status=204)
        assert again["event"] == "revocation.repeated"
        assert again["revocation_id"] == first["revocation_id"]

    async def test_that_names_nobody_leaves_that_it_was_accepted_or_refused_as_it_was(
        self, api: Api, idp: IdentityProvider
    ) -> None:
        await api.connection(idp, "shop")
        (entry,) = await left_by(
            api, lambda: api.backchannel_logout(idp.logout_token(sub="nobody", now_s=api.clock.now_s)), status=200
        )
        assert shown(entry, "event", "door", "reason") == ("message.accepted", "backchannel_logout", None)
        assert entry["actor"]["issuer"] == idp.issuer
        (entry,) = await left_by(api, lambda: api.global_token_revocation(idp, {"sub_id": EMAIL}), status=404)
        assert shown(entry, "event", "reason") == ("message.refused", "not_found")
        assert entry["actor"]["type"] == "connection"

    @pytest.mark.parametrize("path", [gtr_path("okta"), bcl_path("okta"), hook_path("okta")])
    async def test_that_proves_nothing_is_nobodys_and_names_the_door_that_was_tried(
        self, api: Api, idp: IdentityProvider, path: str
    ) -> None:
        connection = await api.connection(idp, "shop", options={"okta_event_hook_secret": HOOK_SECRET})
        form = {"data": {"logout_token": "x"}} if "backchannel" in path else {"json": {}}
        (entry,) = await left_by(
            api,
            lambda: api.http.post(path, headers=bearer("x"), **form),
            status=400 if "backchannel" in path else 401,
        )
        assert entry["event"] == "message.refused"
        assert entry["actor"] == {"type": "anyone"}
        assert entry["connection_id"] == connection["id"]
        assert entry["reason"]

    async def test_to_a_connection_that_does_not_exist_leaves_no_name_a_stranger_chose(self, api: Api) -> None:
        (entry,) = await left_by(
            api, lambda: api.http.post(gtr_path("ada-at-example-com"), json={}, headers=bearer("x")), status=401
        )
        assert "connection_id" not in entry
        assert "ada-at" not in str(entry)

    async def test_of_many_events_leaves_one_entry_for_each_that_ended_something(
        self, api: Api, idp: IdentityProvider
    ) -> None:
        connection = await api.connection(idp, "shop", options={"okta_event_hook_secret": HOOK_SECRET})
        await api.sign_in(idp, "shop", identifiers=[{"format": "opaque", "id": "00u1ada"}])
        now_ms = api.clock.now_ms()
        batch = okta_batch(
            okta_event("user.session.clear", at_ms=now_ms, target=[okta_user(SUBJECT, "ada@example.com")]),
            okta_event("user.session.start", at_ms=now_ms),
        )

        async def send() -> httpx.Response:
            return await api.http.post(hook_path("okta"), json=batch, headers=bearer(HOOK_SECRET))

        (entry,) = await left_by(api, send, status=200)
        assert shown(entry, "event", "initiator", "scope") == ("revocation.recorded", "okta_event_hook", "begun_by")
        assert entry["actor"] == {"type": "connection", "id": connection["id"]}

    async def test_floods_are_bounded_and_counted(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop")
        before = len(await entries(api))
        for _ in range(MOST_A_MINUTE * 3):
            answer = await api.http.post(gtr_path("okta"), json={}, headers=bearer("x"))
            assert answer.status_code == 401
        assert len(await entries(api)) - before <= MOST_A_MINUTE * 2 + 1, "at most one turn of the minute came between"

    async def test_whose_refusal_cannot_be_told_is_refused_all_the_same(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop")
        with redis_away(at=2, moment="before") as broken:
            answer = await api.http.post(gtr_path("okta"), json={}, headers=bearer("x"))
        assert broken.happened
        assert answer.status_code == 401


class TestAnOperatorsAct:
    async def test_leaves_that_it_is_about_to_be_done_and_that_it_was(self, api: Api) -> None:
        asked, done = await left_by(
            api,
            lambda: api.post("/api/v2/clients", {"client_id": "shop", "client_name": "The Shop of Ada"}),
            status=201,
        )
        assert shown(asked, "event", "operation") == ("operation.requested", "create_client")
        assert shown(done, "event", "operation", "resource", "members", "status") == (
            "operation.done",
            "create_client",
            "shop",
            ["client_id", "client_name"],
            201,
        )
        assert asked["actor"] == done["actor"]
        assert done["actor"]["type"] == "operator"
        assert done["actor"]["id"].startswith("opr_")
        assert "Ada" not in str(done)

    async def test_names_members_and_never_values(self, api: Api, idp: IdentityProvider) -> None:
        connection = await api.connection(idp)
        _, done = await left_by(
            api,
            lambda: api.patch(
                f"/api/v2/connections/{connection['id']}",
                {"display_name": "hidden", "options": {"client_secret": "hidden-too"}},
            ),
            status=200,
        )
        assert done["members"] == ["display_name", "options.client_secret"]
        assert done["resource"] == connection["id"]
        assert "hidden" not in str(done)

    async def test_on_a_connections_clients_names_them(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop", "wiki")
        changes = [{"client_id": "shop", "status": False}, {"client_id": "wiki", "status": True}]
        _, done = await left_by(api, lambda: api.patch("/api/v2/connections/okta/clients", changes), status=200)
        assert done["members"] == ["shop", "wiki"]

    @pytest.mark.parametrize(
        ("method", "path", "operation"),
        [
            ("POST", "/api/v2/clients/shop/secret", "replace_client_secret"),
            ("DELETE", "/api/v2/clients/shop", "delete_client"),
            ("DELETE", "/api/v2/connections/okta", "delete_connection"),
            ("POST", "/api/v2/connections/okta/test", "check_connection"),
        ],
    )
    async def test_without_a_body_is_told_too(
        self, api: Api, idp: IdentityProvider, method: str, path: str, operation: str
    ) -> None:
        await api.connection(idp, "shop")
        before = len(await entries(api))
        assert (await api.call(method, path)).is_success
        told = (await entries(api))[before:]
        assert [shown(each, "event", "operation") for each in told] == [
            ("operation.requested", operation),
            ("operation.done", operation),
        ]
        assert told[1]["resource"] == path.split("/")[4]

    async def test_names_what_it_is_to_be_done_to_before_anything_is_done(
        self, api: Api, idp: IdentityProvider
    ) -> None:
        connection = await api.connection(idp, "shop")
        for path, resource in (("okta", "okta"), (connection["id"], connection["id"]), ("ada-example-com", None)):
            before = len(await entries(api))
            answer = await api.patch(f"/api/v2/connections/{path}", {"display_name": "x", "unknown": 1})
            assert answer.status_code in {400, 404}
            told = (await entries(api))[before:]
            assert [shown(each, "event", "resource") for each in told] == [
                ("operation.requested", resource),
                ("operation.failed", resource),
            ], "what there is, and no name that somebody made up"

    async def test_on_a_delivery_names_its_revocation(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop")
        session = await api.sign_in(idp, "shop")
        rid = (await api.delete(f"/api/v2/sessions/{session['session_id']}")).json()["revocation_id"]
        dead = await let_die(api.resources, rid, "shop")
        asked, done = await left_by(api, lambda: api.post(f"/api/v2/deliveries/{dead}/redeliver"), status=202)
        assert asked["resource"] == done["resource"] == rid
        assert dead not in str(await entries(api)), "its own id is made of its person's"
        for unknown in (f"dlv_{'a' * 26}_{'b' * 13}", "dlv", "x"):
            (asked, failed) = await left_by(
                api,
                lambda unknown=unknown: api.post(f"/api/v2/deliveries/{unknown}/redeliver"),
                status=404,  # type: ignore[misc]
            )
            assert "resource" not in asked
            assert "resource" not in failed

    async def test_that_fails_leaves_why(self, api: Api) -> None:
        _, failed = await left_by(api, lambda: api.patch("/api/v2/clients/nobody", {"client_name": "x"}), status=404)
        assert shown(failed, "event", "operation", "reason") == ("operation.failed", "update_client", "not_found")

    async def test_is_not_begun_when_it_cannot_be_told(self, api: Api) -> None:
        await api.client("shop")
        await api.resources.trail.pseudonyms.key()
        with redis_away(at=1, moment="before"):
            refused(await api.patch("/api/v2/clients/shop", {"client_name": "x"}), 503, "temporarily_unavailable")
        assert (await api.get("/api/v2/clients/shop")).json()["client_name"] is None

    async def test_that_was_done_is_answered_though_that_cannot_be_told(self, api: Api) -> None:
        with redis_away(at=1000, moment="before") as counting:
            await api.post("/api/v2/clients", {"client_id": "wiki"})
        before = len(await entries(api))
        with redis_away(at=counting.calls, moment="before") as broken:
            answer = await api.post("/api/v2/clients", {"client_id": "shop"})
        assert broken.happened
        assert answer.status_code == 201
        assert answer.json()["client_secret"]
        assert [each["event"] for each in (await entries(api))[before:]] == ["operation.requested"]

    async def test_that_signs_somebody_out_is_told_as_the_revocation_it_makes(
        self, api: Api, idp: IdentityProvider
    ) -> None:
        await api.connection(idp, "shop")
        session = await api.sign_in(idp, "shop", identifiers=[EMAIL])
        body = {"connection": "okta", "subject": EMAIL, "reason": "Ada has left"}
        (foretold,) = await left_by(api, lambda: api.post("/api/v2/revocations?dry_run=true", body), status=200)
        (first,) = await left_by(api, lambda: api.post("/api/v2/revocations", body), status=202)
        path = f"/api/v2/users/{session['user_id']}/sessions"
        (second,) = await left_by(api, lambda: api.delete(path), status=202)
        assert shown(foretold, "event", "people_total") == ("revocation.dry_run", 1)
        assert shown(first, "event", "initiator") == ("revocation.recorded", "operator")
        assert shown(second, "event", "initiator") == ("revocation.recorded", "user_sessions_delete")
        assert {each["actor"]["type"] for each in (foretold, first, second)} == {"operator"}
        assert foretold["people"] == first["people"] == second["people"]
        assert "Ada" not in str(first)

    async def test_that_only_reads_leaves_nothing(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop")
        for path in ("/api/v2/clients", "/api/v2/connections/okta", "/api/v2/audit", "/api/v2/audit/verification"):
            assert await left_by(api, lambda path=path: api.get(path), status=200) == []  # type: ignore[misc]


class TestARefusedCall:
    async def test_is_told_with_its_reason_whoever_it_was(self, api: Api) -> None:
        await api.client("shop")
        for by in (NOBODY, bearer("wrong-token-of-a-stranger"), basic("shop", "wrong")):
            (entry,) = await left_by(api, lambda by=by: api.get("/api/v2/clients", by=by), status=401)  # type: ignore[misc]
            assert shown(entry, "event", "operation") == ("operation.refused", "list_clients")
            assert entry["actor"] == {"type": "anyone"}
            assert "wrong-token" not in str(entry)

    async def test_of_an_application_for_another_names_the_application(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop", "wiki")
        session = await api.sign_in(idp, "shop")
        body = {"session_id": session["session_id"], "client_id": "shop"}
        (entry,) = await left_by(api, lambda: api.post("/api/v2/refresh-tokens", body, by=api.by("wiki")), status=403)
        assert shown(entry, "event", "reason", "actor") == (
            "operation.refused",
            "access_denied",
            {"type": "application", "id": "wiki"},
        )

    async def test_of_a_sign_in_that_comes_too_late_is_told(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop")
        session = await api.sign_in(idp, "shop")
        await api.delete(f"/api/v2/users/{session['user_id']}/sessions")
        body = sign_in_body(idp, "shop", auth_time=api.clock.now_s - 10)
        (entry,) = await left_by(api, lambda: api.post("/api/v2/sessions", body), status=409)
        assert shown(entry, "event", "reason") == ("sign_in.refused", "reauthentication_required")

    async def test_everyday_calls_that_succeed_leave_nothing(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop")
        before = len(await entries(api))
        session = await api.sign_in(idp, "shop")
        token = await api.refresh_token(session, "shop")
        await api.introspect(token)
        await api.post("/api/v2/refresh-tokens/rotate", {"refresh_token": token, "client_id": "shop"})
        assert len(await entries(api)) == before


class TestReading:
    async def test_is_by_pages_from_the_newest_on(self, api: Api) -> None:
        for number in range(5):
            await api.client(f"app-{number}")
        every = (await api.get("/api/v2/audit?limit=100")).json()["items"]
        walked, cursor = [], ""
        while cursor is not None:
            answer = (await api.get(f"/api/v2/audit?limit=3{cursor and f'&cursor={cursor}'}")).json()
            walked += answer["items"]
            cursor = answer["next_cursor"]
        assert walked == every
        assert list(reversed(every)) == await entries(api)

    async def test_is_narrowed_down_by_event_connection_person_and_time(self, api: Api, idp: IdentityProvider) -> None:
        first = await api.connection(idp, "shop")
        other = await api.connection(idp, name="other")
        ada = await api.sign_in(idp, "shop")
        ben = await api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": "ben"})
        for each in (ada, ben):
            assert (await api.delete(f"/api/v2/users/{each['user_id']}/sessions")).status_code == 202
        await api.http.post(gtr_path("other"), json={}, headers=bearer("x"))

        (of_ada,) = await entries(api, f"user_id={ada['user_id']}")
        (of_ben,) = await entries(api, f"user_id={ben['user_id']}")
        assert of_ada["people"] != of_ben["people"]
        assert [each["event"] for each in await entries(api, "connection=other")] == ["message.refused"]
        assert await entries(api, f"connection={other['id']}") == await entries(api, "connection=other")
        assert len(await entries(api, f"connection={first['id']}&event=revocation.recorded")) == 2
        since, until = of_ada["at"], of_ben["at"]
        told = await entries(api, f"since={since}&until={until}")
        assert all(since <= each["at"] < until for each in told)
        assert (of_ada in told) == (since != until)
        assert of_ben not in told
        for query in (f"user_id={ada['user_id']}", "event=revocation.recorded", f"since={since}"):
            listed = (await api.get(f"/api/v2/audit?{query}")).json()["items"]
            assert listed == list(reversed(await entries(api, query)))

    async def test_of_a_removed_connection_goes_by_its_id(self, api: Api, idp: IdentityProvider) -> None:
        connection = await api.connection(idp, "shop")
        await api.http.post(gtr_path("okta"), json={}, headers=bearer("x"))
        await api.delete("/api/v2/connections/okta")
        assert len(await entries(api, f"connection={connection['id']}")) == 1
        refused(await api.get("/api/v2/audit?connection=okta"), 404, "not_found")

    async def test_looks_at_no_more_than_it_says_for_one_page(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit, "MOST_READ", 4)
        monkeypatch.setattr(audit, "CHUNK", 3)
        for number in range(5):
            await api.client(f"app-{number}")
        await api.get("/api/v2/clients", by=NOBODY)
        found = (await api.get("/api/v2/audit?event=operation.refused&limit=1")).json()
        assert len(found["items"]) == 1
        rest = (await api.get(f"/api/v2/audit?event=operation.refused&cursor={found['next_cursor']}")).json()
        assert rest["items"] == []
        assert rest["next_cursor"] is not None, "four of ten were looked at"

    async def test_of_a_long_trail_is_a_stream(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit, "CHUNK", 3)
        for number in range(5):
            await api.client(f"app-{number}")
        answer = await api.get("/api/v2/audit/export")
        assert answer.headers["content-type"].startswith("application/jsonl")
        assert answer.headers["cache-control"] == "no-store"
        assert [json.loads(line)["id"] for line in answer.text.splitlines()] == [
            each["id"] for each in await entries(api)
        ]
        assert len(answer.text.splitlines()) == 10

    @pytest.mark.parametrize("path", ["/api/v2/audit", "/api/v2/audit/export"])
    @pytest.mark.parametrize(
        ("query", "status", "naming"),
        [
            ("event=nothing", 400, "event"),
            ("since=yesterday", 400, "since"),
            ("since=2026-01-01", 400, "since"),
            ("since=2026-01-01T00:00:00", 400, "since"),
            ("until=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", 400, "until"),
            ("until=1969-01-01T00:00:00Z", 400, "until"),
            ("connection=nobody", 404, "connection"),
            ("user_id=usr_nobody", 404, "user"),
            ("surprise=1", 400, "surprise"),
        ],
    )
    async def test_what_cannot_be_meant_is_refused(
        self, api: Api, path: str, query: str, status: int, naming: str
    ) -> None:
        refused(await api.get(f"{path}?{query}"), status, "not_found" if status == 404 else "invalid_request", naming)

    @pytest.mark.parametrize("entry_id", ["*", "9999999999999999-1", "18446744073709551614-18446744073709551615"])
    async def test_shows_what_somebody_else_put_in_as_far_as_it_can_be_told(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, entry_id: str
    ) -> None:
        monkeypatch.setattr(audit, "CHUNK", 1)
        record, texts = api.resources.record, [b"\xff", b'{"event":["x"]}', b'{"event":"x"}']
        entry = b'{"version":1,"event":"operation.done","actor":{"type":"operator"},%s}'
        texts += [
            entry % each
            for each in (
                b'"reason":NaN',
                b'"reason":1e999',
                b'"reason":"\\ud800"',
                b'"since_ms":"y"',
                b'"id":"y"',
                b'"at":1',
            )
        ]
        for place, text in enumerate(texts):
            await record.run("XADD", keyspace.AUDIT_TRAIL, entry_id if place == 0 else "*", "entry", text)
        shown, cursor = [], ""
        while True:
            page = (await api.get(f"/api/v2/audit?limit=1{cursor}")).json()
            shown += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        exported = [json.loads(line) for line in (await api.get("/api/v2/audit/export")).text.splitlines()]
        assert shown == exported[::-1]
        assert [each["event"] for each in shown] == ["operation.done"] * 3
        assert [each["id"] for each in shown] == sorted((each["id"] for each in shown), reverse=True)
        assert not any("since" in each for each in shown)

    async def test_a_cursor_of_another_list_is_refused(self, api: Api) -> None:
        for client_id in ("one", "two"):
            await api.client(client_id)
        cursor = (await api.get("/api/v2/clients?limit=1")).json()["next_cursor"]
        for path in ("/api/v2/audit", "/api/v2/audit/verification"):
            refused(await api.get(f"{path}?cursor={cursor}"), 400, "invalid_request", "cursor")

    async def test_every_entry_is_as_documented(self, api: Api, idp: IdentityProvider) -> None:
        await api.connection(idp, "shop")
        for _ in range(MOST_A_MINUTE * 2 + 2):
            await api.http.post(gtr_path("okta"), json={}, headers=bearer("x"))
        await worker(api).seal()
        validator = validator_of("list_audit_entries", 200)
        page = {"items": await entries(api), "next_cursor": None}
        assert not list(validator.iter_errors(page))


class TestVerification:
    async def test_finds_a_trail_as_it_was_written_and_one_that_is_not(self, api: Api) -> None:
        await api.client("shop")
        assert await worker(api).seal()
        await api.client("wiki")
        found = (await api.get("/api/v2/audit/verification")).json()
        seal = (await entries(api))[2]
        assert found == {
            "entries": 2,
            "seals": 1,
            "unverified": 0,
            "unsealed": 2,
            "number": 1,
            "seal": seal["seal"],
            "problem": None,
            "next_cursor": None,
        }
        first = (await entries(api))[0]
        await api.resources.record.run("XDEL", keyspace.AUDIT_TRAIL, first["id"])
        found = (await api.get("/api/v2/audit/verification")).json()
        assert "not as it was written" in found["problem"]

    async def test_goes_on_where_it_was(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("service.store.audit_verification.MOST_AT_ONCE", 2)
        for client_id in ("shop", "wiki", "board"):
            await api.client(client_id)
            await worker(api).seal()
        parts, cursor = [], ""
        while cursor is not None:
            parts.append((await api.get(f"/api/v2/audit/verification{cursor and f'?cursor={cursor}'}")).json())
            cursor = parts[-1]["next_cursor"]
        assert len(parts) > 1
        assert sum(each["seals"] for each in parts) == 3
        assert [each["number"] for each in parts] == sorted(each["number"] for each in parts)

    async def test_finds_the_seal_that_is_expected_or_not(self, api: Api) -> None:
        await api.client("shop")
        await worker(api).seal()
        found = (await api.get("/api/v2/audit/verification")).json()
        expecting = f"/api/v2/audit/verification?expect={found['number']}:{found['seal']}"
        assert (await api.get(expecting)).json() == found
        await api.resources.record.run("DEL", keyspace.AUDIT_TRAIL, keyspace.AUDIT_SEAL)
        assert (await api.get("/api/v2/audit/verification")).json()["problem"] is None
        assert "expected" in (await api.get(expecting)).json()["problem"]

    @pytest.mark.parametrize(
        "query", ["expect=1", f"expect=x:{'0' * 64}", f"expect=1:{'0' * 63}", "expect=&expect=", "a=1"]
    )
    async def test_of_what_cannot_be_meant_is_refused(self, api: Api, query: str) -> None:
        refused(await api.get(f"/api/v2/audit/verification?{query}"), 400, "invalid_request")


async def test_no_secret_and_nobodys_name_is_in_the_trail(api: Api, idp: IdentityProvider, redis_url: str) -> None:
    await api.connection(idp, "shop", options={"okta_event_hook_secret": HOOK_SECRET})
    phone = {"format": "phone_number", "phone_number": "+491701234567"}
    session = await api.sign_in(idp, "shop", identifiers=[EMAIL, phone])
    token = await api.refresh_token(session, "shop")
    await api.get("/api/v2/users/ada@example.com")
    await api.delete("/api/v2/clients/ada@example.com")
    await api.call("PATCH", "/api/v2/connections/okta", {"ada@example.com": "x"})
    await api.global_token_revocation(idp, {"sub_id": {"format": "email", "email": "ben@example.com"}})
    await api.global_token_revocation(idp, {"sub_id": phone})
    await api.backchannel_logout(idp.logout_token(sub=SUBJECT, now_s=api.clock.now_s))
    await api.post("/api/v2/revocations", {"connection": "okta", "subject": EMAIL, "reason": "ada@example.com"})
    text = repr(trail(redis_url))
    assert text.count("'event'") > 8
    for secret in (
        "ada@",
        "ben@",
        "491701234567",
        SUBJECT,
        session["user_id"],
        session["session_id"],
        token,
        ADMIN_TOKEN,
        CREDENTIAL,
        HOOK_SECRET,
        api.secrets["shop"],
    ):
        assert secret not in text, secret
    assert {each["origin"]["network"] for each in trail(redis_url)} == {"127.0.0.0/24"}
    assert {each["origin"]["address"][:4] for each in trail(redis_url)} == {"adr_"}
