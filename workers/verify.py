"""A logout token that could not be verified when it came is verified as soon as its keys can be had; only then is it acted
upon. It is held against the clock of the moment it came: what was in time then is not late for our waiting."""

from dataclasses import dataclass
from typing import Final

from service.accept_logout import Logouts
from service.domain.audit import Actor, Event, Fact, acts, cause, request_begins
from service.domain.clock import Clock
from service.errors import CannotBeEnded, Held, KeysUnavailable, NotAuthenticated
from service.store.audit import Trail
from service.store.connections import Connections
from service.store.kept_tokens import KEPT_MS, KeptTokens
from service.telemetry import get_logger
from service.verify.issuer_keys import IssuerKeys
from service.verify.logout_token import verify_logout_token

log = get_logger(__name__)

LOOK_AGAIN_MS: Final = 15_000
"""When a kept token is looked at again whose keys still cannot be had, in milliseconds; twice as late each time."""

LONGEST_PAUSE_MS: Final = 300_000
"""The longest that pause becomes, in milliseconds: how long after the keys are back its person may still be signed in."""


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """What verifying takes."""

    clock: Clock
    connections: Connections
    kept_tokens: KeptTokens
    issuer_keys: IssuerKeys
    logouts: Logouts
    trail: Trail

    async def verify(self, kept_id: str) -> None:
        """See to one kept token: accept it, refuse it, or leave it for later."""
        with request_begins(request_id=kept_id, address=None, door="backchannel_logout"):
            await self._verify(kept_id)

    async def _verify(self, kept_id: str) -> None:
        token = await self.kept_tokens.get(kept_id)
        if token is None:
            await self.kept_tokens.drop(kept_id, None)
            return
        named = {"kept_id": kept_id, "connection_id": token.connection_id}
        connection = await self.connections.get(token.connection_id)
        if connection is None or not connection.enabled:
            why = "connection_gone" if connection is None else "disabled"
            log.warning("logout.dropped", **named, reason=why)
            await self._tell(token.connection_id, why)
            await self.kept_tokens.drop(kept_id, token.connection_id)
            return
        now_ms = self.clock.now_ms()
        refused = None
        try:
            logout = await verify_logout_token(
                token.text, connection=connection, keys=self.issuer_keys, now_ms=token.received_at_ms
            )
            acts(Actor(type="connection", id=connection.id, issuer=logout.iss))
            await self.logouts.accept(logout, connection, arrived_at_ms=token.received_at_ms)
        except (KeysUnavailable, Held) as error:
            if isinstance(error, Held) and error.kept:
                # It waits for an operator now, beside the others.
                await self.kept_tokens.drop(kept_id, token.connection_id)
                return
            if now_ms - token.received_at_ms < KEPT_MS:
                pause_ms = min(LOOK_AGAIN_MS * 2 ** min(token.looks, 10), LONGEST_PAUSE_MS)
                at_ms = min(now_ms + pause_ms, token.received_at_ms + KEPT_MS)
                await self.kept_tokens.look_again(token, at_ms=at_ms)
                return
            refused = "held" if isinstance(error, Held) else "keys_unavailable"
        except NotAuthenticated as error:
            refused = error.reason
        except CannotBeEnded:
            refused = "cannot_be_ended"
        if refused is not None:
            log.warning("logout.dropped", **named, reason=refused)
        else:
            log.info("logout.verified_late", **named, after_ms=now_ms - token.received_at_ms)
        if refused is not None or not cause().entries:
            await self._tell(connection.id, refused)
        await self.kept_tokens.drop(kept_id, token.connection_id)

    async def _tell(self, connection_id: str, refused: str | None) -> None:
        """Tell the audit trail that it ended nothing, and why."""
        event: Event = "message.accepted" if refused is None else "message.refused"
        await self.trail.append_bounded(Fact(event=event, connection_id=connection_id, reason=refused))
