"""One connection's event hook door on a running service, and Ada signed in behind it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.asgi import NOBODY, Api
from tests.support.identity_provider import NOTHING, IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event

EMAIL = {"format": "email", "email": "Ada@Example.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookDoor:
    """The door, and Ada (`00u1ada`), signed in to the shop a minute ago with two refresh tokens."""

    api: Api
    idp: IdentityProvider
    connection_id: str
    user_id: str
    session_id: str
    online: str
    offline: str

    @classmethod
    async def open(cls, api: Api, idp: IdentityProvider, *, options: Mapping[str, object] = NOTHING) -> "HookDoor":
        """A connection `okta` with a hook secret, and somebody behind it."""
        connection = await api.connection(idp, "shop", options={"okta_event_hook_secret": HOOK_SECRET, **options})
        session = await api.sign_in(idp, "shop", identifiers=[EMAIL], auth_time=api.clock.now_s)
        online = await api.refresh_token(session, "shop")
        offline = await api.refresh_token(session, "shop", offline=True)
        api.clock.advance(60)
        return cls(
            api=api,
            idp=idp,
            connection_id=connection["id"],
            user_id=session["user_id"],
            session_id=session["session_id"],
            online=online,
            offline=offline,
        )

    def event(self, event_type: str = "user.session.clear", *, ago_s: float = 0, **members: Any) -> dict[str, Any]:
        """An event about Ada, of this moment of the service's clock or so long before it."""
        return okta_event(event_type, at_ms=self.api.clock.now_ms() - round(ago_s * 1000), **members)

    async def send(self, *events: Any, **more: Any) -> httpx.Response:
        """A delivery of these events, as Okta sends it."""
        return await self.send_body(okta_batch(*events), **more)

    async def send_body(
        self, body: object, *, authorization: str | None = HOOK_SECRET, name: str = "okta"
    ) -> httpx.Response:
        """Any body, as JSON unless it is bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        by = NOBODY if authorization is None else {"Authorization": authorization}
        return await self.api.call(
            "POST", hook_path(name), raw=raw, by=by, headers={"Content-Type": "application/json"}
        )

    async def told(self, *events: Any) -> tuple[int, int]:
        """Send events that have to be taken: how many were revocations, and how many not."""
        answer = await self.send(*events)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        counts = answer.json()
        assert set(counts) == {"revocations", "ignored"}
        return counts["revocations"], counts["ignored"]

    async def verification(self, **headers: str) -> httpx.Response:
        """A request for the one-time verification, with these headers."""
        return await self.api.call("GET", hook_path("okta"), by=NOBODY, headers=headers)

    async def is_active(self, token: str) -> bool:
        """Whether a refresh token is honoured."""
        return bool((await self.api.introspect(token)).json()["active"])

    async def is_over(self, session_id: str | None = None) -> bool:
        """Whether Ada's session, or another, is ended, by both ways there are to ask."""
        wanted = session_id or self.session_id
        read = (await self.api.get(f"/api/v2/sessions/{wanted}")).json()["active"]
        introspected = (await self.api.introspect(wanted, token_type_hint="session")).json()["active"]
        assert read is introspected
        return not read

    async def receipts(self) -> list[dict[str, Any]]:
        """The heads of all receipts, the newest first."""
        items: list[dict[str, Any]] = (await self.api.get("/api/v2/revocations")).json()["items"]
        return items

    async def everything_is_dead(self) -> bool:
        """Whether nothing of Ada's is honoured."""
        return await self.is_over() and not (await self.is_active(self.online) or await self.is_active(self.offline))

    async def nothing_happened(self) -> bool:
        """Whether all of Ada's is honoured, and nothing was recorded."""
        tokens = await self.is_active(self.online) and await self.is_active(self.offline)
        return tokens and not await self.is_over() and await self.receipts() == []
