"""The authorization server reports sign-ins, and applications that join them: who must be told when it ends."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field
from starlette.responses import JSONResponse, Response

from service.domain.connection import Connection
from service.domain.identifiers import new_revocation_id, new_session_id, user_id_for
from service.domain.revocation import OneSession, RevocationRequest
from service.domain.session import Participant, Session, SignIn
from service.domain.subject import SubjectIdentifier, parse_identifier, parse_subject
from service.errors import InvalidRequest, NotAllowed, NotFound, ReauthenticationRequired
from service.resources import Resources
from service.store.sessions import DAY_MS, TOO_EARLY
from service.web import answers
from service.web.access import Caller, require_caller
from service.web.bodies import Body, moment, read_body
from service.web.descriptions import describe_participant, describe_session
from service.web.found import count_live_tokens, find_connection, find_session
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of
from service.web.subjects import Subject

DEFAULT_LIFETIME_S = 7 * 86_400
"""How long a session lasts when its sign-in does not say, in seconds: a week, the usual absolute lifetime."""

MAX_LIFETIME_S = 400 * 86_400
"""Longest session, in seconds: what browsers keep a cookie for at most."""

MAX_CLIENTS = 100
"""Most applications named in one sign-in; more can join."""

MAX_IDENTIFIERS = 20
"""Most identifiers registered in one sign-in."""

FUTURE_AUTH_TIME_S = 60
"""How far ahead of ours the identity provider's clock may be, in seconds; a later `auth_time` would outrun every
revocation to come."""

Text = Annotated[str, Field(min_length=1, max_length=1024)]


class SubjectBody(Body):
    """Who signed in, as the identity provider names them."""

    iss: Text
    sub: Text


class ParticipantBody(Body):
    """An application in a session, with the names in its ID token."""

    client_id: Text
    sub: Text | None = None
    sid: Text | None = None


class SignInBody(Body):
    """A sign-in."""

    connection: Text = Field(description="The connection's name or id.")
    subject: SubjectBody
    identifiers: list[Subject] = Field(
        default=[], max_length=MAX_IDENTIFIERS, description="RFC 9493 identifiers the person may be named by."
    )
    upstream_sid: Text | None = Field(
        default=None,
        description="`sid` of the identity provider's ID token, by which its logout tokens name the session.",
    )
    auth_time: int | None = Field(
        default=None,
        ge=0,
        description="When the person authenticated, in seconds, as the ID token says. Without it the session counts as begun "
        "in the second it is reported: a sign-in from before a logout is then let in after it, and a logout token with `sub` "
        "alone does not reach it when the identity provider's clock is behind ours.",
    )
    expires_in: int | None = Field(default=None, ge=1, le=MAX_LIFETIME_S, description="Lifetime in seconds.")
    clients: list[ParticipantBody] = Field(default=[], max_length=MAX_CLIENTS)


async def create_session(request: Request) -> Response:
    """Record a sign-in. 409 when it began before the person's last revocation, 403 for an application not enabled."""
    resources = resources_of(request)
    caller = await require_caller(request)
    body = await read_body(request, SignInBody)
    now_ms = resources.fleet_clock.now_ms()
    latest_ms = resources.clock.now_ms() + FUTURE_AUTH_TIME_S * 1000
    if body.auth_time is not None and body.auth_time * 1000 > latest_ms:
        raise InvalidRequest("`auth_time` is in the future")
    connection = await find_connection(resources, body.connection)
    if not connection.enabled:
        raise NotAllowed("this connection is disabled")
    _require_once([each.client_id for each in body.clients])
    await _require_enabled(resources, connection, caller, [each.client_id for each in body.clients])

    own = parse_identifier({"format": "iss_sub", "iss": body.subject.iss, "sub": body.subject.sub})
    user_id = user_id_for(connection.id, body.subject.iss, body.subject.sub)
    session_id = new_session_id()
    identifiers = tuple(dict.fromkeys((own, *_identifiers([each.root for each in body.identifiers]))))
    sign_in = SignIn(
        session_id=session_id,
        user_id=user_id,
        connection_id=connection.id,
        iss=body.subject.iss,
        sub=body.subject.sub,
        identifiers=identifiers,
        upstream_sid=body.upstream_sid,
        auth_time_s=body.auth_time,
        expires_at_ms=now_ms + (body.expires_in or DEFAULT_LIFETIME_S) * 1000,
        participants=tuple(_participant(each, user_id, session_id) for each in body.clients),
    )
    # Asked first, so that a refused sign-in leaves nothing behind; asked again where it is recorded, for all that may happen
    # between.
    await resources.sessions.require_later_sign_in(user_id, body.auth_time)
    await resources.people.register(user_id, connection.id, identifiers)
    logged_out_at_ms = await resources.upstream.register(
        connection.id,
        iss=body.subject.iss,
        sub=body.subject.sub,
        sid=body.upstream_sid,
        user_id=user_id,
        # As long as an application may be told because of this session.
        keep_until_ms=sign_in.expires_at_ms + resources.settings.participation_days * DAY_MS,
    )
    if body.auth_time is not None and logged_out_at_ms is not None and body.auth_time * 1000 <= logged_out_at_ms:
        raise ReauthenticationRequired(TOO_EARLY)
    if await resources.sessions.open(sign_in, now_ms=now_ms):
        await resources.people.register(user_id, connection.id, identifiers)
    answer = {
        "session_id": session_id,
        "user_id": user_id,
        "created_at": moment(now_ms),
        "expires_at": moment(sign_in.expires_at_ms),
        "clients": [describe_participant(each) for each in sign_in.participants],
    }
    return JSONResponse(answer, status_code=201, headers=NO_STORE)


