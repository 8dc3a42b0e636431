"""How many requests are worked on at once: those still being received are not, until they have come."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.web.admission import Concurrency, Deadline
from service.web.problems import on_http_exception

PATIENCE_S = 10.0


class Body:
    """A request's body, which comes when it is let."""

    def __init__(self) -> None:
        self.comes = asyncio.Event()
        self.awaited = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """What a server hands to the application."""
        self.awaited.set()
        await self.comes.wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}


class Work:
    """What is done for a request once its body is there: it goes on until it is ended."""

    def __init__(self, *, seconds: float = PATIENCE_S) -> None:
        self.begun = 0
        self.working = asyncio.Event()
        self.ends = asyncio.Event()
        self.app = Starlette(
            routes=[Route("/", self._endpoint, methods=["POST"]), Route("/probe", self._endpoint, methods=["POST"])],
            middleware=[
                Middleware(Concurrency, most=1, exempt=("/probe",)),
                Middleware(Deadline, seconds=seconds),
            ],
            exception_handlers={HTTPException: on_http_exception},
        )

    async def _endpoint(self, request: Request) -> Response:
        await request.body()
        self.begun += 1
        self.working.set()
        await self.ends.wait()
        return Response(status_code=204)

    async def ask(self, body: Body, path: str = "/") -> tuple[int, dict[str, str], bytes]:
        """The answer to one request."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": []}
        await self.app({**scope, "query_string": b"", "http_version": "1.1"}, body.receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, sent[1]["body"]


def is_busy(answer: tuple[int, dict[str, str], bytes]) -> bool:
    status, headers, body = answer
    return (status, headers.get("retry-after")) == (503, "1") and json.loads(body)["error"] == "temporarily_unavailable"


async def until_begun(work: Work) -> None:
    await asyncio.wait_for(work.working.wait(), PATIENCE_S)


async def test_bodies_on_their_way_take_nobodys_place() -> None:
    work, dripping = Work(), [Body() for _ in range(50)]
    waiting = [asyncio.create_task(work.ask(each)) for each in dripping]
    for each in dripping:
        await each.awaited.wait()
    there = Body()
    there.comes.set()
    ordinary = asyncio.create_task(work.ask(there))
    await until_begun(work)
    work.ends.set()
    assert (await ordinary)[0] == 204
    for each in dripping:
        each.comes.set()
        await asyncio.sleep(0)
    assert {status for status, _, _ in await asyncio.gather(*waiting)} <= {204, 503}


async def test_bodies_that_are_all_there_at_once_do_not_pass_together() -> None:
    work, bodies = Work(), [Body() for _ in range(10)]
    waiting = [asyncio.create_task(work.ask(each)) for each in bodies]
    for each in bodies:
        await each.awaited.wait()
    for each in bodies:
        each.comes.set()
    await until_begun(work)
    work.ends.set()
    answers = await asyncio.gather(*waiting)
    assert work.begun == [status for status, _, _ in answers].count(204) == 1
    assert sum(is_busy(each) for each in answers) == 9


async def test_a_place_is_given_back_however_its_request_ends() -> None:
    work, body = Work(seconds=0.01), Body()
    body.comes.set()
    assert is_busy(await work.ask(body))  # given up: its deadline
    given_up = asyncio.create_task(work.ask(Body()))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    work.ends.set()
    assert (await work.ask(body))[0] == 204


async def test_an_answer_that_has_begun_in_time_may_take_longer() -> None:
    """An export is as long as its trail. The deadline is known to have passed when that of a later request has."""
    goes_on = asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        yield "first"
        await goes_on.wait()
        yield "last"

    async def endpoint(request: Request) -> Response:
        if request.url.path == "/export":
            return StreamingResponse(parts())
        await asyncio.Event().wait()
        raise AssertionError

    routes = [Route(path, endpoint) for path in ("/export", "/never")]
    app = Starlette(routes=routes, middleware=[Middleware(Deadline, seconds=0.05)])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        export = asyncio.create_task(http.get("/export"))
        assert (await http.get("/never")).status_code == 503
        goes_on.set()
        answer = await export
    assert (answer.status_code, answer.text) == (200, "firstlast")


async def test_an_answer_whose_beginning_cannot_be_sent_in_time_is_given_up() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 1:
            await asyncio.Event().wait()

    app = Deadline(Response(status_code=204), seconds=0.01)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    await asyncio.wait_for(app(scope, Body().receive, send), PATIENCE_S)
    assert [each.get("status") for each in sent] == [204, 503, None]


async def test_probes_pass_while_all_places_are_taken() -> None:
    work, body = Work(), Body()
    body.comes.set()
    busy = asyncio.create_task(work.ask(body))
    await until_begun(work)
    assert is_busy(await work.ask(body))
    probe = asyncio.create_task(work.ask(body, "/probe"))
    await asyncio.sleep(0)
    work.ends.set()
    assert (await probe)[0] == (await busy)[0] == 204
