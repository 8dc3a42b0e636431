"""The story, step by step: three applications, two people, and an identity provider that signs one of them out."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from service.demo.applications import PROFILES, ToyApplication
from service.demo.authorization_server import (
    CLIENT_ID_AT_PROVIDER,
    CONNECTION_NAME,
    AuthorizationServer,
    Person,
    Receipt,
    SignIn,
    StepFailed,
)
from service.demo.claims import Claims
from service.demo.evidence import (
    Instant,
    check_applications,
    check_bystander,
    check_instant,
    check_receipt,
    moments,
    summary,
)
from service.demo.identity_provider import ASSERTION_TYPE, IdentityProvider
from service.demo.loopback import Loopback
from service.demo.timeline import Narration

RECEIPT_LIMIT_S: Final = 30.0
"""Longest wait for the last application to be told, in seconds; the slow one's second attempt comes within two."""

RECEIPT_POLL_S: Final = 0.05
"""Pause between two looks at the receipt, in seconds."""

UNFINISHED: Final = frozenset({"accepted", "notifying"})
"""The states of a receipt in which more is to come."""

ADA: Final = Person(name="Ada", email="ada@example.com", sub="00u-ada")
BEN: Final = Person(name="Ben", email="ben@example.com", sub="00u-ben")


async def tell_story(*, url: str, admin_token: str, show: Narration, claims: Claims) -> None:
    """Play it against the logoutd at `url`. Raises StepFailed when a step fails on which the rest stands."""
    async with AsyncExitStack() as stage:
        server = await stage.enter_async_context(AuthorizationServer(url, admin_token=admin_token))
        loopback = await stage.enter_async_context(Loopback())
        provider = loopback.serve(IdentityProvider)
        applications = tuple(
            loopback.serve(partial(ToyApplication, profile=profile, issuer=url)) for profile in PROFILES
        )
        _introduce(url, provider, applications, show)
        endpoint = await _connect(server, provider, applications, show)
        adas, bens = await _sign_in(server, provider, applications, show)
        instant = await _sign_out(server, provider, adas, endpoint=endpoint, show=show)
        check_instant(instant, claims)
        receipt = await _wait_for_receipt(server, adas[0].user_id, show)
        show.chapter("The timeline, in milliseconds since logoutd accepted it")
        show.timeline(moments(adas, applications, receipt, instant))
        show.line(summary(receipt))
        check_applications(adas, applications, claims)
        check_receipt(applications, receipt, claims)
        await check_bystander(server, bens, applications, claims)
        show.chapter("What came true")
        show.verdict(claims.made)


def _introduce(url: str, provider: IdentityProvider, applications: Sequence[ToyApplication], show: Narration) -> None:
    show.chapter("The parts, each a real server on this machine")
    show.facts(
        [
            ("logoutd", url, "the service, a worker, a Redis"),
            ("identity provider", provider.issuer, "signs with its own RS256 key"),
            *((each.profile.client_id, each.url, each.profile.character) for each in applications),
        ]
    )


async def _connect(
    server: AuthorizationServer, provider: IdentityProvider, applications: Sequence[ToyApplication], show: Narration
) -> str:
    for application in applications:
        await server.register(application)
        await application.keys.fetch()
    endpoint = await server.connect(provider, applications)
    show.chapter(f"The connection `{CONNECTION_NAME}`, made from the provider's discovery document")
    show.line("Its endpoint is what an administrator pastes into Okta:")
    show.line(endpoint)
    return endpoint


async def _sign_in(
    server: AuthorizationServer, provider: IdentityProvider, applications: Sequence[ToyApplication], show: Narration
) -> tuple[list[SignIn], list[SignIn]]:
    at_the_wiki = [each for each in applications if each.profile.session_required]
    adas = [
        await server.sign_in(ADA, device="laptop", provider=provider, applications=applications),
        await server.sign_in(ADA, device="phone", provider=provider, applications=at_the_wiki),
    ]
    bens = [await server.sign_in(BEN, device="laptop", provider=provider, applications=applications)]
    show.chapter("Two people sign in")
    show.facts([(each.person.name, f"on a {each.device}", _holders(each)) for each in (*adas, *bens)])
    tokens = [token for each in (*adas, *bens) for token in each.refresh_tokens]
    told = await asyncio.gather(*(server.introspect(token) for token in tokens))
    if not all(each.get("active") is True for each in told):
        raise StepFailed("introspection: a refresh token is not active although nobody was signed out yet")
    show.line(f"Each application holds a refresh token of its own; all {len(tokens)} are active.")
    return adas, bens


def _holders(sign_in: SignIn) -> str:
    return ", ".join(
        f"{token.holder.profile.client_id} (offline access)" if token.offline else token.holder.profile.client_id
        for token in sign_in.refresh_tokens
    )


async def _sign_out(
    server: AuthorizationServer, provider: IdentityProvider, adas: Sequence[SignIn], *, endpoint: str, show: Narration
) -> Instant:
    show.chapter("The identity provider says: sign Ada out everywhere")
    show.facts(
        [
            ("POST", urlsplit(endpoint).path),
            ("Authorization", f"Bearer, a JWT of type {ASSERTION_TYPE}"),
            ("body", f'{{"sub_id": {{"format": "email", "email": "{ADA.email}"}}}}'),
        ]
    )
    answer = await provider.sign_out(ADA.email, endpoint=endpoint, client_id=CLIENT_ID_AT_PROVIDER)
    answered_at_ms = _now_ms()
    # Nothing is waited for between the answer and these questions: what they find held from the answer on.
    told, sessions = await asyncio.gather(
        asyncio.gather(*(server.introspect(token) for each in adas for token in each.refresh_tokens)),
        asyncio.gather(*(server.session(each.session_id) for each in adas)),
    )
    checked_at_ms = _now_ms()
    if answer.status != 204:
        raise StepFailed(f"the Global Token Revocation: expected 204, got {answer.status} {answer.body}".rstrip())
    show.line(f"logoutd answered {answer.status} after {answer.duration_ms} ms. Waiting until all are told ...")
    return Instant(
        answer=answer,
        answered_at_ms=answered_at_ms,
        checked_at_ms=checked_at_ms,
        introspected=told,
        session_states=[str(each.get("state")) for each in sessions],
    )


async def _wait_for_receipt(server: AuthorizationServer, user_id: str, show: Narration) -> Receipt:
    revocation_id = await server.revocation_of(user_id)
    deadline = time.monotonic() + RECEIPT_LIMIT_S
    receipt = await server.receipt(revocation_id)
    while receipt.state in UNFINISHED and time.monotonic() < deadline:
        await asyncio.sleep(RECEIPT_POLL_S)
        receipt = await server.receipt(revocation_id)
    show.line(f"Receipt: GET /api/v2/revocations/{revocation_id} ({receipt.state})")
    return receipt


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
