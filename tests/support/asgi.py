"""The HTTP process without a socket: the application itself, its lifespan run as a server runs it, called by httpx.

What is behind it is real: Redis, the identity providers, the outbound client. Only the clock is ours.
"""

import base64
import contextlib
import ipaddress
import json
import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from service.app import create_app
from service.embedded_redis import EmbeddedRedis
from service.keys.generate import generate_signing_keys
from service.resources import Resources
from service.settings import Settings
from tests.support.clock import HandClock
from tests.support.documented import hold_as_documented
from tests.support.identity_provider import CLIENT_ID, NOTHING, IdentityProvider

PUBLIC_URL: Final = "https://logout.example.com"
"""Where the service believes to be reached."""

ADMIN_TOKEN: Final = "the-administrators-token-of-the-tests"
"""The management API's token."""

NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
"""No credential at all."""

ADMINISTRATOR: Final[Mapping[str, str]] = MappingProxyType({"Authorization": f"Bearer {ADMIN_TOKEN}"})
"""The administrator's credential."""

LOOPBACK: Final = (ipaddress.IPv4Network("127.0.0.0/8"),)
"""Where identity providers and applications of the tests are."""

AGE_S: Final = 3 * 86_400.0
"""How far the clock moves on between two tests, in seconds: nothing remembered of an identity provider lasts so long."""

CREDENTIAL: Final = "s3cret-of-ours-at-the-identity-provider"
"""Our `client_secret` at the identity provider, as connections of the tests are configured with."""

SUBJECT: Final = "00u1ada"
"""The `sub` of whoever signs in where a test does not say."""


def bearer(token: str) -> dict[str, str]:
    """A bearer credential."""
    return {"Authorization": f"Bearer {token}"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    """An application's credential, encoded as RFC 6749 section 2.3.1 says."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def refused(response: httpx.Response, status: int, error: str, *naming: str) -> str:
    """The description of a refusal, after checking that it is one to the letter and names what it should."""
    told = response.json()
    assert (response.status_code, told.get("error")) == (status, error), response.text
    assert set(told) == {"error", "error_description"}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert ADMIN_TOKEN not in response.text
    assert CREDENTIAL not in response.text
    description = told["error_description"]
    assert isinstance(description, str)
    assert description
    for each in naming:
        assert each in description
    return description


@dataclass(frozen=True, kw_only=True)
class Api:
    """The service, and what is to be had behind its back."""

    app: ASGIApp
    http: httpx.AsyncClient
    resources: Resources
    clock: HandClock
    secrets: dict[str, str] = field(default_factory=dict)
    """Of clients registered by `client`, by client_id."""

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | AsyncIterable[bytes] | None = None,
        by: Mapping[str, str] = ADMINISTRATOR,
        headers: Mapping[str, str] = NOTHING,
    ) -> httpx.Response:
        """Any request; `body` is sent as JSON, `raw` as it is."""
        content = json.dumps(body).encode() if body is not None else raw
        return await self.http.request(method, path, content=content, headers={**by, **headers})

    async def get(self, path: str, *, by: Mapping[str, str] = ADMINISTRATOR) -> httpx.Response:
        """GET, by the administrator unless said otherwise."""
        return await self.call("GET", path, by=by)

    async def post(self, path: str, body: object = None, *, by: Mapping[str, str] = ADMINISTRATOR) -> httpx.Response:
        """POST, likewise."""
        return await self.call("POST", path, body, by=by)

    async def patch(self, path: str, body: object, *, by: Mapping[str, str] = ADMINISTRATOR) -> httpx.Response:
        """PATCH, likewise."""
        return await self.call("PATCH", path, body, by=by)

    async def delete(self, path: str, *, by: Mapping[str, str] = ADMINISTRATOR) -> httpx.Response:
        """DELETE, likewise."""
        return await self.call("DELETE", path, by=by)

    async def client(self, client_id: str, **members: object) -> dict[str, Any]:
        """A registered client."""
        uri = f"https://applications.example.com/{quote(client_id, safe='')}/logout"
        answer = await self.post("/api/v2/clients", {"client_id": client_id, "backchannel_logout_uri": uri, **members})
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        self.secrets[client_id] = told["client_secret"]
        return told

    def by(self, client_id: str) -> dict[str, str]:
        """The credential of a client made by `client`."""
        return basic(client_id, self.secrets[client_id])

    async def connection(
        self, idp: IdentityProvider, *clients: str, name: str = "okta", options: Mapping[str, object] = NOTHING
    ) -> dict[str, Any]:
        """A connection by discovery, for which these clients, registered where they are not yet, are enabled."""
        for each in clients:
            if each not in self.secrets:
                await self.client(each)
        answer = await self.post(
            "/api/v2/connections",
            {**connection_body(idp, name=name, options=options), "enabled_clients": list(clients)},
        )
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def sign_in(self, idp: IdentityProvider, *clients: str, **members: object) -> dict[str, Any]:
        """A session of SUBJECT at these clients through the connection `okta`."""
        answer = await self.post("/api/v2/sessions", sign_in_body(idp, *clients, **members))
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def refresh_token(self, session: Mapping[str, Any], client_id: str, **members: object) -> str:
        """A refresh token of a client in a session."""
        body = {"session_id": session["session_id"], "client_id": client_id, **members}
        answer = await self.post("/api/v2/refresh-tokens", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["refresh_token"])

    async def introspect(
        self, token: str, *, by: Mapping[str, str] = ADMINISTRATOR, **parameters: str
    ) -> httpx.Response:
        """The answer to one introspection."""
        return await self.http.post("/oauth/introspect", data={"token": token, **parameters}, headers=dict(by))

    async def global_token_revocation(
        self, idp: IdentityProvider, body: object, *, name: str = "okta", assertion: str | None = None
    ) -> httpx.Response:
        """The answer to a request such as Okta sends."""
        token = assertion or idp.assertion(audience=gtr_url(name), alg="ES256", now_s=self.clock.now_s)
        return await self.http.post(gtr_path(name), json=body, headers=bearer(token))

    async def backchannel_logout(self, token: str, *, name: str = "okta") -> httpx.Response:
        """The answer to a logout token."""
        return await self.http.post(bcl_path(name), data={"logout_token": token})


@contextlib.asynccontextmanager
async def calling_from(api: Api, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who calls from an IP address."""
    transport = httpx.ASGITransport(app=api.app, client=(address, 50_000))
    hooks = {"response": [hold_as_documented]}
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, event_hooks=hooks) as http:
        yield http


