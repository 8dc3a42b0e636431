"""Real HTTP servers on 127.0.0.1, in the demo's own event loop: the foreigners of the story answer there."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

GOODBYE_SECONDS: Final = 1
"""How long answers under way are waited for at the end, in seconds."""


class Part(Protocol):
    """Somebody in the story who answers HTTP."""

    def routes(self) -> Sequence[Route]:
        """What is answered, and where."""
        ...


AnyPart = TypeVar("AnyPart", bound=Part)


class Loopback:
    """An async context manager; what it serves stops with it, all of it at once."""

    def __init__(self) -> None:
        self._running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server, _ in self._running:
            server.should_exit = True
        # A task that was cancelled with us has nothing more to say than that.
        await asyncio.gather(*(task for _, task in self._running), return_exceptions=True)

    def serve(self, build: Callable[[str], AnyPart]) -> AnyPart:
        """Take a free port, build the part that will answer under that URL, and serve it.

        The port listens before this returns, so a call can be made at once: it waits in the backlog, it is not refused.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        part = build(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = _Server(
            uvicorn.Config(
                Starlette(routes=list(part.routes())),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=GOODBYE_SECONDS,
            )
        )
        self._running.append((server, asyncio.create_task(server.serve(sockets=[listener]))))
        return part


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Ctrl-C is the demo's: four servers that each took it for themselves would leave the story running.
        yield
