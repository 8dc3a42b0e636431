"""Events of Okta's System Log, and the batches in which event hooks deliver them (developer.okta.com, "Event hooks")."""

import datetime as dt
import uuid
from typing import Any, Final

from tests.support.tokens import overridden

HOOK_SECRET: Final = "secret-of-the-event-hook-of-the-tests"
"""What Okta sends in `Authorization`."""

ADMINISTRATOR: Final = {
    "id": "00u0administrator",
    "type": "User",
    "alternateId": "root@example.com",
    "displayName": "Root",
    "detailEntry": None,
}
"""Who does things to people, as an event's actor."""


def hook_path(name: str) -> str:
    """The path of a connection's event hook door."""
    return f"/webhooks/okta/connection/{name}"


def okta_user(user_id: str = "00u1ada", login: str = "ada@example.com") -> dict[str, Any]:
    """A person, as an event's target or actor."""
    return {"id": user_id, "type": "User", "alternateId": login, "displayName": "Ada", "detailEntry": None}


def published(ms: int) -> str:
    """A moment as Okta writes it."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def okta_event(event_type: str, *, at_ms: int, **members: Any) -> dict[str, Any]:
    """An event about Ada by an administrator; `members` lie over the ordinary ones, REMOVED takes one out."""
    ordinary = {
        "uuid": str(uuid.uuid4()),
        "published": published(at_ms),
        "eventType": event_type,
        "version": "0",
        "displayMessage": "Something happened to a person",
        "severity": "INFO",
        "client": {"userAgent": {"rawUserAgent": "UNKNOWN-DOWNLOAD"}, "zone": "OFF_NETWORK", "ipAddress": "192.0.2.7"},
        "actor": ADMINISTRATOR,
        "outcome": {"result": "SUCCESS"},
        "target": [okta_user()],
        "transaction": {"type": "WEB", "id": "V04Oy4ubUOc5UuG6s9DyNQAABtc"},
        "debugContext": {"debugData": {"requestUri": "/api/v1/users/00u1ada/lifecycle/deactivate"}},
        "legacyEventType": "core.something",
        "authenticationContext": {"authenticationStep": 0, "externalSessionId": "1013FfF-DKQSvCI4RVXChzX-w"},
    }
    return overridden(ordinary, members)


def okta_batch(*events: Any) -> dict[str, Any]:
    """A delivery of these events."""
    return {
        "eventType": "com.okta.event_hook",
        "eventTypeVersion": "1.0",
        "cloudEventsVersion": "0.1",
        "source": "https://example.okta.com/api/v1/eventHooks/whoql0HfiLGPWc8Jx0g3",
        "eventId": str(uuid.uuid4()),
        "eventTime": "2027-01-15T08:00:00.000Z",
        "contentType": "application/json",
        "data": {"events": list(events)},
    }
