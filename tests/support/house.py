"""The house opened inside a test: the real Redis, real outbound calls, keys of its own, and a clock turned by hand."""

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from service.domain.application import Application
from service.domain.client_health import ClientHealth
from service.domain.connection import Connection, ConnectionOptions
from service.domain.delivery import Delivery
from service.domain.identifiers import (
    new_refresh_token,
    new_refresh_token_id,
    new_revocation_id,
    new_session_id,
    revocation_id_for,
)
from service.domain.identifiers import user_id_for as derived_user_id
from service.domain.refresh_token import RefreshToken, expiry_of
from service.domain.revocation import (
    Everything,
    Initiator,
    Lane,
    OneSession,
    Revocation,
    RevocationRequest,
    Scope,
    TokenFamily,
)
from service.domain.session import Participant, Session, SignIn
from service.domain.subject import SubjectIdentifier, iss_sub
from service.jobs import QUEUES
from service.resources import Resources, open_resources
from service.settings import Settings
from service.store import keyspace
from service.store.refresh_tokens import Reused
from tests.support.clock import HandClock
from tests.support.tokens import private_key
from workers.worker import WorkerProcess

CONNECTION: Final = "con_okta"
"""The connection people sign in through where a test names none."""

UPSTREAM: Final = "https://okta.example.com"
"""The issuer people come from."""

ISSUER: Final = "https://auth.example.com/"
"""The authorization server the house stands beside: `iss` of its logout tokens."""

HOUR_S: Final = 3600
"""How long a session or a token lasts where a test does not say, in seconds."""

DAY_S: Final = 86_400
"""A day, in seconds."""

INITIATORS: Final[dict[str, Initiator]] = {
    "everything": "global_token_revocation",
    "session": "session_delete",
    "begun_by": "backchannel_logout",
    "token_family": "refresh_token_reuse",
}
"""Who asks for what, where a test does not say."""

PATIENCE_S: Final = 10.0
"""How long attempts are waited for, in seconds: twice as long as one may take."""


