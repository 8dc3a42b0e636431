"""Whatever is answered with success and ends something waits for replicas where that is asked for, and so does its repeat;
an answer that alone shows a secret waits for none."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from service.accept import Sink
from service.admin.client_answers import ClientWithSecret
from service.app import OPERATIONS
from service.errors import Unavailable
from tests.support.asgi import NOBODY, Api, basic, gtr_url, refused, serving
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event
from tests.support.redis_server import connect
from tests.support.replication import Replicated, free_port, replicated
from tests.support.waiting import eventually

SUBJECT: Final = "00u1ada"


@dataclass(kw_only=True)
class Scene:
    """Somebody signed in at one application, and what is about to be ended. A message is made once: its repeat is the same."""

    api: Api
    idp: IdentityProvider
    connection_id: str
    session: dict[str, Any]
    token: str
    token_id: str

    @cached_property
    def assertion(self) -> str:
        """Of a Global Token Revocation."""
        return self.idp.assertion(audience=gtr_url("okta"), alg="ES256", now_s=self.api.clock.now_s)

    @cached_property
    def logout_token(self) -> str:
        """One that names the person."""
        return self.idp.logout_token(sub=SUBJECT, now_s=self.api.clock.now_s)

    @cached_property
    def strangers_logout_token(self) -> str:
        """One that names nobody known: what it ends is a sign-in on its way."""
        return self.idp.logout_token(sub="00u1nobody", now_s=self.api.clock.now_s)

    @cached_property
    def event(self) -> dict[str, Any]:
        """An Okta event that closes the person's account."""
        return okta_event("user.lifecycle.deactivate", at_ms=self.api.clock.now_ms())

    async def okta(self) -> httpx.Response:
        """The answer to that event."""
        headers = {"Authorization": HOOK_SECRET}
        return await self.api.call("POST", hook_path("okta"), okta_batch(self.event), by=NOBODY, headers=headers)

    @property
    def sub_id(self) -> dict[str, object]:
        """The person."""
        return {"format": "iss_sub", "iss": self.idp.issuer, "sub": SUBJECT}

    @property
    def path(self) -> str:
        """Of the session."""
        return f"/api/v2/sessions/{self.session['session_id']}"


Ending = Callable[[Scene], Awaitable[httpx.Response]]

ENDINGS: Final[dict[str, tuple[Ending, int]]] = {
    "receive_global_token_revocation": (
        lambda s: s.api.global_token_revocation(s.idp, {"sub_id": s.sub_id}, assertion=s.assertion),
        204,
    ),
    "receive_backchannel_logout": (lambda s: s.api.backchannel_logout(s.logout_token), 200),
    "receive_backchannel_logout, of nobody": (lambda s: s.api.backchannel_logout(s.strangers_logout_token), 200),
    "receive_okta_events": (lambda s: s.okta(), 200),
    "delete_session": (lambda s: s.api.delete(s.path), 202),
    "leave_session": (lambda s: s.api.delete(f"{s.path}/clients/crm"), 204),
    "delete_refresh_token": (lambda s: s.api.delete(f"/api/v2/refresh-tokens/{s.token_id}"), 404),
    "revoke_token": (
        lambda s: s.api.http.post("/oauth/revoke", data={"token": s.token}, headers=s.api.by("crm")),
        200,
    ),
    "update_connection": (
        lambda s: s.api.patch(f"/api/v2/connections/{s.connection_id}", {"enabled": False}),
        200,
    ),
    "delete_connection": (lambda s: s.api.delete(f"/api/v2/connections/{s.connection_id}"), 404),
    "update_enabled_clients": (
        lambda s: s.api.patch(
            f"/api/v2/connections/{s.connection_id}/clients", [{"client_id": "crm", "status": False}]
        ),
        200,
    ),
    "release_connection": (
        lambda s: s.api.post(f"/api/v2/connections/{s.connection_id}/release", {"apply": False}),
        200,
    ),
    "update_client": (lambda s: s.api.patch("/api/v2/clients/crm", {"backchannel_logout_uri": None}), 200),
    "delete_client": (lambda s: s.api.delete("/api/v2/clients/crm"), 404),
    "pause_client": (lambda s: s.api.post("/api/v2/clients/crm/pause"), 200),
    "resume_client": (lambda s: s.api.post("/api/v2/clients/crm/resume"), 200),
    "erase_user": (lambda s: s.api.delete(f"/api/v2/users/{s.session['user_id']}"), 202),
    "delete_user_sessions": (lambda s: s.api.delete(f"/api/v2/users/{s.session['user_id']}/sessions"), 202),
    "create_revocation": (
        lambda s: s.api.post("/api/v2/revocations", {"connection": "okta", "subject": s.sub_id}),
        202,
    ),
}
"""What ends something: how it is asked for, and what a repeat is answered once the replica has everything."""

END_NOTHING: Final = frozenset(
    {
        "create_session",
        "join_session",
        "create_refresh_token",
        "rotate_refresh_token",  # a reuse ends a family, and is refused: success is never told of it
        "introspect",
        "create_connection",
        "check_connection",
        "redeliver_delivery",
        "redeliver_revocation",
        "redeliver_client",
    }
)

