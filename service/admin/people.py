"""The management API's people: who somebody is to us, their sessions, and the way to end them all."""

from dataclasses import replace

from starlette.responses import JSONResponse, Response

from service.domain.audit import Fact
from service.domain.identifiers import new_revocation_id
from service.domain.revocation import RevocationRequest
from service.errors import Conflict, NotFound
from service.store.audit import about_people
from service.store.people import Person
from service.web import answers
from service.web.access import require_administrator
from service.web.descriptions import describe_person, describe_session
from service.web.found import count_live_tokens
from service.web.operation import Operation
from service.web.pages import FLAG, page, read_flag, read_page
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of


async def read_user(request: Request) -> Response:
    """One person."""
    require_administrator(request)
    return JSONResponse(describe_person(await _find(request)), headers=NO_STORE)


async def list_user_sessions(request: Request) -> Response:
    """A person's sessions, those that last longest first: expired ones too until they are forgotten, ended ones until their
    revocation has been worked off. A page may be shorter than `limit` when filtered."""
    require_administrator(request)
    resources = resources_of(request)
    limit, after = read_page(request, known=frozenset({"active"}))
    wanted = read_flag(request, "active")
    person = await _find(request)
    now_ms = resources.fleet_clock.now_ms()
    listed, following = await resources.sessions.of_person(person.user_id, after=after, limit=limit)
    found = [each for each in listed if wanted in {None, each.active(now_ms)}]
    live = await count_live_tokens(resources, person.user_id, [each.session_id for each in found], now_ms=now_ms)
    items = [describe_session(each, now_ms, live.get(each.session_id, {})) for each in found]
    return JSONResponse(page(items, following=following), headers=NO_STORE)


async def delete_user_sessions(request: Request) -> Response:
    """End every session of a person: a revocation like any other."""
    require_administrator(request)
    person = await _find(request)
    accepted = await resources_of(request).sink.accept(
        RevocationRequest(
            revocation_id=new_revocation_id(),
            connection_id=person.connection_id,
            user_ids=(person.user_id,),
            initiator="user_sessions_delete",
        )
    )
    return JSONResponse({"revocation_id": accepted.revocation_id}, status_code=202, headers=NO_STORE)


async def erase_user(request: Request) -> Response:
    """Sign somebody out everywhere and forget who they are: the identifiers they were registered with and their name at the
    identity provider at once, the receipts they are in as soon as each is finished. The applications are told as by any
    revocation. The audit trail stays as it is; its pseudonym of them leads to nobody from now on.

    What is left under the `user_id` is that everything of theirs has ended, until no session of theirs could last. When they
    sign in again they are somebody new to the trail.
    """
    require_administrator(request)
    person, resources = await _find(request), resources_of(request)
    names = await resources.trail.pseudonyms.of_people([person.user_id])
    accepted = await resources.sink.accept(
        RevocationRequest(
            revocation_id=new_revocation_id(),
            connection_id=person.connection_id,
            user_ids=(person.user_id,),
            initiator="user_delete",
        )
    )
    history = await resources.durability.history()
    told = Fact(event="person.erased", connection_id=person.connection_id, revocation_id=accepted.revocation_id)
    await resources.trail.append(list(about_people(told, names, total=1)))
    if not await resources.erasures.erase(person.user_id, person.connection_id, now_ms=resources.fleet_clock.now_ms()):
        in_vain = replace(told, event="operation.failed", operation="erase_user", reason="conflict")
        await resources.trail.append(list(about_people(in_vain, names, total=1)))
        raise Conflict("they have signed in again meanwhile, and were signed out but not erased; repeat it")
    await resources.durability.reached_since(history)
    return JSONResponse({"revocation_id": accepted.revocation_id}, status_code=202, headers=NO_STORE)


async def _find(request: Request) -> Person:
    found = await resources_of(request).people.get(request.path_params["user_id"])
    if found is None:
        raise NotFound("there is no such user")
    return found


_USER = "/api/v2/users/{user_id}"

OPERATIONS = (
    Operation(
        method="GET",
        path=_USER,
        endpoint=read_user,
        summary="A person",
        tag="People",
        access="administrator",
        responses={200: "The person.", 404: "There is no such user."},
        answers={200: answers.Person},
    ),
    Operation(
        method="DELETE",
        path=_USER,
        endpoint=erase_user,
        summary="Sign a person out and forget who they are",
        tag="People",
        access="administrator",
        audited=False,
        responses={
            202: "In force, and forgotten; `revocation_id` names the receipt, which goes too once it is finished.",
            404: "There is no such user.",
            409: "They have signed in again meanwhile.",
        },
        answers={202: answers.RevocationAccepted},
    ),
    Operation(
        method="GET",
        path=f"{_USER}/sessions",
        endpoint=list_user_sessions,
        summary="A person's sessions",
        tag="People",
        access="administrator",
        query={
            "active": "`true`: only those that are honoured; `false`: only those that are not.",
            "limit": "Items in a page, 1 to 100; 50 by default.",
            "cursor": "`next_cursor` of the page before.",
        },
        responses={
            200: "A page of sessions, those that last longest first.",
            400: "A parameter is wrong.",
            404: "There is no such user.",
        },
        schemas={"active": FLAG},
        answers={200: answers.page_of(answers.Session)},
    ),
    Operation(
        method="DELETE",
        path=f"{_USER}/sessions",
        endpoint=delete_user_sessions,
        summary="End every session of a person",
        tag="People",
        access="administrator",
        audited=False,
        responses={202: "In force; `revocation_id` names the receipt.", 404: "There is no such user."},
        answers={202: answers.RevocationAccepted},
    ),
)
