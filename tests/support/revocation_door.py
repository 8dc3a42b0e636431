"""One connection's Global Token Revocation door on a running service, and somebody signed in behind it."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.authorization_server import Subject
from tests.support.door import Door
from tests.support.identity_provider import NOTHING
from tests.support.story import by_email


class RevocationDoor(Door):
    """The door, and Ada behind it."""

    __slots__ = ()

    @property
    def url(self) -> str:
        """Where the door is, and the only `aud` that opens it."""
        return self.connection.endpoint

    @property
    def subject(self) -> Subject:
        """Ada, by her e-mail address."""
        return by_email(self.ada.email)

    def claims(self, **overrides: Any) -> dict[str, Any]:
        """The claims Okta documents, at this moment of the service's clock, with these laid over them."""
        ordinary = self.idp.claims(audience=self.url, client_id=self.connection.client_id, now_s=self.clock.now_s)
        return {**ordinary, **overrides}

    def assertion(
        self, *, alg: str = "ES256", header: Mapping[str, Any] = NOTHING, claims: Mapping[str, Any] = NOTHING
    ) -> str:
        """An assertion signed by the identity provider; REMOVED takes a member out."""
        return self.idp.assertion(
            audience=self.url,
            client_id=self.connection.client_id,
            alg=alg,
            now_s=self.clock.now_s,
            claims=claims,
            header=header,
        )

    def send(self, subject: Subject | None = None, *, assertion: str | None = None) -> httpx.Response:
        """A request as Okta sends it, about Ada unless said otherwise."""
        return self.send_body({"sub_id": subject or self.subject}, assertion=assertion)

    def send_body(
        self,
        body: object,
        *,
        assertion: str | None = None,
        url: str | None = None,
        headers: Mapping[str, str] = NOTHING,
    ) -> httpx.Response:
        """Any body, as JSON unless it is bytes, with a good assertion unless another is given."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {assertion or self.assertion()}",
            **headers,
        }
        return self.server.http.post(url or self.url, content=content, headers=given)

    def present(self, assertion: str) -> httpx.Response:
        """A good request under this assertion."""
        return self.send(assertion=assertion)

    @property
    def everything_is_dead(self) -> bool:
        """Whether nothing of Ada's is honoured."""
        tokens = self.server.is_active(self.online) or self.server.is_active(self.offline)
        return self.story.is_over(self.session) and not tokens


def is_refusal(answer: httpx.Response, status: int, naming: str = "", *, error: str | None = None) -> bool:
    """Check that an answer is a refusal to the letter, with this status, whose description names what was wrong."""
    expected = error or {400: "invalid_request", 401: "invalid_token", 403: "access_denied", 404: "not_found"}[status]
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"error", "error_description"}
    assert told["error"] == expected
    assert naming in told["error_description"], told
    assert answer.headers["cache-control"] == "no-store"
    assert "eyJ" not in answer.text
    challenge = answer.headers.get("www-authenticate")
    if status == 401:
        assert challenge is not None
        assert challenge.startswith(f'Bearer error="{expected}", error_description="')
    else:
        assert challenge is None
    return True
