"""The toy applications judge what logoutd sends, so they are held to Back-Channel Logout section 2.6 themselves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.demo.applications import PROFILES, ToyApplication
from service.demo.logout_token import BACK_CHANNEL_EVENT
from service.demo.loopback import Loopback
from tests.support.clock import HandClock
from tests.support.tokens import (
    REMOVED,
    overridden,
    private_key,
    public_jwk,
    signed,
    signed_with_public_key,
    unsigned,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Issuer:
    """Stands for logoutd: its discovery document and its keys, as a test wants them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.metadata: dict[str, Any] = {
            "issuer": url,
            "jwks_uri": f"{url}/jwks",
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
        }
        self.jwks: dict[str, Any] = {
            "keys": [public_jwk(private_key(alg)) for alg in ("RS256", "PS256", "ES256", "EdDSA")]
        }
        self.fetches = 0

    def routes(self) -> Sequence[Route]:
        """The two documents."""
        return [Route("/.well-known/openid-configuration", self._metadata), Route("/jwks", self._jwks)]

    async def _metadata(self, _request: Request) -> JSONResponse:
        return JSONResponse(self.metadata)

    async def _jwks(self, _request: Request) -> JSONResponse:
        self.fetches += 1
        return JSONResponse(self.jwks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An issuer, the three applications, and Ada signed in to each on two devices, Ben on one."""

    issuer: Issuer
    wiki: ToyApplication
    payroll: ToyApplication
    helpdesk: ToyApplication
    clock: HandClock
    client: httpx.AsyncClient

    def claims(self, application: ToyApplication, **overrides: Any) -> dict[str, Any]:
        """A good logout token's claims for `application`, or not so good ones."""
        good = {
            "iss": self.issuer.url,
            "aud": application.profile.client_id,
            "iat": self.clock.now_s,
            "exp": self.clock.now_s + 120,
            "jti": "token-1",
            "txn": "delivery-1",
            "events": {BACK_CHANNEL_EVENT: {}},
            "sub": "ada",
        }
        if application.profile.session_required:
            good["sid"] = "ada-laptop"
        return overridden(good, overrides)

    async def send(self, application: ToyApplication, token: str) -> httpx.Response:
        """POST a token to the application's logout URI."""
        return await self.client.post(application.backchannel_logout_uri, data={"logout_token": token})

    async def tell(
        self, application: ToyApplication, *, header: dict[str, Any] | None = None, **claims: Any
    ) -> httpx.Response:
        """Sign a token as the issuer would, with these members different, and send it."""
        return await self.send(application, self.token(application, header=header, **claims))

    def token(self, application: ToyApplication, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token signed as the issuer would."""
        alg = application.profile.alg
        key = private_key(alg)
        full = overridden({"typ": "logout+jwt", "alg": alg, "kid": key.kid}, header or {})
        return signed(self.claims(application, **claims), key=key, alg=alg, header=full)


@contextlib.asynccontextmanager
async def set_stage() -> AsyncIterator[Stage]:
    clock = HandClock()
    async with Loopback() as loopback, httpx.AsyncClient(trust_env=False) as client:
        issuer = loopback.serve(Issuer)
        wiki, payroll, helpdesk = (
            loopback.serve(partial(ToyApplication, profile=profile, issuer=issuer.url, clock=clock))
            for profile in PROFILES
        )
        for application in (wiki, payroll, helpdesk):
            for person, sid in (("Ada", "ada-laptop"), ("Ada", "ada-phone"), ("Ben", "ben-laptop")):
                application.sign_in(person=person, sub=person.lower(), sid=sid)
        yield Stage(issuer=issuer, wiki=wiki, payroll=payroll, helpdesk=helpdesk, clock=clock, client=client)


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with set_stage() as set_up:
        yield set_up


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing() -> AsyncIterator[Stage]:
    """One stage for all that is refused: a refusal changes nothing, which is what each of these tests asserts."""
    async with set_stage() as set_up:
        yield set_up


def sessions(application: ToyApplication) -> tuple[int, int]:
    return application.sessions_of("Ada"), application.sessions_of("Ben")


def refused(response: httpx.Response, because: str, application: ToyApplication) -> None:
    """Section 2.8: 400 with `invalid_request`, never stored; and nothing changed."""
    assert response.status_code == 400
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["error"] == "invalid_request"
    assert because in response.json()["error_description"]
    assert sessions(application) == (2, 1)
    assert (application.notices[-1].status, application.notices[-1].token) == (400, None)


async def test_a_sub_alone_ends_every_session_of_that_person_and_of_nobody_else(stage: Stage) -> None:
    response = await stage.tell(stage.payroll)

    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert sessions(stage.payroll) == (0, 1)
    (notice,) = stage.payroll.notices
    assert notice.token is not None
    assert (notice.at_ms, notice.status, notice.ended, notice.token.alg) == (stage.clock.now_ms(), 200, 2, "ES256")
    assert (notice.token.sub, notice.token.sid, notice.token.txn) == ("ada", None, "delivery-1")


async def test_a_sid_ends_that_session_alone(stage: Stage) -> None:
    response = await stage.tell(stage.wiki, sid="ada-phone")

    assert response.status_code == 200
    assert sessions(stage.wiki) == (1, 1)
    assert "ada-laptop" in stage.wiki.sessions


async def test_a_sid_that_belongs_to_another_sub_ends_nothing(stage: Stage) -> None:
    response = await stage.tell(stage.wiki, sub="ben", sid="ada-laptop")

    assert response.status_code == 200
    assert sessions(stage.wiki) == (2, 1)
    assert stage.wiki.notices[0].ended == 0


async def test_somebody_already_signed_out_is_signed_out_again_without_complaint(stage: Stage) -> None:
    assert (await stage.tell(stage.payroll, jti="1")).status_code == 200
    assert (await stage.tell(stage.payroll, jti="2")).status_code == 200
    assert [each.ended for each in stage.payroll.notices] == [2, 0]


async def test_the_slow_one_answers_503_first_and_ends_nothing_then_200_on_a_fresh_token(stage: Stage) -> None:
    assert (await stage.tell(stage.helpdesk, jti="1")).status_code == 503
    assert sessions(stage.helpdesk) == (2, 1)
    assert (await stage.tell(stage.helpdesk, jti="2")).status_code == 200
    assert sessions(stage.helpdesk) == (0, 1)


async def test_the_same_token_again_is_refused(stage: Stage) -> None:
    token = stage.token(stage.helpdesk)

    assert (await stage.send(stage.helpdesk, token)).status_code == 503
    assert (await stage.send(stage.helpdesk, token)).status_code == 400
    assert sessions(stage.helpdesk) == (2, 1)


@pytest.mark.parametrize(
    ("claims", "because"),
    [
        ({"iss": "http://127.0.0.1:1"}, "`iss`"),
        ({"iss": REMOVED}, "`iss`"),
        ({"aud": "wiki"}, "`aud`"),
        ({"aud": ["payroll", "wiki"]}, "`aud`"),
        ({"aud": []}, "`aud`"),
        ({"aud": REMOVED}, "`aud`"),
        ({"exp": REMOVED}, "`exp`"),
        ({"exp": "1800000100"}, "`exp`"),
        ({"exp": True}, "`exp`"),
        ({"exp": float("nan")}, "`exp`"),
        ({"exp": float("inf")}, "`exp`"),
        ({"exp": 1_800_000_000}, "expired"),
        ({"exp": 1_800_000_121}, "within 120 s"),
        ({"iat": 1_799_999_000, "exp": 1_799_999_120}, "expired"),
        ({"iat": REMOVED}, "`iat`"),
        ({"iat": 1_800_000_060}, "in the future"),
        ({"sub": REMOVED}, "neither `sub` nor `sid`"),
        ({"sub": None}, "`sub`"),
        ({"sub": ""}, "`sub`"),
        ({"sid": 7}, "`sid`"),
        ({"events": REMOVED}, "`events`"),
        ({"events": {}}, "`events`"),
        ({"events": BACK_CHANNEL_EVENT}, "`events`"),
        ({"events": [BACK_CHANNEL_EVENT]}, "`events`"),
        ({"events": {"http://schemas.openid.net/event/foobar": {}}}, "`events`"),
        ({"events": {BACK_CHANNEL_EVENT: {}, "urn:another": {}}}, "`events`"),
        ({"events": {BACK_CHANNEL_EVENT: None}}, "`events`"),
        ({"events": {BACK_CHANNEL_EVENT: {"more": 1}}}, "`events`"),
        ({"nonce": "n"}, "`nonce`"),
        ({"nonce": None}, "`nonce`"),
        ({"jti": REMOVED}, "`jti`"),
        ({"jti": ""}, "`jti`"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused(standing: Stage, claims: dict[str, Any], because: str) -> None:
    refused(await standing.tell(standing.payroll, **claims), because, standing.payroll)


@pytest.mark.parametrize(
    ("header", "because"),
    [
        ({"typ": REMOVED}, "`typ`"),
        ({"typ": "JWT"}, "`typ`"),
        ({"typ": "secevent+jwt"}, "`typ`"),
        ({"alg": "RS256"}, "`alg`"),
        ({"alg": "none"}, "`alg`"),
        ({"kid": REMOVED}, "`kid`"),
        ({"kid": "nobody"}, "`kid`"),
        ({"kid": "rs256-1"}, "`kid`"),
    ],
)
async def test_a_token_with_a_wrong_header_is_refused(standing: Stage, header: dict[str, Any], because: str) -> None:
    refused(await standing.tell(standing.payroll, header=header), because, standing.payroll)


async def test_no_sid_is_refused_where_one_is_required(standing: Stage) -> None:
    refused(await standing.tell(standing.wiki, sid=REMOVED), "no `sid`", standing.wiki)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "EdDSA"])
async def test_a_good_signature_by_another_algorithm_than_the_registered_one_is_refused(
    standing: Stage, alg: str
) -> None:
    key = private_key(alg)
    header = {"typ": "logout+jwt", "alg": alg, "kid": key.kid}

    token = signed(standing.claims(standing.payroll), key=key, alg=alg, header=header)

    refused(await standing.send(standing.payroll, token), "`alg`", standing.payroll)


async def test_a_signature_by_somebody_elses_key_of_the_same_name_is_refused(standing: Stage) -> None:
    header = {"typ": "logout+jwt", "alg": "ES256", "kid": "es256-1"}

    token = signed(standing.claims(standing.payroll), key=private_key("ES256", 2), alg="ES256", header=header)

    refused(await standing.send(standing.payroll, token), "signature", standing.payroll)


@pytest.mark.parametrize("alg", ["none", "ES256"])
async def test_no_signature_is_refused(standing: Stage, alg: str) -> None:
    token = unsigned(standing.claims(standing.payroll), header={"typ": "logout+jwt", "alg": alg, "kid": "es256-1"})

    assert (await standing.send(standing.payroll, token)).status_code == 400
    assert sessions(standing.payroll) == (2, 1)


async def test_the_public_key_as_a_shared_secret_is_refused(standing: Stage) -> None:
    header = {"typ": "logout+jwt", "alg": "HS256", "kid": "es256-1"}

    token = signed_with_public_key(standing.claims(standing.payroll), key=private_key("ES256"), header=header)

    refused(await standing.send(standing.payroll, token), "`alg`", standing.payroll)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "....", "a.b.c.d.e"])
async def test_what_is_no_token_is_refused(standing: Stage, token: str) -> None:
    refused(await standing.send(standing.payroll, token), "", standing.payroll)


@pytest.mark.parametrize("payload", [b"[]", b'"text"', b"not json", b"\xff"])
async def test_claims_that_are_no_object_are_refused(standing: Stage, payload: bytes) -> None:
    header = {"typ": "logout+jwt", "alg": "ES256", "kid": "es256-1"}

    token = signed(payload, key=private_key("ES256"), alg="ES256", header=header)

    refused(await standing.send(standing.payroll, token), "claims", standing.payroll)


async def test_a_form_with_one_logout_token_is_asked_for_and_others_are_ignored(stage: Stage) -> None:
    uri, token = stage.payroll.backchannel_logout_uri, stage.token(stage.payroll)

    assert (await stage.client.post(uri, json={"logout_token": token})).status_code == 400
    assert (await stage.client.post(uri, data={})).status_code == 400
    assert (await stage.client.post(uri, data={"logout_token": [token, token]})).status_code == 400
    assert (await stage.client.get(uri)).status_code == 405
    assert sessions(stage.payroll) == (2, 1)
    assert (await stage.client.post(uri, data={"logout_token": token, "other": "1"})).status_code == 200


async def test_the_issuers_keys_are_fetched_once_and_again_for_a_name_not_seen(stage: Stage) -> None:
    await stage.payroll.keys.fetch()
    assert (await stage.tell(stage.payroll)).status_code == 200
    assert stage.issuer.fetches == 1

    newer = private_key("ES256", 2)
    stage.issuer.jwks["keys"].append(public_jwk(newer))
    header = {"typ": "logout+jwt", "alg": "ES256", "kid": newer.kid}
    token = signed(stage.claims(stage.payroll, jti="2"), key=newer, alg="ES256", header=header)

    assert (await stage.send(stage.payroll, token)).status_code == 200
    assert stage.issuer.fetches == 2


@pytest.mark.parametrize(
    ("member", "value", "because"),
    [
        ("issuer", "http://127.0.0.1:1", "another issuer"),
        ("backchannel_logout_supported", False, "back-channel logout"),
        ("backchannel_logout_session_supported", None, "back-channel logout"),
        ("jwks_uri", "http://127.0.0.1:1/jwks", "cannot be fetched"),
        ("jwks_uri", None, "cannot be fetched"),
    ],
)
async def test_an_issuer_whose_metadata_is_wrong_is_not_believed(
    stage: Stage, member: str, value: object, because: str
) -> None:
    stage.issuer.metadata[member] = value

    refused(await stage.tell(stage.payroll), because, stage.payroll)


async def test_an_issuer_that_publishes_a_private_key_is_not_believed(stage: Stage) -> None:
    stage.issuer.jwks = {"keys": [private_key("ES256").as_dict(private=True)]}

    refused(await stage.tell(stage.payroll), "public keys", stage.payroll)


async def test_three_at_once_are_all_answered(stage: Stage) -> None:
    answers = await asyncio.gather(stage.tell(stage.wiki), stage.tell(stage.payroll), stage.tell(stage.helpdesk))

    assert [each.status_code for each in answers] == [200, 200, 503]
