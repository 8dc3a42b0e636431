import asyncio
import logging

import pytest
import uvloop

from service.outbound import Outbound, OutboundError, open_outbound
from service.outbound.client import MAX_REPLY_BYTES
from tests.outbound.conftest import LOOPBACK
from tests.support.strangers import answer, closed_port, say, stranger

FORM = {"logout_token": "eyJ.eyJ.sig", "odd": "a&b=c d+é"}


async def test_a_form_arrives_as_written_and_says_little_about_us(outbound: Outbound) -> None:
    async with stranger(answer(200)) as app:
        reply = await outbound.post_form(app.url("/a%2Fb/logout?tenant=a%26b%20c&plus=1+%2B1"), FORM)
    (request,) = app.requests
    assert reply.status == 200
    assert request.method == "POST"
    assert request.target == "/a%2Fb/logout?tenant=a%26b%20c&plus=1+%2B1"
    assert request.body == b"logout_token=eyJ.eyJ.sig&odd=a%26b%3Dc+d%2B%C3%A9"
    assert dict(request.headers) == {
        "host": f"127.0.0.1:{app.port}",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(len(request.body)),
        "user-agent": "logoutd",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "keep-alive",
    }


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 400, 404, 429, 500, 503])
async def test_any_status_is_an_answer_and_a_redirect_is_not_followed(outbound: Outbound, status: int) -> None:
    async with stranger(answer(200)) as elsewhere, stranger(answer(status, location=elsewhere.url())) as app:
        reply = await outbound.post_form(app.url(), FORM)
        assert (reply.status, len(app.requests), elsewhere.connections) == (status, 1, 0)


@pytest.mark.parametrize("location", ["http://[", "//", "http://\x7f/", "x" * 4000, ""])
async def test_a_redirect_to_nowhere_is_a_status_as_well(outbound: Outbound, location: str) -> None:
    async with stranger(answer(302, location=location)) as app:
        assert (await outbound.post_form(app.url(), FORM)).status == 302


async def test_retry_after_is_handed_on_unread(outbound: Outbound) -> None:
    async with stranger(answer(503, retry_after="soon, perhaps")) as app:
        assert (await outbound.post_form(app.url(), FORM)).retry_after == "soon, perhaps"


async def test_one_connection_serves_call_after_call_and_cookies_are_not_kept(outbound: Outbound) -> None:
    async with stranger(answer(200, b"thanks", set_cookie="id=1; Path=/")) as app:
        for _ in range(3):
            await outbound.post_form(app.url(), FORM)
        assert app.connections == 1
        assert len(app.requests) == 3
        assert all("cookie" not in request.headers for request in app.requests)


async def test_a_reply_larger_than_is_read_costs_the_connection_not_the_answer(outbound: Outbound) -> None:
    async with stranger(answer(200, b"x" * 20 * MAX_REPLY_BYTES)) as app:
        assert (await outbound.post_form(app.url(), FORM)).status == 200
        assert (await outbound.post_form(app.url(), FORM)).status == 200
        assert app.connections == 2


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "ftp://127.0.0.1/",
        "http://user:pw@127.0.0.1/",
        "http://127.1/",
        "http://a b/",
        "http://[::1",
        "\ud800",
    ],
)
async def test_an_odd_url_registered_long_ago_is_an_error_and_not_a_crash(outbound: Outbound, url: str) -> None:
    with pytest.raises(OutboundError) as failed:
        await outbound.post_form(url, FORM)
    assert failed.value.reason == "invalid_url"
    with pytest.raises(OutboundError) as failed:
        await outbound.get_json(url, max_bytes=100)
    assert failed.value.reason == "invalid_url"


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "8.8.8.8", "[2606:4700::1111]"])
async def test_an_address_outside_the_allowed_networks_is_blocked_at_the_socket(outbound: Outbound, host: str) -> None:
    with pytest.raises(OutboundError) as failed:
        await outbound.post_form(f"http://{host}:9/", FORM)
    assert failed.value.reason == "blocked_address"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_loopback_is_blocked_where_it_is_not_allowed(scheme: str) -> None:
    async with open_outbound(allowed_networks=()) as outbound, stranger(answer(200)) as app:
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
            with pytest.raises(OutboundError) as failed:
                await outbound.post_form(f"{scheme}://{host}:{app.port}/", FORM)
            assert failed.value.reason == "blocked_address"
        assert app.connections == 0
        assert outbound.in_use == 0


