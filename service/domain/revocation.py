"""A revocation: one request to sign a person out, from acceptance to the last application told."""

from dataclasses import dataclass
from typing import Literal

State = Literal["accepted", "notifying", "completed", "incomplete"]
"""accepted: in force, not yet worked on. notifying: applications are being told. completed: each was told or is
skipped with a reason. incomplete: at least one could not be told and nothing more will be tried."""

Initiator = Literal["global_token_revocation", "operator", "session_delete", "user_sessions_delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRequest:
    """What a verified caller asks for; the only thing `service.accept` takes."""

    revocation_id: str
    connection_id: str
    user_ids: tuple[str, ...]
    """The people meant, resolved within the connection; all are signed out."""
    initiator: Initiator
    reason: str | None = None
    session_id: str | None = None
    """Set: only this session ends. Unset: every session the person has through the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The receipt's head; its deliveries are kept beside it."""

    revocation_id: str
    connection_id: str
    user_ids: tuple[str, ...]
    initiator: Initiator
    reason: str | None
    session_id: str | None
    state: State
    accepted_at_ms: int
    revoked_at_ms: int | None
    """From when nothing it covers is honoured; None only between the record and the cut-off, a crash apart."""
    completed_at_ms: int | None
    sessions_ended: int
    refresh_tokens_revoked: int
    late: bool = False
    """Completed by a worker after a crash: whoever asked was never answered, and may ask again."""
