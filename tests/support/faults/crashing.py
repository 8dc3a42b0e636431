"""Both processes, made to die, to stand still or to lose Redis at a chosen step of their way through a revocation: `python -m`
this, or `Forge`.

A step is a call to Redis or to an application. Nothing in the product knows: this program imports it once, puts its own hands
around those calls, and forks a process for each order it reads from standard input.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import structlog
from arq.worker import Worker
from redis.asyncio.client import Pipeline, Redis
from redis.exceptions import ConnectionError as RedisConnectionError

import service.__main__
import workers.__main__
import workers.ledger
from service.domain.clock import SystemClock
from service.outbound import Outbound
from service.store.fleet_clock import FleetClock
from service.store.record import _load_scripts
from tests.support.faults.forge import AS_THEY_COME, Order
from workers.ledger import Ledger
from workers.sweep import Sweeper

T = TypeVar("T")

_SCRIPTS: Final = {
    sha1(source.encode(), usedforsecurity=False).hexdigest(): f"{name}.lua" for name, source in _load_scripts().items()
}
"""The scripts by the names Redis has for them."""

_ours: ContextVar[bool] = ContextVar("ours", default=False)
"""Whether this is the job whose steps are counted."""


@dataclass(kw_only=True)
class _Crash:
    order: Order
    taken: Counter[str] = field(default_factory=Counter)
    trace: Any = field(default=None)
    job: str | None = None
    """The job whose steps are counted, once it has been taken."""

    def is_meant(self) -> bool:
        if self.order.module == "service":
            return "request_id" in structlog.contextvars.get_contextvars()
        return _ours.get()

    async def around(
        self, name: str, commands: int, act: Callable[[], Awaitable[T]], shorten: Callable[[int], None] | None = None
    ) -> T:
        """Take a step, unless this is where it ends."""
        if not self.is_meant():
            return await act()
        self.taken[name] += 1
        self.trace.write(json.dumps({"name": name, "commands": commands}) + "\n")
        self.trace.flush()
        here = (name, self.taken[name]) == (self.order.step, self.order.turn)
        if here and self.order.held_s:
            await asyncio.sleep(self.order.held_s)
            return await act()
        if here and not self.order.after:
            if self.order.commands and shorten is not None:
                shorten(self.order.commands)
                await act()
            self.meet_fate()
        answer = await act()
        if here and self.order.after:
            self.meet_fate()
        return answer

    def meet_fate(self) -> None:
        """What was ordered happens to this process. Returns when it stood still and goes on."""
        if self.order.fate == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        self.order.mark.touch()
        if self.order.fate == "loses Redis":
            raise RedisConnectionError("lost, for a test")
        os.kill(os.getpid(), signal.SIGSTOP)
        if self.order.wakes_ahead_s:
            _set_ahead(self.order.wakes_ahead_s)

    def install(self) -> None:
        """Put our hands around every call; for the rest of this process."""
        self.trace = Path(self.order.trace).open("a", encoding="utf-8")  # noqa: SIM115 - until the process dies
        execute: Any = Redis.execute_command
        immediate: Any = Pipeline.immediate_execute_command
        execute_all = Pipeline.execute
        post, run_job, start_jobs = Outbound.post_form, Worker.run_job, Worker.start_jobs

        async def one(client: Any, *args: Any, **options: Any) -> Any:
            return await self.around(_name(args), 1, lambda: execute(client, *args, **options))

        async def at_once(pipeline: Any, *args: Any, **options: Any) -> Any:
            return await self.around(_name(args), 1, lambda: immediate(pipeline, *args, **options))

        async def together(pipeline: Any, *args: Any, **options: Any) -> Any:
            stack = pipeline.command_stack
            name = "+".join(_name(command[0]) for command in stack)
            alone = pipeline.is_transaction or pipeline.explicit_transaction

            def shorten(count: int) -> None:
                del stack[count:]

            return await self.around(
                name, 1 if alone else len(stack), lambda: execute_all(pipeline, *args, **options), shorten
            )

        async def sent(outbound: Any, *args: Any, **options: Any) -> Any:
            return await self.around("POST", 1, lambda: post(outbound, *args, **options))

        async def run(worker: Any, job_id: str, *args: Any) -> None:
            _ours.set(job_id == self.job)
            await run_job(worker, job_id, *args)

        async def begin(worker: Any, job_ids: list[bytes]) -> None:
            for each in job_ids:
                # Only when it is taken: arq looks again and again at a job that runs, as often as chance will have it.
                is_taken = self.job is None and each.decode().startswith(self.order.revocation_id)
                if is_taken:
                    self.job = each.decode()
                token = _ours.set(is_taken)
                try:
                    await start_jobs(worker, [each])
                finally:
                    _ours.reset(token)

        hands: list[tuple[type, str, Callable[..., Any]]] = [
            (Redis, "execute_command", one),
            (Pipeline, "immediate_execute_command", at_once),
            (Pipeline, "execute", together),
            (Outbound, "post_form", sent),
        ]
        if self.order.revocation_id:
            hands += [(Worker, "run_job", run), (Worker, "start_jobs", begin), (Sweeper, "sweep", _found_nothing)]
        if self.order.together != AS_THEY_COME:
            workers.ledger.MAX_BATCH = self.order.together  # type: ignore[misc]  # in this process alone
            hands.append((Ledger, "write", _once_there_are(self.order.together)))
        for owner, name, hand in hands:
            setattr(owner, name, hand)


def _name(command: Sequence[object]) -> str:
    """What a command is called: a script by its file's name."""
    return _SCRIPTS.get(str(command[1]), "a script") if command[0] in {"EVALSHA", "EVAL"} else str(command[0])


async def _found_nothing(_sweeper: Sweeper) -> int:
    """What those left that died before is not for this process: it would come between, whenever their leases run out."""
    return 0


def _once_there_are(count: int) -> Callable[..., Awaitable[bool]]:
    """Hand outcomes in together, once there are so many."""
    write, everybody = Ledger.write, asyncio.Barrier(count)

    async def handed_in(ledger: Ledger, entry: Any) -> bool:
        await everybody.wait()
        return await write(ledger, entry)

    return handed_in


def _carry_out(order: Order) -> NoReturn:
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.environ.update(order.environment)
    if order.clock_ahead_s:
        _set_ahead(order.clock_ahead_s)
    _Crash(order=order).install()
    sys.exit(service.__main__.main() if order.module == "service" else workers.__main__.main([]))


def _set_ahead(ahead_s: float) -> None:
    ahead_ms = round(ahead_s * 1000)
    machines, fleets = SystemClock.now_ms, FleetClock.now_ms

    def machine_ahead(clock: SystemClock) -> int:
        return machines(clock) + ahead_ms

    def fleet_ahead(clock: FleetClock) -> int:
        return fleets(clock) + ahead_ms

    SystemClock.now_ms = machine_ahead  # type: ignore[method-assign, assignment]
    FleetClock.now_ms = fleet_ahead  # type: ignore[method-assign, assignment]


def _serve() -> None:
    """Fork a process for each order, until there are no more; then end those that are left."""
    running: set[int] = set()
    for line in sys.stdin:
        message = json.loads(line)
        if "wait" in message:
            _, status = os.waitpid(message["wait"], 0)
            running.discard(message["wait"])
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                _carry_out(Order(**message["order"]))
            running.add(answer)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    _serve()
