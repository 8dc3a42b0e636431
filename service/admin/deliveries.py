"""The management API's deliveries: those that were given up, and trying them anew."""

from typing import Any

from starlette.responses import JSONResponse, Response

from service.admin.delivery_bodies import (
    MAX_MOMENT,
    ClientRedelivery,
    ClientRedeliveryBody,
    DeadLetterAnswer,
    DeliverySchedule,
    RedeliveryAccepted,
    RedeliveryBody,
)
from service.domain.identifiers import revocation_id_of
from service.domain.redelivery import WHY
from service.domain.retry_schedule import LEAST_SHARE, MAX_RETRY_AFTER_S
from service.errors import InvalidRequest, NotFound
from service.redeliver import Redelivered
from service.store.dead_letters import DeadLetter
from service.web.access import require_administrator
from service.web.answers import page_of
from service.web.bodies import moment, parse_moment, read_body, read_optional_body
from service.web.descriptions import describe_attempt, describe_delivery
from service.web.found import find_connection
from service.web.operation import Operation
from service.web.pages import page, read_cursor, read_moment, read_page, write_cursor
from service.web.problems import NO_STORE
from service.web.state import Request, resources_of


async def list_deliveries(request: Request) -> Response:
    """Dead letters, from the one that died last on: deliveries nobody tries any more. A page may be shorter than `limit`.

    Deliveries in other states stand in their receipts and have no list: it would cost a write for each of them.
    """
    require_administrator(request)
    resources = resources_of(request)
    limit, after = read_page(request, known=frozenset({"state", "client_id", "connection", "since"}))
    asked = request.query_params
    if asked.get("state") != "dead":
        raise InvalidRequest("`state` must be `dead`; deliveries in other states are in their revocations' receipts")
    since_ms = read_moment(request, "since")
    named = asked.get("connection")
    connection_id = (await find_connection(resources, named)).id if named is not None else None
    letters, following = await resources.dead_letters.page(
        client_id=asked.get("client_id"),
        connection_id=connection_id,
        since_ms=since_ms or 0,
        after=after,
        limit=limit,
        now_ms=resources.fleet_clock.now_ms(),
    )
    return JSONResponse(page([_describe(each) for each in letters], following=following), headers=NO_STORE)


async def redeliver_delivery(request: Request) -> Response:
    """Try a dead delivery anew: at the application's present address, with a fresh count of attempts and the whole time again.
    Its receipt is open until that has ended, and its history stays. The `txn` of its logout tokens is the same as before.

    It never ends what has begun since: where the application has a newer session of the person, the logout token names the
    sessions that were meant, one by one, and where none of these is known any more it is refused.
    """
    require_administrator(request)
    body = await read_optional_body(request, RedeliveryBody)
    delivery_id = request.path_params["delivery_id"]
    result = await resources_of(request).redeliverer.one(delivery_id, force=body.force)
    return _accepted(revocation_id_of(delivery_id), result)


async def redeliver_revocation(request: Request) -> Response:
    """Try every dead delivery of a revocation anew, as one is."""
    require_administrator(request)
    if (await request.body()).strip() not in {b"", b"{}"}:
        raise InvalidRequest("this call takes no members; `force` is for one delivery")
    revocation_id = request.path_params["revocation_id"]
    return _accepted(revocation_id, await resources_of(request).redeliverer.of_revocation(revocation_id))


async def redeliver_client(request: Request) -> Response:
    """Try anew what an application was not told, once it is mended: its dead letters since a moment, from the one that died last
    on. Each call takes some; repeat with `next_cursor` until that is null. What dies again meanwhile is not met twice."""
    require_administrator(request)
    client_id = request.path_params["client_id"]
    if await resources_of(request).applications.get(client_id) is None:
        raise NotFound("there is no such client")
    body = await read_body(request, ClientRedeliveryBody)
    result, following = await resources_of(request).redeliverer.of_client(
        client_id,
        since_ms=parse_moment(body.since, "since"),
        after=None if body.cursor is None else read_cursor(body.cursor),
    )
    told = {
        "client_id": client_id,
        "redelivered": result.redelivered,
        "not_redelivered": _not_redelivered(result),
        "next_cursor": write_cursor(following),
    }
    return JSONResponse(told, status_code=202, headers=NO_STORE)


