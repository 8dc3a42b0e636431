"""How often may somebody ask who has not shown who they are?

Counted in each process by itself: an answer needs no call to Redis, holds while Redis is away, and the bound grows with the
number of processes as what they can do does. Whoever has shown who they are is never refused for what others did.
"""

import math
from dataclasses import dataclass
from typing import Final

from service.domain.clock import Clock
from service.domain.identifiers import fingerprint
from service.domain.token_buckets import Remembered, TokenBuckets
from service.errors import TooManyRequests
from service.telemetry import BoundedLines
from service.web.exports import Exports

BURST_S: Final = 10
"""How many seconds' worth of a door's allowance may come at once: an identity provider signs a whole department out in one go."""

KNOWN_MS: Final = 3_600_000
"""How long a credential that was right, and an address a door's message was genuine from, are known, in milliseconds. What is
known is looked at however many others from its address were wrong."""

NAMES: Final = 5
"""How many connections' worth of unproven messages one address may send: more of them are somebody who tries names. An identity
provider with more connections than that is known after its first proven message."""

ACCOUNTS: Final = 5
"""How many clients' worth of wrong credentials one address may present: more of them are somebody who tries names."""


class Doors:
    """What each connection may ask for at the doors.

    A message is counted before anything is done for it, by connection and address and by address alone, and once it is proven,
    by connection alone. So whoever only knows connections' names, or makes them up,
    uses up their own address's count, before any signature is looked at, and nothing of the identity provider's. An address
    that has sent a proven message within KNOWN_MS is let through to be looked at, at that connection, and counts by address and
    connection alone at others: behind a proxy that is not trusted everybody has the same.
    """

    def __init__(self, clock: Clock, *, per_second: int) -> None:
        burst = per_second * BURST_S
        self._unproven = TokenBuckets(clock, per_second=per_second, burst=burst)
        self._by_source = TokenBuckets(clock, per_second=per_second * NAMES, burst=burst * NAMES)
        self._proven = TokenBuckets(clock, per_second=per_second, burst=burst)
        self._known = Remembered(clock, for_ms=KNOWN_MS)
        self._known_sources = Remembered(clock, for_ms=KNOWN_MS)

    def admit(self, name: str | None, source: str) -> None:
        """Count what has come for a connection. Raises TooManyRequests."""
        key = (name, source)
        if key in self._known:
            return
        by_source = () if source in self._known_sources else (source,)
        wait_s = max(self._unproven.wait_s(key), *(self._by_source.wait_s(each) for each in by_source), 0)
        _refuse(wait_s, "too many requests that were not proven came from this address")
        self._unproven.take(key)
        for each in by_source:
            self._by_source.take(each)

    def admit_proven(self, name: str, source: str) -> None:
        """Count it as the identity provider's own: it has been verified. Raises TooManyRequests."""
        self._known.add((name, source))
        self._known_sources.add(source)
        _refuse(self._proven.take(name), "this connection asks for more than it may")


class Attempts:
    """Wrong credentials, by address and account.

    Never by account alone: then a stranger could lock the real client out. Nor is one counted that is right and too long to be
    guessed: whoever looks at it first asks nothing here. One that might be guessed is looked at whatever came from its address
    where it was right from there within KNOWN_MS; what it is kept by is a digest. Elsewhere it would be found by guessing on
    beyond the bound.
    """

    def __init__(self, clock: Clock, *, per_minute: int) -> None:
        per_second = per_minute / 60
        self._by_account = TokenBuckets(clock, per_second=per_second, burst=per_minute)
        self._by_source = TokenBuckets(clock, per_second=per_second * ACCOUNTS, burst=per_minute * ACCOUNTS)
        self._known = Remembered(clock, for_ms=KNOWN_MS)

    def admit(self, source: str, account: str, credential: str) -> None:
        """Whether a credential is to be looked at. Raises TooManyRequests."""
        if _digest(account, credential, source) in self._known:
            return
        wait_s = max(self._by_source.wait_s(source), self._by_account.wait_s((source, _digest(account))))
        _refuse(wait_s, "too many wrong credentials came from this address")

    def failed(self, source: str, account: str) -> None:
        """It was wrong."""
        self._by_source.take(source)
        self._by_account.take((source, _digest(account)))

    def succeeded(self, source: str, account: str, credential: str) -> None:
        """It was right, and might be guessed."""
        self._known.add(_digest(account, credential, source))


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttles:
    """All that one process counts of those who ask."""

    doors: Doors
    attempts: Attempts
    refusal_lines: BoundedLines
    """Of what is refused at the doors, by address: a flood must not hide what another address is refused for."""
    malformed_lines: BoundedLines
    """Of what is no HTTP, by address."""
    unavailable_lines: BoundedLines
    """Of requests that Redis or keys out of reach had answered 503."""
    exports: Exports
    """Those under way."""


def _digest(*parts: str) -> str:
    # Of fixed length, whatever a stranger calls themselves.
    return fingerprint("attempt", *parts)


def _refuse(wait_s: float, why: str) -> None:
    if wait_s > 0:
        raise TooManyRequests(why, retry_after=max(1, math.ceil(wait_s)))
