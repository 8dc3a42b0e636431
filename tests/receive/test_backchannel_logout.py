"""The door for back-channel logout: what it does when it cannot tell, what it keeps of that, what it counts and says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from service.receive.backchannel_logout import FIRST_LOOK_MS
from service.store import kept_tokens, keyspace, people
from service.verify.issuer_keys import RETRY_AFTER_S
from tests.support import tokens
from tests.support.asgi import SUBJECT, Api, refused, serving
from tests.support.breaks import Moment, redis_away
from tests.support.heard import listening
from tests.support.identity_provider import IdentityProvider
from tests.support.logout_token_door import decryption_key, encrypted, private_jwk
from workers.worker import WorkerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

SID = "upstream-session-1"


class Ada:
    """SUBJECT, signed in through `okta` at a shop, with an ordinary and an offline refresh token."""

    def __init__(self, api: Api, idp: IdentityProvider) -> None:
        self.api = api
        self.idp = idp
        self.connection: dict[str, Any] = {}
        self.session: dict[str, Any] = {}

    async def sign_in(self, **options: object) -> "Ada":
        """Make the connection, with these options, and sign in."""
        self.connection = await self.api.connection(self.idp, "shop", options=options)
        self.session = await self.api.sign_in(self.idp, "shop", upstream_sid=SID)
        self.api.clock.advance(5)
        return self

    def token(self, **more: Any) -> str:
        """A logout token for the session, of this moment."""
        return self.idp.logout_token(**{"sub": SUBJECT, "sid": SID, "now_s": self.api.clock.now_s, **more})

    async def is_signed_in(self) -> bool:
        """Whether the session is honoured."""
        told = (await self.api.introspect(self.session["session_id"], token_type_hint="session")).json()
        return bool(told["active"])

    async def kept(self) -> list[str]:
        """The ids of the connection's kept tokens; each is due, and nothing else of that kind is."""
        listed = await self.api.resources.record.run("ZRANGE", keyspace.kept_of(self.connection["id"]), 0, -1)
        due = await self.api.resources.record.run("ZRANGE", keyspace.DUE, 0, -1)
        assert sorted(listed) == sorted(each for each in due if each.startswith("kept_"))
        return list(listed)

    def lose_the_keys(self) -> None:
        """The identity provider's keys are out of reach, and what is remembered of them is too old."""
        self.api.clock.advance(2 * 86_400)
        self.idp.broken.add("keys")

    def find_the_keys(self) -> None:
        """They are back, and may be asked for."""
        self.idp.broken.clear()
        self.api.clock.advance(RETRY_AFTER_S)


@pytest_asyncio.fixture(loop_scope="module")
async def ada(api: Api, idp: IdentityProvider) -> AsyncIterator[Ada]:
    yield Ada(api, idp)
    idp.broken.clear()


async def work(api: Api, after_s: float = FIRST_LOOK_MS / 1000) -> None:
    """Let time pass, and let a worker sweep and run what is queued."""
    api.clock.advance(after_s)
    worker = WorkerProcess(api.resources)
    try:
        await worker.sweeper.sweep()
        await worker.create_arq_worker(burst=True).async_run()
        await worker.notifier.drain(0)
    finally:
        worker.notifier.close()


def says_503(answer: httpx.Response) -> None:
    """There is no telling, and when to come back."""
    refused(answer, 503, "temporarily_unavailable", "keys cannot be fetched")
    assert int(answer.headers["retry-after"]) == RETRY_AFTER_S


# The keys out of reach.


async def test_without_the_keys_it_is_503_nothing_ends_and_the_token_is_kept_once(ada: Ada) -> None:
    await ada.sign_in(jwks_uri=ada.idp.jwks_uri)
    ada.lose_the_keys()
    text = ada.token()
    with listening() as heard:
        for _ in range(3):
            says_503(await ada.api.backchannel_logout(text))
    (kept_id,) = await ada.kept()
    assert await ada.is_signed_in()
    assert {line["kept_id"] for line in heard.of("logout.kept")} == {kept_id}
    assert (await ada.api.get("/api/v2/revocations")).json()["items"] == []
    assert ada.idp.origin not in str(heard.of("door.refused"))


async def test_once_the_keys_are_back_a_worker_ends_what_the_token_named(ada: Ada) -> None:
    await ada.sign_in()
    ada.lose_the_keys()
    says_503(await ada.api.backchannel_logout(ada.token()))
    ada.idp.broken.clear()
    await work(ada.api)
    assert not await ada.is_signed_in()
    assert await ada.kept() == []
    (receipt,) = (await ada.api.get("/api/v2/revocations")).json()["items"]
    assert receipt["initiator"] == "backchannel_logout"


