"""The audit trail as administrators read it: in pages, as JSON lines, and whether it is as it was written."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from service.admin.audit_answers import AuditEntry, AuditVerification
from service.domain.audit import EVENTS
from service.domain.seal import place_of
from service.errors import InvalidRequest, NotFound
from service.store.audit import Stored
from service.store.audit_verification import Expected
from service.store.pages import Mark
from service.web.access import require_administrator
from service.web.answers import page_of
from service.web.bodies import moment
from service.web.found import find_connection
from service.web.operation import Media, Operation
from service.web.pages import page, read_page, refuse_unknown
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of, throttles_of

MOST_READ: Final = 1000
"""Most entries looked at for one page of the list: a filter that few pass leaves pages short, never a caller waiting."""

CHUNK: Final = 500
"""Entries read from Redis at once."""

LINES: Final = "application/jsonl"
"""The media type of JSON lines."""

FILTERS: Final = {
    "since": "Entries from this moment on (RFC 3339).",
    "until": "Entries before this moment.",
    "event": "Of this event only.",
    "connection": "Of this connection only: its name, or its id, which also finds those of one that is removed.",
    "user_id": "Of this person only.",
}
"""What narrows the trail down."""

_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "since": {"type": "string", "format": "date-time"},
    "until": {"type": "string", "format": "date-time"},
    "event": {"type": "string", "enum": list(EVENTS)},
}

_EXPECTED: Final = re.compile(r"(?P<number>[0-9]{1,15}):(?P<seal>[0-9a-f]{64})", re.ASCII)
"""A seal that must be there: its number and itself."""

LAST_MS: Final = 253_402_300_799_999
"""The last moment that RFC 3339 can tell, in milliseconds. Redis takes greater ids from whoever can write there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a caller wants to see."""

    first: str = "-"
    last: str = "+"
    members: Mapping[str, str]
    person: str | None

    def matching(self, entries: Sequence[Stored]) -> Iterator[dict[str, Any]]:
        """Those of these entries, as answered."""
        for each in entries:
            told = each.members()
            # What somebody else wrote there is no entry; `verify` tells of it.
            if (
                str(told.get("event")) in EVENTS
                and all(told.get(name) == value for name, value in self.members.items())
                and (self.person is None or self.person in told.get("people", ()))
            ):
                yield _describe(each, told)


async def list_audit_entries(request: Request) -> Response:
    """Entries from the newest on. A page may be shorter than `limit` when filtered: at most 1000 entries are looked at for
    one; walk the cursors, or read `/api/v2/audit/export`."""
    require_administrator(request)
    limit, after = read_page(request, known=frozenset(FILTERS))
    wanted = await _read_wanted(request)
    trail = resources_of(request).trail
    last = wanted.last if after is None else f"({_id_of(after)}"
    items: list[dict[str, Any]] = []
    looked_at, at_end = 0, False
    latest: Stored | None = None
    while looked_at < MOST_READ and len(items) < limit and not at_end:
        found = await trail.page(first=wanted.first, last=last, limit=CHUNK, newest_first=True)
        for latest in found:
            items += wanted.matching([latest])
            looked_at += 1
            if len(items) == limit:
                break
        at_end = len(found) < CHUNK and (not found or latest == found[-1])
        last = last if latest is None else f"({latest.id}"
    following = None if at_end or latest is None else _mark_of(latest)
    return JSONResponse(page(items, following=following), headers=NO_STORE)


async def export_audit_entries(request: Request) -> Response:
    """Every entry, from the oldest on, one JSON object a line. The answer is as long as the trail, and takes no more memory
    for that; when it cannot be finished, the connection is cut and the last chunk is missing. One process
    answers four at once."""
    require_administrator(request)
    refuse_unknown(request, frozenset(FILTERS), of="this call")
    wanted = await _read_wanted(request)
    trail = resources_of(request).trail
    # Read before anything is answered, so that an outage is an error and no short export.
    found = await trail.page(first=wanted.first, last=wanted.last, limit=CHUNK)

    async def lines() -> AsyncIterator[str]:
        some = found
        while some:
            yield "".join(json.dumps(each) + "\n" for each in wanted.matching(some))
            some = await trail.page(first=f"({some[-1].id}", last=wanted.last, limit=CHUNK)

    return throttles_of(request).exports.answer(lines(), media_type=LINES, headers=NO_STORE)


async def verify_audit_trail(request: Request) -> Response:
    """Whether everything that is sealed is as it was written: nothing changed, taken out, put in or moved. A long trail is
    looked at in parts; walk the cursors, with the same `expect`.

    A trail that was cut off behind an older seal, or written anew as a whole, may be in order by itself. Keep `number` and
    `seal` of an answer, or of the workers' log (`audit.sealed`), elsewhere, and expect them the next time."""
    require_administrator(request)
    refuse_unknown(request, frozenset({"cursor", "expect"}), of="this call")
    _, after = read_page(request, known=frozenset({"expect"}))
    found = await resources_of(request).seals.verify(
        since=None if after is None else _id_of(after), expected=_read_expected(request)
    )
    following = None if found.next_seal is None else _mark_of(Stored(id=found.next_seal, text=""))
    told = {
        "entries": found.entries,
        "seals": found.seals,
        "unverified": found.unverified,
        "unsealed": found.unsealed,
        "number": found.newest.number if found.newest else None,
        "seal": found.newest.seal if found.newest else None,
        "problem": found.problem,
    }
    return JSONResponse({**told, "next_cursor": page((), following=following)["next_cursor"]}, headers=NO_STORE)


