"""One POST of one logout token, and what its outcome means (OIDC Back-Channel Logout 1.0 sections 2.5 and 2.8)."""

import re
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from service.domain.clock import Clock, SystemClock
from service.domain.retry_schedule import MAX_RETRY_AFTER_S
from service.domain.tls_identity import TlsIdentity
from service.outbound import Outbound, OutboundError

MAX_RETRY_AFTER_LENGTH: Final = 64
"""Longest `Retry-After` that is read, in characters: twice an HTTP-date."""

Verdict = Literal["delivered", "rejected", "try_later"]
"""delivered: the application has it. rejected: it said no, and would again. try_later: it may succeed another time."""

_DELIVERED: Final = frozenset({200, 204})
"""Section 2.8 asks for 200; some frameworks turn an empty one into 204. No other 2xx says that anybody was signed out."""

_WORTH_REPEATING: Final = {408: "request_timeout", 425: "too_early", 429: "too_many_requests"}
"""The refusals that are about the moment and not about the token."""

_SYSTEM_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt. `status` is None where no answer came; `error` is None only for `delivered`."""

    status: int | None
    error: str | None
    """A stable code: of an OutboundError, or `redirect`, `rejected`, `server_error`, `unexpected_status`,
    `request_timeout`, `too_early`, `too_many_requests`."""
    verdict: Verdict
    retry_after_s: float | None
    """What the application asked for with `try_later`, in seconds, at most MAX_RETRY_AFTER_S."""
    duration_ms: int


async def post_logout_token(
    outbound: Outbound, *, uri: str, token: str, tls: TlsIdentity | None = None, clock: Clock = _SYSTEM_CLOCK
) -> Outcome:
    """Send `token` to an application's `backchannel_logout_uri`, by its own `tls` if it has any. Never raises,
    cancellation apart.

    Every failure to get an answer is worth another try, also a blocked address and a URL that is none: a name may be
    mended, a network allowed, a registration corrected within the time a delivery is tried.
    """
    started = time.perf_counter_ns()
    try:
        reply = await outbound.post_form(uri, {"logout_token": token}, tls=tls)
    except OutboundError as error:
        return Outcome(
            status=None,
            error=error.reason,
            verdict="try_later",
            retry_after_s=None,
            duration_ms=(time.perf_counter_ns() - started) // 1_000_000,
        )
    verdict, error_code = judge(reply.status)
    return Outcome(
        status=reply.status,
        error=error_code,
        verdict=verdict,
        retry_after_s=parse_retry_after(reply.retry_after, now_ms=clock.now_ms()) if verdict == "try_later" else None,
        duration_ms=reply.duration_ms,
    )


def judge(status: int) -> tuple[Verdict, str | None]:
    """The verdict on a status, and the code of what is wrong with it."""
    if status in _DELIVERED:
        return "delivered", None
    if status in _WORTH_REPEATING:
        return "try_later", _WORTH_REPEATING[status]
    if status >= 500:
        return "try_later", "server_error"
    if 300 <= status < 400:
        return "rejected", "redirect"
    if 400 <= status < 500:
        return "rejected", "rejected"
    return "rejected", "unexpected_status"


def parse_retry_after(text: str | None, *, now_ms: int) -> float | None:
    """Seconds to wait: delay-seconds or HTTP-date (RFC 9110 section 10.2.3), capped; None for anything else."""
    if text is None or len(text) > MAX_RETRY_AFTER_LENGTH:
        return None
    text = text.strip()
    if re.fullmatch(r"[0-9]+", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        date = parsedate_to_datetime(text)
        # An HTTP-date is in GMT whether it says so or not.
        until_s = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return min(max(until_s - now_ms / 1000, 0.0), MAX_RETRY_AFTER_S)
