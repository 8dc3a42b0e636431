"""An identity provider: a small real HTTP server with a discovery document, keys, and the means to sign people out."""

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from aiohttp import web

from service.domain.connection import SIGNING_ALGORITHMS, Connection, ConnectionOptions
from tests.support import tokens
from tests.support.tokens import REMOVED, PrivateKey

Document = Literal["discovery", "keys"]

CLIENT_ID: Final = "0oa1exampleClient"
"""Our client_id there, in Okta's form."""

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

PATIENCE_S: Final = 10.0
"""How long a test waits for something to arrive, in seconds, before it fails."""


class IdentityProvider:
    """Answers as Okta's org authorization server does. What a test sets on it holds from the next request on."""

    def __init__(self, *, path: str = "", numbers_from: int = 1) -> None:
        self.origin = ""
        self.path = path
        """What the issuer has after its host: `""`, `"/"` or `"/tenant"`."""
        self.keys: dict[str, PrivateKey] = {}
        """What it signs with, by algorithm."""
        self.published: list[object] = []
        """Its JWKS, as documents: what it signs with, and whatever a test adds."""
        self.discovery_overrides: dict[str, object] = {}
        self.bodies: dict[Document, bytes] = {}
        """Answers to give to the letter."""
        self.headers: dict[str, str] = {}
        """Headers of every document, over the ordinary."""
        self.broken: set[Document] = set()
        """Documents answered with status 500."""
        self.fetches: Counter[Document] = Counter()
        self._number = numbers_from - 1
        self._going_on: dict[Document, asyncio.Event] = {}
        self._arrived = asyncio.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.rotate()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, *, path: str = "", port: int = 0, numbers_from: int = 1
    ) -> AsyncIterator["IdentityProvider"]:
        """One that serves on loopback, in the running event loop."""
        provider = cls(path=path, numbers_from=numbers_from)
        provider._loop = asyncio.get_running_loop()
        application = web.Application()
        application.router.add_get("/{path:.*}", provider._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            provider.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield provider
        finally:
            provider.resume()
            await runner.cleanup()

    @classmethod
    @contextlib.contextmanager
    def in_thread(cls, *, path: str = "", port: int = 0, numbers_from: int = 1) -> Iterator["IdentityProvider"]:
        """One that serves on loopback from a thread of its own, for tests whose own loop is busy or absent."""
        started = threading.Event()
        providers: list[IdentityProvider] = []
        stop: list[asyncio.Event] = []

        async def serve() -> None:
            stop.append(asyncio.Event())
            try:
                async with cls.running(path=path, port=port, numbers_from=numbers_from) as provider:
                    providers.append(provider)
                    started.set()
                    await stop[0].wait()
            finally:
                started.set()

        thread = threading.Thread(target=asyncio.run, args=(serve(),), name="identity-provider")
        thread.start()
        started.wait(PATIENCE_S)
        if not providers:
            thread.join(PATIENCE_S)
            raise RuntimeError("the identity provider did not start")
        loop = providers[0]._loop
        assert loop is not None
        try:
            yield providers[0]
        finally:
            loop.call_soon_threadsafe(stop[0].set)
            thread.join(PATIENCE_S)

    @property
    def issuer(self) -> str:
        """As in its discovery document and its tokens."""
        return self.origin + self.path

    @property
    def base_url(self) -> str:
        """The issuer without a slash at its end."""
        return self.issuer.rstrip("/")

    @property
    def discovery_url(self) -> str:
        """Where its discovery document is."""
        return f"{self.base_url}/.well-known/openid-configuration"

    @property
    def jwks_uri(self) -> str:
        """Where its keys are."""
        return f"{self.base_url}/oauth2/v1/keys"

    def rotate(self, *, keep_published: bool = False) -> None:
        """Sign with new keys from now on, and publish them; the old ones beside them with `keep_published`."""
        self._number += 1
        self.keys = {alg: tokens.private_key(alg, self._number) for alg in SIGNING_ALGORITHMS}
        fresh: list[object] = [tokens.public_jwk(key) for key in self.keys.values()]
        self.published = [*self.published, *fresh] if keep_published else fresh

    def hang(self, document: Document) -> None:
        """Take requests for a document and answer none, until `resume`."""
        self._going_on[document] = asyncio.Event()

    def resume(self) -> None:
        """Answer everything that hangs."""
        assert self._loop is not None
        for waiting in self._going_on.values():
            self._loop.call_soon_threadsafe(waiting.set)
        self._going_on = {}

    async def fetched(self, document: Document, times: int) -> None:
        """Wait until a document has been asked for so often. Only in the loop it serves from."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: self.fetches[document] >= times)

    def discovery_document(self) -> dict[str, Any]:
        """What it says of itself, with Okta's paths."""
        base = self.base_url
        members = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{base}/oauth2/v1/authorize",
            "token_endpoint": f"{base}/oauth2/v1/token",
            "userinfo_endpoint": f"{base}/oauth2/v1/userinfo",
            "jwks_uri": self.jwks_uri,
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": list(SIGNING_ALGORITHMS),
        }
        return tokens.overridden(members, self.discovery_overrides)

    def connection(self, *, id: str = "con_okta", client_id: str = CLIENT_ID, **options: Any) -> Connection:  # noqa: A002 - the field's name
        """A connection to it as discovery would have made one; `options` lay over that."""
        return Connection(
            id=id,
            name=id.removeprefix("con_"),
            options=ConnectionOptions(
                **{
                    "type": "back_channel",
                    "client_id": client_id,
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.base_url}/oauth2/v1/authorize",
                    "jwks_uri": self.jwks_uri,
                    **options,
                }
            ),
            created_at_ms=0,
            updated_at_ms=0,
        )

    def claims(self, *, audience: str, client_id: str, now_s: int | None = None) -> dict[str, Any]:
        """The claims of a Global Token Revocation assertion, exactly those Okta documents, in its order."""
        now = int(time.time()) if now_s is None else now_s
        return {
            "jti": uuid.uuid4().hex,
            "iss": self.issuer,
            "sub": client_id,
            "aud": audience,
            "exp": now + 300,
            "nbf": now - 300,
            "iat": now,
        }

    def header(self, alg: str) -> dict[str, Any]:
        """The header of one: `typ`, `alg`, and the `kid` Okta does not document but sends."""
        return {"typ": "global-token-revocation+jwt", "alg": alg, "kid": self.keys[alg].kid}

    def assertion(
        self,
        *,
        audience: str,
        client_id: str = CLIENT_ID,
        alg: str = "RS256",
        now_s: int | None = None,
        claims: Mapping[str, Any] = NOTHING,
        header: Mapping[str, Any] = NOTHING,
    ) -> str:
        """A signed assertion as it stands behind `Bearer`. `claims` and `header` lay over the ordinary; REMOVED takes out."""
        return tokens.signed(
            tokens.overridden(self.claims(audience=audience, client_id=client_id, now_s=now_s), claims),
            header=tokens.overridden(self.header(alg), header),
            key=self.keys[alg],
            alg=alg,
        )

    def logout_claims(
        self, *, sub: str | None = None, sid: str | None = None, client_id: str = CLIENT_ID, now_s: int | None = None
    ) -> dict[str, Any]:
        """The claims of a logout token (OIDC Back-Channel Logout section 2.4)."""
        now = int(time.time()) if now_s is None else now_s
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": client_id,
            "iat": now,
            "exp": now + 120,
            "jti": uuid.uuid4().hex,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }
        return claims | {name: value for name, value in (("sub", sub), ("sid", sid)) if value is not None}

    def logout_token(
        self,
        *,
        sub: str | None = None,
        sid: str | None = None,
        client_id: str = CLIENT_ID,
        alg: str = "RS256",
        now_s: int | None = None,
        claims: Mapping[str, Any] = NOTHING,
        header: Mapping[str, Any] = NOTHING,
    ) -> str:
        """A signed logout token. `claims` and `header` lay over the ordinary; REMOVED takes out."""
        ordinary = {"typ": "logout+jwt", "alg": alg, "kid": self.keys[alg].kid}
        return tokens.signed(
            tokens.overridden(self.logout_claims(sub=sub, sid=sid, client_id=client_id, now_s=now_s), claims),
            header=tokens.overridden(ordinary, header),
            key=self.keys[alg],
            alg=alg,
        )

    async def _answer(self, request: web.Request) -> web.Response:
        # Wherever a specification puts the document: appended to the issuer, or before its path (RFC 8414 section 3).
        if "/.well-known/openid-configuration" in request.path or "/.well-known/oauth-authorization" in request.path:
            return await self._document("discovery", self.discovery_document())
        if request.path.endswith("/oauth2/v1/keys"):
            return await self._document("keys", {"keys": self.published})
        return web.json_response({"error": "not_found"}, status=404)

    async def _document(self, name: Document, content: object) -> web.Response:
        async with self._arrived:
            self.fetches[name] += 1
            self._arrived.notify_all()
        going_on = self._going_on.get(name)
        if going_on is not None:
            await going_on.wait()
        if name in self.broken:
            return web.json_response({"error": "server_error"}, status=500)
        body = self.bodies.get(name, json.dumps(content).encode())
        return web.Response(body=body, content_type="application/json", headers=self.headers)


__all__ = ["REMOVED", "IdentityProvider"]
