"""The calls: a form that is posted, a JSON document that is fetched."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import httpx

from service.domain.tls_identity import TlsIdentity
from service.outbound import urls
from service.outbound.addresses import AddressPolicy
from service.outbound.connections import LOOKUP_SHARE, NAMES_KEPT_S, Dialler, Resolve
from service.outbound.contexts import tls_context
from service.outbound.failures import CALL_FAILURES, OutboundError, reason_of
from service.outbound.leftovers import leftovers_heard
from service.outbound.lookups import Lookups
from service.outbound.pools import MAX_IDENTITIES, IdentityPools, Pool, make_pool
from service.setting_values import Network

ATTEMPT_DEADLINE_S: Final = 5.0
"""Longest a call may take, in seconds, from the name's look-up to the last byte read. Leases and job timeouts are
longer than this."""

CONNECT_SHARE: Final = 0.6
"""The part of the deadline one address may take to be connected to, TLS included: another may be left to try."""

DISCARD_LIMIT_S: Final = 0.5
"""How long the rest of a POST's reply is waited for, in seconds, once its status is known. It is read only so that the
connection can be used again."""

MAX_REPLY_BYTES: Final = 8 * 1024
"""Most of a POST's reply that is read before its connection is given up, in bytes. Nothing of it is kept."""

MAX_CONNECTIONS: Final = 256
"""Most connections at once, each for http and https. A worker needs no fewer than its concurrent deliveries, or slow
applications could make others wait for one."""

MAX_CONNECTIONS_PER_HOST: Final = 128
"""Most connections at once to one host and port: half of all, and several times the share of one application
(`workers.slots`), for applications may stand behind one gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an answer to a POST comes to."""

    status: int
    retry_after: str | None
    """The header of that name, unread; it is a stranger's text."""
    duration_ms: int
    """From the call to the status line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A document that was fetched, and when its server says that was."""

    document: dict[str, Any] | list[Any]
    date: str | None
    """The header of that name (RFC 9110 section 6.6.1), unread; it is a stranger's text."""
    age: str | None
    """Likewise (RFC 9111 section 5.1): the seconds a cache has kept it since."""


class Outbound:
    """The two kinds of call we make. Both raise OutboundError and, cancellation apart, nothing else."""

    def __init__(self, *, policy: AddressPolicy, common: Pool, identities: IdentityPools, deadline_s: float) -> None:
        self._policy = policy
        self._common = common
        self._identities = identities
        self._deadline_s = deadline_s

    @property
    def in_use(self) -> int:
        """Connections taken from the pools right now: 0 whenever no call is under way, however calls ended."""
        return self._common.in_use + self._identities.in_use

    @property
    def identities_kept(self) -> int:
        """TLS identities whose context and connections are kept."""
        return len(self._identities)

    def check_url(self, url: str, *, what: str) -> None:
        """Raise InvalidRequest, naming the member `what`, for a URL no call could ever be made to."""
        urls.check_url(url, self._policy, what=what)

    async def get_json(self, url: str, *, max_bytes: int) -> object:
        """Fetch a JSON object or array of at most `max_bytes`; only 200 is success."""
        return (await self.fetch_json(url, max_bytes=max_bytes)).document

    async def fetch_json(self, url: str, *, max_bytes: int) -> Fetched:
        """`get_json`, with the `Date` of the answer: for whoever compares clocks."""
        try:
            urls.parse_url(url)
            async with (
                asyncio.timeout(self._deadline_s),
                self._common.client.stream("GET", url, headers={"accept": "application/json"}) as response,
            ):
                if response.status_code != 200:
                    raise OutboundError("unexpected_status", status=response.status_code)
                if response.headers.get("content-encoding", "identity").lower() != "identity":
                    # We asked for none. A kilobyte can unpack to a gigabyte, so it is not tried.
                    raise OutboundError("not_json")
                date, age = response.headers.get("date"), response.headers.get("age")
                body = await _read(response, max_bytes)
        except CALL_FAILURES as error:
            raise OutboundError(reason_of(error)) from None
        if body is None:
            raise OutboundError("too_large")
        return Fetched(document=_parse(body), date=date, age=age)

    async def post_form(self, url: str, form: Mapping[str, str], *, tls: TlsIdentity | None = None) -> Reply:
        """POST `form`; whatever status comes back is the answer. A redirect is a status too: it is never followed.

        With `tls`, over connections of that identity alone, and https only.

        Once the status is there it stands, even if the rest of the reply never comes: whoever sent it has decided.
        """
        reply: Reply | None = None
        clock = asyncio.get_running_loop().time
        ends = clock() + self._deadline_s
        started = time.perf_counter_ns()
        try:
            if not urls.parse_url(url).encrypted and tls is not None:
                raise OutboundError("invalid_url")
            async with (
                asyncio.timeout_at(ends) as deadline,
                self._pool(tls) as pool,
                pool.client.stream("POST", url, data=dict(form)) as response,
            ):
                reply = Reply(
                    status=response.status_code,
                    retry_after=response.headers.get("retry-after"),
                    duration_ms=(time.perf_counter_ns() - started) // 1_000_000,
                )
                deadline.reschedule(min(ends, clock() + DISCARD_LIMIT_S))
                await _read(response, MAX_REPLY_BYTES)
        except CALL_FAILURES as error:
            if reply is None:
                raise OutboundError(reason_of(error)) from None
        return reply

    @contextlib.asynccontextmanager
    async def _pool(self, tls: TlsIdentity | None) -> AsyncIterator[Pool]:
        if tls is None:
            yield self._common
            return
        async with self._identities.of(tls) as pool:
            yield pool


