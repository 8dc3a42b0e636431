"""Sessions, people and receipts as answers show them."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.domain.client_health import ClientHealth
from service.domain.delivery import OPEN, Attempt, Delivery
from service.domain.revocation import Everything, OneSession, Revocation, Scope, SessionsBegunBy, TokenFamily
from service.domain.session import Participant, Session
from service.store.people import Person
from service.web.bodies import moment, moment_or_none


def describe_participant(participant: Participant) -> dict[str, str]:
    """An application's part in a session."""
    return {"client_id": participant.client_id, "sub": participant.sub, "sid": participant.sid}


def describe_session(session: Session, now_ms: int, live_tokens: Mapping[str, int]) -> dict[str, Any]:
    """A session as it stands at `now_ms`, with the number of refresh tokens honoured of each application shown."""
    active = session.active(now_ms)
    ended = session.ended_at_ms is not None and session.ended_at_ms < session.expires_at_ms
    return {
        "session_id": session.session_id,
        "user_id": session.user_id,
        "connection_id": session.connection_id,
        "active": active,
        "state": "active" if active else "ended" if ended else "expired",
        "created_at": moment(session.created_at_ms),
        "expires_at": moment(session.expires_at_ms),
        "ended_at": moment_or_none(session.ended_at_ms if ended else None),
        "upstream_sid": session.upstream_sid,
        "auth_time": session.auth_time_s,
        "clients": [describe_participant(each) for each in session.participants],
        "live_refresh_tokens": sum(live_tokens.get(each.client_id, 0) for each in session.participants),
    }


def describe_person(person: Person) -> dict[str, Any]:
    """A person, with every identifier they were registered with: for the administrator's eyes."""
    return {
        "user_id": person.user_id,
        "connection_id": person.connection_id,
        "subject": {"iss": person.iss, "sub": person.sub},
        "identifiers": list(person.identifiers),
        "created_at": moment(person.created_at_ms),
        "last_revoked_at": moment_or_none(person.revoked_at_ms),
    }


def describe_revocation(
    revocation: Revocation,
    deliveries: Sequence[Delivery] | None = None,
    healths: Mapping[str, ClientHealth] | None = None,
) -> dict[str, Any]:
    """A receipt; in lists its head alone, without deliveries. `healths`: of the applications that are still owed something."""
    healths = healths or {}
    told: dict[str, Any] = {
        "revocation_id": revocation.revocation_id,
        "connection_id": revocation.connection_id,
        "user_ids": list(revocation.user_ids),
        "session_id": revocation.session_id,
        "scope": _scope(revocation.scope),
        "initiator": revocation.initiator,
        "reason": revocation.reason,
        "lane": revocation.lane,
        "state": revocation.state,
        "accepted_at": moment(revocation.accepted_at_ms),
        "revoked_at": moment_or_none(revocation.revoked_at_ms),
        "completed_at": moment_or_none(revocation.completed_at_ms),
        "sessions_ended": revocation.sessions_ended,
        "refresh_tokens_revoked": revocation.refresh_tokens_revoked,
    }
    if revocation.redelivered_at_ms is not None:
        told["redelivered_at"] = moment(revocation.redelivered_at_ms)
    return (
        told
        if deliveries is None
        else {**told, "deliveries": [describe_delivery(each, healths.get(each.client_id)) for each in deliveries]}
    )


def _scope(scope: Scope) -> dict[str, Any]:
    """What was ended of each person (contract, "What is ended by what")."""
    match scope:
        case Everything(kind=kind):
            return {"kind": kind}
        case OneSession(kind=kind, session_id=session_id):
            return {"kind": kind, "session_id": session_id}
        case SessionsBegunBy(kind=kind):
            return {
                "kind": kind,
                "begun_by": moment(scope.begun_by_ms),
                "upstream_sid": scope.upstream_sid,
                "or_without_sid": scope.or_without_sid,
                "offline_too": scope.offline_too,
            }
        case TokenFamily(kind=kind, session_id=session_id, family_id=family_id):
            return {"kind": kind, "session_id": session_id, "family_id": family_id}


def describe_delivery(delivery: Delivery, health: ClientHealth | None = None) -> dict[str, Any]:
    """What is owed to one application, with its attempts; of one that waits, why by `health`."""
    reason = delivery.reason
    if health is not None and delivery.state in OPEN:
        reason = health.why_waiting(reason)
    told: dict[str, Any] = {
        "delivery_id": delivery.delivery_id,
        "client_id": delivery.client_id,
        "state": delivery.state,
        "attempts": [describe_attempt(each) for each in delivery.attempts],
    }
    if delivery.sid is not None:
        told["sid"] = delivery.sid
    if reason is not None:
        told["reason"] = reason
    if delivery.state in OPEN and delivery.next_attempt_at_ms is not None:
        told["next_attempt_at"] = moment(delivery.next_attempt_at_ms)
    if delivery.redelivered_at_ms:
        told["redelivered_at"] = [moment(each) for each in delivery.redelivered_at_ms]
    return told


def describe_attempt(attempt: Attempt) -> dict[str, Any]:
    """One logout token that was sent, and what was answered."""
    told: dict[str, Any] = {"at": moment(attempt.at_ms), "duration_ms": attempt.duration_ms}
    if attempt.status is not None:
        told["status"] = attempt.status
    if attempt.error is not None:
        told["error"] = attempt.error
    return told
