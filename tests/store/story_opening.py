"""What every story has: a house, a model beside it, revocations, and the one thing the two must always agree on."""

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from service.domain.revocation import Scope
from service.embedded_redis import EmbeddedRedis
from service.store.people import LATE_MARGIN_MS
from tests.store.session_model import Model, ModelRevocation
from tests.store.story_steps import Step
from tests.support.house import House, open_house
from tests.support.redis_server import empty

T = TypeVar("T")


class StoryOpening:
    """One or two people and what is revoked of theirs, told to Redis and to a model."""

    def __init__(self, server: EmbeddedRedis, folder: Path, *, orderly: bool) -> None:
        empty(server)
        self.redis_url = server.url
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.house: House = self.run(self.stack.enter_async_context(open_house(server.url, folder)))
        self.numbers = itertools.count(1)
        self.model = Model()
        self.orderly = orderly
        """No crash, and no clock that goes back: then what was ended can be counted."""

    def close(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def now_ms(self) -> int:
        return self.house.clock.now_ms()

    def what_is_honoured_is_what_the_model_says(self) -> None:
        now_ms = self.now_ms
        expected = [each.honoured(now_ms) for each in (*self.model.sessions, *self.model.tokens)]
        assert self.run(self._honoured()) == expected

    async def _honoured(self) -> list[bool]:
        return list(
            await asyncio.gather(
                *(self.house.session_honoured(each.session_id) for each in self.model.sessions),
                *(self.house.token_honoured(each.secret) for each in self.model.tokens),
            )
        )

    def _whose(self, step: Step) -> tuple[str, ...]:
        return ("ada", "bob") if step.flag else (step.who,)

    def _new(self, whose: tuple[str, ...], scope: Scope | None = None) -> ModelRevocation:
        request = self.house.request(*whose, scope=scope, revocation_id=f"rev_{next(self.numbers)}")
        revocation = ModelRevocation(request, whose, self.now_ms)
        self.model.revocations.append(revocation)
        return revocation

    def _accept(self, revocation: ModelRevocation) -> None:
        accepted = self.run(self.house.resources.sink.accept(revocation.request))
        if revocation.late:
            if revocation.again is None:
                request = replace(revocation.request, revocation_id=accepted.revocation_id)
                revocation.again = ModelRevocation(request, revocation.names, self.now_ms)
                self.model.revocations.append(revocation.again)
            revocation = revocation.again
        assert accepted.revocation_id == revocation.request.revocation_id
        assert accepted.repeated == revocation.acknowledged
        revocation.acknowledged = True
        self.model.cut(revocation, now_ms=self.now_ms)

    def _work_off(self, revocation: ModelRevocation) -> None:
        self.run(self.house.worker.revoker.revoke(revocation.request.revocation_id))
        revocation.late = revocation.late or not revocation.acknowledged
        revocation.acknowledged = True
        # One that was recorded and never cut off is completed now: it covers what had begun when it was recorded.
        self.model.cut(revocation, now_ms=self.now_ms, late_through=revocation.accepted_at_ms + LATE_MARGIN_MS)
