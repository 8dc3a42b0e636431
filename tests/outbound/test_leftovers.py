import asyncio
import logging
import ssl

import pytest

from service.outbound.leftovers import is_leftover, leftovers_heard

GONE = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


@pytest.mark.parametrize(
    ("message", "error", "left"),
    [
        ("Future exception was never retrieved", ssl.SSLCertVerificationError(1, "expired"), True),
        ("Future exception was never retrieved", ValueError(), False),
        ("Fatal error on SSL protocol", GONE, True),
        ("Fatal error on SSL protocol", ValueError(), False),
        ("Task exception was never retrieved", ssl.SSLError(1, "x"), False),
        ("Unclosed connection", None, False),
    ],
)
def test_only_what_a_given_up_handshake_leaves_is_taken_for_it(
    message: str, error: BaseException | None, left: bool
) -> None:
    assert is_leftover({"message": message, "exception": error}) is left


async def test_leftovers_are_not_logged_as_errors_and_all_else_is(caplog: pytest.LogCaptureFixture) -> None:
    loop, heard = asyncio.get_running_loop(), []
    with leftovers_heard():
        loop.call_exception_handler({"message": "Fatal error on SSL protocol", "exception": GONE})
        assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
        loop.call_exception_handler({"message": "something else"})
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == ["something else"]

    loop.set_exception_handler(lambda _loop, context: heard.append(context["message"]))
    with leftovers_heard():
        loop.call_exception_handler({"message": "something else"})
    loop.call_exception_handler({"message": "afterwards"})
    assert heard == ["something else", "afterwards"]
