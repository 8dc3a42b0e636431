"""Closing the resources took for ever when the clock's reader was cancelled while redis-py was connecting, which forgets it."""

import asyncio
import json
from pathlib import Path

from service.resources import open_resources
from service.settings import Settings
from tests.support.house import signing_keys


async def test_resources_close_at_any_moment_of_their_first_look_at_redis(redis_url: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(signing_keys("ES256")), encoding="utf-8")
    settings = Settings.model_validate(
        {"public_url": "https://logout.example.com", "signing_keys_file": keys, "redis_url": redis_url}
    )
    for steps in range(40):
        async with asyncio.timeout(10):
            async with open_resources(settings):
                for _ in range(steps):
                    await asyncio.sleep(0)
