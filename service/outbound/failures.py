"""What became of a call that did not succeed: a code for receipts and logs, and a sentence that is ours."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import aiohttp
import httpx

Reason = Literal[
    "blocked_address",
    "certificate_expired",
    "certificate_invalid",
    "certificate_not_yet_valid",
    "certificate_self_signed",
    "certificate_untrusted",
    "certificate_wrong_name",
    "client_certificate_refused",
    "connect_error",
    "connect_timeout",
    "dns_error",
    "dns_timeout",
    "invalid_url",
    "not_json",
    "read_error",
    "timeout",
    "tls_error",
    "tls_identity_invalid",
    "too_large",
    "unexpected_status",
]

_SENTENCES: Final[Mapping[Reason, str]] = {
    "blocked_address": "its address is private or special and outside LOGOUTD_ALLOWED_PRIVATE_NETWORKS, "
    "or plain http was asked for outside them",
    "certificate_expired": "its certificate, or one it leads to, has expired",
    "certificate_invalid": "its certificate is not valid",
    "certificate_not_yet_valid": "its certificate, or one it leads to, is not valid yet",
    "certificate_self_signed": "its certificate is self-signed and not among those that are trusted",
    "certificate_untrusted": "its certificate leads to no authority that is trusted",
    "certificate_wrong_name": "its certificate is not for this name",
    "client_certificate_refused": "it wants a client certificate, or another than it was shown",
    "connect_error": "no connection could be made",
    "connect_timeout": "no connection could be made in time",
    "dns_error": "its host name could not be resolved",
    "dns_timeout": "its host name could not be resolved in time",
    "invalid_url": "its URL is not one that can be called",
    "not_json": "it did not answer with a JSON object or array",
    "read_error": "the connection broke, or the answer was not HTTP",
    "timeout": "it did not answer in time",
    "tls_error": "TLS failed",
    "tls_identity_invalid": "the certificates or the key registered for it cannot be used",
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


class InvalidTlsIdentityError(OSError):
    """An application's own certificates or key cannot be used any more. An OSError, likewise."""


class LookupTimeoutError(OSError):
    """A name was not resolved in time. An OSError, likewise."""


_REASONS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Reason], ...]] = (
    (BlockedAddressError, "blocked_address"),
    (InvalidTlsIdentityError, "tls_identity_invalid"),
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


_CERTIFICATE_REASONS: Final[Mapping[int, Reason]] = {
    7: "certificate_untrusted",  # its issuer has the name of one we know, and another key
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    18: "certificate_self_signed",
    19: "certificate_untrusted",  # the root it came with is nobody's we know
    20: "certificate_untrusted",  # its issuer is nobody we know
    21: "certificate_untrusted",  # likewise, with nothing else to go by
    62: "certificate_wrong_name",
    64: "certificate_wrong_name",  # of an address
}
"""By OpenSSL's numbers (X509_V_ERR_…)."""

_CLIENT_REFUSED: Final = (
    "ALERT_ACCESS_DENIED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_UNSUPPORTED_CERTIFICATE",
)
"""The alerts by which a server says what it thinks of our certificate, or of there being none (RFC 8446 section 6.2)."""

_OPENSSL: Final = re.compile(r"\[SSL: ([A-Z0-9_]+)\]")
"""Where OpenSSL's name of an error stands in the text of one whose type was lost on the way."""


def reason_of(error: BaseException) -> Reason:
    """The code for one of CALL_FAILURES.

    The outermost error tells too little: httpx-aiohttp reports a refused connection as a timeout. The truth is among
    its causes. Not its context, which may hold an earlier, unrelated failure that a caller is just handling.
    """
    causes = tuple(_causes(error))
    if tls := _tls_reason(causes):
        return tls
    for kind, reason in _REASONS:
        if any(isinstance(each, kind) for each in causes):
            return reason
    return "read_error"


def _tls_reason(causes: Sequence[BaseException]) -> Reason | None:
    """What went wrong with a certificate, the other side's or ours."""
    for each in causes:
        # aiohttp's error of that name is one by type, and has nothing in it.
        if isinstance(each, ssl.SSLCertVerificationError) and not isinstance(each, aiohttp.ClientError):
            return _CERTIFICATE_REASONS.get(each.verify_code, "certificate_invalid")
    for each in causes:
        named = _OPENSSL.search(str(each)) if isinstance(each, OSError) else None
        if named is not None:
            return "client_certificate_refused" if named[1].endswith(_CLIENT_REFUSED) else "tls_error"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__