def bcl_path(name: str) -> str:
    """The path of a connection's back-channel logout door."""
    return f"/oauth/backchannel-logout/connection/{name}"


def gtr_path(name: str) -> str:
    """The path of a connection's Global Token Revocation door."""
    return f"/oauth/global-token-revocation/connection/{name}"


def gtr_url(name: str) -> str:
    """Its URL: the `aud` of every assertion."""
    return PUBLIC_URL + gtr_path(name)


def connection_body(
    idp: IdentityProvider, *, name: str = "okta", options: Mapping[str, object] = NOTHING
) -> dict[str, Any]:
    """The body that makes a back-channel connection by discovery."""
    ordinary = {
        "type": "back_channel",
        "discovery_url": idp.discovery_url,
        "client_id": CLIENT_ID,
        "client_secret": CREDENTIAL,
        "scopes": "openid profile",
    }
    return {"strategy": "oidc", "name": name, "options": {**ordinary, **options}}


def sign_in_body(idp: IdentityProvider, *clients: str, **members: object) -> dict[str, Any]:
    """The body of a sign-in through the connection `okta`."""
    return {
        "connection": "okta",
        "subject": {"iss": idp.issuer, "sub": SUBJECT},
        "clients": [{"client_id": each} for each in clients],
        **members,
    }


@contextlib.asynccontextmanager
async def serving(
    redis_url: str,
    folder: Path,
    *,
    clock: HandClock | None = None,
    own_clocks: bool = False,
    raise_faults: bool = True,
    metrics_kept_s: float = 0,
    **settings: Any,
) -> AsyncIterator[Api]:
    """The application over this Redis; its keys are written to `folder`. A fault of ours (500) is raised, not answered, and
    /metrics says what is, unless it is to be kept. `own_clocks`: it goes by the machine's clock and Redis', as outside of
    tests."""
    keys = folder / "signing-keys.json"
    keys.write_text(json.dumps(_signing_keys()), encoding="utf-8")
    clock = clock or HandClock()
    chosen = {
        "public_url": PUBLIC_URL,
        "signing_keys_file": keys,
        "redis_url": SecretStr(redis_url),
        "admin_token": SecretStr(ADMIN_TOKEN),
        "allowed_private_networks": LOOPBACK,
        **settings,
    }
    app = create_app(Settings(**chosen), clock=None if own_clocks else clock, metrics_kept_s=metrics_kept_s)
    async with contextlib.AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            # Nobody here speaks TLS, and reading all the system's certificate authorities takes longer than most tests.
            patch.setenv("SSL_CERT_FILE", os.devnull)
            patch.setenv("SSL_CERT_DIR", os.devnull)
            state = await stack.enter_async_context(app.router.lifespan_context(app))
        if state is None:
            raise AssertionError("the application's lifespan yields its state")
        held = dict(state)

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            # As servers do: each request has a shallow copy.
            await app({**scope, "state": dict(held)}, receive, send)

        transport = httpx.ASGITransport(app=with_state, raise_app_exceptions=raise_faults)
        hooks = {"response": [hold_as_documented]}
        async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, event_hooks=hooks) as http:
            yield Api(app=with_state, http=http, resources=held["resources"], clock=clock)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_api(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """One running service for all tests of a module, which run in the module's loop. Ask for `api`."""
    async with serving(redis_server.url, tmp_path_factory.mktemp("service")) as opened:
        yield opened


@pytest.fixture
def api(module_api: Api, redis_url: str) -> Api:
    """The service over an empty Redis, days after the test before."""
    module_api.clock.advance(AGE_S)
    module_api.secrets.clear()
    return module_api


@pytest_asyncio.fixture(loop_scope="module")
async def idp() -> AsyncIterator[IdentityProvider]:
    """An identity provider, in the module's loop."""
    async with IdentityProvider.running() as running:
        yield running


@cache
def _signing_keys() -> dict[str, Any]:
    return generate_signing_keys()