async def read_delivery_schedule(request: Request) -> Response:
    """When a delivery that did not succeed is tried again, and when it is given up, as the settings have it."""
    require_administrator(request)
    schedule = resources_of(request).settings.retry_schedule
    told = {
        "steps_seconds": list(schedule.steps_s),
        "then_every_seconds": schedule.steps_s[-1],
        "window_seconds": schedule.window_s,
        "attempts": schedule.fewest_attempts,
        "least_share": LEAST_SHARE,
        "longest_retry_after_seconds": MAX_RETRY_AFTER_S,
    }
    return JSONResponse(told, headers=NO_STORE)


def _accepted(revocation_id: str, result: Redelivered) -> Response:
    told = {
        "revocation_id": revocation_id,
        "deliveries": [describe_delivery(each) for each in result.opened],
        "not_redelivered": _not_redelivered(result),
    }
    return JSONResponse(told, status_code=202, headers=NO_STORE)


def _not_redelivered(result: Redelivered) -> list[dict[str, str]]:
    return [{"delivery_id": name, "reason": why, "error_description": WHY[why]} for name, why in result.refused.items()]


def _describe(letter: DeadLetter) -> dict[str, Any]:
    delivery = letter.delivery
    told: dict[str, Any] = {
        "delivery_id": delivery.delivery_id,
        "revocation_id": letter.revocation_id,
        "connection_id": letter.connection_id,
        "client_id": delivery.client_id,
        "reason": delivery.reason,
        "dead_at": moment(letter.dead_at_ms),
        "attempt_count": delivery.total_attempt_count,
    }
    if delivery.sid is not None:
        told["sid"] = delivery.sid
    if delivery.attempts:
        told["last_attempt"] = describe_attempt(delivery.attempts[-1])
    if delivery.redelivered_at_ms:
        told["redelivered_at"] = [moment(each) for each in delivery.redelivered_at_ms]
    return told


_ACCEPTED = "Recorded; a worker tries it within moments. The receipt shows what comes of it."

OPERATIONS = (
    Operation(
        method="GET",
        path="/api/v2/deliveries",
        endpoint=list_deliveries,
        summary="List dead letters",
        tag="Deliveries",
        access="administrator",
        query={
            "state": "`dead`, the only list there is.",
            "client_id": "To this application only.",
            "connection": "Of revocations through this connection only (name or id).",
            "since": "Died then or later (RFC 3339).",
            "limit": "Items in a page, 1 to 100; 50 by default.",
            "cursor": "`next_cursor` of the page before.",
        },
        required_query=frozenset({"state"}),
        query_example="state=dead",
        responses={
            200: "A page of dead letters, the one that died last first.",
            400: "A parameter is wrong.",
            404: "There is no such connection.",
        },
        schemas={
            "state": {"type": "string", "enum": ["dead"]},
            "since": {"type": "string", "format": "date-time", "maxLength": MAX_MOMENT},
        },
        answers={200: page_of(DeadLetterAnswer)},
    ),
    Operation(
        method="POST",
        path="/api/v2/deliveries/{delivery_id}/redeliver",
        endpoint=redeliver_delivery,
        summary="Try a dead delivery anew",
        tag="Deliveries",
        access="administrator",
        body=RedeliveryBody,
        body_optional=True,
        example={"force": False},
        responses={
            202: _ACCEPTED,
            404: "There is no such delivery.",
            409: "It cannot be tried anew; `error_description` says why: it is being tried, was delivered or skipped, its "
            "application is not registered or has no address, or a session begun since would end.",
        },
        answers={202: RedeliveryAccepted},
    ),
    Operation(
        method="POST",
        path="/api/v2/revocations/{revocation_id}/redeliver",
        endpoint=redeliver_revocation,
        summary="Try what is dead of a revocation anew",
        tag="Deliveries",
        access="administrator",
        responses={
            202: _ACCEPTED,
            400: "There is a body, and members in it.",
            404: "There is no such revocation.",
            409: "Nothing of it is dead, or nothing that is can be tried anew.",
        },
        answers={202: RedeliveryAccepted},
    ),
    Operation(
        method="POST",
        path="/api/v2/clients/{client_id}/redeliver",
        endpoint=redeliver_client,
        summary="Try anew what an application was not told",
        tag="Deliveries",
        access="administrator",
        body=ClientRedeliveryBody,
        example={"since": "2026-01-31T09:00:00Z"},
        responses={202: "Recorded, as far as this call went.", 404: "There is no such client."},
        answers={202: ClientRedelivery},
    ),
    Operation(
        method="GET",
        path="/api/v2/delivery-schedule",
        endpoint=read_delivery_schedule,
        summary="When deliveries are tried again",
        tag="Deliveries",
        access="administrator",
        answers={200: DeliverySchedule},
    ),
)
