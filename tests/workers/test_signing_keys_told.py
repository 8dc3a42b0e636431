"""The signing keys in the audit trail: told when they change, by whichever worker is first, and by their public names."""

import json
from pathlib import Path
from typing import Any

from service.keys.key_file import KeyFile
from service.store.told_keys import ToldKeys
from tests.support.clock import HandClock
from tests.support.contents import trail
from tests.support.house import House
from tests.support.signing_keys import jwk, jwks, write_keys
from workers.signing_keys_told import KeysTeller

DAY_S = 86_400


def worker(house: House, file: KeyFile) -> KeysTeller:
    record, told = house.resources.record, house.resources.trail
    return KeysTeller(key_ring=file.ring, told_keys=ToldKeys(record), trail=told)


async def test_each_change_is_told_once_by_however_many_workers(house: House, redis_url: str, tmp_path: Path) -> None:
    path, clock = write_keys(tmp_path / "keys.json", jwks(jwk("ES256", 1))), HandClock()
    file = KeyFile(path, clock=clock)
    workers = [worker(house, file) for _ in range(3)]

    async def told() -> list[dict[str, Any]]:
        before = len(trail(redis_url))
        for _ in range(2):
            for each in workers:
                await each.tell()
        return trail(redis_url)[before:]

    (first,) = await told()
    assert (first["event"], first["keys"]) == ("signing_keys.changed", ["es256-1 ES256 current"])
    assert first["actor"] == {"type": "service"}
    assert await told() == []
    later = jwk("ES256", 2, logoutd_use_from=clock.now_s + DAY_S)
    write_keys(path, jwks(jwk("ES256", 1), later))
    await file.look()
    (published,) = await told()
    assert published["keys"] == ["es256-1 ES256 current", "es256-2 ES256 next"]
    clock.advance(DAY_S)
    (rotated,) = await told()
    assert rotated["keys"] == ["es256-1 ES256 previous", "es256-2 ES256 current"]
    workers.append(worker(house, file))
    assert await told() == [], "nor by one that is started later"
    write_keys(path, jwks(later))
    await file.look()
    (retired,) = await told()
    assert retired["keys"] == ["es256-2 ES256 current"]
    assert later["d"] not in json.dumps(trail(redis_url))
