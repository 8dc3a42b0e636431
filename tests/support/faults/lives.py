"""The people of a run: what each holds and what became of it, and the connections they are known through."""

from dataclasses import dataclass

from tests.support.faults.plan import Person
from tests.support.identity_provider import IdentityProvider


@dataclass(kw_only=True)
class Connection:
    """One connection, and the provider behind it."""

    name: str
    idp: IdentityProvider
    hook_secret: str
    gtr_url: str = ""
    logout_url: str = ""
    hook_url: str = ""


@dataclass(kw_only=True)
class Holding:
    """What somebody holds through one connection."""

    user_id: str
    session_id: str
    online: str
    offline: str
    asked_twice: bool
    """Whether the sign-in had to be repeated: what nobody answered may have begun a session too, whose name nobody knows."""


@dataclass(kw_only=True)
class Life:
    """What became of one person of the plan."""

    person: Person
    revoked: Holding | None = None
    """Through the connection that revokes them."""
    twin: Holding | None = None
    """Through the other one."""
    acknowledged_s: float | None = None
    """When the revocation was answered with success, by the monotonic clock."""
    tries: int = 0
    effective_at_once: bool | None = None
    """Whether nothing of it was honoured when that was asked right after the answer; None: that was not asked."""

    @property
    def sub(self) -> str:
        """The same through both connections."""
        return f"00u-soak-{self.person.number:06}"

    @property
    def email(self) -> str:
        """The same through both connections."""
        return f"Person.{self.person.number:06}@Soak.Example.com"

    @property
    def phone_number(self) -> str:
        """The same through both connections."""
        return f"+4930{self.person.number:08}"

    @property
    def upstream_sid(self) -> str:
        """The same through both connections."""
        return f"upstream-{self.person.number:06}"
