"""One connection's door on a running service, and somebody signed in behind it."""

from dataclasses import dataclass
from typing import Any, Self

from tests.support.authorization_server import Application, AuthorizationServer, Connection, Session
from tests.support.clock import HandClock
from tests.support.identity_provider import IdentityProvider
from tests.support.story import Person, Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The door, and Ada, who is signed in to one application with two refresh tokens."""

    story: Story
    clock: HandClock
    connection: Connection
    web: Application
    ada: Person
    session: Session
    online: str
    offline: str

    @classmethod
    def open(cls, story: Story, clock: HandClock, name: str = "okta", **options: Any) -> Self:
        """A new connection to the story's identity provider, with these options laid over the ordinary ones."""
        web = story.application(f"web-{name}")
        connection = story.connection(web, name=name, **options)
        ada = story.person(f"ada-{name}")
        session = story.sign_in(ada, connection, web, **cls.sign_in_members(clock))
        return cls(
            story=story,
            clock=clock,
            connection=connection,
            web=web,
            ada=ada,
            session=session,
            online=story.server.refresh_token(session, web),
            offline=story.server.refresh_token(session, web, offline=True),
        )

    @classmethod
    def sign_in_members(cls, clock: HandClock) -> dict[str, Any]:  # noqa: ARG003 - others date a sign-in by it
        """What is reported of Ada's sign-in besides."""
        return {}

    @property
    def server(self) -> AuthorizationServer:
        """The management API."""
        return self.story.server

    @property
    def idp(self) -> IdentityProvider:
        """Whose door it is."""
        return self.story.idp

    @property
    def nothing_happened(self) -> bool:
        """Whether all of Ada's is honoured, and nothing was recorded."""
        tokens = self.server.is_active(self.online) and self.server.is_active(self.offline)
        nothing = self.server.revocations_of(self.session.user_id) == []
        return tokens and nothing and not self.story.is_over(self.session)
