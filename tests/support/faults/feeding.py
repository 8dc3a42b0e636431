"""The people of a run and their providers: each signs in through two connections, is revoked through one, and is asked about."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.support.faults.applications import Application
from tests.support.faults.calling import Caller
from tests.support.faults.fleet import ADMIN_TOKEN, ALGORITHM
from tests.support.faults.lives import Connection, Holding, Life
from tests.support.faults.plan import Way
from tests.support.okta_events import okta_batch, okta_event, okta_user

AT_ONCE: Final = 48
"""People who are seen to at a time."""

CLIENT_ID: Final = "0oa1exampleClient"


@dataclass(kw_only=True)
class Feeder(Caller):
    """Whoever calls: identity providers, the authorization server, the administrator."""

    connections: Sequence[Connection]
    applications: Sequence[Application]

    async def set_up(self) -> None:
        """Register applications and connections."""
        for app in self.applications:
            body = {
                "client_id": app.client_id,
                "backchannel_logout_uri": app.uri,
                "backchannel_logout_session_required": app.session_required,
                "id_token_signed_response_alg": ALGORITHM,
            }
            made = await self.api("POST", "/api/v2/clients", body, expect=(201,))
            self.secrets.add(made["client_secret"])
        for connection in self.connections:
            secret = f"secret-at-{connection.name}-{uuid.uuid4().hex}"
            self.secrets |= {secret, connection.hook_secret}
            options = {
                "type": "back_channel",
                "discovery_url": connection.idp.discovery_url,
                "client_id": CLIENT_ID,
                "client_secret": secret,
                "scopes": "openid profile",
                "okta_event_hook_secret": connection.hook_secret,
                "revoke_offline_access": True,
            }
            body = {
                "strategy": "oidc",
                "name": connection.name,
                "options": options,
                "enabled_clients": [each.client_id for each in self.applications],
            }
            made = await self.api("POST", "/api/v2/connections", body, expect=(201,))
            connection.gtr_url = made["global_token_revocation_endpoint"]
            connection.logout_url = made["backchannel_logout_uri"]
            connection.hook_url = made["okta_event_hook_uri"]

    async def live(self, life: Life) -> None:
        """One person's part: two sign-ins, a revocation, and what is honoured right after it."""
        through, other = life.person.through, 1 - life.person.through
        self.secrets |= {life.email, life.phone_number}
        life.revoked = await self._sign_in(life, through, life.person.applications)
        life.twin = await self._sign_in(life, other, life.person.applications[:1])
        await self._revoke(life, self.connections[through])
        life.acknowledged_s = time.monotonic()
        client_id = self.applications[life.person.applications[0]].client_id
        life.effective_at_once = await self.is_over(life.revoked, client_id)

    async def is_over(self, holding: Holding, client_id: str) -> bool:
        """Whether nothing of a holding is honoured, however one asks: introspection of all of it, and a rotation."""
        if any(await self.honoured(holding)):
            return False
        return (await self.rotate(holding.online, client_id)).get("error") == "invalid_grant"

    async def honoured(self, holding: Holding) -> tuple[bool, bool, bool]:
        """Whether the session and both refresh tokens of a holding are."""
        session, online, offline = await asyncio.gather(
            self._is_active(holding.session_id, token_type_hint="session"),
            self._is_active(holding.online),
            self._is_active(holding.offline),
        )
        return session, online, offline

    async def rotate(self, token: str, client_id: str) -> dict[str, Any]:
        """The answer to a rotation: a new token, or the error."""
        answer = await self.api(
            "POST",
            "/api/v2/refresh-tokens/rotate",
            {"refresh_token": token, "client_id": client_id},
            expect=(200, 400),
        )
        if "refresh_token" in answer:
            self.secrets.add(answer["refresh_token"])
        return dict(answer)

    async def _sign_in(self, life: Life, through: int, applications: tuple[int, ...]) -> Holding:
        connection = self.connections[through]
        clients = [self.applications[each].client_id for each in applications]
        body = {
            "connection": connection.name,
            "subject": {"iss": connection.idp.issuer, "sub": life.sub},
            "identifiers": [
                {"format": "email", "email": life.email},
                {"format": "phone_number", "phone_number": life.phone_number},
                {"format": "opaque", "id": f"employee-{life.person.number}"},
            ],
            "upstream_sid": life.upstream_sid,
            "auth_time": int(time.time()) - 60,
            "clients": [{"client_id": each} for each in clients],
        }
        tries: list[None] = []
        made = await self.api("POST", "/api/v2/sessions", body, expect=(201,), on_try=lambda: tries.append(None))
        tokens = []
        for offline in (False, True):
            wanted = {"session_id": made["session_id"], "client_id": clients[0], "offline": offline}
            tokens.append((await self.api("POST", "/api/v2/refresh-tokens", wanted, expect=(201,)))["refresh_token"])
        self.secrets |= set(tokens)
        return Holding(
            user_id=made["user_id"],
            session_id=made["session_id"],
            online=tokens[0],
            offline=tokens[1],
            asked_twice=len(tries) > 1,
        )

    async def _revoke(self, life: Life, connection: Connection) -> None:
        """As each of the callers does it, repeated until it is acknowledged."""

        def count() -> None:
            life.tries += 1

        match life.person.way:
            case "email" | "iss_sub" | "opaque" | "aliases" as way:
                first = self._assertion(connection)

                def headers() -> dict[str, str]:
                    again = life.tries > 1 and life.person.fresh_assertion
                    return {"Authorization": f"Bearer {self._assertion(connection) if again else first}"}

                subject = {"sub_id": _subject(life, connection, way)}
                path = _path(connection.gtr_url)
                await self.call("POST", path, headers=headers, expect=(204,), on_try=count, json=subject)
            case "logout_sub" | "logout_sid" as way:
                sub, sid = (life.sub, None) if way == "logout_sub" else (None, life.upstream_sid)
                form = {"logout_token": connection.idp.logout_token(sub=sub, sid=sid, client_id=CLIENT_ID)}
                self.secrets.add(form["logout_token"])
                await self.call("POST", _path(connection.logout_url), expect=(200,), on_try=count, data=form)
            case "operator":
                body = {"connection": connection.name, "subject": {"format": "email", "email": life.email.lower()}}
                await self.api("POST", "/api/v2/revocations", body, expect=(202,))
                count()
            case "event_hook":
                event = okta_event(
                    "user.session.clear", at_ms=int(time.time() * 1000), target=[okta_user(life.sub, life.email)]
                )
                secret = {"Authorization": connection.hook_secret}
                path, batch = _path(connection.hook_url), okta_batch(event)
                await self.call("POST", path, headers=secret, expect=(200,), on_try=count, json=batch)
            case "administrator":
                if life.revoked is None:
                    raise AssertionError("whoever is revoked has signed in")
                await self.api("DELETE", f"/api/v2/users/{life.revoked.user_id}/sessions", expect=(202,))
                count()

    def _assertion(self, connection: Connection) -> str:
        token = connection.idp.assertion(audience=connection.gtr_url, client_id=CLIENT_ID, alg="ES256")
        self.secrets.add(token)
        return token

    async def _is_active(self, token: str, **parameters: str) -> bool:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        form = {"token": token, **parameters}
        answer = await self.call("POST", "/oauth/introspect", headers=headers, expect=(200,), data=form)
        return bool(answer["active"])


def _subject(life: Life, connection: Connection, way: Way) -> dict[str, Any]:
    match way:
        case "email":
            return {"format": "email", "email": life.email.lower()}
        case "iss_sub":
            return {"format": "iss_sub", "iss": connection.idp.issuer, "sub": life.sub}
        case "opaque":
            return {"format": "opaque", "id": f"employee-{life.person.number}"}
        case _:
            names = [{"format": "phone_number", "phone_number": life.phone_number}]
            return {"format": "aliases", "identifiers": [*names, {"format": "email", "email": life.email}]}


def _path(url: str) -> str:
    """The path of an endpoint: every service has it, not only the one the public URL names."""
    return "/" + url.split("/", 3)[3]
