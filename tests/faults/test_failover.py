"""A replica takes over, and the old primary lives on as a replica that hears nothing. Connections to it stay open: nobody may be
answered from it, and nobody has to be restarted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from service.accept import LOOK_AFTER_MS
from service.domain.clock import SystemClock
from service.domain.subject import iss_sub
from service.errors import Unavailable
from service.jobs import QUEUE
from service.store.fleet_clock import FleetClock
from service.store.health import inspect_redis
from tests.support.asgi import ADMINISTRATOR, SUBJECT, Api, refused, serving
from tests.support.failover import Named, named
from tests.support.identity_provider import IdentityProvider
from tests.support.redis_server import connect
from workers.worker import WorkerProcess


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Named]:
    with named(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def idp() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider.running() as running:
        yield running


@pytest_asyncio.fixture
async def api(redis: Named, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(redis.url, tmp_path) as opened:
        yield opened


async def signed_in(api: Api, idp: IdentityProvider) -> tuple[str, str]:
    """Somebody signed in at one application: their session and refresh token."""
    await api.connection(idp, "crm")
    session = await api.sign_in(idp, "crm")
    return str(session["session_id"]), await api.refresh_token(session, "crm")


def sub_id(idp: IdentityProvider) -> dict[str, object]:
    """The body of a request to sign SUBJECT out."""
    return {"sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT}}


async def give_back(api: Api, token: str) -> httpx.Response:
    """At /oauth/revoke, by the operator."""
    return await api.http.post("/oauth/revoke", data={"token": token}, headers=dict(ADMINISTRATOR))


async def honoured(api: Api, token: str) -> bool:
    """Whether a refresh token is."""
    answer = await api.introspect(token)
    assert answer.status_code == 200
    return bool(answer.json()["active"])


async def test_a_process_that_only_reads_is_never_answered_from_the_demoted_primary(
    redis: Named, api: Api, idp: IdentityProvider, tmp_path: Path
) -> None:
    session_id, token = await signed_in(api, idp)
    assert await honoured(api, token)
    redis.demote()
    refused(await api.introspect(token), 503, "temporarily_unavailable")
    refused(await api.introspect(session_id, token_type_hint="session"), 503, "temporarily_unavailable")
    refused(await api.get(f"/api/v2/sessions/{session_id}"), 503, "temporarily_unavailable")
    redis.lead_to_the_new_one()
    async with serving(redis.url, tmp_path) as another:
        another.clock.advance(1)
        assert (await another.global_token_revocation(idp, sub_id(idp))).status_code == 204
    assert not await honoured(api, token)
    assert not (await api.introspect(session_id, token_type_hint="session")).json()["active"]
    told = (await api.get(f"/api/v2/sessions/{session_id}")).json()
    assert told["ended_at"] is not None


async def test_what_the_demoted_primary_has_never_heard_of_is_not_taken_for_ended(
    redis: Named, api: Api, idp: IdentityProvider, tmp_path: Path
) -> None:
    """A token that is not known is answered with 200 to whoever gives it back (RFC 7009): nobody may be told so of one that the
    new primary knows."""
    await signed_in(api, idp)
    redis.demote()
    redis.lead_to_the_new_one()
    async with serving(redis.url, tmp_path) as another:
        token = await another.refresh_token(await another.sign_in(idp, "crm"), "crm")
        assert (await give_back(api, token)).status_code == 200
        assert not await honoured(another, token)


async def test_a_token_cannot_be_given_back_while_the_name_leads_to_the_demoted_primary(
    redis: Named, api: Api, idp: IdentityProvider
) -> None:
    await signed_in(api, idp)
    redis.demote()
    refused(await give_back(api, "of-which-it-knows-nothing"), 503, "temporarily_unavailable")


@pytest.mark.parametrize("question", ["find", "get", "family", "person", "upstream sid"])
async def test_whether_there_is_anything_to_end_is_asked_of_the_primary(redis: Named, api: Api, question: str) -> None:
    """Where there is not, a door answers success and writes nothing that would find out."""
    parts, token = api.resources, "of-which-it-knows-nothing"

    async def ask() -> object:
        match question:
            case "find":
                return await parts.refresh_tokens.find(token)
            case "get":
                return await parts.refresh_tokens.get(token)
            case "family":
                return await parts.people.families.has_ended("usr_1", "fam_1")
            case "person":
                return await parts.people.resolve("con_1", [iss_sub("https://idp.example", "ada")])
            case _:
                return await parts.upstream.people("con_1", "sid")

    await ask()
    redis.demote()
    with pytest.raises(Unavailable, match="a replica answers"):
        await ask()
    redis.lead_to_the_new_one()
    await ask()


async def test_a_write_refused_by_the_demoted_primary_is_503_until_its_name_leads_to_the_new_one_and_then_succeeds(
    redis: Named, api: Api, idp: IdentityProvider
) -> None:
    _, token = await signed_in(api, idp)
    redis.demote()
    refused(await api.global_token_revocation(idp, sub_id(idp)), 503, "temporarily_unavailable")
    refused(await api.post("/api/v2/sessions", _sign_in(idp)), 503, "temporarily_unavailable")
    redis.lead_to_the_new_one()
    assert (await api.post("/api/v2/sessions", _sign_in(idp))).status_code == 201
    assert (await api.global_token_revocation(idp, sub_id(idp))).status_code == 204
    assert not await honoured(api, token)


async def test_a_worker_and_its_queue_move_to_the_new_primary_by_themselves(
    redis: Named, api: Api, idp: IdentityProvider
) -> None:
    await signed_in(api, idp)
    worker = WorkerProcess(api.resources)
    await worker.create_arq_worker(burst=True).async_run()
    redis.demote()
    await api.resources.queue.revoke("rev_1")
    redis.lead_to_the_new_one()
    assert (await api.global_token_revocation(idp, sub_id(idp))).status_code == 204
    # A hint may be lost to the old one, which arq takes for a job that is queued already; the sweeper finds the work.
    api.clock.advance(2 * LOOK_AFTER_MS / 1000)
    await worker.sweeper.sweep()
    with closing(connect(redis.pair.replica)) as new:
        assert new.zcard(QUEUE) == 1, "queued where the record is"
    await worker.create_arq_worker(burst=True).async_run()
    await worker.notifier.drain(10)
    (receipt,) = (await api.get("/api/v2/revocations")).json()["items"]
    assert receipt["state"] != "accepted", "a worker has seen to it"
    worker.notifier.close()


async def test_a_look_at_the_clock_of_the_demoted_primary_fails_and_gives_its_connections_up(
    redis: Named, api: Api
) -> None:
    record = api.resources.record
    clock = FleetClock(record, SystemClock())
    assert await clock.read()
    redis.demote()
    with pytest.raises(Unavailable, match="a replica answers"):
        await clock.read()
    redis.lead_to_the_new_one()
    # Whatever reads next: nothing asks what this one is answered by.
    assert (await record.run("ROLE"))[0] == "master"


async def test_a_connection_that_was_in_use_when_the_primary_was_found_demoted_is_not_used_again(
    redis: Named, api: Api
) -> None:
    record = api.resources.record
    pool = record.client.connection_pool
    in_use = await pool.get_connection()
    redis.demote()
    with pytest.raises(Unavailable):
        await record.run("SET", "a", "1")
    redis.lead_to_the_new_one()
    await pool.release(in_use)
    assert (await record.run("ROLE"))[0] == "master"


async def test_a_connection_that_finds_out_late_gives_up_none_of_those_made_since(redis: Named, api: Api) -> None:
    """With many under way at a failover each refusal came with a new connection's end: none of them was used twice."""
    pool = api.resources.record.client.connection_pool
    first, late = await pool.get_connection(), await pool.get_connection()
    redis.demote()
    redis.lead_to_the_new_one()
    await refuse(first)
    new = await pool.get_connection()
    await new.send_command("ROLE")
    assert (await new.read_response())[0] == "master"
    assert await is_used_again(pool, new)
    await refuse(late)
    assert await is_used_again(pool, new)
    for each in (first, late, new):
        await pool.release(each)


