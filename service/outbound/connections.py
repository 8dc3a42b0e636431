"""Where the address policy is enforced: when a name is resolved, and at the socket about to be connected."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from service.outbound.addresses import AddressPolicy
from service.outbound.answers import MAX_HEADER_BYTES, MAX_HEADERS, Connector
from service.outbound.failures import BlockedAddressError

KEEP_ALIVE_S: Final = 4.0
"""How long an idle connection is kept, in seconds: less than the 5 after which uvicorn, Node.js and others close theirs.
A POST that meets a closing connection fails, and must not be repeated at once with the same token."""

NAMES_KEPT_S: Final = 10
"""How long a resolved name is used again, in seconds. Only what passed the policy is kept, and it is asked again."""

MAX_LOOKUPS: Final = 32
"""Most names being resolved at once. `getaddrinfo` cannot be cancelled: a name server that never answers holds a thread
for its own time, and must hold none that anything else works with."""

MAX_ADDRESSES: Final = 8
"""Most addresses of one name that are tried: an answer may list hundreds of other people's."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its addresses, in order of preference. Raises OSError when there are none."""


class CheckedResolver(AbstractResolver):
    """Gives aiohttp those addresses of a name that may be reached; with none left, the name counts as blocked."""

    def __init__(self, policy: AddressPolicy, resolve: Resolve, *, encrypted: bool) -> None:
        self._policy = policy
        self._resolve = resolve
        self._encrypted = encrypted

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 (our connectors take either family)
    ) -> list[ResolveResult]:
        """The addresses, of either family, at most MAX_ADDRESSES. Raises OSError."""
        found = tuple(dict.fromkeys(await self._resolve(host)))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        usable = [each for each in found if self._policy.allows(each, encrypted=self._encrypted)]
        if not usable:
            raise BlockedAddressError
        return [
            ResolveResult(
                hostname=host,
                host=each,
                port=port,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for each in usable[:MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing of ours to close: the threads belong to `open_sessions`."""


def checked_socket(policy: AddressPolicy, *, encrypted: bool) -> aiohttp.SocketFactoryType:
    """What makes aiohttp's sockets. It is handed the very address that is connected to next, also for an IP literal,
    so no answer of a name server and no spelling of a URL gets round it. Raises BlockedAddressError."""

    def make(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not policy.allows(str(address[0]), encrypted=encrypted):
            raise BlockedAddressError
        return socket.socket(family, kind, protocol)

    return make


@contextlib.asynccontextmanager
async def open_sessions(
    policy: AddressPolicy,
    *,
    tls: ssl.SSLContext,
    max_connections: int,
    max_connections_per_host: int,
    resolve: Resolve | None = None,
    names_kept_s: int = NAMES_KEPT_S,
) -> AsyncIterator[tuple[aiohttp.ClientSession, aiohttp.ClientSession]]:
    """Two sessions, for http and for https: which addresses may be reached depends on it, so they share nothing."""
    threads = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="lookup")

    def session(*, encrypted: bool) -> aiohttp.ClientSession:
        connector = Connector(
            ssl=tls,
            resolver=CheckedResolver(policy, resolve or _system_resolve(threads), encrypted=encrypted),
            socket_factory=checked_socket(policy, encrypted=encrypted),
            ttl_dns_cache=names_kept_s,
            limit=max_connections,
            limit_per_host=max_connections_per_host,
            keepalive_timeout=KEEP_ALIVE_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )

    try:
        async with session(encrypted=False) as plain, session(encrypted=True) as encrypted:
            yield plain, encrypted
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _system_resolve(threads: ThreadPoolExecutor) -> Resolve:
    async def resolve(host: str) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(threads, _addresses, host)

    return resolve


def _addresses(host: str) -> list[str]:
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
