"""What a late logout token must not end: of a delivery that is tried long after its revocation, and of one that had been given
up and is tried anew."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from service.domain.application import Application
from service.domain.delivery import MAX_REDELIVERIES_SHOWN, OPEN, Delivery, State
from service.domain.identifiers import delivery_id_for, revocation_id_of

Refusal = Literal[
    "still_open", "delivered", "skipped", "told_by_sid", "client_deleted", "no_logout_uri", "newer_session", "changed"
]
"""Why a delivery is not tried anew; a stable code."""

WHY: Final[dict[Refusal, str]] = {
    "still_open": "it is being tried already",
    "delivered": "it has been delivered; `force` sends it again",
    "skipped": "it was skipped, nobody was to be told; `force` sends it all the same",
    "told_by_sid": "it was replaced by deliveries that name one session each",
    "client_deleted": "its application is not registered (any more)",
    "no_logout_uri": "its application has no `backchannel_logout_uri`",
    "newer_session": "its logout token would end a session begun since at this application; to end that one too, revoke anew",
    "changed": "it was changed several times while this request was under way; look at it again and repeat",
}
"""The same in words, for whoever asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An application's part in a session, as far as is remembered now."""

    client_id: str
    sub: str
    sid: str
    covered: bool
    """The revocation ended this session."""
    newer: bool
    """It began after the revocation."""
    lost: bool = False
    """Of what the application held by this `sub` there was more than is remembered, also of what the revocation ended."""


def plan_redelivery(
    delivery: Delivery,
    *,
    application: Application | None,
    held: Iterable[Held],
    now_ms: int,
    force: bool = False,
) -> tuple[Delivery, ...] | Refusal:
    """The delivery as it is tried anew, with the rows that take its place where there are any, or why it is not.

    Only a dead one is tried anew, and with `force` also one that was delivered (an application that has lost its state) or
    skipped (one that was registered or mended since). What was sent before stays in its history; the count of attempts and the
    window begin afresh.

    A late logout token must not end what has begun since (law 5). Where the application holds the person by the same `sub` in
    a session that is not covered, the delivery of a `sub`-only token is replaced by one for each covered `sid`; so it is where
    the application has come to require a `sid`. Nothing is sent that names a `sid` that a newer session goes by as well: such a
    row is dead when it is about to be sent (`spare_newer`), where the receipt tells of it. So it is with what can be told only in
    part, for some of it is forgotten.
    """
    if delivery.state in OPEN:
        return "still_open"
    if delivery.reason == "told_by_sid":
        return "told_by_sid"
    if delivery.state in {"delivered", "skipped"} and not force:
        return "delivered" if delivery.state == "delivered" else "skipped"
    if application is None:
        return "client_deleted"
    if application.backchannel_logout_uri is None:
        return "no_logout_uri"
    own = [each for each in held if (each.client_id, each.sub) == (delivery.client_id, delivery.sub)]
    if delivery.sid is not None:
        reused = any(each.newer and each.sid == delivery.sid for each in own)
        return "newer_session" if reused else (_anew(delivery, now_ms),)
    others = {each.sid for each in own if not each.covered}
    if not others and not application.backchannel_logout_session_required:
        return (_anew(delivery, now_ms),)
    sids = {each.sid for each in own if each.covered}
    if sids <= others:
        return "newer_session" if others else (_anew(delivery, now_ms),)
    if others and any(each.lost for each in own):
        return (_anew(delivery, now_ms),)
    replaced = _replaced(delivery, now_ms)
    return (
        replaced,
        *(replace(_by_sid(delivery, sid), redelivered_at_ms=replaced.redelivered_at_ms[-1:]) for sid in sorted(sids)),
    )


def spare_newer(delivery: Delivery, held: Iterable[Held]) -> tuple[Delivery, ...]:
    """An open delivery as it may be sent now: itself, or itself closed, and the rows that take its place.

    Nobody has to ask for a late attempt: a worker that was down, an application that failed or was paused, a long queue. A
    `sub`-only token would end what has begun at the application since (law 5), so each session that was meant is told of by its
    `sid`, in what is left of the same window. What no token can tell without ending a newer session is dead, where somebody
    sees it; an application that holds nothing any more of what was meant has been told of it, or has let it expire. Unless that
    was forgotten for want of room: then nobody can name it, and the delivery is dead, whatever else is told of by its `sid`.
    """
    own = [each for each in held if (each.client_id, each.sub) == (delivery.client_id, delivery.sub)]
    if delivery.sid is not None:
        reused = any(each.newer and each.sid == delivery.sid for each in own)
        return (_closed(delivery, "dead", "newer_session"),) if reused else (delivery,)
    others = {each.sid for each in own if not each.covered}
    if not others:
        return (delivery,)
    covered = {each.sid for each in own if each.covered}
    lost = any(each.lost for each in own)
    if not covered:
        return (_closed(delivery, "dead" if lost else "skipped", "newer_session"),)
    if covered <= others:
        return (_closed(delivery, "dead", "newer_session"),)
    rows = [_by_sid(delivery, sid, first_attempt_at_ms=delivery.since_ms) for sid in sorted(covered)]
    return (
        _closed(delivery, "dead", "newer_session") if lost else _closed(delivery, "skipped", "told_by_sid"),
        *(_closed(each, "dead", "newer_session") if each.sid in others else each for each in rows),
    )


def _closed(delivery: Delivery, state: State, reason: Refusal) -> Delivery:
    return replace(delivery, state=state, reason=reason, next_attempt_at_ms=None, held_since_ms=None)


def _anew(delivery: Delivery, now_ms: int) -> Delivery:
    return replace(
        _marked(delivery, now_ms),
        state="pending",
        reason=None,
        attempt_count=0,
        earlier_attempt_count=delivery.total_attempt_count,
        first_attempt_at_ms=None,
        held_since_ms=None,
    )


def _replaced(delivery: Delivery, now_ms: int) -> Delivery:
    return replace(_marked(delivery, now_ms), state="skipped", reason="told_by_sid")


def _by_sid(delivery: Delivery, sid: str, *, first_attempt_at_ms: int | None = None) -> Delivery:
    rid = revocation_id_of(delivery.delivery_id)
    return Delivery(
        delivery_id=delivery_id_for(rid, delivery.user_id, delivery.client_id, delivery.sub, sid),
        user_id=delivery.user_id,
        client_id=delivery.client_id,
        sub=delivery.sub,
        sid=sid,
        first_attempt_at_ms=first_attempt_at_ms,
        redelivered_at_ms=delivery.redelivered_at_ms,
    )


def _marked(delivery: Delivery, now_ms: int) -> Delivery:
    # Not before it died, whatever this machine's clock says: these times tell one death from the next.
    at_ms = max(now_ms, delivery.dead_at_ms or 0)
    return replace(
        delivery,
        dead_at_ms=None,
        next_attempt_at_ms=None,
        redelivered_at_ms=(*delivery.redelivered_at_ms, at_ms)[-MAX_REDELIVERIES_SHOWN:],
    )
