"""What became of a call that did not succeed: a code for receipts and logs, and a sentence that is ours."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Final, Literal

import aiohttp
import httpx

Reason = Literal[
    "blocked_address",
    "connect_error",
    "connect_timeout",
    "dns_error",
    "dns_timeout",
    "invalid_url",
    "not_json",
    "read_error",
    "timeout",
    "tls_error",
    "too_large",
    "unexpected_status",
]

_SENTENCES: Final[Mapping[Reason, str]] = {
    "blocked_address": "its address is private or special and outside LOGOUTD_ALLOWED_PRIVATE_NETWORKS, "
    "or plain http was asked for outside them",
    "connect_error": "no connection could be made",
    "connect_timeout": "no connection could be made in time",
    "dns_error": "its host name could not be resolved",
    "dns_timeout": "its host name could not be resolved in time",
    "invalid_url": "its URL is not one that can be called",
    "not_json": "it did not answer with a JSON object or array",
    "read_error": "the connection broke, or the answer was not HTTP",
    "timeout": "it did not answer in time",
    "tls_error": "TLS failed, or its certificate is not valid for its name",
    "too_large": "its answer is too large",
    "unexpected_status": "it answered with another status than 200",
}

CALL_FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, ValueError, RuntimeError)
"""Everything a call has been seen to raise: httpx's and aiohttp's errors, the deadline (an OSError), names and headers
that cannot be encoded, and uvloop's way of saying that a socket has gone."""


class OutboundError(Exception):
    """A call did not succeed. `reason` is a stable code; `str(error)` is safe to show: no word of it is a stranger's.

    `status` is set with `unexpected_status` alone.
    """

    def __init__(self, reason: Reason, *, status: int | None = None) -> None:
        super().__init__(_SENTENCES[reason] if status is None else f"it answered {status}, not 200")
        self.reason: Reason = reason
        self.status = status


class BlockedAddressError(OSError):
    """The address is not one a call may reach. An OSError, so that every layer above treats it as a failed connect."""


class LookupTimeoutError(OSError):
    """A name was not resolved in time. An OSError, likewise."""


_REASONS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Reason], ...]] = (
    (BlockedAddressError, "blocked_address"),
    ((ssl.SSLError, aiohttp.ClientSSLError), "tls_error"),
    (LookupTimeoutError, "dns_timeout"),
    ((aiohttp.ClientConnectorDNSError, socket.gaierror), "dns_error"),
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    # Before TimeoutError: a connect the kernel gave up on is one too.
    ((aiohttp.ClientConnectorError, RuntimeError), "connect_error"),
    (TimeoutError, "timeout"),
    ((httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError), "invalid_url"),
)
"""First match wins, over the error and all its causes: certificate errors are ValueErrors, DNS errors connect errors."""


def reason_of(error: BaseException) -> Reason:
    """The code for one of CALL_FAILURES.

    The outermost error tells too little: httpx-aiohttp reports a refused connection as a timeout. The truth is among
    its causes. Not its context, which may hold an earlier, unrelated failure that a caller is just handling.
    """
    causes = tuple(_causes(error))
    for kind, reason in _REASONS:
        if any(isinstance(each, kind) for each in causes):
            return reason
    return "read_error"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__
