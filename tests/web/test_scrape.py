"""/metrics: what it costs to be asked does not grow with how often it is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.web import published
from service.web.fleet import FleetCollector
from service.web.scrape import KEPT_S
from tests.support.asgi import Api, serving


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(redis_url, tmp_path, metrics_kept_s=KEPT_S) as opened:
        yield opened


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A moment for each time the fleet's numbers are read from Redis."""
    made: list[int] = []

    class Counted(FleetCollector):
        @classmethod
        async def read(cls, **parts: object) -> FleetCollector:
            made.append(1)
            return await FleetCollector.read(**parts)  # type: ignore[arg-type]

    monkeypatch.setattr(published, "FleetCollector", Counted)
    return made


async def test_it_is_made_once_a_second_however_often_it_is_asked_for(api: Api, readings: list[int]) -> None:
    answers = await asyncio.gather(*(api.get("/metrics") for _ in range(20)))
    assert {each.status_code for each in answers} == {200}
    assert len({each.text for each in answers}) == 1
    assert len(readings) == 1
    api.clock.advance(KEPT_S - 0.001)
    assert (await api.get("/metrics")).text == answers[0].text
    api.clock.advance(0.001)
    assert (await api.get("/metrics")).text != answers[0].text, "it counts the requests for itself"
    assert len(readings) == 2


async def test_a_clock_that_was_set_back_does_not_keep_it_for_good(api: Api, readings: list[int]) -> None:
    await api.get("/metrics")
    api.clock.advance(-3600)
    await api.get("/metrics")
    assert len(readings) == 2


async def test_whoever_made_it_may_have_gone_away(
    api: Api, readings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def hang(**_parts: object) -> FleetCollector:
        begun.set()
        await never.wait()
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(published.FleetCollector, "read", hang)
        gone = asyncio.create_task(api.get("/metrics"))
        await begun.wait()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert (await api.get("/metrics")).status_code == 200
    assert len(readings) == 1
