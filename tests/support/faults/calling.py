"""Whoever calls the services of a run: repeats itself until it is answered, and remembers what it was answered and when."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from tests.support.faults.fleet import ADMIN_TOKEN, Fleet
from tests.support.identity_provider import NOTHING

CALLER_TIMEOUT_S: Final = 5.0
"""How long a caller waits for an answer, in seconds; some identity providers give up sooner."""

PATIENCE_S: Final = 180.0
"""How long a caller repeats itself, in seconds, before it gives up. A run in which one does has failed to recover."""

LONGEST_BACKOFF_S: Final = 1.0
"""Longest pause before a repeat, in seconds."""


class GaveUp(Exception):
    """Nobody answered within PATIENCE_S."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    content: bytes


@dataclass(kw_only=True)
class Caller:
    """One event loop's calls."""

    fleet: Fleet
    http: aiohttp.ClientSession
    answers: list[tuple[float, str]] = field(default_factory=list)
    """When a call had an answer that it was made for, and of which service."""
    refusals: list[tuple[float, str]] = field(default_factory=list)
    """When a call was answered with 503, and by which service."""
    silences: list[tuple[float, str]] = field(default_factory=list)
    """When a call had no answer, and of which service."""
    began_s: float = field(default_factory=time.monotonic)
    """By the monotonic clock, as all of these."""
    secrets: set[str] = field(default_factory=lambda: {ADMIN_TOKEN})
    """What must stand in no log."""
    unexpected: list[str] = field(default_factory=list)
    """Answers that none of this may have."""
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    async def api(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        expect: tuple[int, ...] = (200,),
        on_try: Callable[[], None] = lambda: None,
    ) -> Any:
        """A call as the administrator, repeated until somebody answers."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        return await self.call(method, path, headers=headers, expect=expect, on_try=on_try, json=body)

    async def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] = NOTHING,
        expect: tuple[int, ...],
        on_try: Callable[[], None] = lambda: None,
        **body: Any,
    ) -> Any:
        """A call to one service after the other until one answers with less than 500; its JSON, if any. Raises GaveUp."""
        give_up_s, pause_s = time.monotonic() + PATIENCE_S, 0.05
        names = list(self.fleet.urls)
        while time.monotonic() < give_up_s:
            name = names[next(self._turn) % len(names)]
            on_try()
            sent = headers() if callable(headers) else headers
            answer = await self._ask(name, method, path, headers=sent, **body)
            if answer is not None and answer.status in expect:
                self.answers.append((time.monotonic(), name))
                return json.loads(answer.content) if answer.content else None
            if answer is None:
                self.silences.append((time.monotonic(), name))
            elif answer.status == 503:
                self.refusals.append((time.monotonic(), name))
            else:
                self.unexpected.append(
                    f"{method} {path.split('?', maxsplit=1)[0]}: {answer.status} {answer.content[:200]!r}"
                )
                if answer.status < 500:
                    raise GaveUp(self.unexpected[-1])
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_BACKOFF_S)
        raise GaveUp(f"{method} {path.split('?', maxsplit=1)[0]}")

    async def pulse(self) -> set[str]:
        """Ask every service for something of the record, once; which of them answer."""

        async def one(name: str) -> str | None:
            headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
            answer = await self._ask(name, "GET", "/api/v2/clients?limit=1", headers=headers)
            if answer is None or answer.status != 200:
                return None
            self.answers.append((time.monotonic(), name))
            return name

        return set(filter(None, await asyncio.gather(*(one(each) for each in self.fleet.urls))))

    async def _ask(self, name: str, method: str, path: str, **request: Any) -> "_Answer | None":
        """What one service answers, once; None when it does not."""
        try:
            async with self.http.request(method, self.fleet.urls[name] + path, **request) as answer:
                return _Answer(status=answer.status, content=await answer.read())
        except (aiohttp.ClientError, TimeoutError):
            return None
