"""How little a client may take of its answer before it is cut off."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service.web.http_writing import MIN_TAKEN_BYTES, Writing

SENT_BYTES = 1_000_000


class Line(asyncio.Transport):
    """A connection over which so much is still to be taken."""

    left = SENT_BYTES

    def get_write_buffer_size(self) -> int:
        return self.left

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - as it is called
        return default


class HandTimer:
    """A loop whose one timer runs out when the test says so."""

    waiting: Callable[[], object] | None = None

    def call_later(self, _delay: float, callback: Callable[..., object], *args: object) -> object:
        self.waiting = lambda: callback(*args)
        return object()

    def runs_out(self) -> None:
        assert self.waiting is not None
        waiting, self.waiting = self.waiting, None
        waiting()


@pytest.mark.parametrize(
    ("takes", "is_cut"), [(0, True), (1, True), (MIN_TAKEN_BYTES - 1, True), (MIN_TAKEN_BYTES, False)]
)
async def test_whoever_takes_next_to_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, takes: int, *, is_cut: bool
) -> None:
    line, timer, cuts = Line(), HandTimer(), list[None]()
    writing = Writing(line, within_s=20.0, sent=lambda: SENT_BYTES, cut=lambda: cuts.append(None))
    monkeypatch.setattr(writing, "_loop", timer)
    writing.watch()
    for _ in range(3):
        line.left -= MIN_TAKEN_BYTES
        timer.runs_out()
        assert (cuts, timer.waiting is not None) == ([], True)
    line.left -= takes
    timer.runs_out()
    assert (len(cuts), timer.waiting is None) == (is_cut, is_cut)


async def test_whoever_has_taken_everything_is_watched_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    line, timer, cuts = Line(), HandTimer(), list[None]()
    writing = Writing(line, within_s=20.0, sent=lambda: SENT_BYTES, cut=lambda: cuts.append(None))
    monkeypatch.setattr(writing, "_loop", timer)
    writing.watch()
    line.left = 0
    timer.runs_out()
    assert (cuts, timer.waiting) == ([], None)
