"""One connection's back-channel logout door on a running service, and somebody signed in behind it."""

from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlencode

import httpx

from tests.support.authorization_server import FORM
from tests.support.clock import HandClock
from tests.support.door import Door
from tests.support.identity_provider import NOTHING
from tests.support.story import Story

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
"""The member of `events` (OIDC Back-Channel Logout section 2.4)."""

UPSTREAM_SID: Final = "upstream-session-1"
"""The identity provider's own session that Ada's sign-in came from."""


class LogoutDoor(Door):
    """The door, and Ada, who signed in a minute ago."""

    __slots__ = ()

    @classmethod
    def open(cls, story: Story, clock: HandClock, name: str = "okta", **options: Any) -> Self:
        """Likewise, and a minute passes."""
        opened = super().open(story, clock, name, **options)
        clock.advance(60)
        return opened

    @classmethod
    def sign_in_members(cls, clock: HandClock) -> dict[str, Any]:
        """Which of the identity provider's sessions it came from, and when."""
        return {"upstream_sid": UPSTREAM_SID, "auth_time": clock.now_s}

    @property
    def url(self) -> str:
        """Where the door is."""
        return self.connection.logout_uri

    def claims(self, **overrides: Any) -> dict[str, Any]:
        """The claims of a logout of Ada's upstream session, with these laid over them."""
        ordinary = self.idp.logout_claims(
            sub=self.ada.sub, sid=UPSTREAM_SID, client_id=self.connection.client_id, now_s=self.clock.now_s
        )
        return {**ordinary, **overrides}

    def header(self, **overrides: Any) -> dict[str, Any]:
        """The ordinary header, with these laid over it."""
        return {"typ": "logout+jwt", "alg": "RS256", "kid": self.idp.keys["RS256"].kid, **overrides}

    def token(
        self, *, alg: str = "RS256", header: Mapping[str, Any] = NOTHING, claims: Mapping[str, Any] = NOTHING
    ) -> str:
        """A logout token with `sub` and `sid`; REMOVED takes a member out."""
        return self.idp.logout_token(
            sub=self.ada.sub,
            sid=UPSTREAM_SID,
            client_id=self.connection.client_id,
            alg=alg,
            now_s=self.clock.now_s,
            header=header,
            claims=claims,
        )

    def logout(
        self, *, sub: str | None = None, sid: str | None = None, claims: Mapping[str, Any] = NOTHING
    ) -> httpx.Response:
        """A logout of this person, of this upstream session, or of both: accepted, and 200 to the letter."""
        token = self.idp.logout_token(
            sub=sub, sid=sid, client_id=self.connection.client_id, now_s=self.clock.now_s, claims=claims
        )
        answer = self.send(token)
        assert is_accepted(answer)
        return answer

    def send(self, token: str, **parameters: str) -> httpx.Response:
        """A logout token as identity providers send it, with further parameters if there are any."""
        return self.send_form([("logout_token", token), *parameters.items()])

    def send_form(
        self, pairs: list[tuple[str, str]], *, content_type: str = FORM, url: str | None = None
    ) -> httpx.Response:
        """Any form."""
        return self.send_body(urlencode(pairs).encode(), content_type=content_type, url=url)

    def send_body(self, body: bytes, *, content_type: str = FORM, url: str | None = None) -> httpx.Response:
        """Any body."""
        headers = {"Content-Type": content_type} if content_type else {}
        return self.server.http.post(url or self.url, content=body, headers=headers)

    @property
    def session_is_over(self) -> bool:
        """Whether the session and the ordinary refresh token are dead, and the offline one alive: what a logout does."""
        over, online = self.story.is_over(self.session), self.server.is_active(self.online)
        assert over is not online, "a session and its refresh token do not agree"
        return over and self.server.is_active(self.offline)


def is_accepted(answer: httpx.Response) -> bool:
    """Check that an answer is exactly 200, and not to be stored (section 2.8 and the certification suite)."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {}
    return True


def is_refused(answer: httpx.Response, naming: str = "") -> bool:
    """Check that an answer is a refusal to the letter, exactly 400, whose description names what was wrong."""
    assert answer.status_code == 400, answer.text
    told = answer.json()
    assert set(told) == {"error", "error_description"}
    assert told["error"] == "invalid_request"
    assert naming in told["error_description"], told
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert "www-authenticate" not in answer.headers
    assert "eyJ" not in answer.text
    return True
