"""A Redis behind TLS is told no password before it has proved its name."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from service.check import check_redis
from service.errors import Unavailable
from service.settings import Settings
from service.store.record import Record, open_pool
from tests.support.certificates import Authority

PASSWORD = "pa55word"


@dataclass(slots=True)
class Listener:
    """A server that says OK to every command, and what it was told."""

    port: int = 0
    heard: list[list[str]] = field(default_factory=list)

    def url(self, authority: Authority) -> str:
        """Its URL, with a password in it, by the name `localhost`."""
        return f"rediss://:{PASSWORD}@localhost:{self.port}/0?ssl_ca_certs={authority.ca_file}"


@contextlib.asynccontextmanager
async def listening(tls: ssl.SSLContext) -> AsyncIterator[Listener]:
    """Serve until the block ends."""
    here, tasks = Listener(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                here.heard.append(await command(reader))
                writer.write(b"+OK\r\n")
                await writer.drain()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def command(reader: asyncio.StreamReader) -> list[str]:
    """One command, as RESP writes it."""
    words = []
    for _ in range(int((await reader.readuntil(b"\r\n"))[1:])):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(length + 2))[:-2].decode())
    return words


async def write(url: str) -> None:
    """Use a Redis as the record does."""
    client = Redis(connection_pool=open_pool(url, decode=True, size=1))
    try:
        await Record(client).run("SET", "key", "value")
    finally:
        await client.aclose(close_connection_pool=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_redis_with_a_trusted_certificate_for_another_name_never_hears_the_password(
    authority: Authority,
) -> None:
    async with listening(authority.server_tls("redis.elsewhere.test")) as stranger:
        with pytest.raises(Unavailable) as failed:
            await write(stranger.url(authority))
        (finding,) = await check_redis(Settings(redis_url=SecretStr(stranger.url(authority))))
        assert finding.level == "fail"
        assert stranger.heard == []
    assert PASSWORD not in str(failed.value)
    assert PASSWORD not in finding.detail


async def test_a_redis_with_a_certificate_for_its_own_name_is_used(authority: Authority) -> None:
    async with listening(authority.server_tls("localhost")) as ours:
        await write(ours.url(authority))
        assert ours.heard[0] == ["AUTH", PASSWORD]
        assert ours.heard[-1] == ["SET", "key", "value"]
