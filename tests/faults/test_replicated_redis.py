"""Success can wait for disks and replicas: what was answered with it is then there whoever takes over."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from service.embedded_redis import find_redis_server
from service.errors import Unavailable
from service.resources import awaited_by, look_at_redis
from service.store.health import OLDEST_WITH_WAITAOF, inspect_redis
from tests.support.asgi import NOBODY, SUBJECT, Api, gtr_url, refused, serving
from tests.support.identity_provider import IdentityProvider
from tests.support.redis_server import connect
from tests.support.replication import Replicated, replicated

CAN_WAIT_FOR_DISKS = find_redis_server().version >= OLDEST_WITH_WAITAOF


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Replicated]:
    with replicated(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def idp() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider.running() as running:
        yield running


async def signed_in(api: Api, idp: IdentityProvider) -> str:
    """Somebody signed in at one application; their refresh token."""
    await api.connection(idp, "crm")
    return await api.refresh_token(await api.sign_in(idp, "crm"), "crm")


def sub_id(idp: IdentityProvider) -> dict[str, object]:
    """The body of a request to sign SUBJECT out."""
    return {"sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": SUBJECT}}


async def honoured(api: Api, token: str) -> bool:
    """Whether a refresh token is."""
    return bool((await api.introspect(token)).json()["active"])


async def test_success_is_told_when_the_replica_has_it_and_not_before(
    pair: Replicated, idp: IdentityProvider, tmp_path: Path
) -> None:
    async with serving(pair.primary.url, tmp_path, wait_for_replicas=1, wait_timeout_ms=200) as api:
        token = await signed_in(api, idp)
        assertion = idp.assertion(audience=gtr_url("okta"), alg="ES256", now_s=api.clock.now_s)
        with pair.replica_frozen():
            answer = await api.global_token_revocation(idp, sub_id(idp), assertion=assertion)
            refused(answer, 503, "temporarily_unavailable", "replicas")
            assert int(answer.headers["retry-after"]) > 0
            assert not await honoured(api, token), "in force all the same: nobody is signed in again by a slow replica"
        assert (await api.global_token_revocation(idp, sub_id(idp), assertion=assertion)).status_code == 204
        receipts = (await api.get("/api/v2/revocations")).json()["items"]
        assert len(receipts) == 1, "the repeat waited again, and did nothing again"


async def test_what_was_answered_with_success_is_there_when_the_replica_takes_over(
    pair: Replicated, idp: IdentityProvider, tmp_path: Path
) -> None:
    async with serving(pair.primary.url, tmp_path, wait_for_replicas=1, wait_timeout_ms=1500) as api:
        token = await signed_in(api, idp)
        assert await honoured(api, token)
        assert (await api.global_token_revocation(idp, sub_id(idp))).status_code == 204
        pair.take_over()
    async with serving(pair.replica.url, tmp_path) as api:
        assert not await honoured(api, token)
        (receipt,) = (await api.get("/api/v2/revocations")).json()["items"]
        assert receipt["state"] == "accepted"
        assert receipt["revoked_at"]


async def test_what_the_one_that_took_over_has_not_is_not_answered_with_success(
    pair: Replicated, tmp_path: Path
) -> None:
    async with serving(pair.replica.url, tmp_path, wait_for_fsync=False, wait_for_replicas=0) as api:
        # Recorded nowhere: as when the primary that had it is gone, and this one is asked to wait for it.
        assert await api.resources.revocations.get("rev_lost") is None
        await api.resources.revocations.wait_until_durable("rev_lost")
    async with serving(pair.primary.url, tmp_path, wait_for_replicas=1) as api:
        with pytest.raises(Unavailable, match="ask again"):
            await api.resources.revocations.wait_until_durable("rev_lost")


async def test_a_redis_that_is_gone_is_waited_for_by_nobody(pair: Replicated, tmp_path: Path) -> None:
    async with serving(pair.primary.url, tmp_path, wait_for_replicas=1) as api:
        pair.primary.kill()
        with pytest.raises(Unavailable, match="cannot be reached"):
            await api.resources.revocations.wait_until_durable("rev_1")


async def test_many_who_wait_share_the_waits(pair: Replicated, tmp_path: Path) -> None:
    async with serving(pair.primary.url, tmp_path, wait_for_replicas=1, wait_timeout_ms=300) as api:
        with closing(connect(pair.primary)) as client, pair.replica_frozen():
            asking = [api.resources.revocations.wait_until_durable(f"rev_{n}") for n in range(200)]
            results = await asyncio.gather(*asking, return_exceptions=True)
            waits = client.info("commandstats")["cmdstat_wait"]["calls"]
    assert {str(each) for each in results} == {
        "what was written has not reached as many disks or replicas as it must; ask again"
    }
    assert waits <= 2


async def test_fewer_replicas_than_are_waited_for_are_warned_of(pair: Replicated, tmp_path: Path) -> None:
    async with serving(pair.primary.url, tmp_path, wait_for_replicas=2) as api:
        found = await inspect_redis(api.resources.record.client, awaited=awaited_by(api.resources.settings))
        ready = await api.get("/readyz", by=NOBODY)
    (told,) = [each for each in found if each.subject == "redis durability"]
    assert (told.level, "1 of 2 replicas" in told.detail) == ("warn", True)
    assert ready.status_code == 200, "an outage of replicas does not take the door away: it says 503 by itself"


async def test_success_waits_for_disks_where_redis_can_and_is_not_told_where_it_cannot(
    pair: Replicated, idp: IdentityProvider, tmp_path: Path
) -> None:
    async with serving(
        pair.primary.url, tmp_path, wait_for_fsync=True, wait_for_replicas=1, wait_timeout_ms=1500
    ) as api:
        token = await signed_in(api, idp)
        assertion = idp.assertion(audience=gtr_url("okta"), alg="ES256", now_s=api.clock.now_s)
        with pair.replica_frozen():
            refused(
                await api.global_token_revocation(idp, sub_id(idp), assertion=assertion), 503, "temporarily_unavailable"
            )
            assert not await honoured(api, token)
        again = await api.global_token_revocation(idp, sub_id(idp), assertion=assertion)
        ready = await api.get("/readyz", by=NOBODY)
        look = await look_at_redis(api.resources.settings)
    if CAN_WAIT_FOR_DISKS:
        assert (again.status_code, ready.status_code, look.refusal) == (204, 200, None)
    else:
        assert (again.status_code, ready.status_code) == (503, 503)
        assert "needs Redis 7.2" in ready.json()["error_description"]
        assert "needs Redis 7.2" in (look.refusal or ""), "by which both processes refuse to start"


async def test_a_file_that_is_not_written_cannot_be_waited_for(pair: Replicated, tmp_path: Path) -> None:
    with closing(connect(pair.primary)) as client:
        client.config_set("appendonly", "no")
    async with serving(pair.primary.url, tmp_path, wait_for_fsync=True) as api:
        assert (await api.get("/readyz", by=NOBODY)).status_code == 503
