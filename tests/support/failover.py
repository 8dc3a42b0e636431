"""Two redis-servers behind one name, which leads to the one and then to the other, as a Service's name does in a failover."""

import contextlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.redis_server import connect
from tests.support.replication import Replicated, replicated

NOBODY_LISTENS: Final = 1
"""A port of this machine at which there is no Redis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A pair, and the name: a link in the file system, followed by each new connection and by none that exists."""

    pair: Replicated
    link: Path

    @property
    def url(self) -> str:
        """Where the primary is reached."""
        return f"unix://{self.link}"

    def demote(self) -> None:
        """The replica takes over. The old primary lives on as a replica, and hears nothing of the new one; the name still
        leads to it."""
        with closing(connect(self.pair.replica)) as new, closing(connect(self.pair.primary)) as old:
            new.replicaof("NO", "ONE")
            old.replicaof("127.0.0.1", NOBODY_LISTENS)

    def lead_to_the_new_one(self) -> None:
        """New connections reach it; those that exist stay where they are."""
        self.link.unlink()
        self.link.symlink_to(self.pair.replica.socket)


@contextlib.contextmanager
def named(folder: Path) -> Iterator[Named]:
    """Run both until the block ends, with their data in `folder`."""
    with replicated(folder) as pair:
        # Beside a socket, whose path is short enough for one.
        link = pair.primary.socket.with_name("service.sock")
        link.symlink_to(pair.primary.socket)
        try:
            yield Named(pair=pair, link=link)
        finally:
            link.unlink()