async def join_session(request: Request) -> Response:
    """Another application joins a session that is still honoured; joining again with the same names changes nothing."""
    resources = resources_of(request)
    caller = await require_caller(request)
    body = await read_body(request, ParticipantBody)
    now_ms = resources.fleet_clock.now_ms()
    caller.require_self(body.client_id)
    session = await find_session(resources, request.path_params["session_id"])
    connection = await resources.connections.get(session.connection_id)
    if connection is None:
        raise NotFound("the session's connection is gone")
    await _require_enabled(resources, connection, caller, [body.client_id])
    participant = _participant(body, session.user_id, session.session_id)
    await resources.sessions.join(session, participant, now_ms=now_ms)
    return JSONResponse(describe_participant(participant), status_code=201, headers=NO_STORE)


async def read_session(request: Request) -> Response:
    """A session as it stands; an ended one reads as ended from the moment its revocation was accepted."""
    resources = resources_of(request)
    caller = await require_caller(request)
    session = _own_part(caller, await find_session(resources, request.path_params["session_id"]))
    now_ms = resources.fleet_clock.now_ms()
    live = await count_live_tokens(resources, session.user_id, [session.session_id], now_ms=now_ms)
    return JSONResponse(describe_session(session, now_ms, live.get(session.session_id, {})), headers=NO_STORE)


async def delete_session(request: Request) -> Response:
    """End one session: a revocation of its own, which its applications are told of.

    One that has ended or expired can be ended again: that ends no more than its offline tokens, has a receipt of its own, and
    tells whoever has not been told yet.
    """
    resources = resources_of(request)
    caller = await require_caller(request)
    session = await find_session(resources, request.path_params["session_id"])
    if len(_own_part(caller, session).participants) != len(session.participants):
        raise NotAllowed("the session is shared with other applications; only the administrator may end it")
    accepted = await resources.sink.accept(
        RevocationRequest(
            revocation_id=new_revocation_id(),
            connection_id=session.connection_id,
            user_ids=(session.user_id,),
            initiator="session_delete",
            scope=OneSession(session_id=session.session_id),
        )
    )
    return JSONResponse({"revocation_id": accepted.revocation_id}, status_code=202, headers=NO_STORE)


def _identifiers(given: list[dict[str, Any]]) -> list[SubjectIdentifier]:
    return [identifier for each in given for identifier in parse_subject(each)]


def _participant(body: ParticipantBody, user_id: str, session_id: str) -> Participant:
    return Participant(client_id=body.client_id, sub=body.sub or user_id, sid=body.sid or session_id)


def _require_once(client_ids: list[str]) -> None:
    if len(set(client_ids)) != len(client_ids):
        raise InvalidRequest("`clients` names a client twice")


async def _require_enabled(resources: Resources, connection: Connection, caller: Caller, client_ids: list[str]) -> None:
    if not caller.is_administrator and not client_ids:
        raise NotAllowed("an application may record sign-ins of its own only: `clients` must name it")
    for each in client_ids:
        caller.require_self(each)
    known = await resources.applications.get_many(client_ids)
    if any(each not in known or each not in connection.enabled_clients for each in client_ids):
        raise NotAllowed("a client is not enabled for this connection")


def _own_part(caller: Caller, session: Session) -> Session:
    """What the caller may see of a session: all of it, or, for an application, its own part. Raises NotFound without one."""
    if caller.application is None:
        return session
    own = tuple(each for each in session.participants if each.client_id == caller.application.client_id)
    if not own:
        raise NotFound("there is no such session")
    return replace(session, participants=own)


_SESSION = "/api/v2/sessions/{session_id}"

OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v2/sessions",
        endpoint=create_session,
        summary="Record a sign-in",
        tag="Sessions",
        access="administrator or application",
        audited=False,
        body=SignInBody,
        example={
            "connection": "acme-okta",
            "subject": {"iss": "https://acme.okta.com", "sub": "00u1ada"},
            "identifiers": [{"format": "email", "email": "ada@example.com"}],
        },
        responses={
            201: "The session, with the names each application knows it by.",
            403: "An application is not enabled for the connection.",
            404: "There is no such connection.",
            409: "The person was signed out at or after `auth_time`: `reauthentication_required`.",
        },
        answers={201: answers.NewSession},
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/clients",
        endpoint=join_session,
        summary="Let an application join a session",
        tag="Sessions",
        access="administrator or application",
        audited=False,
        body=ParticipantBody,
        example={"client_id": "notes"},
        responses={
            201: "The application is in the session.",
            403: "The application is not enabled for the connection.",
            404: "There is no such session, or it has ended.",
            409: "It is in the session already, under other names.",
        },
        answers={201: answers.Participation},
    ),
    Operation(
        method="GET",
        path=_SESSION,
        endpoint=read_session,
        summary="A session as it stands",
        tag="Sessions",
        access="administrator or application",
        responses={200: "The session.", 404: "There is no such session."},
        answers={200: answers.Session},
    ),
    Operation(
        method="DELETE",
        path=_SESSION,
        endpoint=delete_session,
        summary="End a session",
        tag="Sessions",
        access="administrator or application",
        audited=False,
        responses={
            202: "Ended; `revocation_id` names the receipt.",
            403: "An application may end a session that is its own alone.",
            404: "There is no such session.",
        },
        answers={202: answers.RevocationAccepted},
    ),
)
