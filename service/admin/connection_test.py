"""The management API's test of a connection: what stands between it and a person signed out, asked of the provider now."""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Any, Final

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.domain.clock import Clock
from service.domain.connection import Connection
from service.errors import InvalidRequest
from service.outbound import Fetched, Outbound
from service.resources import Resources
from service.settings import Settings
from service.store.health import Finding, Level
from service.verify.connection_health import look_at_certificates, look_at_keys
from service.verify.issuer_keys import IssuerKeys
from service.verify.provider_metadata import OtherIssuer, fetch_provider_metadata
from service.web.access import require_administrator
from service.web.answers import Answer
from service.web.found import find_connection
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.published import backchannel_logout_url, global_token_revocation_url, okta_event_hook_url
from service.web.state import Request, resources_of

CLOSE_S: Final = 5
"""How far two clocks may differ without a word, in seconds: a `Date` has whole seconds, and an answer travels a while."""

SKEW_S: Final = 60
"""How far they may differ before what the provider signs is refused as too old or not yet valid, in seconds."""

MAX_AGE_DIGITS: Final = 9
"""Longest `Age` that is read, in digits: thirty years."""


class Check(Answer):
    """One line of the checklist."""

    check: str
    level: Level
    detail: str


class Checklist(Answer):
    """What was looked at."""

    ok: bool = Field(description="Whether nothing on it has failed.")
    checks: list[Check]


class _Comparing:
    """The outbound client, comparing the clock of whoever answers with ours."""

    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock
        self.fetched = False
        self.ahead_s: int | None = None
        """How far the last clock that was told is ahead of ours."""

    def check_url(self, url: str, *, what: str) -> None:
        """As the outbound client does."""
        self._outbound.check_url(url, what=what)

    async def get_json(self, url: str, *, max_bytes: int) -> object:
        """Likewise."""
        found = await self._outbound.fetch_json(url, max_bytes=max_bytes)
        self.fetched = True
        told_s = _seconds(found)
        if told_s is not None:
            self.ahead_s = told_s - self._clock.now_ms() // 1000
        return found.document


async def check_connection(request: Request) -> Response:
    """Test a connection. Nothing is changed, and keys fetched here replace none that are remembered."""
    require_administrator(request)
    resources = resources_of(request)
    connection = await find_connection(resources, request.path_params["connection_id"])
    fetcher = _Comparing(resources.outbound, resources.clock)
    keys = IssuerKeys(fetcher=fetcher, clock=resources.clock, numbers=resources.numbers)
    checks = [
        _enabled(connection),
        *await _discovery(connection, fetcher),
        *await _keys(connection, keys, now_ms=resources.clock.now_ms()),
        _clock(fetcher),
        _endpoints(connection, resources.settings),
        await _enabled_clients(connection, resources),
        _event_hook(connection),
    ]
    return JSONResponse(_describe(checks), headers=NO_STORE)


def _enabled(connection: Connection) -> Check:
    if connection.enabled:
        return Check(check="enabled", level="ok", detail="its doors are open")
    return Check(check="enabled", level="warn", detail="it is disabled: its identity provider is answered 403")


async def _discovery(connection: Connection, fetcher: _Comparing) -> Iterable[Check]:
    options = connection.options
    if options.discovery_url is None or options.has_pinned_keys:
        why = "its keys are pinned" if options.has_pinned_keys else "it was configured by hand"
        return [Check(check=each, level="ok", detail=f"not looked at: {why}") for each in ("discovery", "issuer")]
    try:
        found = await fetch_provider_metadata(options.discovery_url, fetcher=fetcher, expected_issuer=options.issuer)
    except OtherIssuer as error:
        well_formed = Check(check="discovery", level="ok", detail="the document can be fetched")
        return [well_formed, Check(check="issuer", level="fail", detail=str(error))]
    except InvalidRequest as error:
        unknown = Check(check="issuer", level="warn", detail="not looked at: there is no document to compare")
        return [Check(check="discovery", level="fail", detail=str(error)), unknown]
    return [
        Check(check="discovery", level="ok", detail=f"fetched from {found.discovery_url}"),
        Check(check="issuer", level="ok", detail=found.issuer),
    ]


