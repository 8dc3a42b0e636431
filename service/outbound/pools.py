"""Pools of connections: one for everybody, and one for each TLS identity, with whom nobody else shares a connection.

A connection on which an application's own certificate was demanded, or ours was shown, is worth what was agreed on it; used
for anybody else it would lend them that.
"""

import asyncio
import contextlib
import ssl
import urllib.request
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from service.domain.tls_identity import TlsIdentity
from service.outbound.answers import Connector
from service.outbound.connections import Dialler

MAX_IDENTITIES: Final = 128
"""Most TLS identities whose context and connections are kept, used or not; the ones longest unused go first. Each is made
once for as long as it is kept, and costs up to a megabyte where it trusts the system's authorities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Connections of one kind, and the client that calls over them."""

    client: httpx.AsyncClient
    connectors: tuple[Connector, ...]

    @property
    def in_use(self) -> int:
        """Connections that are taken right now."""
        return sum(connector.in_use for connector in self.connectors)


def make_pool(dialler: Dialler, tls: ssl.SSLContext, *, connect_s: float, plain: bool) -> Pool:
    """A pool whose https is `tls`; with plain http beside it, or without. Its client is to be closed."""
    encrypted = dialler.session(tls, encrypted=True)
    # What is not https by httpx's reading goes where the stricter rule holds, or nowhere.
    rest = dialler.session(tls, encrypted=False) if plain else None
    client = httpx.AsyncClient(
        transport=AiohttpTransport(verify=tls, client=rest) if rest else _Nowhere(),
        mounts={"https://": AiohttpTransport(verify=tls, client=encrypted)},
        headers={"user-agent": "logoutd", "accept": "*/*", "accept-encoding": "identity"},
        timeout=httpx.Timeout(None, connect=connect_s),
        cookies=_NoCookies(),
        event_hooks={"response": [_forget_location]},
        follow_redirects=False,
        trust_env=False,
    )
    connectors = tuple(
        each.connector
        for each in (encrypted, rest)
        if isinstance(each, aiohttp.ClientSession) and isinstance(each.connector, Connector)
    )
    return Pool(client=client, connectors=connectors)


@dataclass(slots=True)
class _Kept:
    making: asyncio.Task[Pool]
    users: int = 0


@dataclass(slots=True, kw_only=True)
class IdentityPools:
    """A pool for each TLS identity that is in use or was lately."""

    make: Callable[[TlsIdentity], Awaitable[Pool]]
    most: int = MAX_IDENTITIES
    _kept: OrderedDict[TlsIdentity, _Kept] = field(default_factory=OrderedDict)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def in_use(self) -> int:
        """Connections that are taken right now, in all of them."""
        return sum(pool.in_use for pool in self._ready())

    def __len__(self) -> int:
        return len(self._kept)

    @contextlib.asynccontextmanager
    async def of(self, identity: TlsIdentity) -> AsyncIterator[Pool]:
        """The pool of one identity; it stays at least as long as the block. Raises InvalidTlsIdentityError."""
        kept = self._kept.get(identity)
        if kept is None:
            kept = self._kept[identity] = _Kept(asyncio.create_task(self._make(identity)))
        self._kept.move_to_end(identity)
        kept.users += 1
        try:
            # Shielded: whoever gives up waiting does not give up for the others.
            yield await asyncio.shield(kept.making)
        finally:
            kept.users -= 1
            self._let_go()

    async def close(self) -> None:
        """Close them all."""
        for kept in self._kept.values():
            self._close(kept)
        self._kept.clear()
        await asyncio.gather(*self._closing)

    async def _make(self, identity: TlsIdentity) -> Pool:
        return await self.make(identity)

    def _let_go(self) -> None:
        for identity, kept in tuple(self._kept.items()):
            # One that could not be made is of no use to the next call either: that one shall try.
            broken = kept.making.done() and (kept.making.cancelled() or kept.making.exception() is not None)
            if broken or (len(self._kept) > self.most and not kept.users and kept.making.done()):
                del self._kept[identity]
                self._close(kept)

    def _close(self, kept: _Kept) -> None:
        task = asyncio.create_task(_close(kept.making))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _ready(self) -> list[Pool]:
        tasks = [kept.making for kept in self._kept.values()]
        return [each.result() for each in tasks if each.done() and not each.cancelled() and each.exception() is None]


async def _close(making: asyncio.Task[Pool]) -> None:
    (outcome,) = await asyncio.gather(making, return_exceptions=True)
    if isinstance(outcome, Pool):
        await outcome.client.aclose()


class _Nowhere(httpx.AsyncBaseTransport):
    """For plain http where none is called."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse."""
        raise httpx.UnsupportedProtocol("https alone", request=request)


class _NoCookies(CookieJar):
    """httpx's own jar, beside aiohttp's: what strangers set is not even parsed."""

    def extract_cookies(self, response: HTTPResponse, request: urllib.request.Request) -> None:
        """Keep nothing."""


async def _forget_location(response: httpx.Response) -> None:
    """Redirects are not followed, but httpx would read where to, and fail on a `Location` that is no URL."""
    response.headers.pop("location", None)