SHOW_SECRET: Final = frozenset({"create_client", "replace_client_secret"})
"""What does not wait, whatever it ends: its answer is the only one to show a secret."""


def test_of_every_call_it_is_known_whether_it_ends_something() -> None:
    calls = {each.endpoint.__name__ for each in OPERATIONS if each.method != "GET"}
    ending = {name.partition(",")[0] for name in ENDINGS}
    assert ending | END_NOTHING | SHOW_SECRET == calls
    assert len(ending) + len(END_NOTHING) + len(SHOW_SECRET) == len(calls)


def test_of_every_change_by_operators_it_is_known_whether_its_answer_alone_shows_a_secret() -> None:
    audited = [each for each in OPERATIONS if each.access == "administrator" and each.is_audited]
    showing = {each.endpoint.__name__ for each in audited if ClientWithSecret in each.answers.values()}
    assert {each.endpoint.__name__ for each in OPERATIONS if each.shows_secret} == showing == SHOW_SECRET


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with replicated(tmp_path_factory.mktemp("pair")) as running:
        yield running


@pytest_asyncio.fixture
async def scene(pair: Replicated, tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        IdentityProvider.running() as idp,
        serving(pair.primary.url, tmp_path, wait_for_replicas=1, wait_timeout_ms=200) as api,
    ):
        await api.resources.record.client.flushall()
        connection = await api.connection(idp, "crm", options={"okta_event_hook_secret": HOOK_SECRET})
        session = await api.sign_in(idp, "crm", auth_time=api.clock.now_s)
        body = {"session_id": session["session_id"], "client_id": "crm"}
        issued = (await api.post("/api/v2/refresh-tokens", body)).json()
        api.clock.advance(1)
        yield Scene(
            api=api,
            idp=idp,
            connection_id=connection["id"],
            session=session,
            token=issued["refresh_token"],
            token_id=issued["refresh_token_id"],
        )


@pytest.mark.parametrize("name", ENDINGS)
async def test_success_is_told_when_the_replica_has_it_and_not_before(
    pair: Replicated, scene: Scene, name: str
) -> None:
    ending, once_more = ENDINGS[name]
    with pair.replica_frozen():
        # The first, which does it, and a repeat, which finds it done and must not tell of it either.
        first, repeat = await ending(scene), await ending(scene)
        refused(first, 503, "temporarily_unavailable", "replicas")
        assert repeat.status_code in {503, once_more}
        assert repeat.status_code >= 400
        assert int(first.headers["retry-after"]) > 0
    assert (await ending(scene)).status_code == once_more


async def test_a_secret_is_answered_though_no_replica_has_it_and_opens_what_the_old_one_opened(
    pair: Replicated, scene: Scene
) -> None:
    old = scene.api.by("crm")
    with pair.replica_frozen():
        replaced = await scene.api.post("/api/v2/clients/crm/secret")
        made = await scene.api.post("/api/v2/clients", {"client_id": "wiki"})
    assert (replaced.status_code, made.status_code) == (200, 201)
    new = basic("crm", replaced.json()["client_secret"])
    assert (await scene.api.introspect(scene.token, by=new)).json()["active"]
    refused(await scene.api.introspect(scene.token, by=old), 401, "invalid_client")


async def test_what_left_nothing_to_look_for_is_not_told_of_when_another_has_taken_over_meanwhile(
    tmp_path: Path,
) -> None:
    with replicated(tmp_path) as pair:
        async with serving(pair.primary.url, tmp_path, wait_for_replicas=1) as api:
            history = await api.resources.durability.history()
            await api.resources.durability.reached_since(history)
        pair.take_over()
        with closing(connect(pair.primary)) as old, closing(connect(pair.replica)) as new:
            # The old one comes back as a replica of the new one: there is somebody to wait for.
            new.config_set("port", port := free_port())
            pair.primary.start()
            old.replicaof("127.0.0.1", port)
            eventually(lambda: new.info("replication")["connected_slaves"], lambda connected: connected == 1)
        async with serving(pair.replica.url, tmp_path, wait_for_replicas=1) as api:
            durability = api.resources.durability
            assert await durability.history() != history
            with pytest.raises(Unavailable, match="ask again"):
                await durability.reached_since(history)
            await durability.reached_since(await durability.history())
        async with serving(pair.replica.url, tmp_path) as api:
            assert await api.resources.durability.history() == "", "nothing is waited for, and nothing asked"
            await api.resources.durability.reached_since(history)


@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_logout_whose_sign_in_mark_a_failover_may_have_lost_is_not_told_of_with_its_revocation(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, taken_over: bool
) -> None:
    """The mark comes first; who takes over between it and the revocation may have the one and not the other."""
    accept = Sink.accept

    async def accepting(sink: Sink, *args: Any) -> Any:
        if taken_over:
            # What a takeover leaves of the history, without the change of machines.
            await scene.api.resources.record.run("DEBUG", "CHANGE-REPL-ID")
        return await accept(sink, *args)

    monkeypatch.setattr(Sink, "accept", accepting)
    answer = await scene.api.backchannel_logout(scene.logout_token)
    assert answer.status_code == (503 if taken_over else 200)
    monkeypatch.undo()
    assert (await scene.api.backchannel_logout(scene.logout_token)).status_code == 200
