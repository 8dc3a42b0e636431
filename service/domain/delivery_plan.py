"""What a revocation owes to whom: planned by the worker, and foretold by a dry run, from the same facts in the same way."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from service.domain.application import Application
from service.domain.delivery import Delivery
from service.domain.identifiers import delivery_id_for
from service.domain.revocation import OneSession, Revocation, SessionsBegunBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An application that may hold a session because of what a revocation covers."""

    client_id: str
    sub: str
    sid: str
    holds_others: bool = False
    """It knows the person by this `sub` in a session that is not covered too."""


def plan_deliveries(
    revocation: Revocation,
    user_id: str,
    targets: Iterable[Target],
    applications: Mapping[str, Application],
    *,
    unreadable: Collection[str] = (),
) -> list[Delivery]:
    """What one revocation owes on behalf of one person (contract: subject-wide and session-scoped logout tokens).

    Person-wide: one sub-only token per application, or one per known `sid` where it requires that, or where it holds a
    session that is not covered, which a sub-only token would end as well. One session, ours or upstream: `sub` and `sid`
    to each application in it. An application that cannot be told is a row of its own, with the reason.

    `unreadable`: applications that are registered, and nobody can read how. They are owed what each could take, by `sid`.
    """
    scope = revocation.scope
    one_session = isinstance(scope, OneSession) or (
        isinstance(scope, SessionsBegunBy) and scope.upstream_sid is not None
    )
    planned: dict[str, Delivery] = {}
    for target in sorted(targets, key=lambda each: (each.client_id, each.sub, each.sid)):
        application, unread = applications.get(target.client_id), target.client_id in unreadable
        required = unread if application is None else application.backchannel_logout_session_required
        by_sid = one_session or required or target.holds_others
        sid = target.sid if by_sid else None
        delivery_id = delivery_id_for(revocation.revocation_id, user_id, target.client_id, target.sub, sid)
        reason = (
            None
            if unread
            else "client_deleted"
            if application is None
            else "no_logout_uri"
            if application.backchannel_logout_uri is None
            else None
        )
        planned[delivery_id] = Delivery(
            delivery_id=delivery_id,
            user_id=user_id,
            client_id=target.client_id,
            sub=target.sub,
            sid=sid,
            state="pending" if reason is None else "skipped",
            reason=reason,
        )
    return list(planned.values())
