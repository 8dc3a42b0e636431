"""The identity providers' public keys, fetched when needed and remembered for a while, per source and never for all.

What may go wrong, and what is done about it:

    keys are rotated                    an unknown `kid` fetches again, and so does a signature no key fits
    somebody sends random `kid`s        two fetches per cool-down, which starts at the attempt; kids known to be unknown
                                        are remembered beside the keys, never in their place, and cost none
    many requests need the same fetch   one fetch, which the first caller's cancellation does not end
    the identity provider is down       one fetch per cool-down; keys fetched earlier serve on, for a day; without any it is
                                        Unavailable
    one odd key in the set              skipped (`service.verify.key_set`)

Keys that were configured with the connection (`service.verify.pinned_keys`) are looked up here too, and never fetched.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from joserfc.jwk import Key

from service.domain.clock import Clock
from service.domain.connection import Connection
from service.domain.identifiers import fingerprint
from service.errors import InvalidRequest, KeysUnavailable
from service.outbound import OutboundError
from service.telemetry import Numbers, get_logger
from service.verify.key_set import KeySet, read_key_set
from service.verify.pinned_keys import NO_THUMBPRINTS, pinned_keys
from service.verify.provider_metadata import JsonFetcher, fetch_jwks_uri

FRESH_MS: Final = 600_000
"""How long fetched keys are used without asking again, in milliseconds: the longest a withdrawn key is still believed."""

STALE_MS: Final = 86_400_000
"""How long after the last success keys are used while the source cannot be reached, in milliseconds."""

COOL_DOWN_MS: Final = 10_000
"""In how long a source is fetched at most FETCHES_PER_COOL_DOWN times, in milliseconds, counted from where each attempt began.
Not longer: a key that is new after the last of them is not known until it ends."""

FETCHES_PER_COOL_DOWN: Final = 2
"""Most fetches of a source within COOL_DOWN_MS, of each process; one while it fails. Two, so that a key that is new is found also
when one made-up `kid` came just before it. Whoever makes up two can keep a key from being known, for as long as the cool-down, if
it is used within that time of its being published; every fetch they cost brings all that is published by then."""

UNKNOWN_KID_MS: Final = 300_000
"""How long a `kid` that a fetch has shown to be absent costs no other fetch, in milliseconds."""

MAX_UNKNOWN_KIDS: Final = 128
"""Most such `kid`s remembered per source; the oldest goes."""

MAX_SOURCES: Final = 20_000
"""Most sources remembered; the least recently used goes. Only connections have sources, so this is far beyond what a
deployment has, and keys are some kilobytes each."""

MAX_DOCUMENT_BYTES: Final = 256 * 1024
"""Longest JWKS, in bytes; a hundred keys with certificates fit."""

RETRY_AFTER_S: Final = COOL_DOWN_MS // 1000
"""What a caller is told to wait when keys cannot be had, in seconds: before that, nothing would be tried again."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where keys come from: a JWKS URL as configured, or an issuer whose discovery document names one. That is read anew
    with the keys: an identity provider may move them."""

    jwks_uri: str | None = None
    issuer: str | None = None
    discovery_url: str | None = None
    """Where the document is, when it was configured."""

    @property
    def url(self) -> str:
        return self.jwks_uri or self.issuer or ""


@dataclass(slots=True, kw_only=True)
class _Entry:
    """What is remembered of one source."""

    source: _Source
    keys: KeySet | None = None
    fetched_at_ms: int | None = None
    """When the last fetch that succeeded began."""
    attempts: deque[int] = field(default_factory=lambda: deque(maxlen=FETCHES_PER_COOL_DOWN))
    """When each of the last fetches began, whatever came of it."""
    failing: bool = False
    """The last fetch that ended did not succeed."""
    fetch: asyncio.Task[None] | None = None
    unknown: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """When each (`alg`, `kid`) was shown to be absent, oldest first."""


class IssuerKeys:
    """Finds the keys that may have signed what a connection's identity provider sends. One per process."""

    def __init__(self, *, fetcher: JsonFetcher, clock: Clock, numbers: Numbers) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._numbers = numbers
        self._entries: OrderedDict[_Source, _Entry] = OrderedDict()
        self._fetches: set[asyncio.Task[None]] = set()

    async def candidates(
        self, connection: Connection, *, alg: str, kid: str | None, thumbprints: frozenset[str] = NO_THUMBPRINTS
    ) -> tuple[Key, ...]:
        """The keys a token by `alg`, one of SIGNING_ALGORITHMS, and `kid` may have been signed with; none: refuse it.

        `thumbprints` are what its header calls a certificate. Fetches when the keys are not fresh, and once more when
        none fits (OpenID Connect Core section 10.1.1). Raises Unavailable when there is no telling because the keys
        cannot be fetched.
        """
        pinned = pinned_keys(connection.options)
        if pinned is not None:
            return pinned.find(alg=alg, kid=kid, thumbprints=thumbprints, now_ms=self._clock.now_ms())
        entry = self._entry(_source(connection))
        just_fetched = await self._freshen(entry)
        found = self._find(entry, alg=alg, kid=kid)
        if found:
            return found
        name = fingerprint(alg, "kid" if kid is not None else "no kid", (kid or "").encode("utf-8", "surrogatepass"))
        if self._within(entry.unknown.get(name), UNKNOWN_KID_MS):
            return ()
        if just_fetched:
            self._remember_unknown(entry, name)
            return ()
        under_way = entry.fetch is not None
        if await self._fetch_again(entry):
            found = self._find(entry, alg=alg, kid=kid)
            # A fetch that began before this token came may have missed its key: that one proves nothing.
            if not found and not under_way:
                self._remember_unknown(entry, name)
        elif entry.failing:
            # It may be a key published since the source went out of reach: no reason to call the credential wrong.
            raise _unavailable()
        return found

    async def candidates_after_bad_signature(self, connection: Connection, *, alg: str) -> tuple[Key, ...]:
        """The keys for a token that names none and fits none so far: fetched again, or none while the cool-down lasts."""
        if connection.options.has_pinned_keys:
            return ()
        entry = self._entry(_source(connection))
        return self._find(entry, alg=alg, kid=None) if await self._fetch_again(entry) else ()

    async def prime(self, connection: Connection) -> int:
        """Fetch a connection's keys now, cool-down or not; returns how many can check its signatures. Pinned ones count as
        they are.

        For administrators, who ask to see it work. Raises OutboundError when the keys cannot be fetched and
        InvalidRequest when what was fetched is no JWK Set or the discovery document is at fault.
        """
        pinned = pinned_keys(connection.options)
        if pinned is not None:
            return pinned.count_usable(connection.allowed_algorithms, self._clock.now_ms())
        entry = self._entry(_source(connection))
        if entry.fetch is not None:
            # One that began earlier must not end later and undo this one.
            await asyncio.wait([entry.fetch])
        began_at_ms = self._clock.now_ms()
        entry.attempts.append(began_at_ms)
        try:
            keys = await self._load(entry.source)
        except (OutboundError, InvalidRequest) as error:
            self._fail(entry, error)
            raise
        self._succeed(entry, keys, began_at_ms=began_at_ms)
        return sum(any(each.verifies(alg) for alg in connection.allowed_algorithms) for each in keys.keys)

    async def close(self) -> None:
        """End the fetches under way."""
        for fetch in list(self._fetches):
            fetch.cancel()
        await asyncio.gather(*self._fetches, return_exceptions=True)

    async def _freshen(self, entry: _Entry) -> bool:
        """Make sure there are keys to look in, fresh ones if they can be had; whether they were fetched from now on. Raises
        Unavailable."""
        if self._within(entry.fetched_at_ms, FRESH_MS):
            return False
        usable = self._within(entry.fetched_at_ms, STALE_MS)
        if usable and entry.failing:
            # Known to be out of reach: whoever asks is served what there is, and the next attempt goes on beside.
            self._start_fetch(entry)
            return False
        under_way = entry.fetch is not None
        fetched = await self._fetch_again(entry)
        if not self._within(entry.fetched_at_ms, STALE_MS):
            raise _unavailable()
        return fetched and not under_way

    async def _fetch_again(self, entry: _Entry) -> bool:
        """Fetch, or wait for the fetch under way; whether keys came of it. False at once while the cool-down lasts."""
        fetch = self._start_fetch(entry)
        if fetch is None:
            return False
        # The fetch belongs to all who wait for it: one of them giving up does not end it.
        await asyncio.shield(fetch)
        return not entry.failing

    def _start_fetch(self, entry: _Entry) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one; None while the cool-down of the last one lasts."""
        if entry.fetch is not None:
            return entry.fetch
        most = 1 if entry.failing else FETCHES_PER_COOL_DOWN
        if sum(self._within(each, COOL_DOWN_MS) for each in entry.attempts) >= most:
            return None
        began_at_ms = self._clock.now_ms()
        entry.attempts.append(began_at_ms)
        entry.fetch = asyncio.create_task(self._fetch(entry, began_at_ms=began_at_ms))
        self._fetches.add(entry.fetch)
        entry.fetch.add_done_callback(self._fetches.discard)
        return entry.fetch

    async def _fetch(self, entry: _Entry, *, began_at_ms: int) -> None:
        try:
            self._succeed(entry, await self._load(entry.source), began_at_ms=began_at_ms)
        except (OutboundError, InvalidRequest) as error:
            self._fail(entry, error)
        finally:
            entry.fetch = None

    async def _load(self, source: _Source) -> KeySet:
        jwks_uri = source.jwks_uri
        if jwks_uri is None:
            jwks_uri = await fetch_jwks_uri(
                source.issuer or "", discovery_url=source.discovery_url, fetcher=self._fetcher
            )
        return read_key_set(await self._fetcher.get_json(jwks_uri, max_bytes=MAX_DOCUMENT_BYTES))

    def _succeed(self, entry: _Entry, keys: KeySet, *, began_at_ms: int) -> None:
        # An empty set is an answer too: keys that were withdrawn are no longer believed.
        entry.keys, entry.fetched_at_ms, entry.failing = keys, began_at_ms, False
        self._numbers.jwks_fetches.labels(outcome="ok").inc()
        _log.debug("issuer_keys_fetched", source=entry.source.url, keys=len(keys.keys), skipped=dict(keys.skipped))

    def _fail(self, entry: _Entry, error: OutboundError | InvalidRequest) -> None:
        entry.failing = True
        self._numbers.jwks_fetches.labels(outcome="failed").inc()
        reason = error.reason if isinstance(error, OutboundError) else "invalid_document"
        _log.warning("issuer_keys_unavailable", source=entry.source.url, reason=reason, detail=str(error))

    def _find(self, entry: _Entry, *, alg: str, kid: str | None) -> tuple[Key, ...]:
        return entry.keys.find(alg=alg, kid=kid) if entry.keys is not None else ()

    def _remember_unknown(self, entry: _Entry, name: str) -> None:
        entry.unknown[name] = self._clock.now_ms()
        entry.unknown.move_to_end(name)
        while len(entry.unknown) > MAX_UNKNOWN_KIDS:
            entry.unknown.popitem(last=False)

    def _entry(self, source: _Source) -> _Entry:
        entry = self._entries.setdefault(source, _Entry(source=source))
        self._entries.move_to_end(source)
        if len(self._entries) > MAX_SOURCES:
            self._entries.popitem(last=False)
        return entry

    def _within(self, since_ms: int | None, span_ms: int) -> bool:
        # From both sides: after the clock was set back, what seems to lie ahead counts as past.
        return since_ms is not None and 0 <= self._clock.now_ms() - since_ms < span_ms


def _source(connection: Connection) -> _Source:
    options = connection.options
    discovered = options.discovery_url is not None and "jwks_uri" not in options.configured
    if options.jwks_uri is not None and not discovered:
        return _Source(jwks_uri=options.jwks_uri)
    return _Source(issuer=options.issuer, discovery_url=options.discovery_url)


def _unavailable() -> KeysUnavailable:
    # The URL stays in the log: whoever asks has not shown who they are.
    return KeysUnavailable("the identity provider's keys cannot be fetched", retry_after=RETRY_AFTER_S)
