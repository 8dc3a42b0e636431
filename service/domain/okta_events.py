"""Which events of Okta's System Log end a person's sessions: the table the event hook door goes by.

The names are those of Okta's event type catalogue (developer.okta.com, "Event Types"). An event is in the table when it
says of one person that what they hold must not be honoured any longer. Those an administrator may expect here and that are
not, with the reason:

- `user.risk.change`, `user.risk.detect`, `policy.entity_risk.action`, `user.account.report_suspicious_activity_by_enduser`:
  suspicions. What Okta's policies make of them arrives as Universal Logout.
- `user.mfa.factor.*`: an authenticator changes; Okta itself lets sessions live.
- `user.account.privilege.*`, `group.user_membership.*`: rights in Okta and of groups, not whether somebody is signed in.
- `application.user_membership.remove`: one application of the org, told by an id that need not be our `client_id`.
- `user.session.expire`: comes only beside `user.session.end` or `user.session.clear`, and no hook can select it.
- `user.session.context.change`: a suspicion too.
- `user.authentication.slo`: one application's single logout; the Okta session's end is an event of its own.
- `user.lifecycle.password_mass_expiry`: names nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CLOCK_ALLOWANCE_MS: Final = 60_000
"""How far past an event that closes an account sessions end, in milliseconds: the clock of whoever reported a sign-in may be
ahead of Okta's by so much, and nobody can sign in to a closed account, so that nothing newer can be hit."""

FUTURE_SKEW_MS: Final = 60_000
"""How far ahead of ours Okta's clock is believed to be, in milliseconds. An event that claims to be of a later moment counts as
of that one: it must not reach sessions that are yet to begin."""

NOT_DONE: Final = frozenset({"FAILURE", "DENY", "SKIPPED", "CHALLENGE"})
"""The values of `outcome.result` that say it was tried and did not happen. Others, or none, count as done: to sign out is the
safe error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingEvent:
    """An event type that ends everything the person has through the connection, `offline` refresh tokens too."""

    when: str
    """When Okta sends it, as the pages tell it."""
    eligible: bool = True
    """Whether the catalogue offers it to event hooks today; those it does not are understood all the same."""
    by_the_person: bool = False
    """Whether the person may be named as the actor alone. Where not, the actor is whoever did it to them: never signed out."""
    closes_the_account: bool = False
    """Whether nobody can sign in to the account after it."""
    whatever_came_of_it: bool = False
    """Whether it counts when its outcome is a failure too."""

    @property
    def ends(self) -> str:
        """What ends, as the pages tell it."""
        return (
            "everything begun by then, or in the minute after"
            if self.closes_the_account
            else "everything begun by then"
        )


ENDING_EVENTS: Final[Mapping[str, EndingEvent]] = {
    "user.lifecycle.deactivate": EndingEvent(when="an account is deactivated", closes_the_account=True),
    "user.lifecycle.suspend": EndingEvent(when="an account is suspended", closes_the_account=True),
    "user.lifecycle.delete.initiated": EndingEvent(when="an account is about to be deleted", closes_the_account=True),
    "user.lifecycle.delete.completed": EndingEvent(
        when="an account was deleted", eligible=False, closes_the_account=True
    ),
    # Okta logs a lock as the failure of the sign-in that caused it (`LOCKED_OUT`), with the person as the actor.
    "user.account.lock": EndingEvent(
        when="an account is locked after too many failed sign-ins",
        by_the_person=True,
        closes_the_account=True,
        whatever_came_of_it=True,
    ),
    "user.account.lock.limit": EndingEvent(
        when="an account is locked and will not unlock by itself",
        eligible=False,
        by_the_person=True,
        closes_the_account=True,
        whatever_came_of_it=True,
    ),
    "user.account.reset_password": EndingEvent(when="a password is reset"),
    "user.account.expire_password": EndingEvent(when="an administrator lets a password expire", eligible=False),
    "user.account.update_password": EndingEvent(when="a password is changed", by_the_person=True),
    "user.session.clear": EndingEvent(when="an administrator clears a person's sessions"),
    "user.session.end": EndingEvent(
        when="a person signs out of Okta, or Okta ends a session of theirs", by_the_person=True
    ),
    # What failed is to reach one application. That the person is to be signed out stands, and this is how it gets here.
    "user.session.universal_logout": EndingEvent(
        when="Universal Logout begins for a person", eligible=False, whatever_came_of_it=True
    ),
    "user.authentication.universal_logout": EndingEvent(
        when="Universal Logout is sent to an application", whatever_came_of_it=True
    ),
    "user.authentication.universal_logout.scheduled": EndingEvent(
        when="an administrator starts Universal Logout", whatever_came_of_it=True
    ),
}
"""Every event type that ends sessions. All others are acknowledged, and counted."""

OTHER: Final = "other"
"""What logs and numbers call the types that are not in the table: their names are a stranger's."""


def name_of(event_type: str) -> str:
    """An event type as logs and numbers may show it."""
    return event_type if event_type in ENDING_EVENTS else OTHER


def begun_by_ms(kind: EndingEvent, *, published_ms: int | None, received_ms: int) -> int:
    """The last moment at which a session that ends had begun, in milliseconds since the epoch.

    By Okta's clock, so that an event that comes late or again ends nothing newer (law 5); by ours where the event does not
    say when it happened.
    """
    moment = received_ms if published_ms is None else min(published_ms, received_ms + FUTURE_SKEW_MS)
    return moment + CLOCK_ALLOWANCE_MS if kind.closes_the_account else moment
