"""The embedded Redis, the service and a worker, started together and stopped together, in that order and its reverse."""

import errno
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final, TextIO

import redis

from service.dev.child import STDERR, Child
from service.dev.errors import DevError
from service.dev.folder import DataFolder
from service.embedded_redis import EmbeddedRedis
from service.settings import PREFIX, Settings, load_settings
from service.store import keyspace

LOOPBACK: Final = "127.0.0.1"

PROBE_TIMEOUT_S: Final = 2.0
"""Longest wait for one answer of the service or of Redis while they start, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevStack:
    """Everything that runs, each part to be stopped, killed and started by itself."""

    url: str
    """Where the service listens on this machine."""
    admin_token: str = field(repr=False)
    redis_url: str
    environment: Mapping[str, str] = field(repr=False)
    """The settings that service and worker run with."""
    redis: EmbeddedRedis
    service: Child
    worker: Child

    def wait_for_any_end(self) -> tuple[str, int]:
        """Return once any of the three has ended: which, and its status (negative: the signal that killed it)."""
        ends: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()

        def watch(name: str, process: "subprocess.Popen[bytes]") -> None:
            ends.put((name, process.wait()))

        parts = {"redis-server": self.redis.process, self.service.name: self.service.process}
        for name, process in {**parts, self.worker.name: self.worker.process}.items():
            threading.Thread(target=watch, args=(name, process), daemon=True).start()
        return ends.get()


@contextmanager
def dev_stack(
    *,
    port: int,
    data_dir: Path,
    log_to: TextIO | Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[DevStack]:
    """Run everything on `data_dir` until the block ends; inside it, the service is ready and a worker is alive.

    Port 0 is any free one. Logs go to `log_to`, a file appended to or a stream with a descriptor; None is our stderr.
    `environment` goes before this process's own, which goes before what `logoutd dev` sets by default. Raises
    SettingsError, DevError and EmbeddedRedisError, each one line, with nothing left running. Call it on the main
    thread: only there do the processes end with ours whatever happens.
    """
    settings = load_settings()
    _refuse_other_redis(settings)
    folder = DataFolder(data_dir)
    with ExitStack() as cleanup:
        lock = cleanup.enter_context(folder.locked())
        folder.furnish()
        held = cleanup.enter_context(closing(_take_port(settings, port)))
        address: tuple[str, int] = held.getsockname()[:2]
        if sys.platform != "linux":
            held.close()  # elsewhere a bound socket keeps the service out

        embedded = EmbeddedRedis(folder.redis, pass_fds=(lock,))
        ours = child_settings(settings, folder, address, redis_url=embedded.url, to_terminal=log_to is None)
        ours.update(environment or {})
        log = _descriptor(cleanup, log_to)
        service = Child("service", environment=ours, log=log, is_ready=partial(_answers_ready, _reachable(address)))
        worker = Child("workers", environment=ours, log=log, is_ready=partial(_has_heartbeat, embedded.url))

        cleanup.callback(embedded.stop)
        embedded.start()
        for child in (worker, service):
            cleanup.callback(child.stop)
        for child in (worker, service):
            cleanup.callback(child.terminate)  # runs first: both end at the same time
        for child in (service, worker):
            child.spawn()
        for child in (service, worker):
            child.wait_until_ready()
        yield DevStack(
            url=_url(_reachable(address)),
            admin_token=settings.admin_token.get_secret_value() or folder.admin_token.read_text("utf-8").strip(),
            redis_url=embedded.url,
            environment=ours,
            redis=embedded,
            service=service,
            worker=worker,
        )


def _refuse_other_redis(settings: Settings) -> None:
    for name in ("redis_url", "queue_redis_url"):
        if name in settings.model_fields_set:
            raise DevError(f"{PREFIX}{name.upper()} is set, and this runs a Redis of its own: unset it, or use `serve`")


def _take_port(settings: Settings, port: int) -> socket.socket:
    """A socket bound to the port and not listening: nobody else gets it, and the service may still listen there."""
    host = settings.host if "host" in settings.model_fields_set else LOOPBACK
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        if error.errno == errno.EADDRINUSE:
            raise DevError(f"port {port} of {host} is in use; choose another with --port, or 0 for any") from error
        raise DevError(f"port {port} of {host} cannot be used: {error.strerror}") from error
    return taken


def child_settings(
    settings: Settings, folder: DataFolder, address: tuple[str, int], *, redis_url: str, to_terminal: bool
) -> dict[str, str]:
    """The environment variables service and worker get besides the user's: ours, and defaults for what they left open."""
    host, port = address
    chosen = {"HOST": host, "PORT": str(port), "REDIS_URL": redis_url}
    defaults = {  # each with the setting that stands in its way
        "PUBLIC_URL": ("public_url", _url(_reachable(address))),
        "SIGNING_KEYS_FILE": ("signing_keys_file", str(folder.signing_keys)),
        "ADMIN_TOKEN_FILE": ("admin_token", str(folder.admin_token)),
        "ALLOWED_PRIVATE_NETWORKS": ("allowed_private_networks", "127.0.0.0/8,::1/128"),
        # Nobody routes to a service on this machine but whoever stops it.
        "SHUTDOWN_DELAY_SECONDS": ("shutdown_delay_seconds", "0"),
        "LOG_FORMAT": ("log_format", "console" if to_terminal and sys.stderr.isatty() else "json"),
    }
    chosen |= {name: value for name, (setting, value) in defaults.items() if setting not in settings.model_fields_set}
    return {f"{PREFIX}{name}": value for name, value in chosen.items()}


def _reachable(address: tuple[str, int]) -> tuple[str, int]:
    host, port = address
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host), port


def _url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _descriptor(cleanup: ExitStack, log_to: TextIO | Path | None) -> int:
    if log_to is None:
        return STDERR
    if isinstance(log_to, Path):
        try:
            return cleanup.enter_context(log_to.open("ab")).fileno()
        except OSError as error:
            raise DevError(f"the log {log_to} cannot be written: {error.strerror}") from error
    return log_to.fileno()


def _answers_ready(address: tuple[str, int], _service: Child) -> bool:
    with closing(HTTPConnection(*address, timeout=PROBE_TIMEOUT_S)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False


def _has_heartbeat(url: str, worker: Child) -> bool:
    with closing(redis.Redis.from_url(url, socket_timeout=PROBE_TIMEOUT_S)) as client:
        try:
            return bool(client.zcount(keyspace.WORKERS, worker.started_at_ms, "+inf"))
        except redis.RedisError:
            return False
