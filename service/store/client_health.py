"""Whether applications can be told, as the whole fleet knows it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.domain.application import Application
from service.domain.client_health import (
    FIRST_PROBE_MS,
    LONGEST_PROBE_MS,
    OPENS_AFTER,
    SUSPENDED_PROBE_MS,
    UNINTERRUPTED_MS,
    ClientHealth,
)
from service.errors import WrongRecord
from service.store import keyspace
from service.store.backlogs import entry_of
from service.store.codec import from_json
from service.store.record import Command, Record, Script

Change = Literal["same", "closed", "opened", "probed", "suspended"]
"""What a report changed: nothing, or the breaker closed, opened, stayed open after a probe, or stayed open for so long that the
application is suspended."""

WELL: Final = ClientHealth()
"""Of an application nothing is known of but good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """An application and whether it can be told; read in one round trip."""

    application: Application
    health: ClientHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressees:
    """Those of some applications that exist, each read by itself."""

    known: Mapping[str, Addressee]
    unreadable: frozenset[str]
    """Of these there is a record that nobody can read: they may be told nothing now, and are not gone."""

    def get(self, client_id: str) -> Addressee | None:
        """The one of this client_id, if it exists and can be read."""
        return self.known.get(client_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one attempt says of its application. `attempt`: a name of its own, so that it counts once."""

    client_id: str
    attempt: str
    answered: bool | None
    """None: it says neither that somebody is there nor that nobody is."""
    rest_until_ms: int | None = None
    """Until when it asks to be left alone."""


class ClientHealths:
    """What keeps applications from being told. `suspend_after_ms`: how long one may fail without a single answer; 0: for ever."""

    def __init__(self, record: Record, *, suspend_after_ms: int) -> None:
        self._record = record
        self._suspend_after_ms = suspend_after_ms

    async def get(self, client_id: str) -> ClientHealth:
        """Of one application."""
        return (await self.get_many([client_id]))[client_id]

    async def get_many(self, client_ids: Iterable[str]) -> dict[str, ClientHealth]:
        """Of each of these."""
        wanted = sorted(set(client_ids))
        found = await self._record.pipeline([_read(each) for each in wanted])
        return {name: _health(flat) for name, flat in zip(wanted, found, strict=True)}

    async def addressees(self, client_ids: Iterable[str]) -> Addressees:
        """Those of these applications that exist. What cannot be read of one keeps nobody from reading the others."""
        wanted = sorted(set(client_ids))
        try:
            return await self._addressees(wanted)
        except WrongRecord:
            if len(wanted) == 1:
                return Addressees(known={}, unreadable=frozenset(wanted))
        singly = [await self.addressees([each]) for each in wanted]
        return Addressees(
            known={name: one for each in singly for name, one in each.known.items()},
            unreadable=frozenset(name for each in singly for name in each.unreadable),
        )

    async def _addressees(self, wanted: Sequence[str]) -> Addressees:
        calls: list[Command | Script] = []
        for each in wanted:
            calls += [("GET", keyspace.client(each)), _read(each)]
        found = await self._record.pipeline(calls)
        known: dict[str, Addressee] = {}
        unreadable: set[str] = set()
        for name, raw, flat in zip(wanted, found[::2], found[1::2], strict=True):
            try:
                if raw:
                    known[name] = Addressee(application=from_json(Application, raw), health=_health(flat))
            except ValueError:
                unreadable.add(name)
        return Addressees(known=known, unreadable=frozenset(unreadable))

    async def take_probe(self, client_id: str, attempt: str, *, now_ms: int, probing_until_ms: int) -> bool:
        """Have this attempt find out whether the application is back; False when that is another's, or not to be done now."""
        taken = await self._record.script(
            "take_probe", [keyspace.client_health(client_id)], [attempt, now_ms, probing_until_ms]
        )
        return bool(taken)

    async def give_back_probe(self, client_id: str, attempt: str, *, look_at_ms: int) -> bool:
        """Have another delivery find that out: this attempt was not sent. `look_at_ms`: when to look at those that wait, at the
        latest. False when it was not this one's (any more)."""
        args: list[str | int | float] = [entry_of(client_id), attempt, look_at_ms]
        return bool(await self._record.script("give_back_probe", _keys(client_id)[:3], args))

    async def report(self, reports: Sequence[Report], *, now_ms: int) -> list[Change]:
        """Note what attempts say, in one round trip, in this order."""
        changes: list[Change] = await self._record.pipeline([self._report(each, now_ms) for each in reports])
        return changes

    async def pause(self, client_id: str, *, reason: str | None, now_ms: int) -> bool:
        """Send it nothing more. False when it was paused before."""
        keys = [keyspace.client_health(client_id), keyspace.CLIENT_STATES]
        return bool(await self._record.script("pause_client", keys, [client_id, now_ms, reason or ""]))

    async def resume(self, client_id: str, *, now_ms: int) -> bool:
        """Lift a pause and a suspension, end the rest it asked for, and have an open breaker probed at once. False when there was
        nothing to lift."""
        return await self._resume(client_id, now_ms, lift=True)

    async def probe_now(self, client_id: str, *, now_ms: int) -> bool:
        """Have an open breaker probed at once, and end a rest: it is told of somewhere else now. False when there was neither."""
        return await self._resume(client_id, now_ms, lift=False)

    async def counts(self) -> Mapping[str, int]:
        """How many applications are `paused`, `suspended` and `circuit_open`."""
        states: list[str] = await self._record.run("HVALS", keyspace.CLIENT_STATES)
        return {state: states.count(state) for state in ("paused", "suspended", "circuit_open")}

    async def _resume(self, client_id: str, now_ms: int, *, lift: bool) -> bool:
        args: list[str | int | float] = [client_id, entry_of(client_id), now_ms, "1" if lift else "0"]
        return bool(await self._record.script("resume_client", _keys(client_id), args))

    def _report(self, report: Report, now_ms: int) -> Script:
        return Script(
            "report_answer",
            [*_keys(report.client_id), keyspace.client_removed(report.client_id)],
            [
                report.client_id,
                entry_of(report.client_id),
                _RESULTS[report.answered],
                report.attempt,
                now_ms,
                OPENS_AFTER,
                FIRST_PROBE_MS,
                LONGEST_PROBE_MS,
                self._suspend_after_ms,
                SUSPENDED_PROBE_MS,
                UNINTERRUPTED_MS,
                report.rest_until_ms or 0,
            ],
        )


_RESULTS: Final[Mapping[bool | None, str]] = {True: "answered", False: "failed", None: "neither"}


def _keys(client_id: str) -> list[str]:
    return [keyspace.DUE, keyspace.backlog(client_id), keyspace.client_health(client_id), keyspace.CLIENT_STATES]


def _read(client_id: str) -> Command:
    return ("HGETALL", keyspace.client_health(client_id))


def _health(facts: dict[str, Any]) -> ClientHealth:
    if not facts:
        return WELL

    def number(name: str) -> int | None:
        return int(facts[name]) if name in facts else None

    return ClientHealth(
        paused_at_ms=number("paused_at_ms"),
        pause_reason=facts.get("pause_reason"),
        resumed_at_ms=number("resumed_at_ms"),
        suspended_at_ms=number("suspended_at_ms"),
        failures=number("failures") or 0,
        failing_since_ms=number("failing_since_ms"),
        opened_at_ms=number("opened_at_ms"),
        next_probe_at_ms=number("next_probe_at_ms"),
        probing_until_ms=number("probing_until_ms"),
        rest_until_ms=number("rest_until_ms"),
        waiting="waiting" in facts,
        crowded="crowded" in facts,
        released=number("released") or 0,
    )
