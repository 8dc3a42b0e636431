"""What must hold whatever is sent to a door: a documented answer, no fault of ours, nothing private told, nobody else touched."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.types import Message, Scope

from tests.support.asgi import ADMIN_TOKEN, CREDENTIAL, Api, serving
from tests.support.clock import HandClock
from tests.support.documented import hold_as_documented
from tests.support.fuzzing.requests import EMAIL, PHONE_NUMBER, SUB, Door, Request, request_of
from tests.support.heard import listening
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET

UNLIMITED: Final[dict[str, Any]] = {"door_requests_per_second": 100_000, "failed_authentications_per_minute": 100_000}
"""Settings: as many requests as a run has. Refused by the limits, what comes after the first thousands would find nothing."""

REFUSALS: Final = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 431})

ANSWERS: Final[dict[Door, frozenset[int]]] = {
    "global_token_revocation": REFUSALS | {204},
    "backchannel_logout": frozenset({200, 400, 404, 405, 431}),
    "event_hook": REFUSALS | {200},
    "challenge": REFUSALS | {200},
}
"""The statuses of each door; 404 where the path is another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """A running service, the identity provider of its connection `okta`, and Bob, whom nobody may touch."""

    api: Api
    idp: IdentityProvider
    bystander: str
    """A refresh token of somebody's of the same names, known through another connection."""

    @classmethod
    @asynccontextmanager
    async def open(cls, redis_url: str, folder: Path) -> AsyncIterator["Doors"]:
        """Everything, over this Redis, in the running loop."""
        async with (
            IdentityProvider.running() as idp,
            serving(redis_url, folder, clock=HandClock(), raise_faults=True, **UNLIMITED) as api,
        ):
            yield await cls.furnish(api, idp)

    @classmethod
    async def furnish(cls, api: Api, idp: IdentityProvider) -> "Doors":
        """Two connections to one provider, and somebody signed in through each by the same names."""
        identifiers = [
            {"format": "email", "email": EMAIL},
            {"format": "phone_number", "phone_number": PHONE_NUMBER},
            {"format": "opaque", "id": "employee-7"},
        ]
        found = []
        for name in ("okta", "bystanders"):
            await api.connection(idp, "shop", name=name, options={"okta_event_hook_secret": HOOK_SECRET})
            session = await api.sign_in(
                idp,
                "shop",
                connection=name,
                subject={"iss": idp.issuer, "sub": SUB},
                identifiers=identifiers,
                upstream_sid="upstream",
            )
            found.append(await api.refresh_token(session, "shop"))
        return cls(api=api, idp=idp, bystander=found[1])

    async def judge(self, data: bytes) -> int:
        """Send what these bytes stand for. AssertionError when anything does not hold; else the status."""
        request = request_of(data, idp=self.idp, now_s=self.api.clock.now_s)
        with listening() as heard:
            status, headers, body = await self._send(request)
        named = f"{request.method} {request.path}"
        assert status in ANSWERS[request.door], f"{named}: {status} {body[:200]!r}"
        answer = httpx.Response(
            status, headers=headers, content=body, request=httpx.Request(request.method, f"https://x{request.path}")
        )
        await hold_as_documented(answer)
        faults = [each for each in heard.lines if each["level"] in {"error", "critical"} or each.get("exc_info")]
        assert not faults, f"{named}: {faults}"
        lines = [json.dumps(each, default=str).lower() for each in heard.lines]
        for secret in (*request.secrets, ADMIN_TOKEN, CREDENTIAL):
            assert not any(secret.lower() in line for line in lines), f"{named}: a log line holds {secret[:6]}…"
            if request.door != "challenge":
                assert secret.encode("utf-8", "surrogateescape") not in body, f"{named}: the answer holds {secret[:6]}…"
        with listening():
            bystander = await self.api.introspect(self.bystander)
        assert bystander.json()["active"], f"{named}: somebody else was signed out"
        return status

    async def _send(self, request: Request) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """As a server would hand it over: to the application itself, no client of ours between."""
        raw_path = request.path.encode("ascii")
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "https",
            "path": httpx.URL(f"https://x{request.path}").path,
            "raw_path": raw_path,
            "query_string": b"",
            "root_path": "",
            "headers": [*request.headers],
            "client": ("192.0.2.7", 40000),
            "server": ("logout.example.com", 443),
        }
        parts = [request.body[: len(request.body) // 2], request.body[len(request.body) // 2 :]]
        sent: list[Message] = []

        async def receive() -> Message:
            if parts:
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.api.app(scope, receive, send)
        start: dict[str, Any] = dict(sent[0])
        # Servers leave the body of an answer to HEAD out.
        body = b"" if request.method == "HEAD" else b"".join(each.get("body", b"") for each in sent[1:])
        return start["status"], start["headers"], body