async def test_a_look_that_finds_out_late_gives_up_none_of_those_made_since(redis: Named, api: Api) -> None:
    record, pool = api.resources.record, api.resources.record.client.connection_pool
    redis.demote()
    held = asyncio.Event()
    send = record._send  # held back between the question and what is made of its answer

    async def late(commands: Any) -> Any:
        answers = await send(commands)
        held.set()
        await go_on.wait()
        return answers

    go_on = asyncio.Event()
    record._send = late  # type: ignore[method-assign]
    looking = asyncio.create_task(record.ask(("TIME",)))
    await held.wait()
    record._send = send  # type: ignore[method-assign]
    redis.lead_to_the_new_one()
    with suppress(Unavailable):
        await record.run("SET", "a", "1")
    new = await pool.get_connection()
    assert await is_used_again(pool, new)
    go_on.set()
    await looking
    assert await is_used_again(pool, new)
    await pool.release(new)


async def refuse(connection: Any) -> None:
    """A write through it."""
    await connection.send_command("SET", "a", "1")
    with pytest.raises(RedisConnectionError, match="it is a replica"):
        await connection.read_response()


async def is_used_again(pool: Any, connection: Any) -> bool:
    """Whether it stays connected when the pool next hands it out."""
    writer = connection._writer
    await pool.ensure_connection(connection)
    return connection._writer is writer


async def test_a_user_that_may_not_ask_for_the_role_is_served_and_warned_of(redis: Named, tmp_path: Path) -> None:
    with closing(connect(redis.pair.primary)) as client:
        client.execute_command("ACL", "SETUSER", "ours", "on", ">secret", "~*", "&*", "+@all", "-role")
    async with serving(f"unix://ours:secret@{redis.link}", tmp_path) as api:
        (told,) = [each for each in await inspect_redis(api.resources.record.client) if each.subject == "redis role"]
        assert (told.level, "may not run ROLE" in told.detail) == ("warn", True)
        assert await FleetClock(api.resources.record, SystemClock()).read()


def _sign_in(idp: IdentityProvider) -> dict[str, object]:
    return {"connection": "okta", "subject": {"iss": idp.issuer, "sub": SUBJECT}, "clients": [{"client_id": "crm"}]}
