"""Connections to Redis that are given up when what is at their other end is no primary any more.

A failover may leave the old primary running, as a replica. Whoever is connected to it stays so: each write is refused, for
good, and each read is answered with what it knows. So the first refusal gives up every connection made until then, and the
next one made asks again where the name leads.
"""

from typing import Any, Final

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError

OF_A_REPLICA: Final = ("-READONLY ", "READONLY ", "MASTERDOWN ", "UNBLOCKED ")
"""How an error begins that only a replica answers with, or one that became one while something waited. A script's begins like
that behind "Error running script", in Redis before 7."""


class PrimaryPool(BlockingConnectionPool):
    """A pool whose connections can be given up all at once, those in use as well, once their commands have been answered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.generation = 0
        """Grows each time; a connection is of the one it was begun in."""

    def forsake(self, generation: int) -> None:
        """A connection of this generation does not lead to the primary any more: use none of it again, nor of those before.

        One that finds out late, when they have been given up already, says nothing of those made since.
        """
        if generation == self.generation:
            self.generation += 1

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Make it usable, anew where it was given up."""
        if getattr(connection, "generation", self.generation) != self.generation:
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)


def losing_connections(kind: type[AbstractConnection], pool: PrimaryPool) -> type[AbstractConnection]:
    """That kind of connection, for this pool, which says so when it is lost: just before something is sent, or because a
    replica is at its other end.

    uvloop says of the first that "the handler is closed", by a RuntimeError that redis-py takes for a fault and neither retries
    nor names: a Redis that restarts would be answered with 500.
    """

    class LosingConnection(kind):  # type: ignore[misc, valid-type]  # one class for each kind there is
        async def _connect(self) -> None:
            # Before: given up while it is being made, it is not to be used either.
            self.generation = pool.generation
            await super()._connect()

        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - its
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                raise RedisConnectionError("closed while something was sent") from error

        async def read_response(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return await super().read_response(*args, **kwargs)
            except ResponseError as error:
                if not _is_of_a_replica(error):
                    raise
                # Nothing was written, so all of it can be sent again; redis-py does so, through a new connection.
                pool.forsake(self.generation)
                await self.disconnect(nowait=True)
                raise RedisConnectionError("it is a replica") from error

    return LosingConnection


def _is_of_a_replica(error: ResponseError) -> bool:
    if isinstance(error, ReadOnlyError):
        return True
    return any(str(error).startswith(each) for each in OF_A_REPLICA) or ": -READONLY " in str(error)
