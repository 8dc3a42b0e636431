"""Every kind of hostile server at once, in a process of its own: what it has open and what it costs is not the caller's.

`python -m tests.support.hostile_servers FOLDER` prints where each listens, as JSON, and serves until its standard input ends.
"""

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.certificates import Authority, Pair
from tests.support.strangers import (
    Behaviour,
    Request,
    answer,
    closed_port,
    drip,
    flood,
    full_port,
    hang_up,
    repeat,
    reset,
    say,
    say_and_hold,
    stranger,
)

LATE_S: Final = 1.0
"""When the late ones answer, in seconds: around the deadline of whoever is tested with them."""

OK: Final = b"HTTP/1.1 200 OK\r\n"


async def late(request: Request, writer: asyncio.StreamWriter) -> None:
    """Answers when nobody may be listening any more."""
    await asyncio.sleep(LATE_S)  # the very thing it does
    await answer(410)(request, writer)


PLAIN: Final[dict[str, Behaviour]] = {
    "healthy": answer(204),
    "closes each time": answer(204, connection="close"),
    "hangs after accepting": say_and_hold(b""),
    "hangs in its headers": say_and_hold(OK + b"x: y"),
    "drips its headers": drip(OK + b"x: "),
    "drips its body": drip(OK + b"content-length: 100000\r\n\r\n"),
    "sends a gigabyte": flood(),
    "sends interim answers without end": repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
    "sends headers without end": repeat(b"x: y\r\n" * 100),
    "redirects": answer(302, location="http://169.254.169.254/latest/meta-data/"),
    "redirects to itself with a long body": answer(307, b"x" * 100_000, location="/"),
    "resets": reset,
    "hangs up": hang_up,
    "closes in its headers": say(OK + b"content-le"),
    "closes in its body": say(OK + b"content-length: 5\r\n\r\nx"),
    "speaks garbage": say(bytes(range(256)) * 10),
    "speaks another protocol": say(b"220 mail.example ESMTP\r\n"),
    "answers late": late,
    "answers twice": say_and_hold(OK + b"content-length: 0\r\n\r\n" + OK + b"content-length: 0\r\n\r\n"),
    "fails": answer(503, retry_after="1"),
}
"""Over http."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """Where they are."""

    urls: dict[str, str]
    """By what they do."""
    root: str
    """The certificate to trust, as PEM."""
    client: Pair
    """A certificate for whoever demands one."""


@contextlib.contextmanager
def hostile_servers() -> Iterator[Hostile]:
    """All of them, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        client = authority.pair(common_name="logoutd")
        (Path(folder) / "server.pem").write_text("".join(_both(authority.pair("localhost"))), "ascii")
        command = [sys.executable, "-m", "tests.support.hostile_servers", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            if process.stdout is None or process.stdin is None:
                raise AssertionError("unreachable: both are pipes")
            try:
                yield Hostile(urls=json.loads(process.stdout.readline()), root=authority.root, client=client)
            finally:
                process.stdin.close()


@contextlib.asynccontextmanager
async def _serve(folder: Path) -> AsyncIterator[dict[str, str]]:
    plain_tls, demanding = (_server_tls(folder) for _ in range(2))
    demanding.verify_mode = ssl.CERT_REQUIRED
    demanding.load_verify_locations(folder / "authority.pem")
    async with contextlib.AsyncExitStack() as stack:
        urls = {}
        for name, behaviour in PLAIN.items():
            urls[name] = (await stack.enter_async_context(stranger(behaviour))).url()
        for name, behaviour, tls in (
            ("healthy over TLS", answer(204), plain_tls),
            ("hangs over TLS", say_and_hold(b""), plain_tls),
            ("demands a certificate", answer(204), demanding),
        ):
            urls[name] = (await stack.enter_async_context(stranger(behaviour, tls=tls))).url(host="localhost")
        silent = await stack.enter_async_context(stranger(say_and_hold(b"")))
        urls["never shakes hands"] = f"https://localhost:{silent.port}/"
        urls["has no certificate for this name"] = urls["healthy over TLS"].replace("localhost", "127.0.0.1")
        urls["never accepts"] = f"http://127.0.0.1:{stack.enter_context(full_port())}/"
        urls["is not there"] = f"http://127.0.0.1:{closed_port()}/"
        yield urls


def _server_tls(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def _both(pair: Pair) -> tuple[str, str]:
    return pair.key, pair.certificate


async def _main(folder: Path) -> None:
    async with _serve(folder) as urls:
        print(json.dumps(urls), flush=True)  # noqa: T201  # what the caller reads
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
