"""arq's client of the queue's Redis, whose transactions give their connection back however they end.

arq watches a key, looks, and then writes. redis-py ends that with `UNWATCH` and waits for the answer: where none comes in time,
the connection never returns to its pool, and each such end takes a place for good; where the caller has no time left, it
connects anew first and waits for that as well. Closing the connection drops its watches too, and asks nobody.
"""

import asyncio
from types import TracebackType
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError


class QueueRedis(ArqRedis):
    """arq's client."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "QueuePipeline":  # noqa: FBT001, FBT002 - its
        """Commands to be sent together."""
        return QueuePipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class QueuePipeline(Pipeline):
    """One that always gives its connection back."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if error is not None:
            # Whoever fails or is cancelled here has no time for an answer.
            await self._close_watching()
        await self.reset()

    async def reset(self) -> None:
        """Forget what was to be sent and what is watched."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # `execute` comes here by itself, before the block's end: there is no time for an answer either.
            await self._close_watching()
        try:
            await super().reset()  # type: ignore[no-untyped-call]  # redis-py's
        except BaseException as error:  # cancelled while it waits for the answer, too
            await self._close_watching()
            await super().reset()  # type: ignore[no-untyped-call]
            if not isinstance(error, RedisError):
                raise

    async def _close_watching(self) -> None:
        connection: Any = self.connection
        if self.watching and connection is not None:
            await connection.disconnect(nowait=True)
        self.watching = False
