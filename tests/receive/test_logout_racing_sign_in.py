"""A logout and a sign-in at the same time, each held at every moment of its way while the other goes past: whatever the order,
what began before the logout is not honoured after it, and what began after it is."""

from collections.abc import Awaitable
from dataclasses import dataclass

import httpx
import pytest

from tests.support.asgi import SUBJECT, Api, sign_in_body
from tests.support.identity_provider import IdentityProvider
from tests.support.pauses import paused

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(kw_only=True)
class Race:
    """SUBJECT's sign-in from the upstream session `sid`, if one is reported, and the logout of `subject`, sent at `sent_s`."""

    api: Api
    idp: IdentityProvider
    subject: str
    sid: str | None
    known: bool
    sent_s: int
    auth_time: int | None

    async def prepare(self) -> None:
        """Nobody has signed in yet, or, where they are `known`, from another upstream session."""
        await self.api.resources.record.client.flushall()
        self.api.secrets.clear()
        await self.api.connection(self.idp, "shop")
        if self.known:
            await self.api.sign_in(self.idp, "shop", upstream_sid="earlier", auth_time=self.sent_s - 100)

    def sign_in(self) -> Awaitable[httpx.Response]:
        members = {"upstream_sid": self.sid, "auth_time": self.auth_time}
        body = sign_in_body(self.idp, "shop", **{name: each for name, each in members.items() if each is not None})
        return self.api.post("/api/v2/sessions", body)

    def logout(self) -> Awaitable[httpx.Response]:
        token = self.idp.logout_token(
            sub=None if self.subject == "sid" else SUBJECT,
            sid=None if self.subject == "sub" else self.sid or "never-reported",
            now_s=self.sent_s,
        )
        return self.api.backchannel_logout(token)

    async def outcomes(self) -> list[bool]:
        """Whether the sign-in is honoured in the end, for each moment at which one of the two was held."""
        found = []
        for sign_in_is_held in (True, False):
            happened, at = True, 0
            while happened:
                at += 1
                await self.prepare()
                answers: dict[str, httpx.Response] = {}

                async def sign_in(answers: dict[str, httpx.Response] = answers) -> None:
                    answers["sign-in"] = await self.sign_in()

                async def logout(answers: dict[str, httpx.Response] = answers) -> None:
                    answers["logout"] = await self.logout()

                held, passing = (sign_in, logout) if sign_in_is_held else (logout, sign_in)
                with paused(at=at) as pause:
                    await pause.around(held(), passing)
                happened = pause.happened
                assert answers["logout"].status_code == 200
                found.append(await self._is_honoured(answers["sign-in"]))
        assert len(found) > 10, "neither was held often enough to mean anything"
        return found

    async def _is_honoured(self, signed_in: httpx.Response) -> bool:
        if signed_in.status_code == 409:
            return False
        assert signed_in.status_code == 201, signed_in.text
        session = signed_in.json()["session_id"]
        told = (await self.api.introspect(session, token_type_hint="session")).json()
        body = {"session_id": session, "client_id": "shop"}
        assert (await self.api.post("/api/v2/refresh-tokens", body)).is_success == told["active"]
        return bool(told["active"])


CASES = pytest.mark.parametrize(
    ("subject", "sid"), [("sub", None), ("sub", "up-1"), ("sid", "up-1"), ("both", None), ("both", "up-1")]
)
KNOWN = pytest.mark.parametrize("known", [True, False], ids=["known", "never seen"])


@CASES
@KNOWN
async def test_a_sign_in_from_before_the_logout_is_never_honoured_after_it(
    api: Api, idp: IdentityProvider, subject: str, sid: str | None, known: bool
) -> None:
    now_s = api.clock.now_s
    race = Race(api=api, idp=idp, subject=subject, sid=sid, known=known, sent_s=now_s, auth_time=now_s - 1)
    assert set(await race.outcomes()) == {False}


@CASES
@KNOWN
async def test_a_sign_in_from_after_the_logout_is_honoured_however_late_that_comes(
    api: Api, idp: IdentityProvider, subject: str, sid: str | None, known: bool
) -> None:
    now_s = api.clock.now_s
    race = Race(api=api, idp=idp, subject=subject, sid=sid, known=known, sent_s=now_s - 2, auth_time=now_s - 1)
    assert set(await race.outcomes()) == {True}


@CASES
@KNOWN
async def test_a_sign_in_whose_time_nobody_told_is_honoured_where_the_logout_is_a_late_one(
    api: Api, idp: IdentityProvider, subject: str, sid: str | None, known: bool
) -> None:
    """It counts from the second it is reported."""
    now_s = api.clock.now_s
    race = Race(api=api, idp=idp, subject=subject, sid=sid, known=known, sent_s=now_s - 90, auth_time=None)
    assert set(await race.outcomes()) == {True}


@pytest.mark.parametrize("subject", ["sid", "both"])
@KNOWN
async def test_a_sign_in_whose_time_nobody_told_ends_with_its_upstream_session_when_it_was_reported_first(
    api: Api, idp: IdentityProvider, subject: str, known: bool
) -> None:
    """Only the order counts: what the logout names is the session that there is, whatever the two clocks say."""
    now_s = api.clock.now_s
    race = Race(api=api, idp=idp, subject=subject, sid="up-1", known=known, sent_s=now_s - 1, auth_time=None)
    outcomes = await race.outcomes()
    assert set(outcomes) == {True, False}
    assert outcomes[0] is True, "the logout was over before anything was reported"
