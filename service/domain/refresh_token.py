"""A refresh token as recorded: never the token, only its hash and what it stands for."""

from dataclasses import dataclass
from typing import Final

from service.domain.identifiers import fingerprint

MAX_TOKEN_LENGTH: Final = 4096
"""Longest refresh token minted elsewhere that may be registered, in characters."""

MIN_TOKEN_LENGTH: Final = 16
"""Shortest one: anything less can be guessed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """What a refresh token stands for, while it is honoured."""

    refresh_token_id: str
    user_id: str
    connection_id: str
    session_id: str
    client_id: str
    sub: str
    scope: str | None
    offline: bool
    """True: it outlives its session's ordinary end (`offline_access`); a revocation ends it all the same."""
    family_id: str
    """The `refresh_token_id` of the first of those it was rotated from, or its own (RFC 9700 section 4.14.2)."""
    issued_at_ms: int
    expires_at_ms: int
    """When it is no longer honoured: unused for too long, or with its family."""
    family_expires_at_ms: int
    """When no token of the family is any more, however often it is rotated."""
    idle_ms: int | None
    """How long each of them lasts unused, in milliseconds; None: as long as the family."""


def expiry_of(issued_at_ms: int, *, idle_ms: int | None, family_expires_at_ms: int) -> int:
    """When a token issued then expires: idle, or with its family."""
    return family_expires_at_ms if idle_ms is None else min(family_expires_at_ms, issued_at_ms + idle_ms)


def hash_token(token: str) -> str:
    """The only form in which a token is stored or looked up."""
    return fingerprint("refresh_token", token)