def user_id(name: str, connection_id: str = CONNECTION) -> str:
    """A person's id, by the `sub` they have upstream."""
    return derived_user_id(connection_id, UPSTREAM, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Everything both processes hold, and the short ways a test takes through it. People are named by their `sub`."""

    resources: Resources
    clock: HandClock
    worker: WorkerProcess

    async def application(
        self,
        client_id: str,
        uri: str | None = None,
        *,
        session_required: bool = False,
        algorithm: str = "ES256",
    ) -> Application:
        """Register an application that is told at `uri`."""
        application = Application(
            client_id=client_id,
            client_secret_hash=secrets.token_hex(32),
            backchannel_logout_uri=uri,
            backchannel_logout_session_required=session_required,
            id_token_signed_response_alg=algorithm,
            created_at_ms=self.clock.now_ms(),
            updated_at_ms=self.clock.now_ms(),
        )
        await self.resources.applications.add(application)
        return application

    async def sign_in(
        self,
        name: str = "ada",
        *clients: str | Participant,
        lasts_s: float = HOUR_S,
        auth_time_s: int | None = None,
        upstream_sid: str | None = None,
        identifiers: Iterable[SubjectIdentifier] = (),
        connection_id: str = CONNECTION,
        session_id: str | None = None,
    ) -> str:
        """Sign somebody in at some applications; the session's id."""
        user, session = user_id(name, connection_id), session_id or new_session_id()
        named = (iss_sub(UPSTREAM, name), *identifiers)
        await self.resources.people.register(user, connection_id, named)
        erased_meanwhile = await self.resources.sessions.open(
            SignIn(
                session_id=session,
                user_id=user,
                connection_id=connection_id,
                iss=UPSTREAM,
                sub=name,
                identifiers=named,
                upstream_sid=upstream_sid,
                auth_time_s=auth_time_s,
                expires_at_ms=self.clock.now_ms() + round(lasts_s * 1000),
                participants=tuple(
                    each
                    if isinstance(each, Participant)
                    else Participant(client_id=each, sub=f"{each}|{name}", sid=f"{each}|{session}")
                    for each in clients
                ),
            ),
            now_ms=self.clock.now_ms(),
        )
        if erased_meanwhile:
            await self.resources.people.register(user, connection_id, named)
        return session

    async def session(self, session_id: str) -> Session:
        """A session as it stands."""
        found = await self.resources.sessions.get(session_id)
        assert found is not None
        return found

    async def join(self, session_id: str, client_id: str, *, sub: str = "", sid: str = "") -> None:
        """Let another application join a session."""
        participant = Participant(client_id=client_id, sub=sub or f"{client_id}|joined", sid=sid or session_id)
        await self.resources.sessions.join(await self.session(session_id), participant, now_ms=self.clock.now_ms())

    async def leave(self, session_id: str, client_id: str) -> int:
        """Let an application leave a session it is in; how many tokens that ended."""
        session = await self.session(session_id)
        (part,) = [each for each in session.participants if each.client_id == client_id]
        return await self.resources.sessions.leave(session, part)

    async def issue(
        self,
        session_id: str,
        client_id: str,
        *,
        offline: bool = False,
        lasts_s: float = HOUR_S,
        idle_s: float | None = None,
        secret: str | None = None,
        token_id: str | None = None,
    ) -> str:
        """Issue a refresh token; the token."""
        session = await self.session(session_id)
        secret, name = secret or new_refresh_token(), token_id or new_refresh_token_id()
        now_ms = self.clock.now_ms()
        expires_at_ms = now_ms + round(lasts_s * 1000)
        idle_ms = None if idle_s is None else round(idle_s * 1000)
        token = RefreshToken(
            refresh_token_id=name,
            user_id=session.user_id,
            connection_id=session.connection_id,
            session_id=session_id,
            client_id=client_id,
            sub="",
            scope=None,
            offline=offline,
            family_id=name,
            issued_at_ms=now_ms,
            expires_at_ms=expiry_of(now_ms, idle_ms=idle_ms, family_expires_at_ms=expires_at_ms),
            family_expires_at_ms=expires_at_ms,
            idle_ms=idle_ms,
        )
        sids = {each.client_id: each.sid for each in session.participants}
        await self.resources.refresh_tokens.issue(secret, token, sid=sids.get(client_id, ""), now_ms=now_ms)
        return secret

    async def rotate(
        self, secret: str, client_id: str = "crm", *, grace_s: float = 0, successor: str | None = None
    ) -> RefreshToken | Reused:
        """Rotate a refresh token into `successor`; what came of it. Raises InvalidGrant when it is not honoured."""
        return await self.resources.refresh_tokens.rotate(
            secret,
            client_id,
            successor or new_refresh_token(),
            refresh_token_id=new_refresh_token_id(),
            grace_ms=round(grace_s * 1000),
            now_ms=self.clock.now_ms(),
        )

    async def rotated(self, secret: str, client_id: str = "crm", *, grace_s: float = 0) -> str:
        """Rotate a refresh token that is honoured; its successor."""
        successor = new_refresh_token()
        assert isinstance(await self.rotate(secret, client_id, grace_s=grace_s, successor=successor), RefreshToken)
        return successor

    async def session_honoured(self, session_id: str) -> bool:
        """Whether a session is honoured now."""
        found = await self.resources.sessions.get(session_id)
        return found is not None and found.active(self.clock.now_ms())

    async def token_honoured(self, secret: str) -> bool:
        """Whether a refresh token is honoured now."""
        return await self.resources.refresh_tokens.find_active(secret, now_ms=self.clock.now_ms()) is not None

    def connection(self, *, id: str = CONNECTION, name: str = "okta") -> Connection:  # noqa: A002 - the field's name
        """A connection as it would be recorded."""
        return Connection(
            id=id,
            name=name,
            options=ConnectionOptions(
                type="back_channel",
                client_id="0oa1",
                issuer=UPSTREAM,
                authorization_endpoint=f"{UPSTREAM}/authorize",
            ),
            created_at_ms=self.clock.now_ms(),
            updated_at_ms=self.clock.now_ms(),
        )

    def request(
        self,
        *names: str,
        session_id: str | None = None,
        scope: Scope | None = None,
        revocation_id: str | None = None,
        lane: Lane | None = None,
    ) -> RevocationRequest:
        """What a verified caller would ask for."""
        scope = scope or (OneSession(session_id=session_id) if session_id else Everything())
        return RevocationRequest(
            revocation_id=revocation_id or new_revocation_id(),
            connection_id=CONNECTION,
            user_ids=tuple(user_id(name) for name in names),
            initiator=INITIATORS[scope.kind],
            scope=scope,
            lane=lane,
        )

    async def revoke(
        self, *names: str, session_id: str | None = None, scope: Scope | None = None, lane: Lane | None = None
    ) -> str:
        """Accept a revocation of people, of one session, or of what a scope says; its id."""
        accepted = await self.resources.sink.accept(self.request(*names, session_id=session_id, scope=scope, lane=lane))
        return accepted.revocation_id

    async def revoke_family(self, secret: str, *, initiator: Initiator = "refresh_token_delete") -> str:
        """Accept the end of the family of a refresh token; the revocation's id."""
        accepted = await self.resources.sink.accept(await self.end_of_family(secret, initiator=initiator))
        return accepted.revocation_id

    async def end_of_family(self, secret: str, *, initiator: Initiator = "refresh_token_delete") -> RevocationRequest:
        """What asks for the end of the family of a refresh token."""
        token = await self.resources.refresh_tokens.find(secret)
        assert token is not None
        return RevocationRequest(
            revocation_id=revocation_id_for(initiator, token.family_id),
            connection_id=token.connection_id,
            user_ids=(token.user_id,),
            initiator=initiator,
            scope=TokenFamily(session_id=token.session_id, family_id=token.family_id),
        )

    async def record_only(self, request: RevocationRequest) -> str:
        """What is left when a process dies right after it has recorded a revocation; its id."""
        now_ms = self.clock.now_ms()
        await self.resources.revocations.record(request, now_ms=now_ms, look_at_ms=now_ms)
        return request.revocation_id

    async def work_off(self, revocation_id: str) -> Revocation:
        """Do what the job of this revocation does, and wait for every attempt it began; the receipt afterwards."""
        await self.begin_to_work_off(revocation_id)
        await self.attempts_end()
        return await self.receipt(revocation_id)

    async def begin_to_work_off(self, revocation_id: str) -> None:
        """Do what the job of this revocation does: it does not wait for applications that are slow."""
        await self.worker.revoker.revoke(revocation_id)

    async def attempts_end(self) -> None:
        """Wait for the attempts that are under way."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self.worker.notifier._running)

    async def run_queue(self) -> None:
        """Run the jobs on the queue until it is empty, as arq runs them, and wait for every attempt they began."""
        for lane in QUEUES:
            await self.worker.create_arq_worker(burst=True, lane=lane).async_run()
        await self.attempts_end()

    async def sweep(self) -> None:
        """Sweep and run the queue until neither finds anything that is due now."""
        while await self.worker.sweeper.sweep():
            await self.run_queue()

    async def waiting(self, client_id: str) -> tuple[str, ...]:
        """The deliveries in an application's backlog, the first to be let go first."""
        return tuple(await self.resources.record.run("ZRANGE", keyspace.backlog(client_id), 0, -1))

    async def health(self, client_id: str) -> ClientHealth:
        """Whether an application can be told, as the fleet knows it."""
        return await self.resources.client_healths.get(client_id)

    async def receipt(self, revocation_id: str) -> Revocation:
        """A revocation's head."""
        found = await self.resources.revocations.get(revocation_id)
        assert found is not None
        return found

    async def deliveries(self, revocation_id: str) -> tuple[Delivery, ...]:
        """What a revocation owes, by client."""
        return await self.resources.deliveries.of_revocation(revocation_id)

    async def delivery(self, revocation_id: str) -> Delivery:
        """The one delivery of a revocation that has one."""
        (only,) = await self.deliveries(revocation_id)
        return only

    async def due(self) -> dict[str, int]:
        """The due index: when each id must be looked at, in milliseconds since the epoch."""
        flat = await self.resources.record.run("ZRANGE", keyspace.DUE, 0, -1, "WITHSCORES")
        return {name: int(float(score)) for name, score in zip(flat[::2], flat[1::2], strict=True)}

    async def open_revocations(self) -> set[str]:
        """The revocations that are on the list of unfinished ones."""
        return set(await self.resources.record.run("ZRANGE", keyspace.OPEN, 0, -1))


def signing_keys(*algorithms: str) -> dict[str, list[dict[str, object]]]:
    """A private JWKS with a key for each algorithm, always the same ones in one process."""
    return {"keys": [dict(private_key(each, 100).as_dict(private=True)) for each in algorithms]}


@asynccontextmanager
async def open_house(
    redis_url: str, folder: Path, *, algorithms: tuple[str, ...] = ("ES256",), queue_url: str = "", **more: object
) -> AsyncIterator[House]:
    """Open the house; `more` are settings. The clock stands at the present second: Redis expires keys by its own."""
    keys_file = folder / "signing-keys.json"
    keys_file.write_text(json.dumps(signing_keys(*algorithms)), encoding="utf-8")
    settings = Settings.model_validate(
        {
            "public_url": "https://logout.example.com",
            "issuer": ISSUER,
            "signing_keys_file": keys_file,
            "redis_url": redis_url,
            "queue_redis_url": queue_url,
            "allowed_private_networks": "127.0.0.0/8",
            **more,
        }
    )
    clock = HandClock(int(time.time()) * 1000)
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            # Nobody here speaks TLS, and to read the system's hundred authorities takes longer than most tests.
            patch.setenv("SSL_CERT_FILE", os.devnull)
            patch.setenv("SSL_CERT_DIR", os.devnull)
            resources = await stack.enter_async_context(open_resources(settings, clock=clock))
        worker = WorkerProcess(resources)
        stack.callback(worker.notifier.close)
        stack.push_async_callback(worker.notifier.drain, 0)
        yield House(resources=resources, clock=clock, worker=worker)


@pytest.fixture
async def house(redis_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """The house on an empty Redis."""
    async with open_house(redis_url, tmp_path) as opened:
        yield opened
