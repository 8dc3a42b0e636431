"""What an operator's revocation would do, told without doing any of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from service.domain.application import Application
from service.domain.connection import Connection
from service.domain.delivery import OPEN, Delivery
from service.domain.delivery_plan import plan_deliveries
from service.domain.identifiers import new_revocation_id
from service.domain.revocation import Everything, Revocation
from service.resources import Resources
from service.store.dry_runs import Outlook
from service.web.answers import Answer, absent


class ForetoldApplication(Answer):
    """What one application would be told."""

    client_id: str
    state: Literal["would_be_told", "would_be_skipped"]
    logout_tokens: int = Field(ge=0)
    sids: list[str] = absent("The sessions it would be told of one by one.")
    reason: str = absent("Why it would not be told, as a code such as `not_signed_in`.")


class DryRun(Answer):
    """What a revocation would do."""

    dry_run: Literal[True]
    connection_id: str
    user_ids: list[str]
    sessions_ended: int = Field(ge=0)
    refresh_tokens_revoked: int = Field(ge=0)
    applications: list[ForetoldApplication]


async def foretell(resources: Resources, connection: Connection, user_ids: Sequence[str]) -> dict[str, Any]:
    """What signing these people out now would end and whom it would tell, planned as the worker plans; nothing is written.

    Each application that would be told has a row, and so has each that is enabled for the connection and would not be, with
    the reason. One that is told although it is not enabled any more was when somebody signed in.
    """
    now_ms = resources.fleet_clock.now_ms()
    outlooks = await resources.dry_runs.look_ahead(user_ids, now_ms=now_ms)
    wanted = {target.client_id for each in outlooks.values() for target in each.targets}
    applications = await resources.applications.get_many(wanted | set(connection.enabled_clients))
    revocation = _imagined(connection, user_ids, now_ms)
    owed: dict[str, list[Delivery]] = defaultdict(list)
    for user_id, outlook in outlooks.items():
        for delivery in plan_deliveries(revocation, user_id, outlook.targets, applications):
            owed[delivery.client_id].append(delivery)
    uninvolved = set(connection.enabled_clients) - set(owed)
    rows = [_told(client_id, each) for client_id, each in owed.items()]
    rows += [_skipped(each, _absence(each, applications, outlooks.values())) for each in uninvolved]
    return {
        "dry_run": True,
        "connection_id": connection.id,
        "user_ids": list(user_ids),
        "sessions_ended": sum(each.sessions for each in outlooks.values()),
        "refresh_tokens_revoked": sum(each.refresh_tokens for each in outlooks.values()),
        "applications": sorted(rows, key=lambda each: str(each["client_id"])),
    }


def _imagined(connection: Connection, user_ids: Sequence[str], now_ms: int) -> Revocation:
    return Revocation(
        revocation_id=new_revocation_id(),
        connection_id=connection.id,
        user_ids=tuple(user_ids),
        initiator="operator",
        reason=None,
        scope=Everything(),
        state="accepted",
        accepted_at_ms=now_ms,
        revoked_at_ms=None,
        completed_at_ms=None,
        sessions_ended=0,
        refresh_tokens_revoked=0,
    )


def _told(client_id: str, deliveries: Sequence[Delivery]) -> dict[str, Any]:
    """An application with a part in it. All its deliveries are alike: what hinders one is the application's own."""
    if deliveries[0].state not in OPEN:
        return _skipped(client_id, deliveries[0].reason)
    row: dict[str, Any] = {"client_id": client_id, "state": "would_be_told", "logout_tokens": len(deliveries)}
    sids = sorted(each.sid for each in deliveries if each.sid is not None)
    return {**row, "sids": sids} if sids else row


def _skipped(client_id: str, reason: str | None) -> dict[str, Any]:
    return {"client_id": client_id, "state": "would_be_skipped", "logout_tokens": 0, "reason": reason}


def _absence(client_id: str, applications: Mapping[str, Application], outlooks: Iterable[Outlook]) -> str:
    """Why an enabled application has no part in it. `not_signed_in`: nobody meant has signed in to it, or it has left, or
    has been told before. `participation_expired`: they have, so long ago that it holds no session any more."""
    if client_id not in applications:
        return "client_deleted"
    if any(client_id in each.outlived for each in outlooks):
        return "participation_expired"
    return "not_signed_in"
