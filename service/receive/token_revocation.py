"""Token revocation (RFC 7009): an application gives a refresh token back, when its user has signed out there."""

from starlette.responses import Response

from service.domain.audit import Fact
from service.domain.refresh_token import MAX_TOKEN_LENGTH, RefreshToken
from service.errors import InvalidRequest
from service.resources import Resources
from service.store.families import BY_ITS_CLIENT
from service.telemetry import get_logger
from service.web.access import FORM_SCHEMAS, Caller, read_form_of_caller
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of

log = get_logger(__name__)


async def revoke_token(request: Request) -> Response:
    """End a refresh token, with all it was rotated from and into. Success once it is not honoured any more, and also where it
    never was (RFC 7009 section 2.2): whoever gives a token back wants it dead, and it is.

    `token_type_hint` changes nothing: we know refresh tokens only (section 2.1). Access tokens are unknown here.
    """
    resources = resources_of(request)
    caller, form = await read_form_of_caller(request)
    token = form.get("token", "")
    if not token:
        raise InvalidRequest("`token` is missing")
    history = await resources.durability.history()
    found = await resources.refresh_tokens.find(token) if len(token) <= MAX_TOKEN_LENGTH else None
    if found is not None:
        await _end(resources, caller, found)
    # Also where it is not known any more: it may have been ended, and not been answered so yet.
    await resources.durability.reached_since(history)
    return Response(status_code=200, headers=NO_STORE)


async def _end(resources: Resources, caller: Caller, token: RefreshToken) -> None:
    told = {"refresh_token_id": token.refresh_token_id, "family_id": token.family_id, "client_id": token.client_id}
    if caller.application is not None and caller.application.client_id != token.client_id:
        # An invalid token as far as this client goes, and so answered: no way to learn which tokens there are. The log has it.
        log.warning("refresh_token.not_its_own", caller=caller.application.client_id, **told)
        return
    if await resources.people.families.has_ended(token.user_id, token.family_id):
        return
    name = await resources.trail.pseudonyms.of_person(token.user_id)
    revoked = Fact(
        event="refresh_token.revoked",
        connection_id=token.connection_id,
        client_id=token.client_id,
        people=() if name is None else (name,),
        people_total=1,
        resource=token.refresh_token_id,
    )
    await resources.trail.append([revoked])
    now_ms = resources.fleet_clock.now_ms()
    # No receipt: it is the application's own act, which has nobody else to tell and happens at every sign-out.
    await resources.people.families.end(
        token.user_id, token.session_id, token.family_id, BY_ITS_CLIENT, now_ms=now_ms, accepted_at_ms=now_ms
    )
    log.info("refresh_token.revoked", **told)


OPERATIONS = (
    Operation(
        method="POST",
        path="/oauth/revoke",
        endpoint=revoke_token,
        summary="Give a refresh token back (RFC 7009)",
        tag="For applications",
        access="administrator or application",
        audited=False,
        form=("token", "token_type_hint", "client_id", "client_secret"),
        example={"token": "$REFRESH_TOKEN"},
        responses={
            200: "It is not honoured, whether or not it ever was. Another client's is left alone.",
            415: "The body is not a form.",
        },
        schemas=FORM_SCHEMAS,
    ),
)
