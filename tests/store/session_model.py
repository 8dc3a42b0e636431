"""What is honoured, told without Redis and by the order of events alone: for the stories of `story`."""

from dataclasses import dataclass, field

from service.domain.revocation import Everything, OneSession, RevocationRequest, SessionsBegunBy
from service.store.people import LATE_MARGIN_MS, PROMPT_MS
from tests.store.family_model import ModelFamily, ModelPlace


@dataclass(eq=False)
class ModelPerson:
    """`clock`: the stamp given out last. `revoked_at_ms`: None until the first revocation. `logged_out_ms`: through when all
    of them was logged out (None) or one upstream session; `without_sid_ms`: or one that is any reported without."""

    clock: int = 0
    revoked_at_ms: int | None = None
    logged_out_ms: dict[str | None, int] = field(default_factory=dict)
    without_sid_ms: int | None = None

    def refuses(self, auth_time_s: int | None, upstream_sid: str | None) -> bool:
        of_the_session = self.without_sid_ms if upstream_sid is None else self.logged_out_ms.get(upstream_sid)
        ends = (self.revoked_at_ms, self.logged_out_ms.get(None), of_the_session)
        return auth_time_s is not None and any(each is not None and auth_time_s * 1000 <= each for each in ends)


@dataclass(eq=False)
class ModelSession:
    """`ended`: a revocation covers it, or it was deleted; `offline_ended`: its offline tokens with it. `ended_alive`: it was
    honoured until then."""

    session_id: str
    name: str
    stamp: int
    expires_at_ms: int
    clients: set[str]
    begun_ms: int = 0
    dated: bool = False
    upstream_sid: str | None = None
    ended: bool = False
    offline_ended: bool = False
    ended_alive: bool = False

    def honoured(self, now_ms: int) -> bool:
        return not self.ended and now_ms < self.expires_at_ms


@dataclass(eq=False)
class ModelToken:
    """A refresh token of a session, and its place in its family. `ended_alive`: it was honoured until a revocation ended it."""

    secret: str
    session: ModelSession
    client: str
    expires_at_ms: int
    offline: bool
    place: ModelPlace
    ended_alive: bool = False

    def honoured(self, now_ms: int) -> bool:
        return not self.place.dead and now_ms < self.expires_at_ms and self._hangs_on(now_ms)

    def could_live(self, now_ms: int) -> bool:
        """Whether it is honoured, or would be had it not been spent."""
        spent = self.place.spent_at_ms is not None
        expires_at_ms = self.place.family.expires_at_ms if spent else self.expires_at_ms
        return now_ms < expires_at_ms and self._hangs_on(now_ms)

    def _hangs_on(self, now_ms: int) -> bool:
        return not self.session.offline_ended if self.offline else self.session.honoured(now_ms)


@dataclass(eq=False)
class ModelRevocation:
    """`in_force`: it has cut off; `acknowledged`: that was written down too; `late`: by a worker, and the caller has yet to
    hear of it, by `again`, which holds from then. `owed`: applications it must tell."""

    request: RevocationRequest
    names: tuple[str, ...]
    accepted_at_ms: int
    in_force: bool = False
    acknowledged: bool = False
    late: bool = False
    again: "ModelRevocation | None" = None
    owed: set[str] = field(default_factory=set)
    family: ModelFamily | None = None


@dataclass(eq=False)
class Model:
    """One or two people, and all there has ever been of theirs."""

    people: dict[str, ModelPerson] = field(default_factory=lambda: {"ada": ModelPerson(), "bob": ModelPerson()})
    sessions: list[ModelSession] = field(default_factory=list)
    tokens: list[ModelToken] = field(default_factory=list)
    revocations: list[ModelRevocation] = field(default_factory=list)

    def cut(self, revocation: ModelRevocation, *, now_ms: int, late_through: int | None = None) -> None:
        """A revocation comes into force, unless it has before. `late_through`: a worker completes it."""
        if revocation.in_force:
            return
        revocation.in_force = True
        if revocation.family is not None:
            self.end_family(revocation.family, now_ms)
        scope, through_ms = revocation.request.scope, now_ms if late_through is None else late_through
        for name in () if isinstance(scope, OneSession) else revocation.names:
            person = self.people[name]
            person.clock = max(person.clock + (late_through is None), through_ms)
            if isinstance(scope, SessionsBegunBy):
                before_ms = person.logged_out_ms.get(scope.upstream_sid, 0)
                person.logged_out_ms[scope.upstream_sid] = max(before_ms, scope.begun_by_ms)
                if scope.or_without_sid:
                    person.without_sid_ms = max(person.without_sid_ms or 0, scope.begun_by_ms)
            else:
                person.revoked_at_ms = max(person.revoked_at_ms or 0, through_ms)
        for session in self.sessions:
            if self._covers(revocation, session, late_through):
                revocation.owed |= session.clients
                self._end(session, now_ms, offline_too=not isinstance(scope, SessionsBegunBy) or scope.offline_too)

    def _covers(self, revocation: ModelRevocation, session: ModelSession, late_through: int | None) -> bool:
        scope = revocation.request.scope
        if isinstance(scope, OneSession):
            return session.session_id == scope.session_id
        if session.name not in revocation.names or (late_through is not None and session.stamp > late_through):
            return False
        if isinstance(scope, Everything):
            return True
        assert isinstance(scope, SessionsBegunBy)
        named = scope.upstream_sid in {None, session.upstream_sid} or (
            scope.or_without_sid and session.upstream_sid is None
        )
        arrived_at_ms = scope.arrived_at_ms or revocation.accepted_at_ms
        prompt = arrived_at_ms - scope.begun_by_ms <= PROMPT_MS
        if scope.arrived_at_ms is not None:
            prompt = prompt and session.stamp <= scope.arrived_at_ms + LATE_MARGIN_MS
        by_name = scope.upstream_sid is not None and scope.upstream_sid == session.upstream_sid
        return named and (session.begun_ms <= scope.begun_by_ms or (by_name and prompt and not session.dated))

    def end_family(self, family: ModelFamily, now_ms: int) -> None:
        """A family of tokens ends as a whole."""
        for token in self.tokens:
            if token.place.family is family and token.honoured(now_ms):
                token.ended_alive = True
        family.ended = True

    def _end(self, session: ModelSession, now_ms: int, *, offline_too: bool) -> None:
        for token in self.tokens:
            if token.session is session and token.honoured(now_ms) and (offline_too or not token.offline):
                token.ended_alive = True
        session.ended_alive = session.ended_alive or session.honoured(now_ms)
        session.ended = True
        session.offline_ended = session.offline_ended or offline_too
