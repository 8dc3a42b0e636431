"""What a revocation would find, read without touching anything."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.delivery_plan import Target
from service.store import person_keys
from service.store.people import CHUNK
from service.store.record import Command, Record, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a revocation of everything would find of one person at this moment."""

    sessions: int
    """Those honoured."""
    refresh_tokens: int
    """Those honoured, offline ones of expired sessions included."""
    targets: tuple[Target, ...]
    """The applications that may hold a session, as `People.snapshot` would name them."""
    outlived: frozenset[str]
    """The client_ids of which only parts are remembered that are past their time, and so are told no more."""


class DryRuns:
    """Looks ahead. It reads in several steps, so what happens meanwhile may show in some of them and not in others."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def look_ahead(self, user_ids: Sequence[str], *, now_ms: int) -> dict[str, Outlook]:
        """What there is to be ended of each of these people, and whom it would be told."""
        found: dict[str, Outlook] = {}
        for start in range(0, len(user_ids), CHUNK):
            chunk = user_ids[start : start + CHUNK]
            commands: list[Command | Script] = []
            for user_id in chunk:
                commands += [
                    ("ZRANGE", person_keys.sessions(user_id), 0, -1),
                    ("HGETALL", person_keys.participation(user_id)),
                ]
            read = await self._record.pipeline(commands)
            sessions, parts = read[::2], read[1::2]
            honoured = await self._honoured(dict(zip(chunk, sessions, strict=True)), now_ms)
            for user_id, participation in zip(chunk, parts, strict=True):
                found[user_id] = _outlook(honoured[user_id], participation, now_ms)
        return found

    async def _honoured(self, sessions: Mapping[str, Sequence[str]], now_ms: int) -> dict[str, tuple[int, int]]:
        """How many sessions and tokens of each person are honoured."""
        asked = [
            (user_id, ids[start : start + CHUNK])
            for user_id, ids in sessions.items()
            for start in range(0, len(ids), CHUNK)
        ]
        found = dict.fromkeys(sessions, (0, 0))
        for start in range(0, len(asked), CHUNK):
            some = asked[start : start + CHUNK]
            answers = await self._record.pipeline(
                [Script("survey_sessions", [person_keys.person(user_id)], [now_ms, *ids]) for user_id, ids in some]
            )
            for (user_id, _), answer in zip(some, answers, strict=True):
                surveyed = json.loads(answer)
                active, live = found[user_id]
                found[user_id] = (
                    active + sum(each["active"] for each in surveyed),
                    live + sum(len(times) for each in surveyed for times in each["live_tokens"].values()),
                )
        return found


def _outlook(honoured: tuple[int, int], participation: Mapping[str, str], now_ms: int) -> Outlook:
    targets, outlived = [], set()
    for field, raw in participation.items():
        (client_id, sid, _), entry = json.loads(field), json.loads(raw)
        if entry["until_ms"] > now_ms:
            targets.append(Target(client_id=client_id, sub=entry["sub"], sid=sid))
        else:
            outlived.add(client_id)
    return Outlook(
        sessions=honoured[0],
        refresh_tokens=honoured[1],
        targets=tuple(targets),
        outlived=frozenset(outlived - {each.client_id for each in targets}),
    )
