"""An application leaves a session: it has signed the person out by itself and needs no logout token for it any more."""

from starlette.responses import Response

from service.domain.audit import Fact
from service.domain.session import Session
from service.resources import Resources
from service.telemetry import get_logger
from service.web.access import require_caller
from service.web.found import count_live_tokens, find_session
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of

log = get_logger(__name__)


async def leave_session(request: Request) -> Response:
    """End an application's part in a session, and its refresh tokens there, offline ones too: nobody would tell it of their
    end any more. The session goes on for the others, and until it expires also when there are none.

    It is no revocation: nobody is told. After one it ends what offline tokens that has left alive, and the application is told
    of the revocation all the same. Leaving again changes nothing.
    """
    resources = resources_of(request)
    caller = await require_caller(request)
    session = await find_session(resources, request.path_params["session_id"])
    client_id = request.path_params["client_id"]
    caller.require_self(client_id)
    history = await resources.durability.history()
    part = next((each for each in session.participants if each.client_id == client_id), None)
    if part is not None:
        name = await resources.trail.pseudonyms.of_person(session.user_id)
        left = Fact(
            event="session.left",
            connection_id=session.connection_id,
            client_id=client_id,
            people=() if name is None else (name,),
            people_total=1,
        )
        if session.ended_at_ms is None or await _has_live_tokens(resources, session, client_id):
            await resources.trail.append([left])
        else:
            # It stays in one that has ended, and may leave that as often as it likes: nothing more ends by it.
            await resources.trail.append_bounded(left)
        ended = await resources.sessions.leave(session, part)
        log.info("session.left", session_id=session.session_id, client_id=client_id, refresh_tokens_ended=ended)
    # Also where it had left: it may not have been answered so yet.
    await resources.durability.reached_since(history)
    return Response(status_code=204, headers=NO_STORE)


async def _has_live_tokens(resources: Resources, session: Session, client_id: str) -> bool:
    """Whether the application has refresh tokens in a session that are honoured: offline ones may outlive its end."""
    now_ms = resources.fleet_clock.now_ms()
    live = await count_live_tokens(resources, session.user_id, [session.session_id], now_ms=now_ms)
    return live.get(session.session_id, {}).get(client_id, 0) > 0


OPERATIONS = (
    Operation(
        method="DELETE",
        path="/api/v2/sessions/{session_id}/clients/{client_id}",
        endpoint=leave_session,
        summary="Let an application leave a session",
        tag="Sessions",
        access="administrator or application",
        audited=False,
        responses={
            204: "It is not in the session (any more), and none of its refresh tokens there is honoured.",
            403: "An application may leave for itself only.",
            404: "There is no such session.",
        },
    ),
)
