"""Capture mode: what a refused token looked like, for whoever is setting its connection up.

One log line with names (header members, claims), whether `iss`, `aud` and `sub` are those expected, and how far its times
are from our clock. Never the token, its signature, `jti`, or a value that could be a secret or name a person. Nothing of
a refused token is believed: a stranger may have written all of it, so everything shown is bounded and of plain characters.
The caller is answered as without it.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from service.domain.clock import Clock
from service.domain.connection import Connection
from service.errors import NotAuthenticated
from service.telemetry import get_logger
from service.verify.claims import LAST_SECOND, told
from service.verify.encrypted_token import MAX_ENCRYPTED_LENGTH

MAX_CAPTURES: Final = 10
"""Most lines about one connection in CAPTURE_WINDOW_MS from one process: anyone can send what will be refused."""

CAPTURE_WINDOW_MS: Final = 60_000
"""How long MAX_CAPTURES are counted together, in milliseconds."""

MAX_NAMES: Final = 32
"""Most names of members or claims in one line; the tokens in use have about ten of each."""

NOT_SHOWN: Final = "(not shown)"
"""In the place of a name or value that is not of plain characters, or longer than any in use."""

_PLAIN: Final = re.compile(r"(?!eyJ)[A-Za-z0-9_.:/+=#~-]{1,128}", re.ASCII)
"""What names and the values of `alg`, `typ`, `kid` look like. Without `@`, which addresses have, nor as a JWT begins."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a connection's tokens of one kind have to say."""

    issuers: tuple[str, ...]
    audience: str
    subject: str | None = None
    """None where `sub` names a person, and so is compared with nothing."""


class Captures:
    """What one process has captured lately."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window = 0
        self._counts: dict[str, int] = {}

    @contextmanager
    def on_refusal(
        self, token: str, *, connection: Connection | None, expected: Callable[[Connection], Expected]
    ) -> Iterator[None]:
        """Capture `token` when the block refuses it (NotAuthenticated, which goes on) and the connection is being set up."""
        try:
            yield
        except NotAuthenticated as refusal:
            if connection is not None:
                self.capture(token, connection=connection, reason=refusal.reason, expected=expected(connection))
            raise

    def capture(self, token: str, *, connection: Connection, reason: str, expected: Expected) -> None:
        """Log what a token refused for `reason` looks like, if the connection is in capture mode."""
        if not connection.options.capture_refused_assertions:
            return
        now_ms = self._clock.now_ms()
        left = self._left(connection.id, now_ms)
        if left > 0:
            log.warning(
                "assertion.captured",
                connection=connection.name,
                reason=reason,
                **describe_token(token, expected=expected, now_ms=now_ms),
                **({"last_for_seconds": CAPTURE_WINDOW_MS // 1000} if left == 1 else {}),
            )

    def _left(self, connection_id: str, now_ms: int) -> int:
        """How many more lines the connection may have in this window, this one included; counts it."""
        window = now_ms // CAPTURE_WINDOW_MS
        if window != self._window:
            self._window, self._counts = window, {}
        count = self._counts.get(connection_id, 0)
        self._counts[connection_id] = count + 1
        return MAX_CAPTURES - count


def describe_token(token: str, *, expected: Expected, now_ms: int) -> dict[str, Any]:
    """What may be told of a token nobody has verified, as members of a log line."""
    if len(token) > MAX_ENCRYPTED_LENGTH:
        return {"characters": len(token)}
    parts = token.split(".")
    described: dict[str, Any] = {"characters": len(token), "parts": len(parts)}
    header = _object(parts[0])
    if header is not None:
        described["header"] = _names(header)
        described |= {name: _shown(header[name]) for name in ("alg", "typ", "kid") if name in header}
    # Of five parts (an encrypted token, RFC 7516 section 3.1) the second is a key, and no claims.
    claims = _object(parts[1]) if len(parts) == 3 else None
    if claims is not None:
        described["claims"] = _names(claims)
        described |= _compared(claims, expected)
        described["seconds_from_now"] = {
            name: _seconds_from(claims[name], now_ms) for name in ("iat", "nbf", "exp") if name in claims
        }
    return described


def _compared(claims: Mapping[str, Any], expected: Expected) -> dict[str, Any]:
    iss, aud = claims.get("iss"), claims.get("aud")
    compared: dict[str, Any] = {
        "iss": _verdict("iss", claims, matches=isinstance(iss, str) and iss in expected.issuers),
        "iss_sent": told(iss),
        "iss_expected": list(expected.issuers),
        "aud": _verdict("aud", claims, matches=aud in (expected.audience, [expected.audience])),
        "aud_sent": told(aud[0] if isinstance(aud, list) and len(aud) == 1 else aud),
        "aud_expected": expected.audience,
    }
    if expected.subject is not None:
        compared["sub"] = _verdict("sub", claims, matches=claims.get("sub") == expected.subject)
    return compared


def _verdict(name: str, claims: Mapping[str, Any], *, matches: bool) -> str:
    if name not in claims:
        return "missing"
    return "match" if matches else "mismatch"


def _seconds_from(value: object, now_ms: int) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_SECOND:
        return "not a time"
    return round(value - now_ms / 1000)


def _names(members: Mapping[str, Any]) -> list[str]:
    return [_shown(name) for name in list(members)[:MAX_NAMES]]


def _shown(value: object) -> str:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else NOT_SHOWN


def _object(part: str) -> dict[str, Any] | None:
    """A part's JSON object, read leniently: what is wrong with it is what is looked for. None when it is none."""
    try:
        padded = part.rstrip("=") + "=" * (-len(part.rstrip("=")) % 4)
        value = json.loads(base64.b64decode(padded, altchars=b"-_"))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return value if isinstance(value, dict) else None
