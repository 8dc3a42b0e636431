"""One event of Okta's System Log, as an event hook delivers it: what of it matters here, read with care.

Okta writes far more into an event than is read. What is not read may be anything.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from service.domain.okta_events import NOT_DONE, EndingEvent
from service.domain.subject import SubjectIdentifier, parse_identifier
from service.errors import InvalidRequest

MAX_UUID_LENGTH: Final = 256
"""Longest `uuid` of an event, in characters; Okta's have 36."""

MAX_TARGETS: Final = 100
"""Most entries in `target`: an event is about one person, and the few things that were done to them."""

MAX_PUBLISHED_LENGTH: Final = 64
"""Longest `published` that is read as a time, in characters; Okta's have 24."""

UNKNOWN: Final = "unknown"
"""What Okta writes where it has no id or login to tell."""

_PLAIN_UUID: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class OktaUser:
    """A person as an event names them. Either may be missing, not both."""

    id: str | None
    """Okta's id, `00u…`: never another person's."""
    login: str | None
    """Their login (`alternateId`), an e-mail address as a rule: it can pass to somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """An event that ends sessions."""

    uuid: str
    """The same each time it is delivered."""
    published_ms: int | None
    """When it happened by Okta's clock, in milliseconds since the epoch; None where that cannot be read."""
    people: tuple[OktaUser, ...]
    """Whose sessions end; none where the event names no person."""
    done: bool
    """Whether it happened: False when it was tried in vain."""


def type_of(event: object) -> str:
    """The event's type. Raises InvalidRequest where it has none."""
    name = event.get("eventType") if isinstance(event, dict) else None
    if not isinstance(name, str) or not name:
        raise InvalidRequest("an event needs `eventType`, a string that is not empty")
    return name


def shown_uuid(event: object) -> str | None:
    """The event's `uuid` as logs may show it; None where it is not plainly one."""
    uuid = event.get("uuid") if isinstance(event, dict) else None
    return uuid if isinstance(uuid, str) and _PLAIN_UUID.fullmatch(uuid) else None


def read_log_event(event: Mapping[str, Any], kind: EndingEvent) -> LogEvent:
    """Read an event of a type in the table. Raises InvalidRequest, naming the member that is wrong."""
    uuid = event.get("uuid")
    if not isinstance(uuid, str) or not 0 < len(uuid) <= MAX_UUID_LENGTH:
        raise InvalidRequest(f"an event needs `uuid`, a string of 1 to {MAX_UUID_LENGTH} characters")
    targets = event.get("target")
    if targets is None:
        targets = []
    if not isinstance(targets, list):
        raise InvalidRequest("`target` of an event must be a list, or null")
    if len(targets) > MAX_TARGETS:
        raise InvalidRequest(f"`target` of an event may hold at most {MAX_TARGETS} entries")
    people = _people(targets)
    if not people and kind.by_the_person:
        people = _people([event.get("actor")])
    outcome = event.get("outcome")
    result = outcome.get("result") if isinstance(outcome, dict) else None
    in_vain = isinstance(result, str) and result.upper() in NOT_DONE
    return LogEvent(
        uuid=uuid,
        published_ms=_moment(event.get("published")),
        people=people,
        done=kind.whatever_came_of_it or not in_vain,
    )


def exact_names(user: OktaUser, issuers: Iterable[str]) -> tuple[SubjectIdentifier, ...]:
    """How a person may be registered by Okta's id: as the `sub` of any of these issuers, or as an id of its own."""
    if user.id is None:
        return ()
    return _usable(
        [{"format": "opaque", "id": user.id}, *({"format": "iss_sub", "iss": iss, "sub": user.id} for iss in issuers)]
    )


def login_names(user: OktaUser, issuers: Iterable[str]) -> tuple[SubjectIdentifier, ...]:
    """How a person may be registered by their login: as an address, an id or an account, or as the `sub` of any of these
    issuers, which is what Okta's custom authorization servers make of it."""
    if user.login is None:
        return ()
    return _usable(
        [
            {"format": "email", "email": user.login},
            {"format": "opaque", "id": user.login},
            {"format": "account", "uri": f"acct:{user.login}"},
            *({"format": "iss_sub", "iss": iss, "sub": user.login} for iss in issuers),
        ]
    )


def _people(parties: Iterable[object]) -> tuple[OktaUser, ...]:
    """Those of type `User`. An `AppUser` is somebody's account in one application, with an id of another kind."""
    found = []
    for party in parties:
        if isinstance(party, dict) and party.get("type") == "User":
            user = OktaUser(id=_told(party.get("id")), login=_told(party.get("alternateId")))
            if user.id is not None or user.login is not None:
                found.append(user)
    return tuple(dict.fromkeys(found))


def _told(value: object) -> str | None:
    return value if isinstance(value, str) and value and value.lower() != UNKNOWN else None


def _usable(candidates: Iterable[Mapping[str, str]]) -> tuple[SubjectIdentifier, ...]:
    """Those that are identifiers at all: a login need not be an address, and nothing is registered by what is none."""
    found = []
    for each in candidates:
        try:
            found.append(parse_identifier(each))
        except InvalidRequest:
            continue
    return tuple(found)


def _moment(published: object) -> int | None:
    """RFC 3339 to milliseconds. A time without its zone could be any of a day's."""
    if not isinstance(published, str) or len(published) > MAX_PUBLISHED_LENGTH:
        return None
    try:
        read = datetime.fromisoformat(published)
    except ValueError:
        return None
    return None if read.tzinfo is None else max(0, (read - _EPOCH) // timedelta(milliseconds=1))
