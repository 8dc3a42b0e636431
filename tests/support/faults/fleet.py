"""The processes of a run, as an operator has them: Redis with its append-only file, services, workers. Each can be broken."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis

from service.dev.child import START_LIMIT_S, Child
from service.embedded_redis import EmbeddedRedis
from service.jobs import QUEUES
from service.store import keyspace
from service.store.heartbeats import FRESH_MS
from tests.support.processes import ROOT
from tests.support.signing_keys import jwk, jwks, write_keys

ADMIN_TOKEN: Final = "administrator-of-a-run-full-of-faults"
"""The management API's token."""

LOOPBACK: Final = "127.0.0.1"

ALGORITHM: Final = "ES256"
"""What logout tokens are signed with: RSA keys take long to read, and processes start often here."""


class Fleet:
    """Everything that runs. Only the main thread starts processes: they end with it, whatever happens to it."""

    def __init__(
        self, redis_server: EmbeddedRedis, services: Mapping[str, Child], workers: Mapping[str, Child]
    ) -> None:
        self.redis = redis_server
        self.services = dict(services)
        self.workers = dict(workers)
        self.urls: dict[str, str] = {}
        """Where each service listens."""
        self.logs: dict[str, Path] = {}
        self.redis_folder = redis_server.log.parent
        self.environment: dict[str, str] = {}
        """The settings of them all, but for the port."""

    @property
    def processes(self) -> dict[str, Child]:
        """The services and the workers, by name."""
        return {**self.services, **self.workers}

    def pid(self, name: str) -> int:
        """The process id of `redis` or of one of ours."""
        return self.redis.process.pid if name == "redis" else self.processes[name].pid

    def kill(self, name: str) -> None:
        """SIGKILL."""
        if name == "redis":
            self.redis.kill()
        else:
            self.processes[name].kill()

    def terminate(self, name: str) -> None:
        """SIGTERM; does not wait."""
        if name == "redis":
            self.redis.process.terminate()
        else:
            self.processes[name].terminate()

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        os.kill(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        os.kill(self.pid(name), signal.SIGCONT)

    def has_ended(self, name: str) -> bool:
        """Whether it does not run."""
        return not (self.redis.running if name == "redis" else self.processes[name].running)

    def status(self, name: str) -> int | None:
        """What it ended with; negative: the signal that ended it."""
        return self.redis.process.poll() if name == "redis" else self.processes[name].process.poll()

    def start(self, name: str) -> None:
        """Start it. Redis is waited for, which is a moment; the others are not."""
        if name == "redis":
            self.redis.start()
        else:
            self.processes[name].spawn()

    def forget_queue(self) -> int:
        """Delete everything that is arq's by hand; how much that was."""
        with closing(self._client()) as client:
            found = [key for pattern in ("arq:*", "logoutd:queue*") for key in client.keys(pattern)]
            return int(client.delete(*found)) if found else 0

    def working(self) -> set[str]:
        """The workers that have been heard of lately, since their process was last started, and look at both queues: what takes
        jobs off a queue may end in a process that is otherwise well."""
        names = {name: f"{socket.gethostname()}:{each.pid}" for name, each in self.workers.items()}
        with closing(self._client()) as client:
            found = dict(client.zrange(keyspace.WORKERS, 0, -1, withscores=True))
            looking = {
                name: all(client.exists(f"{queue}:health:{worker}") for queue in QUEUES.values())
                for name, worker in names.items()
            }
        since_ms = time.time() * 1000 - FRESH_MS
        return {name for name, worker in names.items() if looking[name] and found.get(worker, 0) > since_ms}

    def is_heard_of(self, pid: int) -> bool:
        """Whether a worker of this process id has told that it is at work."""
        with closing(self._client()) as client:
            return client.zscore(keyspace.WORKERS, f"{socket.gethostname()}:{pid}") is not None

    def queued(self) -> int:
        """How many jobs wait or are being run."""
        with closing(self._client()) as client:
            return sum(int(client.zcard(each)) for each in QUEUES.values())

    def due(self) -> int:
        """How many entries the due index has."""
        with closing(self._client()) as client:
            return int(client.zcard(keyspace.DUE))

    def open_revocations(self) -> int:
        """How many are recorded and not finished. An entry without a record is none: its process died before it was written,
        nobody was told that it was, and the entry is kept for ten minutes lest it still is."""
        with closing(self._client()) as client:
            listed = client.zrange(keyspace.OPEN, 0, -1)
            states = [client.hget(keyspace.revocation(each), "state") for each in listed]
            return sum(each in {"accepted", "notifying"} for each in states)

    def _client(self) -> Any:  # redis-py types every answer as one that may have to be awaited
        return redis.Redis(unix_socket_path=str(self.redis.socket), decode_responses=True, socket_timeout=1)


@contextmanager
def running_fleet(
    folder: Path, *, pods: int, workers: int, environment: Mapping[str, str] | None = None
) -> Iterator[Fleet]:
    """Everything, started and ready; stopped when the block ends. The PUBLIC_URL is the first service's."""
    with ExitStack() as cleanup:
        server = EmbeddedRedis(folder / "redis")
        ports = [cleanup.enter_context(closing(held_port())) for _ in range(pods)]
        addresses = [each.getsockname()[1] for each in ports]
        keys = write_keys(folder / "signing-keys.json", jwks(jwk(ALGORITHM)))
        settings = {
            "PYTHONPATH": str(ROOT),
            "LOGOUTD_HOST": LOOPBACK,
            "LOGOUTD_PUBLIC_URL": f"http://{LOOPBACK}:{addresses[0]}",
            "LOGOUTD_SIGNING_KEYS_FILE": str(keys),
            "LOGOUTD_REDIS_URL": server.url,
            "LOGOUTD_ADMIN_TOKEN": ADMIN_TOKEN,
            "LOGOUTD_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
            "LOGOUTD_LOG_FORMAT": "json",
            "LOGOUTD_SHUTDOWN_DELAY_SECONDS": "1",
            "SSL_CERT_FILE": os.devnull,  # nobody here speaks TLS, and a hundred authorities take long to read
            "SSL_CERT_DIR": os.devnull,
            **(environment or {}),
        }
        fleet = Fleet(server, {}, {})
        fleet.environment = settings

        def child(name: str, module: str, **more: str) -> Child:
            fleet.logs[name] = folder / f"{name}.log"
            log = cleanup.enter_context(fleet.logs[name].open("ab"))
            return Child(module, environment={**settings, **more}, is_ready=_is_ready, log=log.fileno())

        for number, port in enumerate(addresses):
            name = f"service-{number}"
            fleet.services[name] = child(name, "service", LOGOUTD_PORT=str(port))
            fleet.urls[name] = f"http://{LOOPBACK}:{port}"
        for number in range(workers):
            fleet.workers[f"worker-{number}"] = child(f"worker-{number}", "workers", LOGOUTD_LOG_LEVEL="debug")

        cleanup.callback(server.stop)
        server.start()
        cleanup.callback(_end, list(fleet.processes.values()))
        for each in fleet.processes.values():
            each.spawn()
        for name, each in fleet.services.items():
            wait_for_port(fleet.urls[name], partial(_runs, each))
        yield fleet


def _runs(child: Child) -> bool:
    return child.running


def held_port() -> socket.socket:
    """A socket bound to a free port and not listening: nobody else gets it, and a service may still listen there."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((LOOPBACK, 0))
    return held


def _is_ready(_child: Child) -> bool:
    raise AssertionError("a fleet's processes are waited for by what they answer")


def wait_for_port(url: str, is_alive: Callable[[], bool]) -> None:
    """Return once something listens there. RuntimeError when it has ended instead, or does not within START_LIMIT_S."""
    deadline = time.monotonic() + START_LIMIT_S
    address = (LOOPBACK, int(url.rpartition(":")[2]))
    while is_alive() and time.monotonic() < deadline:
        with closing(socket.socket()) as trial:
            if trial.connect_ex(address) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on {url}")


def _end(children: list[Child]) -> None:
    """End them all at once, killed where they do not end by themselves soon: what they owe is no longer looked at."""
    for each in children:
        if each.running:
            os.kill(each.pid, signal.SIGCONT)
            each.terminate()
    deadline = time.monotonic() + 5
    for each in children:
        try:
            each.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.kill()
