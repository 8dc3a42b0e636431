"""An Okta event was dated by the machine that took it and the sessions by Redis: what had begun by then lived on where the
machine's clock was behind."""

from pathlib import Path

import pytest

from service.domain.clock import SystemClock
from tests.support.asgi import NOBODY, serving
from tests.support.clock import HandClock
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event
from tests.support.tokens import REMOVED


@pytest.mark.parametrize("members", [{}, {"published": REMOVED}], ids=["dated by Okta", "not dated"])
async def test_an_event_at_a_machine_whose_clock_is_behind_ends_what_began_before_it(
    redis_url: str, tmp_path: Path, members: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = SystemClock().now_ms
    machine = HandClock(right() - 3_600_000)
    monkeypatch.setattr(SystemClock, "now_ms", lambda _self: machine.now_ms())
    async with (
        IdentityProvider.running() as idp,
        serving(redis_url, tmp_path, clock=machine, own_clocks=True) as api,
    ):
        await api.connection(idp, "shop", options={"okta_event_hook_secret": HOOK_SECRET})
        session = await api.sign_in(idp, "shop")
        token = await api.refresh_token(session, "shop", offline=True)
        event = okta_event("user.session.clear", at_ms=right(), **members)

        headers = {"Authorization": HOOK_SECRET}
        answer = await api.call("POST", hook_path("okta"), okta_batch(event), by=NOBODY, headers=headers)

        assert answer.json() == {"revocations": 1, "ignored": 0}
        assert not (await api.get(f"/api/v2/sessions/{session['session_id']}")).json()["active"]
        assert (await api.introspect(token)).json() == {"active": False}
