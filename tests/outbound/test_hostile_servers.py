import asyncio
import gc
import itertools
import logging
import random
import time

import pytest

from service.outbound import Outbound, OutboundError, open_outbound
from service.outbound.client import CONNECT_SHARE, DISCARD_LIMIT_S
from tests.outbound.conftest import DEADLINE_S, LOOPBACK
from tests.support.strangers import (
    Behaviour,
    Request,
    answer,
    closed_port,
    drip,
    flood,
    full_port,
    hang_up,
    reset,
    say,
    say_and_hold,
    stranger,
    wait_then,
)

FORM = {"logout_token": "eyJ.eyJ.sig"}

PATIENCE_S = 2.0
"""What a busy machine may add to a deadline, in seconds."""

OK = b"HTTP/1.1 200 OK\r\n"

NO_ANSWER: dict[str, tuple[Behaviour, str]] = {
    "never answers": (say_and_hold(b""), "timeout"),
    "stops within the status line": (say_and_hold(b"HTTP/1.1 20"), "timeout"),
    "stops within the headers": (say_and_hold(OK + b"x-a: b\r\n"), "timeout"),
    "drips its headers": (drip(OK + b"x-a: "), "timeout"),
    "goes on about going on": (say_and_hold(b"HTTP/1.1 100 Continue\r\n\r\n" * 50), "timeout"),
    "resets the connection": (reset, "read_error"),
    "closes without a word": (hang_up, "read_error"),
    "closes within the headers": (say(OK + b"content-le"), "read_error"),
    "speaks another protocol": (say(b"220 mail.example ESMTP\r\n\r\n"), "read_error"),
    "answers with a status that is none": (say(b"HTTP/1.1 abc OK\r\n\r\n"), "read_error"),
    "sends a header without end": (say(OK + b"x: " + b"y" * 100_000 + b"\r\n\r\n"), "read_error"),
    "sends headers without end": (say(OK + b"x: y\r\n" * 10_000 + b"\r\n"), "read_error"),
    "sends two lengths": (say(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx"), "read_error"),
    "sends a length that is none": (say(OK + b"content-length: -1\r\n\r\n"), "read_error"),
}

STATUS_THEN_TROUBLE: dict[str, Behaviour] = {
    "never sends the body": say_and_hold(OK + b"content-length: 5\r\n\r\n"),
    "drips the body": drip(OK + b"content-length: 100000\r\n\r\n"),
    "drips a body of no stated length": drip(OK + b"\r\n"),
    "sends a gigabyte": flood(),
    "closes within the body": say(OK + b"content-length: 5\r\n\r\nx"),
    "says gzip and sends none": say(OK + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
}


@pytest.mark.parametrize(("behaviour", "reason"), NO_ANSWER.values(), ids=NO_ANSWER.keys())
async def test_a_server_that_gives_no_status_costs_one_deadline_at_most(
    outbound: Outbound, impatient: Outbound, behaviour: Behaviour, reason: str
) -> None:
    # What breaks does so at once: the deadline must not be what ends it.
    client, deadline_s = (impatient, DEADLINE_S) if reason == "timeout" else (outbound, 0.0)
    async with stranger(behaviour) as app:
        started = time.monotonic()
        with pytest.raises(OutboundError) as failed:
            await client.post_form(app.url(), FORM)
        assert failed.value.reason == reason
        assert time.monotonic() - started < deadline_s + PATIENCE_S
        assert client.in_use == 0
        with pytest.raises(OutboundError) as failed:
            await client.get_json(app.url(), max_bytes=1000)
        assert failed.value.reason == reason
        assert client.in_use == 0


@pytest.mark.parametrize("behaviour", STATUS_THEN_TROUBLE.values(), ids=STATUS_THEN_TROUBLE.keys())
async def test_a_status_stands_whatever_becomes_of_the_rest_of_the_reply(behaviour: Behaviour) -> None:
    async with stranger(behaviour) as app, open_outbound(allowed_networks=LOOPBACK) as outbound:
        started = time.monotonic()
        reply = await outbound.post_form(app.url(), FORM)
        assert reply.status == 200
        assert reply.duration_ms < 1000 * DISCARD_LIMIT_S
        assert time.monotonic() - started < DISCARD_LIMIT_S + PATIENCE_S
        assert outbound.in_use == 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (STATUS_THEN_TROUBLE["never sends the body"], "timeout"),
        (STATUS_THEN_TROUBLE["drips the body"], "timeout"),
        (STATUS_THEN_TROUBLE["sends a gigabyte"], "too_large"),
        (STATUS_THEN_TROUBLE["closes within the body"], "read_error"),
        (say(OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n"), "read_error"),
        (STATUS_THEN_TROUBLE["says gzip and sends none"], "not_json"),
    ],
)
async def test_a_document_counts_only_when_it_is_whole(
    outbound: Outbound, impatient: Outbound, behaviour: Behaviour, reason: str
) -> None:
    client = impatient if reason == "timeout" else outbound
    async with stranger(behaviour) as provider:
        with pytest.raises(OutboundError) as failed:
            await client.get_json(provider.url(), max_bytes=100_000)
        assert failed.value.reason == reason
        assert client.in_use == 0


async def test_a_late_answer_is_a_timeout_and_never_the_answer_to_the_next_call() -> None:
    late = asyncio.Event()
    async with (
        stranger(wait_then(late, answer(410))) as app,
        open_outbound(allowed_networks=LOOPBACK, deadline_s=1) as outbound,
    ):
        with pytest.raises(OutboundError) as failed:
            await outbound.post_form(app.url("/first"), FORM)
        assert failed.value.reason == "timeout"
        late.set()
        assert (await outbound.post_form(app.url("/second"), FORM)).status == 410
        # On a connection of its own: the first call's answer would have come on the first one.
        assert app.connections == 2


async def test_a_refused_connection_is_told_from_one_that_is_not_taken_up(
    outbound: Outbound, impatient: Outbound
) -> None:
    with pytest.raises(OutboundError) as failed:
        await outbound.post_form(f"http://127.0.0.1:{closed_port()}/", FORM)
    assert failed.value.reason == "connect_error"
    with full_port() as port:
        started = time.monotonic()
        with pytest.raises(OutboundError) as failed:
            await impatient.post_form(f"http://127.0.0.1:{port}/", FORM)
        assert failed.value.reason == "connect_timeout"
        assert time.monotonic() - started >= DEADLINE_S * CONNECT_SHARE * 0.9


async def test_one_slow_host_cannot_take_the_whole_pool() -> None:
    async with (
        stranger(say_and_hold(b"")) as slow,
        stranger(answer(204)) as healthy,
        open_outbound(allowed_networks=LOOPBACK, max_connections=4, max_connections_per_host=3) as outbound,
    ):
        waiting = [asyncio.create_task(outbound.post_form(slow.url(), FORM)) for _ in range(20)]
        await slow.seen(3)
        assert (await outbound.post_form(healthy.url(), FORM)).status == 204
        assert slow.connections == 3
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        assert outbound.in_use == 0


async def test_no_connection_is_lost_however_hundreds_of_calls_end(caplog: pytest.LogCaptureFixture) -> None:
    seed = 20_240_229
    chance = random.Random(seed)
    turns = itertools.cycle([*(behaviour for behaviour, _ in NO_ANSWER.values()), *STATUS_THEN_TROUBLE.values()])

    async def behave_by_turns(request: Request, writer: asyncio.StreamWriter) -> None:
        await next(turns)(request, writer)

    async with (
        stranger(behave_by_turns) as hostile,
        stranger(answer(204)) as healthy,
        open_outbound(allowed_networks=LOOPBACK, max_connections=5, deadline_s=0.4) as outbound,
    ):
        targets = [hostile.url(), hostile.url(), healthy.url(), "http://10.0.0.1/"]

        async def attempt() -> None:
            call = asyncio.create_task(outbound.post_form(chance.choice(targets), FORM))
            if chance.random() < 0.7:
                # Cancelled anywhere: waiting for a place, connecting, sending, reading.
                asyncio.get_running_loop().call_later(chance.random() * 0.1, call.cancel)
            await asyncio.wait([call])
            assert call.cancelled() or call.exception() is None or isinstance(call.exception(), OutboundError)

        for _ in range(5):
            await asyncio.gather(*(attempt() for _ in range(100)))
        assert outbound.in_use == 0, f"seed {seed}"
        assert len(hostile.requests) > 20
        for _ in range(5):
            assert (await outbound.post_form(healthy.url(), FORM)).status == 204
        assert outbound.in_use == 0
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
