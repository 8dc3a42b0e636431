"""A sign-in: one person, through one connection, at some applications; and what is asked of us to record one."""

from dataclasses import dataclass, field

from service.domain.subject import SubjectIdentifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One application's part in a session: the names it knows the person and the session by (in its ID token)."""

    client_id: str
    sub: str
    sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What the authorization server reports when somebody has signed in."""

    session_id: str
    user_id: str
    connection_id: str
    iss: str
    sub: str
    identifiers: tuple[SubjectIdentifier, ...]
    upstream_sid: str | None
    auth_time_s: int | None
    """When the person authenticated, by the identity provider's clock, in seconds since the epoch."""
    expires_at_ms: int
    participants: tuple[Participant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A sign-in as recorded. `ended_at_ms` is set from the moment it is no longer honoured, expired ones apart."""

    session_id: str
    user_id: str
    connection_id: str
    created_at_ms: int
    expires_at_ms: int
    ended_at_ms: int | None
    upstream_sid: str | None
    auth_time_s: int | None
    participants: tuple[Participant, ...] = field(default_factory=tuple)

    def active(self, now_ms: int) -> bool:
        """Whether it is honoured at `now_ms`."""
        return self.ended_at_ms is None and now_ms < self.expires_at_ms
