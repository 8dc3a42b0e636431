"""The authorization server beside logoutd, as far as the story needs one: it reports sign-ins and asks what is honoured.

Everything it knows of logoutd is the public HTTP API.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx

from service.demo.applications import ToyApplication
from service.demo.identity_provider import IdentityProvider

CONNECTION_NAME: Final = "demo"

CLIENT_ID_AT_PROVIDER: Final = "0oa-logoutd-demo"
"""What the identity provider calls the authorization server; the `sub` of its assertions."""

REQUEST_SECONDS: Final = 10.0
"""Longest wait for one answer of logoutd, in seconds."""


class StepFailed(Exception):
    """A step on which the rest of the story stands did not work; the text says which, and what the answer was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with an account at the identity provider."""

    name: str
    email: str
    sub: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token and the application that holds it."""

    value: str
    holder: ToyApplication
    offline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """One person on one device, at some applications."""

    person: Person
    device: str
    session_id: str
    user_id: str
    sids: Mapping[str, str]
    """What each application calls the session, by client_id."""
    refresh_tokens: tuple[RefreshToken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call at an application, as the receipt tells it."""

    at_ms: int
    duration_ms: int
    answer: str
    """The status, or the error where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What was owed to one application, as the receipt tells it."""

    delivery_id: str
    client_id: str
    state: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`GET /api/v2/revocations/{id}`. Times are milliseconds since the epoch."""

    state: str
    accepted_at_ms: int
    revoked_at_ms: int
    sessions_ended: int
    refresh_tokens_revoked: int
    deliveries: tuple[Delivery, ...]


class AuthorizationServer:
    """An async context manager around one HTTP client, with the administrator's token."""

    def __init__(self, url: str, *, admin_token: str) -> None:
        self._admin = {"Authorization": f"Bearer {admin_token}"}
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=REQUEST_SECONDS)
        self._secrets: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def register(self, application: ToyApplication) -> None:
        """Register an application, with the names of RFC 7591."""
        profile = application.profile
        registered = await self._ask(
            "POST",
            "/api/v2/clients",
            expect=201,
            body={
                "client_id": profile.client_id,
                "client_name": profile.client_name,
                "backchannel_logout_uri": application.backchannel_logout_uri,
                "backchannel_logout_session_required": profile.session_required,
                "id_token_signed_response_alg": profile.alg,
            },
        )
        self._secrets[profile.client_id] = registered["client_secret"]

    async def connect(self, provider: IdentityProvider, applications: Sequence[ToyApplication]) -> str:
        """Create the connection from the provider's discovery document: the endpoint to paste into the provider."""
        connection = await self._ask(
            "POST",
            "/api/v2/connections",
            expect=201,
            body={
                "strategy": "oidc",
                "name": CONNECTION_NAME,
                "options": {
                    "type": "back_channel",
                    "discovery_url": provider.discovery_url,
                    "client_id": CLIENT_ID_AT_PROVIDER,
                    "client_secret": "a-secret-of-the-toy-provider",
                    "scopes": "openid profile email",
                },
                "enabled_clients": [application.profile.client_id for application in applications],
            },
        )
        return str(connection["global_token_revocation_endpoint"])

    async def sign_in(
        self, person: Person, *, device: str, provider: IdentityProvider, applications: Sequence[ToyApplication]
    ) -> SignIn:
        """Report that somebody signed in, mint a refresh token for each application; the payroll's is an offline one."""
        session = await self._ask(
            "POST",
            "/api/v2/sessions",
            expect=201,
            body={
                "connection": CONNECTION_NAME,
                "subject": {"iss": provider.issuer, "sub": person.sub},
                "identifiers": [{"format": "email", "email": person.email}],
                # Pairwise subjects: no two applications know a person by the same name.
                "clients": [
                    {"client_id": each.profile.client_id, "sub": f"{each.profile.client_id}|{person.sub}"}
                    for each in applications
                ],
            },
        )
        known = {each["client_id"]: each for each in session["clients"]}
        tokens = []
        for application in applications:
            part = known[application.profile.client_id]
            application.sign_in(person=person.name, sub=part["sub"], sid=part["sid"])
            tokens.append(await self._refresh_token(session["session_id"], application))
        return SignIn(
            person=person,
            device=device,
            session_id=session["session_id"],
            user_id=session["user_id"],
            sids={client_id: part["sid"] for client_id, part in known.items()},
            refresh_tokens=tuple(tokens),
        )

    async def _refresh_token(self, session_id: str, holder: ToyApplication) -> RefreshToken:
        offline = holder.profile.offline
        issued = await self._ask(
            "POST",
            "/api/v2/refresh-tokens",
            expect=201,
            body={
                "session_id": session_id,
                "client_id": holder.profile.client_id,
                "scope": "openid offline_access" if offline else "openid",
                "offline": offline,
            },
        )
        return RefreshToken(value=issued["refresh_token"], holder=holder, offline=offline)

    async def introspect(self, token: RefreshToken) -> Mapping[str, Any]:
        """What logoutd tells the token's holder about it (RFC 7662), asked with the holder's own credentials."""
        client_id = token.holder.profile.client_id
        response = await self._client.post(
            "/oauth/introspect", data={"token": token.value}, auth=(client_id, self._secrets[client_id])
        )
        return _answer(response, step="introspection", expect=200)

    async def session(self, session_id: str) -> Mapping[str, Any]:
        """The session as logoutd tells it."""
        return await self._ask("GET", f"/api/v2/sessions/{session_id}", expect=200)

    async def revocation_of(self, user_id: str) -> str:
        """The id of the one revocation of this person."""
        found = await self._ask("GET", f"/api/v2/revocations?user_id={user_id}", expect=200)
        ids = [str(each["revocation_id"]) for each in found["items"]]
        if len(ids) != 1:
            raise StepFailed(f"GET /api/v2/revocations?user_id=...: expected one revocation, got {len(ids)}")
        return ids[0]

    async def receipt(self, revocation_id: str) -> Receipt:
        """Who was told, when, and what they said."""
        told = await self._ask("GET", f"/api/v2/revocations/{revocation_id}", expect=200)
        return Receipt(
            state=told["state"],
            accepted_at_ms=_milliseconds(told["accepted_at"]),
            revoked_at_ms=_milliseconds(told["revoked_at"]),
            sessions_ended=told["sessions_ended"],
            refresh_tokens_revoked=told["refresh_tokens_revoked"],
            deliveries=tuple(_delivery(each) for each in told["deliveries"]),
        )

    async def _ask(
        self, method: str, path: str, *, expect: int, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        response = await self._client.request(method, path, headers=self._admin, json=body)
        return _answer(response, step=f"{method} {path.partition('?')[0]}", expect=expect)


def _answer(response: httpx.Response, *, step: str, expect: int) -> dict[str, Any]:
    try:
        said = response.json()
    except ValueError:
        said = None
    if response.status_code != expect or not isinstance(said, dict):
        why = said.get("error_description", "") if isinstance(said, dict) else ""
        raise StepFailed(f"{step}: expected {expect}, got {response.status_code} {why}".rstrip())
    return said


def _delivery(told: Mapping[str, Any]) -> Delivery:
    return Delivery(
        delivery_id=told["delivery_id"],
        client_id=told["client_id"],
        state=told["state"],
        attempts=tuple(
            Attempt(
                at_ms=_milliseconds(each["at"]),
                duration_ms=each["duration_ms"],
                answer=str(each.get("status") or each.get("error")),
            )
            for each in told["attempts"]
        ),
    )


def _milliseconds(told: str) -> int:
    return round(datetime.fromisoformat(told).timestamp() * 1000)