async def _keys(connection: Connection, keys: IssuerKeys, *, now_ms: int) -> Iterable[Check]:
    found: list[Finding] = [await look_at_keys(connection, keys)]
    checks = [Check(check="keys", level=each.level, detail=each.detail) for each in found]
    for number, each in enumerate(look_at_certificates(connection, now_ms=now_ms), start=1):
        checks.append(Check(check="keys", level=each.level, detail=f"certificate {number} {each.detail}"))
    return checks


def _clock(fetcher: _Comparing) -> Check:
    if not fetcher.fetched:
        return Check(check="clock", level="ok", detail="not compared: nothing was fetched from its identity provider")
    ahead_s = fetcher.ahead_s
    if ahead_s is None:
        return Check(check="clock", level="warn", detail="not compared: its answer has no `Date` that can be read")
    level: Level = "ok" if abs(ahead_s) < CLOSE_S else "warn" if abs(ahead_s) < SKEW_S else "fail"
    where = "ahead of" if ahead_s > 0 else "behind"
    detail = f"its identity provider's clock is {abs(ahead_s)} s {where} ours" if ahead_s else "the same as ours"
    if level == "fail":
        detail += f": what it signs is refused from {SKEW_S} s on; one of the two is wrong"
    return Check(check="clock", level=level, detail=detail)


def _endpoints(connection: Connection, settings: Settings) -> Check:
    name = connection.name
    urls = (
        global_token_revocation_url(settings, name),
        backchannel_logout_url(settings, name),
        okta_event_hook_url(settings, name),
    )
    told = "to paste there: " + ", ".join(urls)
    if settings.is_public_url_plain:
        return Check(check="endpoints", level="warn", detail=f"{told}; plain http, and secrets are sent to it")
    return Check(check="endpoints", level="ok", detail=told)


async def _enabled_clients(connection: Connection, resources: Resources) -> Check:
    count = len(connection.enabled_clients)
    if not count:
        return Check(check="enabled_clients", level="warn", detail="none: nobody can sign in through it anywhere")
    known = await resources.applications.get_many(connection.enabled_clients)
    told = f"{count} {'client' if count == 1 else 'clients'}"
    removed = [each for each in connection.enabled_clients if each not in known]
    if removed:
        detail = f"{told}, {len(removed)} of them removed, and so told of nothing: {removed[0]}"
        return Check(check="enabled_clients", level="warn", detail=detail if len(removed) == 1 else f"{detail}, …")
    return Check(check="enabled_clients", level="ok", detail=told)


def _event_hook(connection: Connection) -> Check:
    is_set = connection.options.okta_event_hook_secret_hash is not None
    detail = "its secret is set" if is_set else "no secret is set: that door is closed"
    return Check(check="event_hook", level="ok", detail=detail)


def _describe(checks: list[Check]) -> dict[str, Any]:
    listed = [{"check": each.check, "level": each.level, "detail": each.detail} for each in checks]
    return {"ok": all(each.level != "fail" for each in checks), "checks": listed}


def _seconds(found: Fetched) -> int | None:
    """What time it is there: when the answer was written, and how long a cache has kept it since."""
    age = (found.age or "").strip()
    kept_s = int(age) if age.isascii() and age.isdigit() and len(age) <= MAX_AGE_DIGITS else 0
    try:
        return None if found.date is None else int(parsedate_to_datetime(found.date).timestamp()) + kept_s
    except (ValueError, OverflowError):
        return None


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/connections/{connection_id}/test",
        endpoint=check_connection,
        summary="Test a connection",
        tag="Connections",
        access="administrator",
        responses={
            200: "A checklist, also when something on it fails: then `ok` is false.",
            404: "There is no such connection.",
        },
        answers={200: Checklist},
    ),
)
