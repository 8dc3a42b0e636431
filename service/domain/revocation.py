"""A revocation: one request to sign a person out, from acceptance to the last application told."""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

State = Literal["accepted", "notifying", "completed", "incomplete"]
"""accepted: in force, not yet worked on. notifying: applications are being told. completed: each was told or is
skipped with a reason. incomplete: at least one could not be told and nothing more will be tried."""

Initiator = Literal[
    "global_token_revocation",
    "backchannel_logout",
    "okta_event_hook",
    "operator",
    "session_delete",
    "user_sessions_delete",
    "user_delete",
    "refresh_token_delete",
    "refresh_token_reuse",
]
"""Who asked: a door, an operator's hand, or a refresh token that was spent twice."""

Lane = Literal["urgent", "bulk"]
"""Who is told first. Bulk gives way to urgent everywhere, and always gets on."""

BULK_AFTER: Final = 50
"""Revocations of one initiator through one connection within BULK_WINDOW_MS after which its further ones are bulk: more than a
person signs out by hand, fewer than a directory that is being tidied up."""

BULK_WINDOW_MS: Final = 60_000
"""The time they are counted over, in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """Every session and refresh token each person has through the connection, offline ones too."""

    kind: Literal["everything"] = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class OneSession:
    """One session and its refresh tokens, offline ones too."""

    session_id: str
    kind: Literal["session"] = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsBegunBy:
    """The sessions begun no later than a moment of the identity provider's clock, and their refresh tokens: what a message
    that says when it was sent asks for. One that comes late ends nothing begun after it (law 5).

    A session begins at its `auth_time`, which is of the same clock; without one, in the second it was reported.
    """

    begun_by_ms: int
    upstream_sid: str | None = None
    """Set: of those only the ones with this `sid` of the identity provider's."""
    or_without_sid: bool = False
    """Those that were reported without an `upstream_sid` too: nobody knows that they are not the one meant."""
    offline_too: bool = False
    """Whether `offline` refresh tokens end as well (OIDC Back-Channel Logout section 2.7 would have them live)."""
    arrived_at_ms: int | None = None
    """When the message came, by our clock, where it could be acted upon only later; None: it was acted upon as it came."""
    kind: Literal["begun_by"] = "begun_by"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFamily:
    """One refresh token with all it was rotated from and into (RFC 9700 section 4.14). No session ends."""

    session_id: str
    family_id: str
    kind: Literal["token_family"] = "token_family"


Scope: TypeAlias = Everything | OneSession | SessionsBegunBy | TokenFamily
"""What is ended of each person (contract, "What is ended by what")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRequest:
    """What a verified caller asks for; the only thing `service.accept` takes."""

    revocation_id: str
    connection_id: str
    user_ids: tuple[str, ...]
    """The people meant, resolved within the connection; all are signed out."""
    initiator: Initiator
    reason: str | None = None
    scope: Scope = field(default_factory=Everything)
    lane: Lane | None = None
    """None: by how many its initiator asked for lately (BULK_AFTER)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The receipt's head; its deliveries are kept beside it."""

    revocation_id: str
    connection_id: str
    user_ids: tuple[str, ...]
    initiator: Initiator
    reason: str | None
    scope: Scope
    state: State
    accepted_at_ms: int
    revoked_at_ms: int | None
    """From when nothing it covers is honoured; None only between the record and the cut-off, a crash apart."""
    completed_at_ms: int | None
    sessions_ended: int
    refresh_tokens_revoked: int
    lane: Lane = "urgent"
    late: bool = False
    """Completed by a worker after a crash: whoever asked was never answered, and may ask again."""
    redelivered_at_ms: int | None = None
    """When deliveries of it were last tried anew, after it had been finished or while it was not."""

    @property
    def session_id(self) -> str | None:
        """The one session it ends; None where it is not about one."""
        return self.scope.session_id if isinstance(self.scope, OneSession) else None

    @property
    def family_id(self) -> str | None:
        """The one family of refresh tokens it ends; None where it is not about one."""
        return self.scope.family_id if isinstance(self.scope, TokenFamily) else None
