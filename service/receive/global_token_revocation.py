"""The door for Global Token Revocation, as Okta's Universal Logout sends it.

draft-parecki-oauth-global-token-revocation: `POST`, a bearer JWT that says who calls, a body that says whom to sign out.
The two are not bound to each other by a signature; what ties them here is the `jti`, which goes with one body only.
"""

from typing import Any

from starlette.responses import Response

from service.domain.audit import Actor, acts
from service.domain.identifiers import fingerprint, revocation_id_for
from service.domain.revocation import RevocationRequest
from service.domain.subject import SubjectIdentifier, parse_subject
from service.errors import InvalidRequest, NotAllowed, NotAuthenticated, NotFound
from service.receive.door import CONNECTION_NAME, admit_proven, connection_in, door
from service.verify.caller_assertion import verify_caller_assertion
from service.verify.capture import Expected
from service.web.access import bearer_token
from service.web.bodies import read_json
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.published import global_token_revocation_url
from service.web.state import Request, resources_of
from service.web.subjects import SUBJECT

PATH = "/oauth/global-token-revocation/connection/{connection_name}"


UNKNOWN = "no such subject is known through this connection"


async def receive_global_token_revocation(request: Request) -> Response:
    """Sign a person out everywhere. The checks come in the order 401, 403, 400, 404, 422; 204 means it is in force."""
    resources = resources_of(request)
    token = bearer_token(request)
    name = connection_in(request)
    connection = await resources.connections.by_name(name) if name else None
    audience = global_token_revocation_url(resources.settings, name or "")
    with resources.captures.on_refusal(
        token,
        connection=connection,
        expected=lambda known: Expected(
            issuers=known.assertion_issuers, audience=audience, subject=known.assertion_subject
        ),
    ):
        caller = await verify_caller_assertion(
            token,
            connection=connection,
            audience=audience,
            keys=resources.issuer_keys,
            now_ms=resources.clock.now_ms(),
        )
    if connection is None:
        raise AssertionError("unreachable: an assertion is verified for an existing connection only")
    acts(Actor(type="connection", id=connection.id, issuer=caller.iss))
    admit_proven(request, connection)
    if not connection.enabled:
        raise NotAllowed("this connection is disabled")

    subject = read_subject(await read_json(request, demand_type=True))
    message = fingerprint(*(part for each in subject for part in (each.format, *each.value)))
    bound = await resources.replays.bind(
        connection.id, caller.iss, caller.jti, message=message, until_ms=caller.expires_at_ms
    )
    if bound == "another":
        raise NotAuthenticated("this token came with another body before", reason="replayed_token")

    # With its end, for a `jti` that comes back in a newer token, the first long forgotten, asks for something new.
    revocation_id = revocation_id_for(connection.id, caller.iss, caller.jti, str(caller.expires_at_ms), message)
    if bound == "answered_unknown" and await resources.revocations.get(revocation_id) is None:
        raise NotFound(UNKNOWN)
    people = await resources.people.resolve(connection.id, subject)
    if not people:
        await resources.replays.remember_unknown(
            connection.id, caller.iss, caller.jti, message=message, until_ms=caller.expires_at_ms
        )
        raise NotFound(UNKNOWN)
    await resources.sink.accept(
        RevocationRequest(
            revocation_id=revocation_id,
            connection_id=connection.id,
            user_ids=people,
            initiator="global_token_revocation",
        )
    )
    return Response(status_code=204, headers=NO_STORE)


def read_subject(body: Any) -> tuple[SubjectIdentifier, ...]:
    """The subject of a revocation request: `sub_id`, or `subject` as drafts up to -02 and Auth0 call it, never both.

    Other members at the top are left alone, the draft defines none and forbids none; inside the subject RFC 9493 forbids
    them.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    given = [name for name in ("sub_id", "subject") if name in body]
    if len(given) != 1:
        raise InvalidRequest("the body needs `sub_id` (or `subject`, its older name), and not both")
    return parse_subject(body[given[0]])


_BODY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sub_id": SUBJECT, "subject": SUBJECT},
    "oneOf": [{"required": ["sub_id"]}, {"required": ["subject"]}],
    "description": "`subject` is the older name of `sub_id`.",
}

OPERATIONS = (
    Operation(
        method="POST",
        path=PATH,
        endpoint=door("global_token_revocation", receive_global_token_revocation),
        summary="Global Token Revocation: sign a person out everywhere",
        tag="Doors",
        access="assertion",
        body_schema=_BODY_SCHEMA,
        example={"sub_id": {"format": "iss_sub", "iss": "https://acme.okta.com", "sub": "00u1ada"}},
        responses={
            204: "In force: nothing the person held is honoured any more; their applications are being told.",
            403: "The connection is disabled.",
            404: "The subject is not known through this connection.",
            415: "The body is not JSON.",
            422: "The subject is known and cannot be signed out.",
        },
        schemas=CONNECTION_NAME,
    ),
)