def _read_expected(request: Request) -> Expected | None:
    given = request.query_params.getlist("expect")
    if not given:
        return None
    read = _EXPECTED.fullmatch(given[0]) if len(given) == 1 else None
    if read is None:
        raise InvalidRequest("`expect` must be NUMBER:SEAL, as `number` and `seal` of an earlier answer, once")
    return Expected(number=int(read["number"]), seal=read["seal"])


async def _read_wanted(request: Request) -> _Wanted:
    asked, resources = request.query_params, resources_of(request)
    members: dict[str, str] = {}
    if "event" in asked:
        if asked["event"] not in EVENTS:
            raise InvalidRequest(f"`event` must be one of {', '.join(EVENTS)}")
        members["event"] = asked["event"]
    if "connection" in asked:
        named = asked["connection"]
        members["connection_id"] = named if named.startswith("con_") else (await find_connection(resources, named)).id
    person = None
    if "user_id" in asked:
        person = await resources.trail.pseudonyms.of_person(asked["user_id"])
        if person is None:
            raise NotFound("there is no such user, or none any more")
    since, until = _read_moment(request, "since"), _read_moment(request, "until")
    return _Wanted(
        first="-" if since is None else str(since),
        last="+" if until is None else f"({until}-0",
        members=members,
        person=person,
    )


def _read_moment(request: Request, name: str) -> int | None:
    given = request.query_params.getlist(name)
    if not given:
        return None
    try:
        (text,) = given
        read = datetime.fromisoformat(text)
        at_ms = int(read.timestamp() * 1000)
        # Without an offset it would be in the local time of some pod.
        usable = read.tzinfo is not None and at_ms >= 0 and "T" in text.upper()
    except (ValueError, OverflowError):
        usable, at_ms = False, 0
    if not usable:
        raise InvalidRequest(f"`{name}` must be a moment such as 2026-01-31T12:00:00Z, once")
    return at_ms


def _describe(stored: Stored, told: dict[str, Any]) -> dict[str, Any]:
    since_ms = told.pop("since_ms", None)
    since = {"since": moment(since_ms)} if type(since_ms) is int and 0 <= since_ms <= LAST_MS else {}
    return {**told, **since, "id": stored.id, "at": moment(min(stored.at_ms, LAST_MS))}


def _mark_of(stored: Stored) -> Mark:
    _, _, number = stored.id.partition("-")
    return Mark(score=stored.at_ms, member=number)


def _id_of(mark: Mark) -> str:
    entry_id = f"{mark.score}-{mark.member}"
    if place_of(entry_id) is None:
        raise InvalidRequest("`cursor` is not one this list gave")
    return entry_id


_AUDIT = "/api/v2/audit"

OPERATIONS = (
    Operation(
        method="GET",
        path=_AUDIT,
        endpoint=list_audit_entries,
        summary="The audit trail",
        tag="Audit",
        access="administrator",
        query={
            **FILTERS,
            "limit": "Items in a page, 1 to 100; 50 by default.",
            "cursor": "`next_cursor` of the page before.",
        },
        responses={
            200: "A page of entries, the newest first.",
            400: "A parameter is wrong.",
            404: "There is no such connection or user.",
        },
        schemas=_SCHEMAS,
        answers={200: page_of(AuditEntry)},
    ),
    Operation(
        method="GET",
        path=f"{_AUDIT}/export",
        endpoint=export_audit_entries,
        summary="The audit trail as JSON lines",
        tag="Audit",
        access="administrator",
        query=FILTERS,
        responses={
            200: "An entry a line, the oldest first, each as in the list.",
            400: "A parameter is wrong.",
            404: "There is no such connection or user.",
        },
        schemas=_SCHEMAS,
        answers={200: Media(type=LINES)},
    ),
    Operation(
        method="GET",
        path=f"{_AUDIT}/verification",
        endpoint=verify_audit_trail,
        summary="Whether the audit trail is as it was written",
        tag="Audit",
        access="administrator",
        query={
            "cursor": "`next_cursor` of the call before.",
            "expect": "`NUMBER:SEAL` of an earlier answer, or of a line `audit.sealed` of the workers' log: it must be there.",
        },
        responses={200: "What was found.", 400: "A parameter is wrong."},
        answers={200: AuditVerification},
    ),
)
