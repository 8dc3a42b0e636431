"""What a Redis that is killed has kept of what was acknowledged, by how it was told to sync its append-only file.

`kill -9` of redis-server takes nothing that the kernel has: what it wrote to its file is read again. The machine's own death is
another matter, and no test of ours can cut the power.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from service.embedded_redis import EmbeddedRedis
from tests.support.house import open_house
from tests.support.redis_server import connect
from tests.support.waiting import eventually

PEOPLE = 30


@pytest.fixture
def persistent(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis with its append-only file, to be killed."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


def facts(server: EmbeddedRedis) -> dict[str, Any]:
    """What Redis says of its persistence."""
    with closing(connect(server)) as client:
        return cast("dict[str, Any]", client.info("persistence"))


async def killed_and_back(server: EmbeddedRedis, folder: Path, *, policy: str) -> list[bool]:
    """Sign people in and revoke them, kill Redis, start it again: who of them is still signed out."""
    with closing(connect(server)) as client:
        client.config_set("appendfsync", policy)
    async with open_house(server.url, folder) as house:
        names = [f"person-{number}" for number in range(PEOPLE)]
        sessions = [await house.sign_in(each) for each in names]
        revocations = [await house.revoke(each) for each in names]
        if policy == "everysec":
            # While the disk lags behind, Redis keeps up to two seconds of writes to itself; that is what may be lost.
            eventually(lambda: facts(server), lambda told: told["aof_buffer_length"] == 0)
        server.kill()
        server.start()
        ended = [not await house.session_honoured(each) for each in sessions]
        recorded = [(await house.receipt(each)).revoked_at_ms is not None for each in revocations]
        return [over and known for over, known in zip(ended, recorded, strict=True)]


async def test_always_keeps_all_that_was_acknowledged(persistent: EmbeddedRedis, tmp_path: Path) -> None:
    assert await killed_and_back(persistent, tmp_path, policy="always") == [True] * PEOPLE


async def test_everysec_keeps_all_that_it_has_written_to_its_file(persistent: EmbeddedRedis, tmp_path: Path) -> None:
    assert await killed_and_back(persistent, tmp_path, policy="everysec") == [True] * PEOPLE


async def test_without_an_append_only_file_a_killed_redis_has_forgotten_everybody(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", persistent=False) as forgetful:
        async with open_house(forgetful.url, tmp_path) as house:
            session = await house.sign_in("ada")
            forgetful.kill()
            forgetful.start()
            assert await house.resources.sessions.get(session) is None
