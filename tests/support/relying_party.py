"""Applications to be signed out of: small real HTTP servers that write down whatever is sent to them.

They verify nothing and judge nothing; a test does, with what is offered here: the request to the letter, and the logout
token taken apart, its signature checked with the service's published keys.
"""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web
from joserfc import jws
from joserfc.jwk import JWKRegistry

from tests.support.waiting import PATIENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said to one request. `status` None: nothing, ever; the connection stays open until `release`."""

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


OK: Final = Answer()
NO_CONTENT: Final = Answer(status=204)
UNAVAILABLE: Final = Answer(status=503)
REFUSED: Final = Answer(status=400, headers={"Content-Type": "application/json"}, body=b'{"error":"invalid_request"}')
NEVER: Final = Answer(status=None)


def redirect(to: str) -> Answer:
    """Sends the sender elsewhere."""
    return Answer(status=307, headers={"Location": to})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """A logout token taken apart, nothing in it believed."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @classmethod
    def read(cls, text: str) -> "LogoutToken":
        """Decode a compact JWS."""
        token = jws.extract_compact(text.encode())
        return cls(text=text, header=token.headers(), claims=json.loads(token.payload))

    def is_signed_by(self, jwks: Mapping[str, Any]) -> bool:
        """Whether the key of that very `kid`, published for that very `alg`, made the signature."""
        (published,) = [each for each in jwks["keys"] if each["kid"] == self.header["kid"]]
        if published["alg"] != self.header["alg"] or published["use"] != "sig":
            return False
        key = JWKRegistry.import_key(published)
        opened = jws.extract_compact(self.text.encode())
        return jws.validate_compact(opened, key, algorithms=[self.header["alg"]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came in; header names in lower case."""

    at_ms: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> list[tuple[str, str]]:
        """The parameters in their order, repeated ones too."""
        return parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)

    @property
    def token(self) -> LogoutToken:
        """The logout token it carried."""
        return LogoutToken.read(dict(self.form)["logout_token"])


class RelyingParty:
    """One application. It gives its scripted answers in turn, then 200 for ever."""

    def __init__(self) -> None:
        self.origin = ""
        self._script: deque[Answer] = deque()
        self._received: list[Received] = []
        self._changed = threading.Condition()
        self._released = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def backchannel_logout_uri(self) -> str:
        """Where it takes logout tokens; with a query, which the specification allows and a sender must keep."""
        return f"{self.origin}/oidc/backchannel-logout?tenant=7"

    @property
    def received(self) -> list[Received]:
        """Every request so far."""
        with self._changed:
            return list(self._received)

    @property
    def tokens(self) -> list[LogoutToken]:
        """Every logout token so far."""
        return [each.token for each in self.received]

    def answer(self, *script: Answer) -> None:
        """From now on: these, in turn, then 200."""
        with self._changed:
            self._script = deque(script)

    def wait_for(self, count: int, *, within_s: float = PATIENCE_S) -> list[Received]:
        """The requests so far, as soon as there are `count`."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._received) >= count, within_s), (
                f"{len(self._received)} of {count} requests within {within_s} s"
            )
            return list(self._received)

    def release(self) -> None:
        """Answer 200 to everything that hangs, and will."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._released.set)

    async def serve(self) -> web.ServerRunner:
        """Serve on a free port of loopback, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        runner = web.ServerRunner(web.Server(self._take), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _take(self, request: web.BaseRequest) -> web.Response:
        at_ms = time.time_ns() // 1_000_000
        body = await request.read()
        received = Received(
            at_ms=at_ms,
            method=request.method,
            target=request.path_qs,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        with self._changed:
            self._received.append(received)
            said = self._script.popleft() if self._script else OK
            self._changed.notify_all()
        if said.status is None:
            await self._released.wait()
            return web.Response()
        return web.Response(status=said.status, headers=said.headers, body=said.body)


class RelyingParties:
    """Opens applications, all served from one thread: the test's own loop, if it has one, may be busy."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._runners: list[web.ServerRunner] = []

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["RelyingParties"]:
        """Open until the block ends; then every application is gone at once, whatever hangs."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="relying-parties")
        thread.start()
        parties = cls(loop)
        try:
            yield parties
        finally:
            asyncio.run_coroutine_threadsafe(parties._close(), loop).result(PATIENCE_S)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(PATIENCE_S)
            loop.close()

    def open(self, *script: Answer) -> RelyingParty:
        """One more application, on a port of its own."""
        return asyncio.run_coroutine_threadsafe(self._open(script), self._loop).result(PATIENCE_S)

    async def _open(self, script: tuple[Answer, ...]) -> RelyingParty:
        party = RelyingParty()
        party.answer(*script)
        self._runners.append(await party.serve())
        return party

    async def _close(self) -> None:
        await asyncio.gather(*(each.cleanup() for each in self._runners))
