"""Redis going away at a chosen moment: for asking what every moment leaves behind."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from service.errors import Unavailable
from service.store.record import Record

Moment = Literal["before", "after"]
"""before: the command never reached Redis. after: it was done, and the reply was lost."""


class Break:
    """Counts the calls to the record, and breaks the connection for good at the chosen one."""

    def __init__(self, at: int, moment: Moment) -> None:
        self.at = at
        self.moment = moment
        self.calls = 0

    @property
    def happened(self) -> bool:
        """Whether there were enough calls for it to break."""
        return self.calls >= self.at

    async def guard(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Make one call, unless it is the chosen one or a later one."""
        self.calls += 1
        if self.calls > self.at or (self.calls == self.at and self.moment == "before"):
            raise Unavailable("the record went away")
        answer = await call()
        if self.calls >= self.at:
            raise Unavailable("the record went away")
        return answer


@contextmanager
def redis_away(*, at: int, moment: Moment) -> Iterator[Break]:
    """Let every record lose Redis at its `at`-th call, counted from 1, until the block ends."""
    broken = Break(at, moment)
    names = ("run", "run_undecoded", "pipeline", "script", "ask", "ask_all")
    originals: dict[str, Callable[..., Awaitable[Any]]] = {name: getattr(Record, name) for name in names}

    def breaking(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(self: Record, *args: Any, **kwargs: Any) -> Any:
            return await broken.guard(lambda: original(self, *args, **kwargs))

        return call

    for name, original in originals.items():
        setattr(Record, name, breaking(original))
    try:
        yield broken
    finally:
        for name, original in originals.items():
            setattr(Record, name, original)