@contextlib.asynccontextmanager
async def open_outbound(
    *,
    allowed_networks: tuple[Network, ...],
    ca_file: Path | None = None,
    max_connections: int = MAX_CONNECTIONS,
    max_connections_per_host: int = MAX_CONNECTIONS_PER_HOST,
    deadline_s: float = ATTEMPT_DEADLINE_S,
    resolve: Resolve | None = None,
    names_kept_s: int = NAMES_KEPT_S,
    max_identities: int = MAX_IDENTITIES,
) -> AsyncIterator[Outbound]:
    """The client of one process, open until the block ends.

    Certificates are checked against the name, by the system's authorities or, where `ca_file` is given, by those in
    it alone; an application's own identity may say otherwise. `resolve` and `names_kept_s` are for tests, which answer
    names themselves; what `resolve` says passes the same checks as any name server's answer.
    """
    policy = AddressPolicy(allowed_networks)
    lookups = Lookups(in_time_s=deadline_s * LOOKUP_SHARE)
    dialler = Dialler(
        policy=policy,
        resolve=resolve or lookups,
        lookup_s=deadline_s * LOOKUP_SHARE,
        max_connections=max_connections,
        max_connections_per_host=max_connections_per_host,
        names_kept_s=names_kept_s,
    )

    async def make(identity: TlsIdentity) -> Pool:
        # In a thread: the system's authorities take some fifty milliseconds to read.
        tls = await asyncio.to_thread(tls_context, ca_file=ca_file, identity=identity)
        return make_pool(dialler, tls, connect_s=deadline_s * CONNECT_SHARE, plain=False)

    common = make_pool(dialler, tls_context(ca_file=ca_file), connect_s=deadline_s * CONNECT_SHARE, plain=True)
    identities = IdentityPools(make=make, most=max_identities)
    try:
        with leftovers_heard():
            async with common.client:
                yield Outbound(policy=policy, common=common, identities=identities, deadline_s=deadline_s)
    finally:
        await identities.close()
        lookups.close()


async def _read(response: httpx.Response, limit: int) -> bytes | None:
    """The body as sent, or None as soon as it is longer than `limit` bytes."""
    body = bytearray()
    async with contextlib.aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                return None
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any] | list[Any]:
    try:
        # RFC 8259 section 8.1: UTF-8 it is; a byte order mark may be ignored.
        document = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise OutboundError("not_json") from None
    if not isinstance(document, dict | list):
        raise OutboundError("not_json")
    return document


def _refuse(constant: str) -> None:
    """NaN and Infinity are Python's, not JSON's (RFC 8259 section 6)."""
    raise ValueError(constant)
