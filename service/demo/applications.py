"""Three toy applications with sessions of their own, told by logout tokens when one has to end."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.demo.logout_token import IssuerKeys, LogoutToken, LogoutTokenRefused, verify_logout_token
from service.domain.clock import Clock, SystemClock

SLOW_SECONDS: Final = 0.3
"""How long the slow application thinks before it fails, in seconds."""

LOGOUT_PATH: Final = "/backchannel-logout"

NO_STORE: Final = {"Cache-Control": "no-store"}
"""Back-Channel Logout section 2.8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What an application is like, and what it registers with (RFC 7591 and Back-Channel Logout section 2.2)."""

    client_id: str
    client_name: str
    character: str
    """What makes it different, in a few words."""
    alg: str = "RS256"
    session_required: bool = False
    offline: bool = False
    """Whether its refresh tokens work while nobody is signed in (`offline_access`)."""
    failures: int = 0
    """How many calls it answers 503, slowly, before it is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSession:
    """A session at the application, by the `sub` and `sid` of the ID token that began it."""

    sub: str
    sid: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One call at the logout URI: when it was answered, with what, and the token where it was a good one."""

    at_ms: int
    status: int
    token: LogoutToken | None = None
    ended: int = 0
    """How many sessions it ended."""
    refused: str | None = None


PROFILES: Final = (
    Profile(
        client_id="wiki",
        client_name="Wiki",
        character="has to be told which session (sid)",
        session_required=True,
    ),
    Profile(client_id="payroll", client_name="Payroll", character="takes ES256 alone", alg="ES256", offline=True),
    Profile(
        client_id="helpdesk",
        client_name="Helpdesk",
        character="slow; answers its first call 503",
        failures=1,
    ),
)
"""The three of the story: each would be left signed in by a simpler sender."""


class ToyApplication:
    """Answers at `url` and trusts the logout tokens of `issuer`, once they have been verified."""

    def __init__(self, url: str, *, profile: Profile, issuer: str, clock: Clock | None = None) -> None:
        self.profile = profile
        self.url = url
        self.backchannel_logout_uri = f"{url}{LOGOUT_PATH}"
        self.keys = IssuerKeys(issuer)
        self.sessions: dict[str, ApplicationSession] = {}
        self.notices: list[Notice] = []
        self._failures_left = profile.failures
        self._seen: set[str] = set()
        self._clock = clock or SystemClock()

    def routes(self) -> Sequence[Route]:
        """The logout URI (section 2.5): POST alone."""
        return [Route(LOGOUT_PATH, self._logout, methods=["POST"])]

    def sign_in(self, *, person: str, sub: str, sid: str) -> None:
        """Begin a session: somebody came back from the authorization server with an ID token."""
        self.sessions[sid] = ApplicationSession(sub=sub, sid=sid, person=person)

    def sessions_of(self, person: str) -> int:
        """How many sessions this person has here."""
        return sum(session.person == person for session in self.sessions.values())

    async def _logout(self, request: Request) -> Response:
        try:
            token = await self._verified(request)
        except LogoutTokenRefused as refused:
            self._note(400, refused=str(refused))
            problem = {"error": "invalid_request", "error_description": str(refused)}
            return JSONResponse(problem, status_code=400, headers=NO_STORE)
        if self._failures_left:
            self._failures_left -= 1
            await asyncio.sleep(SLOW_SECONDS)
            self._note(503, token=token)
            return Response(status_code=503, headers=NO_STORE)
        self._note(200, token=token, ended=self._end(token))
        return Response(status_code=200, headers=NO_STORE)

    async def _verified(self, request: Request) -> LogoutToken:
        # Section 2.5: a form with one `logout_token`; other parameters are ignored.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            raise LogoutTokenRefused("not a form")
        values = parse_qs((await request.body()).decode("ascii", "replace"), keep_blank_values=True).get(
            "logout_token", []
        )
        if len(values) != 1:
            raise LogoutTokenRefused("not exactly one `logout_token`")
        token = await verify_logout_token(
            values[0],
            keys=self.keys,
            client_id=self.profile.client_id,
            alg=self.profile.alg,
            session_required=self.profile.session_required,
            now_s=self._clock.now_ms() / 1000,
        )
        # Section 2.6 step 8: each attempt brings a token of its own.
        if token.jti in self._seen:
            raise LogoutTokenRefused("this `jti` came before")
        self._seen.add(token.jti)
        return token

    def _end(self, token: LogoutToken) -> int:
        """End what the token names (section 2.7): a `sid` names one session, a `sub` alone all of that person."""
        named = [
            session.sid
            for session in self.sessions.values()
            if token.sid in (None, session.sid) and token.sub in (None, session.sub)
        ]
        for sid in named:
            del self.sessions[sid]
        return len(named)

    def _note(
        self, status: int, *, token: LogoutToken | None = None, ended: int = 0, refused: str | None = None
    ) -> None:
        self.notices.append(
            Notice(at_ms=self._clock.now_ms(), status=status, token=token, ended=ended, refused=refused)
        )
