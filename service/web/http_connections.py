"""The connections of one server that are open, and which of them may make room for another."""

from typing import Final, Generic, Literal, TypeVar

T = TypeVar("T")

Waiting = Literal["head", "body", "reader"]
"""What a connection waits for: a request's head, the rest of its body, or that what was written to it is taken."""

_KINDS: Final[tuple[Waiting, ...]] = ("head", "body", "reader")


class Connections(Generic[T]):
    """Those that are open, and since when, by the loop's clock, each of them has waited that waits for its client; each kind in
    the order of that time. One that closes is open until it is gone: descriptor and buffer stay until the last byte is taken."""

    def __init__(self) -> None:
        self.open: dict[T, None] = {}
        self._waiting: dict[Waiting, dict[T, float]] = {kind: {} for kind in _KINDS}

    def waits(self, one: T, kind: Waiting | None, *, now_s: float) -> None:
        """This one waits for its client from now on, if it did not already; None: its client waits for us."""
        for each, since in self._waiting.items():
            if each != kind:
                since.pop(one, None)
        if kind is not None:
            self._waiting[kind].setdefault(one, now_s)

    def gone(self, one: T) -> None:
        """It is no more."""
        self.open.pop(one, None)
        for since in self._waiting.values():
            since.pop(one, None)

    def longest_waiting(self, *, besides: T) -> T | None:
        """The one that has waited longest, if any waits besides this.

        By time, and no kind sooner than another: an honest client does its part in a moment, and so is among the youngest.
        """
        eldest = [
            next(((since, each) for each, since in waiting.items() if each is not besides), None)
            for waiting in self._waiting.values()
        ]
        found = min((each for each in eldest if each is not None), key=lambda each: each[0], default=None)
        return None if found is None else found[1]
