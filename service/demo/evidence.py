"""What was seen, by everybody who could see it: held against what logoutd says, and against what was promised."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.demo.applications import ToyApplication
from service.demo.authorization_server import AuthorizationServer, Receipt, SignIn
from service.demo.claims import Claims
from service.demo.identity_provider import Answer
from service.demo.timeline import Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """The revocation, and what was found right after it. Times are milliseconds since the epoch."""

    answer: Answer
    answered_at_ms: int
    checked_at_ms: int
    introspected: Sequence[Mapping[str, Any]]
    session_states: Sequence[str]


def check_instant(instant: Instant, claims: Claims) -> None:
    """From the answer on, nothing of hers is honoured."""
    tokens = len(instant.introspected)
    dead = sum(each == {"active": False} for each in instant.introspected)
    claims.check("logoutd answered 204", held=instant.answer.status == 204, found=instant.answer.status)
    claims.check(
        f"at once, Ada's {tokens} refresh tokens were dead, the offline one too",
        held=dead == tokens,
        found=f"{dead} of {tokens} dead",
    )
    claims.check(
        "at once, both of Ada's sessions read as ended",
        held=list(instant.session_states) == ["ended", "ended"],
        found=", ".join(instant.session_states),
    )


def check_applications(adas: Sequence[SignIn], applications: Sequence[ToyApplication], claims: Claims) -> None:
    """Every application was told in the way it registered for, and believed it."""
    for application in applications:
        name, profile = application.profile.client_id, application.profile
        told = [each.token for each in application.notices if each.token is not None]
        left = application.sessions_of(adas[0].person.name)
        claims.check(
            f"{name} verified what it was told and signed Ada out",
            held=left == 0 and any(each.status == 200 for each in application.notices),
            found=f"{left} sessions left; {_log(application)}",
        )
        if profile.session_required:
            hers = {each.sids[name] for each in adas}
            claims.check(
                f"{name} was told of each of her {len(hers)} sessions, by its sid",
                held={each.sid for each in told} == hers,
                found=f"{len(hers & {each.sid for each in told})} of {len(hers)}",
            )
        if profile.alg == "ES256":
            claims.check(
                f"{name} was told with an ES256 signature",
                held=bool(told) and all(each.alg == "ES256" for each in told),
                found=_log(application),
            )
        if profile.failures:
            claims.check(
                f"{name} answered 503 and was told again, with a fresh token",
                held=[each.status for each in application.notices] == [503, 200]
                and len({each.jti for each in told}) == 2
                and len({each.txn for each in told}) == 1,
                found=_log(application),
            )


def check_receipt(applications: Sequence[ToyApplication], receipt: Receipt, claims: Claims) -> None:
    """The receipt is complete, and tells of the calls that the applications saw: no more, no fewer."""
    states = sorted(each.state for each in receipt.deliveries)
    claims.check(
        "the receipt is complete: every delivery delivered",
        held=receipt.state == "completed" and set(states) == {"delivered"},
        found=f"{receipt.state}; {', '.join(states)}",
    )
    said = sorted((each.delivery_id, attempt.answer) for each in receipt.deliveries for attempt in each.attempts)
    seen = sorted(
        (notice.token.txn or "" if notice.token else "refused", str(notice.status))
        for application in applications
        for notice in application.notices
    )
    claims.check(
        f"the receipt tells of the same {len(seen)} calls that the applications saw",
        held=bool(seen) and said == seen,
        found=f"{len(said)} in the receipt",
    )


async def check_bystander(
    server: AuthorizationServer, bens: Sequence[SignIn], applications: Sequence[ToyApplication], claims: Claims
) -> None:
    """The other person is signed in everywhere, as before."""
    told, sessions = await asyncio.gather(
        asyncio.gather(*(server.introspect(token) for each in bens for token in each.refresh_tokens)),
        asyncio.gather(*(server.session(each.session_id) for each in bens)),
    )
    active = sum(each.get("active") is True for each in told)
    states = [str(each.get("state")) for each in sessions]
    at_applications = [each.sessions_of(bens[0].person.name) for each in applications]
    claims.check(
        f"Ben was left alone: {len(told)} tokens active, signed in at {len(applications)} applications",
        held=active == len(told) and set(states) == {"active"} and all(at_applications),
        found=f"{active} tokens active; session {', '.join(states)}; {at_applications.count(0)} applications lost him",
    )


def moments(
    adas: Sequence[SignIn], applications: Sequence[ToyApplication], receipt: Receipt, instant: Instant
) -> list[Moment]:
    """The timeline: the receipt's times, and ours for what was seen from outside. All clocks are this machine's."""
    start = receipt.accepted_at_ms
    told = [
        Moment(at_ms=0, who="logoutd", what="revocation recorded"),
        Moment(
            at_ms=receipt.revoked_at_ms - start,
            who="logoutd",
            what=f"{len(instant.introspected)} refresh tokens, {len(adas)} sessions dead",
        ),
        Moment(
            at_ms=instant.answered_at_ms - start,
            who="identity provider",
            what="has its answer",
            answer=str(instant.answer.status),
            took_ms=instant.answer.duration_ms,
        ),
        Moment(
            at_ms=instant.checked_at_ms - start,
            who="introspection",
            what="answers: inactive, all of them",
            answer="200",
            took_ms=instant.checked_at_ms - instant.answered_at_ms,
        ),
    ]
    return [*told, *_calls(adas, applications, receipt)]


def summary(receipt: Receipt) -> str:
    """The timeline in a sentence."""
    told = [
        attempt.at_ms + attempt.duration_ms - receipt.accepted_at_ms
        for delivery in receipt.deliveries
        if delivery.state == "delivered"
        for attempt in delivery.attempts[-1:]
    ]
    if not told:
        return "Nobody was told."
    dead = receipt.revoked_at_ms - receipt.accepted_at_ms
    return f"Dead after {dead} ms; first application told after {min(told)} ms, last after {max(told)} ms."


def _calls(adas: Sequence[SignIn], applications: Sequence[ToyApplication], receipt: Receipt) -> Iterator[Moment]:
    devices = {sid: each.device for each in adas for sid in each.sids.values()}
    tokens = {
        notice.token.txn: notice.token for each in applications for notice in each.notices if notice.token is not None
    }
    for delivery in receipt.deliveries:
        token = tokens.get(delivery.delivery_id)
        whom = f"her session on the {devices.get(token.sid)}" if token and token.sid else "all of her sessions"
        for number, attempt in enumerate(delivery.attempts, start=1):
            good = attempt.answer in {"200", "204"}
            yield Moment(
                at_ms=attempt.at_ms + attempt.duration_ms - receipt.accepted_at_ms,
                who=delivery.client_id,
                what=f"attempt {number}: {whom if good else 'failed, to be tried again'}",
                answer=attempt.answer,
                took_ms=attempt.duration_ms,
                good=good,
            )


def _log(application: ToyApplication) -> str:
    """What the application answered, and why where it refused."""
    return ", ".join(f"{each.status} {each.refused or ''}".rstrip() for each in application.notices) or "never called"