async def test_the_senders_own_retry_is_200_and_what_was_kept_then_changes_nothing(ada: Ada) -> None:
    await ada.sign_in()
    ada.lose_the_keys()
    text = ada.token()
    says_503(await ada.api.backchannel_logout(text))
    ada.find_the_keys()
    assert (await ada.api.backchannel_logout(text)).status_code == 200
    before = (await ada.api.get("/api/v2/revocations")).json()["items"]
    since = await ada.api.sign_in(ada.idp, "shop", upstream_sid=SID)
    await work(ada.api)
    assert await ada.kept() == []
    after = (await ada.api.get("/api/v2/revocations")).json()["items"]
    assert [each["revocation_id"] for each in after] == [each["revocation_id"] for each in before]
    ada.session = since
    assert await ada.is_signed_in()


async def test_a_key_published_while_the_source_is_out_of_reach_is_no_reason_to_refuse(ada: Ada) -> None:
    """Keys that were fetched are still good, and the token names one that is not among them."""
    await ada.sign_in()
    assert (await ada.api.backchannel_logout(ada.token(sid="another"))).status_code == 200
    ada.api.clock.advance(RETRY_AFTER_S)
    ada.idp.broken.add("keys")
    ada.idp.rotate()
    text = ada.token()
    says_503(await ada.api.backchannel_logout(text))
    assert len(await ada.kept()) == 1
    ada.find_the_keys()
    assert (await ada.api.backchannel_logout(text)).status_code == 200
    assert not await ada.is_signed_in()


async def test_an_encrypted_token_is_kept_as_it_came(ada: Ada) -> None:
    key = decryption_key()
    await ada.sign_in(decryption_jwk=private_jwk(key))
    ada.lose_the_keys()
    text = encrypted(ada.token(), key)
    says_503(await ada.api.backchannel_logout(text))
    (kept_id,) = await ada.kept()
    found = await ada.api.resources.kept_tokens.get(kept_id)
    assert found is not None
    assert found.text == text
    ada.idp.broken.clear()
    await work(ada.api)
    assert not await ada.is_signed_in()


async def test_what_would_be_refused_with_the_keys_is_not_kept(ada: Ada) -> None:
    await ada.sign_in()
    ada.lose_the_keys()
    now_s = ada.api.clock.now_s
    for text in (
        ada.token(claims={"aud": "another"}),
        ada.token(claims={"iss": "https://another.example.com"}),
        ada.token(claims={"exp": now_s - 100, "iat": now_s - 200}),
        ada.token(claims={"nonce": "n"}),
        ada.token(claims={"events": {}}),
        ada.token(claims={"sub": 7}),
        ada.token(header={"typ": "at+jwt"}),
        ada.token(alg="ES256"),
        tokens.unsigned(ada.idp.logout_claims(sub=SUBJECT, now_s=now_s), header={"alg": "none"}),
        "garbage",
    ):
        answer = await ada.api.backchannel_logout(text)
        assert answer.status_code in {400, 503}
        assert await ada.kept() == []


async def test_a_disabled_connection_keeps_nothing(ada: Ada) -> None:
    await ada.sign_in()
    await ada.api.patch(f"/api/v2/connections/{ada.connection['id']}", {"enabled": False})
    ada.lose_the_keys()
    says_503(await ada.api.backchannel_logout(ada.token()))
    assert await ada.kept() == []


