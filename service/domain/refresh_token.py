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
    issued_at_ms: int
    expires_at_ms: int


def hash_token(token: str) -> str:
    """The only form in which a token is stored or looked up."""
    return fingerprint("refresh_token", token)