async def test_a_json_document_is_fetched(outbound: Outbound) -> None:
    async with stranger(answer(200, b'{"keys": [1.5, "\xc3\xa9"]}', content_type="text/plain")) as provider:
        assert await outbound.get_json(provider.url("/keys"), max_bytes=1000) == {"keys": [1.5, "é"]}
    (request,) = provider.requests
    assert (request.method, request.target, request.headers["accept"]) == ("GET", "/keys", "application/json")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'"text"',
        b"1",
        b"null",
        b'{"a": NaN}',
        b"[Infinity]",
        b'{"a": 1} x',
        b"\xff\xfe[\x00]\x00",
        b'["\xff"]',
        b"[" * 100_000,
        b"[" + b"1" * 5000 + b"]",
    ],
)
async def test_what_is_not_strict_json_is_refused(outbound: Outbound, body: bytes) -> None:
    async with stranger(answer(200, body)) as provider:
        with pytest.raises(OutboundError) as failed:
            await outbound.get_json(provider.url(), max_bytes=1_000_000)
    assert failed.value.reason == "not_json"


async def test_a_compressed_document_is_refused_unread(outbound: Outbound) -> None:
    async with stranger(answer(200, b"{}", content_encoding="gzip")) as provider:
        with pytest.raises(OutboundError) as failed:
            await outbound.get_json(provider.url(), max_bytes=1000)
    assert failed.value.reason == "not_json"


async def test_a_document_may_be_as_large_as_allowed_and_no_larger(outbound: Outbound) -> None:
    async with stranger(answer(200, b"[" + b" " * 98 + b"]")) as provider:
        assert await outbound.get_json(provider.url(), max_bytes=100) == []
        with pytest.raises(OutboundError) as failed:
            await outbound.get_json(provider.url(), max_bytes=99)
    assert failed.value.reason == "too_large"


@pytest.mark.parametrize("status", [204, 301, 304, 404, 500])
async def test_a_document_with_another_status_is_refused_and_the_status_told(outbound: Outbound, status: int) -> None:
    async with stranger(answer(status, location="/there")) as provider:
        with pytest.raises(OutboundError) as failed:
            await outbound.get_json(provider.url(), max_bytes=1000)
    assert (failed.value.reason, failed.value.status) == ("unexpected_status", status)
    assert str(failed.value) == f"it answered {status}, not 200"


async def test_no_word_of_a_strangers_gets_into_errors_or_logs(
    outbound: Outbound, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with stranger(say(b"HTTP/1.1 hunter2\r\nhunter2: \x00hunter2\r\n\r\nhunter2")) as app:
        with pytest.raises(OutboundError) as failed:
            await outbound.post_form(app.url("/hunter2"), {"logout_token": "hunter2"})
    assert failed.value.reason == "read_error"
    assert "hunter2" not in str(failed.value)
    assert failed.value.__suppress_context__
    assert caplog.records == []


async def test_an_earlier_failure_being_handled_does_not_colour_the_next(outbound: Outbound) -> None:
    try:
        await outbound.post_form("http://10.0.0.1/", FORM)
    except OutboundError:
        with pytest.raises(OutboundError) as second:
            await outbound.post_form("nonsense", FORM)
    assert second.value.reason == "invalid_url"


def test_it_works_alike_on_the_event_loop_production_runs_on() -> None:
    async def calls() -> list[str]:
        seen = []
        async with (
            open_outbound(allowed_networks=LOOPBACK) as outbound,
            stranger(answer(204)) as app,
            stranger(answer(204), greeting=b"220 mail.example ESMTP\r\n") as mail,
        ):
            seen.append(str((await outbound.post_form(app.url(), FORM)).status))
            for url in (f"http://127.0.0.1:{closed_port()}/", "http://10.0.0.1/", f"https://127.0.0.1:{mail.port}/"):
                try:
                    await outbound.post_form(url, FORM)
                except OutboundError as error:
                    seen.append(error.reason)
        assert outbound.in_use == 0
        return seen

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(calls()) == ["204", "connect_error", "blocked_address", "tls_error"]
