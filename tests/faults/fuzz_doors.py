"""`make fuzz`: requests to the doors, steered by what of the source they reach (atheris). See CONTRIBUTING.md.

Arguments are libFuzzer's: first the folder that inputs are kept in. What breaks a promise is left beside it as `crash-…`.
"""

import asyncio
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["service", "joserfc"]):
    from tests.support.fuzzing.judging import Doors

from service.embedded_redis import EmbeddedRedis


def main() -> None:
    """Fuzz until libFuzzer has had enough."""
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    folder = Path(tempfile.mkdtemp(prefix="logoutd-fuzz-"))
    server = EmbeddedRedis(folder / "redis", persistent=False)
    server.start()
    doors = loop.run_until_complete(stack.enter_async_context(Doors.open(server.url, folder)))

    def try_one(data: bytes) -> None:
        loop.run_until_complete(doors.judge(data))

    try:
        atheris.Setup(sys.argv, try_one)
        atheris.Fuzz()
    finally:
        loop.run_until_complete(stack.aclose())
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