async def test_a_connection_keeps_so_many_and_says_when_it_is_full(ada: Ada, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are unverified: whoever sends a flood of them fills nothing but this."""
    monkeypatch.setattr(kept_tokens, "MAX_KEPT", 2)
    await ada.sign_in()
    ada.lose_the_keys()
    with listening() as heard:
        for _ in range(3):
            says_503(await ada.api.backchannel_logout(ada.token()))
    assert len(await ada.kept()) == 2
    assert [line["full"] for line in heard.of("logout.kept")] == [False, False, True]


async def test_a_token_is_kept_whoever_hangs_up_meanwhile(ada: Ada) -> None:
    """Many at once wait for one fetch of the keys; each is kept for itself."""
    await ada.sign_in()
    ada.lose_the_keys()
    texts = [ada.token() for _ in range(10)]
    for each in await asyncio.gather(*(ada.api.backchannel_logout(text) for text in texts)):
        says_503(each)
    assert len(await ada.kept()) == 10


# Redis out of reach.


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_wherever_redis_goes_away_it_is_503_and_the_same_token_again_does_it_once(ada: Ada, moment: str) -> None:
    at, happened = 0, True
    while happened:
        at += 1
        await ada.api.resources.record.client.flushall()
        ada.api.secrets.clear()
        await ada.sign_in()
        text = ada.token()
        with redis_away(at=at, moment=cast("Moment", moment)) as broken:
            answer = await ada.api.backchannel_logout(text)
        happened = broken.happened
        if happened:
            refused(answer, 503, "temporarily_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert (await ada.api.backchannel_logout(text)).status_code == 200, at
        assert not await ada.is_signed_in()
        assert len((await ada.api.get("/api/v2/revocations")).json()["items"]) == 1
    assert at > 5


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_wherever_redis_goes_away_while_a_token_is_kept_it_is_503_all_the_same(ada: Ada, moment: str) -> None:
    at, happened = 0, True
    while happened:
        at += 1
        await ada.api.resources.record.client.flushall()
        ada.api.secrets.clear()
        ada.idp.broken.clear()
        await ada.sign_in()
        ada.lose_the_keys()
        text = ada.token()
        with redis_away(at=at, moment=cast("Moment", moment)) as broken:
            answer = await ada.api.backchannel_logout(text)
        happened = broken.happened
        refused(answer, 503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        says_503(await ada.api.backchannel_logout(text))
        assert len(await ada.kept()) == 1
    assert at > 2


# Once.


async def test_the_same_token_at_two_pods_at_once_is_one_logout(
    ada: Ada, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await ada.sign_in()
    texts = [ada.token(claims={"jti": "one"}), ada.token(claims={"jti": "one", "signed": "anew"})] * 5
    async with serving(redis_url, tmp_path_factory.mktemp("pod"), clock=ada.api.clock) as other:
        doors = [ada.api, other] * 5
        answers = await asyncio.gather(
            *(door.backchannel_logout(text) for door, text in zip(doors, texts, strict=True))
        )
    assert {each.status_code for each in answers} == {200}
    assert len((await ada.api.get("/api/v2/revocations")).json()["items"]) == 1
    assert not await ada.is_signed_in()


# Who is meant.


async def test_a_session_of_more_people_than_one_job_can_see_to_is_refused(
    ada: Ada, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authorization server that reports one `upstream_sid` for everybody: nobody's session."""
    monkeypatch.setattr("service.accept_logout.MAX_PEOPLE", 2)
    await ada.sign_in()
    for sub in ("ben", "cy"):
        await ada.api.sign_in(ada.idp, "shop", upstream_sid=SID, subject={"iss": ada.idp.issuer, "sub": sub})
    ada.api.clock.advance(1)
    answer = await ada.api.backchannel_logout(ada.token(sub=None))
    refused(answer, 400, "invalid_request", "more than 2 people")
    assert await ada.is_signed_in()
    # With the person named there is no doubt.
    assert (await ada.api.backchannel_logout(ada.token())).status_code == 200
    assert not await ada.is_signed_in()
    assert people.MAX_PEOPLE > 2


# What is counted and said.


async def test_each_request_is_counted_by_its_outcome(ada: Ada) -> None:
    await ada.sign_in()

    async def counted(outcome: str) -> float:
        numbers = (await ada.api.get("/metrics")).text
        name = f'logoutd_door_requests_total{{door="backchannel_logout",outcome="{outcome}"}}'
        return next((float(line.split()[1]) for line in numbers.splitlines() if line.startswith(name)), 0.0)

    taken = {
        "accepted": ada.token(),
        "wrong_aud": ada.token(claims={"aud": "another"}),
        "bad_signature": ada.token()[:-8] + "AAAAAAAA",
        "wrong_event": ada.token(claims={"events": {}}),
        "invalid_request": "",
    }
    before = {outcome: await counted(outcome) for outcome in taken}
    for text in taken.values():
        await ada.api.backchannel_logout(text)
    assert {outcome: await counted(outcome) - before[outcome] for outcome in taken} == dict.fromkeys(taken, 1)


async def test_no_line_of_the_log_holds_a_token_a_person_or_an_upstream_session(ada: Ada) -> None:
    sub, sid = "ada.lovelace@example.com", "sid-that-is-a-secret"
    texts: list[str] = []

    async def send(text: str) -> None:
        texts.append(text)
        await ada.api.backchannel_logout(text)

    with listening() as heard:
        await ada.sign_in()
        await ada.api.sign_in(ada.idp, "shop", upstream_sid=sid, subject={"iss": ada.idp.issuer, "sub": sub})
        ada.api.clock.advance(1)
        await send(ada.token(sub=sub, sid=sid, claims={"jti": "one"}))
        await send(ada.token(sub=sub, sid="nobodys", claims={"jti": "one"}))
        await send(ada.token(sub="nobody", sid=None))
        for claims in (
            {"aud": sub},
            {"iss": sub},
            {"iss": f"https://{sid}/{sub}"},
            {"exp": sub},
            {"jti": [sub]},
            {"sub": [sub]},
        ):
            await send(ada.token(sub=sub, sid=sid, claims=claims))
        await send(ada.token(sub=sub, header={"typ": sub, "kid": sid}))
        await send(ada.token(sub=sub)[:-8] + "AAAAAAAA")
        await send(encrypted(ada.token(sub=sub, sid=sid), decryption_key()))
        ada.lose_the_keys()
        await send(ada.token(sub=sub, sid=sid))
        ada.idp.broken.clear()
        await work(ada.api)
    said = str(heard.lines)
    assert {"door.refused", "logout.nobody", "logout.kept", "logout.verified_late"} <= {
        line["event"] for line in heard.lines
    }
    parts = {part for text in texts for part in text.split(".") if len(part) > 20}
    assert not [each[:10] for each in (*parts, sub, sid) if each in said]
