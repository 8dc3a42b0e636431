"""A primary redis-server and a replica of it, both real, on this machine."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from service.embedded_redis import EmbeddedRedis
from tests.support.redis_server import connect, start_redis
from tests.support.waiting import eventually


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """A primary and its replica, which has heard everything when the block begins."""

    primary: EmbeddedRedis
    replica: EmbeddedRedis

    @contextlib.contextmanager
    def replica_frozen(self) -> Iterator[None]:
        """The replica hears nothing inside the block, as when its machine has stalled."""
        os.kill(self.replica.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.replica.pid, signal.SIGCONT)

    def take_over(self) -> None:
        """The primary is killed, and the replica is one from now on."""
        self.primary.kill()
        with closing(connect(self.replica)) as client:
            client.replicaof("NO", "ONE")


@contextlib.contextmanager
def replicated(folder: Path) -> Iterator[Replicated]:
    """Run both until the block ends, with their data in `folder`."""
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("primary", "replica"):
            (folder / name).mkdir()
            servers.append(server := start_redis(folder / name, persistent=True))
            stack.callback(server.stop)
        primary, replica = servers
        with closing(connect(primary)) as client:
            client.config_set("port", port := free_port())
        with closing(connect(replica)) as client:
            client.replicaof("127.0.0.1", port)
            eventually(lambda: repr(client.info("replication")), lambda told: "'master_link_status': 'up'" in told)
        yield Replicated(primary=primary, replica=replica)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
