"""Where the address policy is enforced: when a name is resolved, and at the socket about to be connected."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from service.outbound.addresses import AddressPolicy
from service.outbound.answers import MAX_HEADER_BYTES, MAX_HEADERS, Connector
from service.outbound.failures import BlockedAddressError, LookupTimeoutError

KEEP_ALIVE_S: Final = 4.0
"""How long an idle connection is kept, in seconds: less than the 5 after which uvicorn, Node.js and others close theirs.
A POST that meets a closing connection fails, and must not be repeated at once with the same token."""

NAMES_KEPT_S: Final = 10
"""How long a resolved name is used again, in seconds. Only what passed the policy is kept, and it is asked again."""

LOOKUP_SHARE: Final = 0.5
"""The part of a call's deadline that its name may take to be resolved."""

MAX_ADDRESSES: Final = 8
"""Most addresses of one name that are tried: an answer may list hundreds of other people's."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its addresses, in order of preference. Raises OSError when there are none."""


class CheckedResolver(AbstractResolver):
    """Gives aiohttp those addresses of a name that may be reached; with none left, the name counts as blocked."""

    def __init__(
        self, policy: AddressPolicy, resolve: Resolve, *, encrypted: bool, within_s: float | None = None
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._encrypted = encrypted
        self._within_s = within_s

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 (our connectors take either family)
    ) -> list[ResolveResult]:
        """The addresses, of either family, at most MAX_ADDRESSES. Raises OSError."""
        try:
            async with asyncio.timeout(self._within_s):
                found = tuple(dict.fromkeys(await self._resolve(host)))
        except TimeoutError:
            raise LookupTimeoutError("no answer in time") from None
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
        """Nothing of ours to close: the lookups belong to the process."""


def checked_socket(policy: AddressPolicy, *, encrypted: bool) -> aiohttp.SocketFactoryType:
    """What makes aiohttp's sockets. It is handed the very address that is connected to next, also for an IP literal,
    so no answer of a name server and no spelling of a URL gets round it. Raises BlockedAddressError."""

    def make(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not policy.allows(str(address[0]), encrypted=encrypted):
            raise BlockedAddressError
        return socket.socket(family, kind, protocol)

    return make


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialler:
    """How connections are made, whoever they lead to."""

    policy: AddressPolicy
    resolve: Resolve
    lookup_s: float
    max_connections: int
    max_connections_per_host: int
    names_kept_s: int

    def session(self, tls: ssl.SSLContext, *, encrypted: bool) -> aiohttp.ClientSession:
        """A pool of connections for https, or one for http: which addresses may be reached depends on it, so they share
        nothing. Whoever asks for it closes it."""
        connector = Connector(
            ssl=tls,
            resolver=CheckedResolver(self.policy, self.resolve, encrypted=encrypted, within_s=self.lookup_s),
            socket_factory=checked_socket(self.policy, encrypted=encrypted),
            ttl_dns_cache=self.names_kept_s,
            limit=self.max_connections,
            limit_per_host=self.max_connections_per_host,
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
