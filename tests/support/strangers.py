"""Other people's servers, real ones on loopback: polite, broken and hostile.

A stranger is a behaviour: what it does with one connection's requests. `stranger()` serves it until the block ends and
writes down every request it could read.
"""

import asyncio
import base64
import contextlib
import json
import queue
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from tests.support.waiting import PATIENCE_S

ENDLESS: Final = 1_000_000_000
"""What the flooding stranger announces and tries to send, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came in; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims of the logout token it brings, unverified."""
        (token,) = parse_qs(self.body.decode(), strict_parsing=True)["logout_token"]
        payload = token.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request. The connection stays open for the next unless it closes the writer."""


@dataclass(slots=True)
class Stranger:
    """A running server and what it has seen."""

    port: int
    scheme: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/logout", *, host: str = "127.0.0.1") -> str:
        """Where it answers."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def seen(self, count: int, *, within_s: float = 5.0) -> None:
        """Wait until `count` requests have come in."""
        async with asyncio.timeout(within_s):
            while len(self.requests) < count:
                self._changed.clear()
                await self._changed.wait()

    def note(self, request: Request) -> None:
        """Write a request down."""
        self.requests.append(request)
        self._changed.set()


@contextlib.asynccontextmanager
async def stranger(
    behave: Behaviour,
    *,
    tls: ssl.SSLContext | None = None,
    greeting: bytes = b"",
    on_tls: Callable[[ssl.SSLObject], object] | None = None,
) -> AsyncIterator[Stranger]:
    """Serve `behave` on a loopback port of the system's choosing; `greeting` is said before anything was asked, and
    `on_tls` sees each connection's TLS once hands are shaken."""
    tasks: set[asyncio.Task[None]] = set()
    here = Stranger(port=0, scheme="https" if tls else "http")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.connections += 1
        if on_tls is not None:
            on_tls(writer.get_extra_info("ssl_object"))
        writer.write(greeting)
        # Whatever the client does to the connection is its right; the test looks at the client. RuntimeError is how
        # uvloop says that a connection has gone.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, RuntimeError, asyncio.CancelledError):
            while not writer.is_closing():
                request = await _read_request(reader)
                here.note(request)
                await behave(request, writer)
        writer.transport.abort()

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
        await asyncio.gather(*tasks)
        await server.wait_closed()


@contextlib.contextmanager
def stranger_in_thread(behave: Behaviour) -> Iterator[Stranger]:
    """The same in a thread of its own, for whoever calls it without an event loop."""
    started: queue.SimpleQueue[tuple[Stranger, asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def serve() -> None:
        async with stranger(behave) as here:
            stop = asyncio.Event()
            started.put((here, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="stranger")
    thread.start()
    here, loop, stop = started.get(timeout=PATIENCE_S)
    try:
        yield here
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)


def closed_port() -> int:
    """A port nobody listens on: connections to it are refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def full_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port whose queue of new connections is full: one more is neither accepted nor refused. With "", at every address of
    this machine."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    """Answers at once; `retry_after="1"` becomes the header `retry-after`."""
    given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    async def behave(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{given}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return behave


def say(raw: bytes) -> Behaviour:
    """Says `raw` and hangs up."""

    async def behave(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return behave


def say_and_hold(raw: bytes) -> Behaviour:
    """Says `raw`, then nothing more, and keeps the connection. With b"": takes the request and never answers."""

    async def behave(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        await asyncio.get_running_loop().create_future()

    return behave


def drip(head: bytes, *, every_s: float = 0.01) -> Behaviour:
    """Says `head`, then a byte at a time for ever."""

    async def behave(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(every_s)  # the very thing it does: being slow

    return behave


def flood(status: int = 200) -> Behaviour:
    """Answers with a gigabyte, as fast as it is taken."""

    async def behave(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} OK\r\ncontent-length: {ENDLESS}\r\n\r\n".encode())
        block = b"x" * 65536
        for _ in range(ENDLESS // len(block)):
            writer.write(block)
            await writer.drain()

    return behave


def repeat(raw: bytes, *, after: bytes = b"") -> Behaviour:
    """Says `raw` again and again, as fast as it is taken; `after` before that, once."""

    async def behave(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        while True:
            writer.write(raw)
            await writer.drain()

    return behave


def say_more(raw: bytes, when: asyncio.Event, more: bytes, said: asyncio.Event) -> Behaviour:
    """Says `raw`, and once `when` is set, unasked, `more`; then sets `said`."""

    async def behave(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if said.is_set():
            return
        await when.wait()
        writer.write(more)
        await writer.drain()
        said.set()

    return behave


async def reset(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Takes the request, then a TCP reset instead of an answer."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang_up(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Takes the request and closes without a word."""
    writer.close()


def late(after_s: float, then: Behaviour) -> Behaviour:
    """Answers after so many seconds."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after_s)  # the very thing it does: being late
        await then(request, writer)

    return behave


def wait_then(event: asyncio.Event, then: Behaviour) -> Behaviour:
    """Answers late: only once `event` is set."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await event.wait()
        await then(request, writer)

    return behave


@dataclass(slots=True)
class Moody:
    """Behaves as it is told to at the moment."""

    now: Behaviour

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await self.now(request, writer)


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, target=target, headers=headers, body=body)
