"""The one way a test waits for something that happens elsewhere: it asks again and again, with a bound."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

PATIENCE_S: Final = 15.0
"""How long is waited unless a test says otherwise, in seconds: far more than anything takes on a busy machine."""

POLL_S: Final = 0.01
"""Pause between two questions, in seconds."""

T = TypeVar("T")


def eventually(ask: Callable[[], T], until: Callable[[T], bool], *, within_s: float = PATIENCE_S) -> T:
    """The first answer that will do. Fails, showing the last one, when there is none `within_s` seconds from now."""
    deadline = time.monotonic() + within_s
    while not until(answer := ask()):
        assert time.monotonic() < deadline, f"not within {within_s} s; the last answer was {answer!r}"
        time.sleep(POLL_S)
    return answer
