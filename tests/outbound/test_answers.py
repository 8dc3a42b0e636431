import asyncio
import time

import pytest

from service.outbound import Outbound, OutboundError
from service.outbound.answers import MAX_HEAD_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, SLICE_BYTES
from service.outbound.client import ATTEMPT_DEADLINE_S
from tests.support.strangers import Behaviour, Request, answer, repeat, say, say_and_hold, say_more, stranger

FORM = {"logout_token": "eyJ.eyJ.sig"}

OK = b"HTTP/1.1 200 OK\r\n"

EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"


async def _fails(outbound: Outbound, url: str) -> str:
    with pytest.raises(OutboundError) as failed:
        await outbound.post_form(url, FORM)
    assert outbound.in_use == 0
    return failed.value.reason


async def test_a_few_interim_answers_are_passed_over(outbound: Outbound) -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY_HINTS + b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n"
    async with stranger(say_and_hold(hints + b"HTTP/1.1 204 No Content\r\n\r\n")) as app:
        assert (await outbound.post_form(app.url(), FORM)).status == 204


async def test_a_flood_of_interim_answers_ends_long_before_the_deadline(outbound: Outbound) -> None:
    async with stranger(repeat(EARLY_HINTS * 2000)) as app:
        started = time.monotonic()
        assert await _fails(outbound, app.url()) == "read_error"
        assert time.monotonic() - started < ATTEMPT_DEADLINE_S / 2


CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

FRAMING = {
    "an extension without end": repeat(b"a" * 10_000, after=CHUNKED + b"1;"),
    "extensions between chunks of one byte": repeat((b"1;" + b"a" * 5000 + b"\r\nx\r\n") * 10, after=CHUNKED),
    "a size without end": repeat(b"0" * 10_000, after=CHUNKED),
    "trailers without end": repeat(b"x: y\r\n" * 1000, after=CHUNKED + b"0\r\n"),
    "a trailer without end": repeat(b"y" * 10_000, after=CHUNKED + b"0\r\nx: "),
    "chunks of one byte without end": repeat(b"1\r\nx\r\n" * 10_000, after=CHUNKED),
}


@pytest.mark.parametrize("behaviour", FRAMING.values(), ids=FRAMING.keys())
async def test_what_is_no_content_of_an_answer_ends_long_before_the_deadline(
    outbound: Outbound, behaviour: Behaviour
) -> None:
    async with stranger(behaviour) as provider:
        started = time.monotonic()
        with pytest.raises(OutboundError) as failed:
            await outbound.get_json(provider.url(), max_bytes=10_000_000)
        assert failed.value.reason == "read_error"
        assert time.monotonic() - started < ATTEMPT_DEADLINE_S / 2
        assert outbound.in_use == 0


async def test_content_in_many_small_chunks_is_read_as_long_as_there_is_more_of_it_than_of_what_is_between(
    outbound: Outbound,
) -> None:
    chunks = b"".join(b"8\r\n" + b"1,1,1,1," + b"\r\n" for _ in range(20_000))
    async with stranger(say(CHUNKED + b"1\r\n[\r\n" + chunks + b"2\r\n1]\r\n0\r\n\r\n")) as provider:
        found = await outbound.get_json(provider.url(), max_bytes=1_000_000)
        assert len(found) == 80_001  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES - SLICE_BYTES, MAX_HEAD_BYTES + 2 * SLICE_BYTES])
async def test_what_comes_before_an_answer_has_a_size(outbound: Outbound, size: int) -> None:
    hints = EARLY_HINTS * (size // len(EARLY_HINTS))
    async with stranger(say_and_hold(hints + b"HTTP/1.1 204 No Content\r\n\r\n")) as app:
        if size < MAX_HEAD_BYTES:
            assert (await outbound.post_form(app.url(), FORM)).status == 204
        else:
            assert await _fails(outbound, app.url()) == "read_error"


@pytest.mark.parametrize(
    ("head", "taken"),
    [
        (b"x: y\r\n" * (MAX_HEADERS - 1), True),
        (b"x: y\r\n" * (MAX_HEADERS + 1), False),
        (b"x: " + b"y" * (MAX_HEADER_BYTES - 10) + b"\r\n", True),
        (b"x: " + b"y" * MAX_HEADER_BYTES + b"\r\n", False),
        ((b"x: " + b"y" * 8000 + b"\r\n") * 7, True),
        ((b"x: " + b"y" * 8000 + b"\r\n") * 12, False),
    ],
)
async def test_headers_have_a_number_a_length_and_a_size(outbound: Outbound, head: bytes, taken: bool) -> None:
    async with stranger(say(OK + head + b"\r\n")) as app:
        if taken:
            assert (await outbound.post_form(app.url(), FORM)).status == 200
        else:
            assert await _fails(outbound, app.url()) == "read_error"


async def test_what_a_server_says_unasked_is_never_the_answer_to_the_next_question(outbound: Outbound) -> None:
    speak, spoken = asyncio.Event(), asyncio.Event()
    unasked = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"
    async with stranger(say_more(b"HTTP/1.1 204 No Content\r\n\r\n", speak, unasked, spoken)) as app:
        assert (await outbound.post_form(app.url(), FORM)).status == 204
        speak.set()
        await spoken.wait()
        assert (await outbound.post_form(app.url(), FORM)).status == 204
        assert app.connections == 2


@pytest.mark.parametrize("first", [OK + b"content-length: 2\r\n\r\nok", OK + b"content-length: 0\r\n\r\n"])
async def test_a_second_answer_in_one_breath_is_dropped_with_its_connection(outbound: Outbound, first: bytes) -> None:
    async with stranger(say_and_hold(first + b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")) as app:
        assert (await outbound.post_form(app.url(), FORM)).status == 200
        assert (await outbound.post_form(app.url(), FORM)).status == 200
        assert app.connections == 2


async def test_a_connection_that_stays_silent_is_used_again_after_a_long_answer(outbound: Outbound) -> None:
    async with stranger(answer(200, b"[" + b"1," * 40_000 + b"1]")) as provider:
        for _ in range(3):
            assert len(await outbound.get_json(provider.url(), max_bytes=100_000)) == 40_001  # type: ignore[arg-type]
        assert provider.connections == 1


async def test_a_connection_that_was_closed_a_moment_ago_is_not_asked(outbound: Outbound) -> None:
    close, closed = asyncio.Event(), asyncio.Event()

    async def answer_then_close(request: Request, writer: asyncio.StreamWriter) -> None:
        await answer(204)(request, writer)
        if not closed.is_set():
            await close.wait()
            writer.transport.abort()
            asyncio.get_running_loop().call_soon(closed.set)

    async with stranger(answer_then_close) as app:
        for _ in range(2):
            assert (await outbound.post_form(app.url(), FORM)).status == 204
            close.set()
            await closed.wait()
        assert app.connections == 2
