"""From a verified logout token to what it ends here: the part of STEP 3 that back-channel logout needs, at the door and
when a kept token has been verified at last.

1. remember  which `jti` came with which message: a repeat finds the first, and changes nothing, as much later as it is
2. mark      that this upstream session or person was logged out, for sign-ins still on their way
3. resolve   whose sessions are meant, within the connection (law 4)
4. accept    the revocation, like any other (`service.accept`); where nobody is meant, wait as it does for disk or replicas:
             the mark is what ends a sign-in on its way, and must not be lost to a failover whoever is meant
"""

from dataclasses import dataclass
from typing import Final

from service.accept import Accepted, Sink
from service.domain.connection import Connection
from service.domain.identifiers import fingerprint, revocation_id_for
from service.domain.revocation import RevocationRequest, SessionsBegunBy
from service.domain.subject import iss_sub
from service.errors import CannotBeEnded, NotAuthenticated
from service.store.durability import Durability
from service.store.kept_tokens import KEPT_MS
from service.store.people import MAX_PEOPLE, People
from service.store.replay import LogoutToken, Replays
from service.store.upstream import UpstreamSessions
from service.telemetry import get_logger
from service.verify.logout_token import VerifiedLogout

log = get_logger(__name__)

LATE_COPY_MS: Final = 600_000
"""How much longer than a token is good its `jti` is remembered, in milliseconds: the sender may have signed it anew since it
was kept once, and what is kept may be looked at minutes after its keys are back (`workers.verify.LONGEST_PAUSE_MS`)."""

COPIES_MS: Final = 2 * KEPT_MS
"""How long after its arrival the `jti` of a token that was kept is remembered, in milliseconds: it may be looked at a day later,
and a copy signed anew that was kept by then a day after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logouts:
    """What accepting a logout takes."""

    people: People
    upstream: UpstreamSessions
    replays: Replays
    sink: Sink
    durability: Durability

    async def accept(
        self, logout: VerifiedLogout, connection: Connection, *, arrived_at_ms: int | None = None
    ) -> Accepted | None:
        """Put a logout into force; None when it names nobody known through this connection: then there is nothing to end.

        `arrived_at_ms`: when it came, where it was kept and could be verified only now. Raises NotAuthenticated when its
        `jti` came with another message before, CannotBeEnded when it names too many people, and Unavailable.
        """
        asked = LogoutToken(
            message=fingerprint(logout.iss, *(_present(each) for each in (logout.sub, logout.sid))),
            issued_at_ms=logout.issued_at_ms,
            until_ms=logout.expires_at_ms,
        )
        remembered_until_ms = logout.expires_at_ms + LATE_COPY_MS
        if arrived_at_ms is not None:
            remembered_until_ms = max(remembered_until_ms, arrived_at_ms + COPIES_MS)
        named = (connection.id, logout.iss, logout.jti)
        history = await self.durability.history()
        first = await self.replays.bind_logout(*named, token=asked, remembered_until_ms=remembered_until_ms)
        if first is None:
            raise NotAuthenticated("this `jti` came with another message before", reason="replayed_token")
        if first.named_nobody:
            # It may not have been answered with success yet.
            await self.durability.reached_since(history)
            return None
        # The first one's time, here and below: a repeat that was signed anew is later, and must reach no further.
        await self.upstream.mark_logged_out(
            connection.id, iss=logout.iss, sub=logout.sub, sid=logout.sid, at_ms=first.issued_at_ms
        )
        people, or_without_sid = await self._resolve(logout, connection.id)
        if not people:
            log.info("logout.nobody", connection_id=connection.id)
            await self.replays.remember_logout_of_nobody(*named, token=first, remembered_until_ms=remembered_until_ms)
            await self.durability.reached_since(history)
            return None
        accepted = await self.sink.accept(
            RevocationRequest(
                revocation_id=revocation_id_for("backchannel_logout", *named, first.message, str(first.until_ms)),
                connection_id=connection.id,
                user_ids=people,
                initiator="backchannel_logout",
                scope=SessionsBegunBy(
                    begun_by_ms=first.issued_at_ms,
                    upstream_sid=logout.sid,
                    or_without_sid=or_without_sid,
                    offline_too=connection.options.revoke_offline_access,
                    arrived_at_ms=arrived_at_ms,
                ),
            )
        )
        # The revocation has been waited for, and the mark was made before it.
        await self.durability.same_history(history)
        return accepted

    async def _resolve(self, logout: VerifiedLogout, connection_id: str) -> tuple[tuple[str, ...], bool]:
        """Who is meant; and whether sessions that were reported without an upstream `sid` are, which is so when the person
        is named and nobody has ever reported the `sid`: then one of those must be it."""
        named: tuple[str, ...] = ()
        if logout.sub is not None:
            named = await self.people.resolve(connection_id, [iss_sub(logout.iss, logout.sub)])
        if logout.sid is None:
            return named, False
        holders = await self.upstream.people(connection_id, logout.sid)
        if not named and len(holders) > MAX_PEOPLE:
            raise CannotBeEnded(f"the session names more than {MAX_PEOPLE} people")
        # A `sub` that is not known here does not make the session of that `sid` another one.
        return named or tuple(sorted(holders)), bool(named) and not holders & set(named)


def _present(name: str | None) -> str:
    return "" if name is None else f"={name}"
