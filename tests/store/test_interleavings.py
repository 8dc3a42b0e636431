"""Sign-ins, departures, tokens, rotations, revocations, deletions, crashes, clocks that jump and workers that come late, in any
order: what is honoured is what a model says that knows only the order of events, and what a dry run foretells comes true."""

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from service.accept import cut_off
from service.admin.dry_run import foretell
from service.domain.refresh_token import RefreshToken
from service.domain.revocation import (
    Everything,
    Initiator,
    OneSession,
    Revocation,
    RevocationRequest,
    Scope,
    SessionsBegunBy,
)
from service.embedded_redis import EmbeddedRedis
from service.errors import InvalidGrant, InvalidRequest, NotFound, ReauthenticationRequired
from service.store.families import BY_ITS_CLIENT
from service.store.people import LATE_MARGIN_MS, PROMPT_MS
from service.store.refresh_tokens import Reused
from tests.store.family_model import ModelFamily, ModelPlace
from tests.support.contents import contents
from tests.support.house import House, open_house
from tests.support.redis_server import empty

EXAMPLES, STEPS = 120, 40

T = TypeVar("T")

Kind = Literal[
    *("sign in", "join", "leave", "issue", "revoke", "logout", "crash", "cut off and crash", "delete"),
    *("repeat", "work off", "chore", "clock", "rotate", "rotate and crash", "give back", "delete token"),
]

# What comes more often is listed more often: things should meet, and not happen beside each other.
KINDS: Sequence[Kind] = (
    *["sign in"] * 6,
    *["issue"] * 9,
    *["rotate"] * 10,
    *["rotate and crash"] * 2,
    "give back",
    "delete token",
    "join",
    "leave",
    "revoke",
    *["logout"] * 4,
    "crash",
    "cut off and crash",
    "delete",
    *["repeat"] * 3,
    *["work off"] * 4,
    "chore",
    *["clock"] * 4,
)
WHO = ("ada", "ada", "ada", "bob")
CLIENTS = ("crm", "crm", "mail")
LIFETIMES_S = (3600, 3600, 60, 1)
AUTHENTICATED = (None, "before", "at", "after")
UPSTREAM_SIDS = (None, "up-1", "up-2")
CLOCK_S = (0.001, 0.5, 1, 30, 59.999, 3600, -0.001, -1, -120)
IDLE_S = (None, None, 30, 3600)
GRACE_S = (0, 0, 10)
CHORES = ("sweep", "tidy", "forget scripts")


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that happens. `sent`: when a logout was, seen from the newest sign-in.

    `apt`: it is done to something that is alive, if there is anything, and by an application that takes part in it; most
    things would else be refused. `which` picks among the sessions, tokens or revocations there are, the newest being 0."""

    kind: Kind
    who: str = "ada"
    client: str = "crm"
    lasts_s: int = 3600
    authenticated: str | None = None
    upstream_sid: str | None = None
    sent: str = "at"
    flag: bool = False
    apt: bool = True
    which: int = 0
    seconds: float = 0.0
    idle_s: int | None = None
    grace_s: int = 0
    chore: str = "sweep"


steps = st.builds(
    Step,
    kind=st.sampled_from(KINDS),
    who=st.sampled_from(WHO),
    client=st.sampled_from(CLIENTS),
    lasts_s=st.sampled_from(LIFETIMES_S),
    authenticated=st.sampled_from(AUTHENTICATED),
    upstream_sid=st.sampled_from(UPSTREAM_SIDS),
    sent=st.sampled_from(("before", "at", "after", "now")),
    flag=st.booleans(),
    apt=st.sampled_from((True, True, True, False)),
    which=st.integers(min_value=0, max_value=3),
    seconds=st.sampled_from(CLOCK_S),
    idle_s=st.sampled_from(IDLE_S),
    grace_s=st.sampled_from(GRACE_S),
    chore=st.sampled_from(CHORES),
)


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


class Story:
    """One or two people, and what happens to them."""

    def __init__(self, server: EmbeddedRedis, folder: Path, *, orderly: bool) -> None:
        empty(server)
        self.redis_url = server.url
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.house: House = self.run(self.stack.enter_async_context(open_house(server.url, folder)))
        self.numbers = itertools.count(1)
        self.people = {"ada": ModelPerson(), "bob": ModelPerson()}
        self.all_sessions: list[ModelSession] = []
        self.all_tokens: list[ModelToken] = []
        self.all_revocations: list[ModelRevocation] = []
        self.orderly = orderly
        """No crash, and no clock that goes back: then what was ended can be counted."""

    def close(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def now_ms(self) -> int:
        return self.house.clock.now_ms()

    def happen(self, step: Step) -> None:
        match step.kind:
            case "sign in":
                self.sign_in(step)
            case "join" | "leave" | "issue" | "delete" if self.all_sessions:
                alive = [each for each in self.all_sessions if each.honoured(self.now_ms)] if step.apt else []
                among = alive or self.all_sessions
                session = among[-1 - step.which % len(among)]
                doing = {"join": self.join, "leave": self.leave, "issue": self.issue, "delete": self.delete}
                doing[step.kind](session, step)
            case "rotate" | "rotate and crash" | "give back" | "delete token" if self.all_tokens:
                handling = {"give back": self.give_back, "delete token": self.delete_token}
                handling.get(step.kind, self.rotate)(self._token(step), step)
            case "revoke":
                self._accept(self._new(self._whose(step)))
            case "logout":
                self._accept(self._new(self._whose(step), self._logout(step)))
            case "crash" | "cut off and crash" if not self.orderly:
                self.crash(step, cut_off_too=step.kind == "cut off and crash")
            case "repeat" | "work off" if self.all_revocations:
                revocation = self.all_revocations[-1 - step.which % len(self.all_revocations)]
                {"repeat": self._accept, "work off": self._work_off}[step.kind](revocation)
            case "chore":
                self.chore(step)
            case "clock":
                self.house.clock.advance(abs(step.seconds) if self.orderly else step.seconds)
            case _:
                pass  # nothing to do it to, or not in an orderly story

    def sign_in(self, step: Step) -> None:
        person, session_id = self.people[step.who], f"ses_{next(self.numbers)}"
        auth_time_s = None
        if step.authenticated is not None:
            moment = (person.revoked_at_ms or person.logged_out_ms.get(step.upstream_sid) or self.now_ms) // 1000
            auth_time_s = moment + {"before": -1, "at": 0, "after": 1}[step.authenticated]
            if step.apt and person.refuses(auth_time_s, step.upstream_sid):
                auth_time_s = None
        signing_in = self.house.sign_in(
            step.who,
            step.client,
            lasts_s=step.lasts_s,
            auth_time_s=auth_time_s,
            upstream_sid=step.upstream_sid,
            session_id=session_id,
        )
        if person.refuses(auth_time_s, step.upstream_sid):
            with pytest.raises(ReauthenticationRequired):
                self.run(signing_in)
            return
        self.run(signing_in)
        person.clock = max(self.now_ms, person.clock + 1)
        expires_at_ms = self.now_ms + step.lasts_s * 1000
        begun_ms = auth_time_s * 1000 if auth_time_s is not None else self.now_ms // 1000 * 1000
        self.all_sessions.append(
            ModelSession(
                session_id,
                step.who,
                person.clock,
                expires_at_ms,
                {step.client},
                begun_ms=begun_ms,
                dated=auth_time_s is not None,
                upstream_sid=step.upstream_sid,
            )
        )

    def join(self, session: ModelSession, step: Step) -> None:
        names = {"sub": f"{step.client}|{session.name}", "sid": f"{step.client}|{session.session_id}"}
        joining = self.house.join(session.session_id, step.client, **names)
        if session.honoured(self.now_ms):
            self.run(joining)
            session.clients.add(step.client)
        else:
            with pytest.raises(NotFound):
                self.run(joining)

    def leave(self, session: ModelSession, step: Step) -> None:
        if step.client not in session.clients:
            return
        self.run(self.house.leave(session.session_id, step.client))
        if not session.ended:  # else it is owed a logout token all the same
            session.clients.remove(step.client)
        for token in self.all_tokens:
            if token.session is session and token.client == step.client:
                token.place.family.ended = True

    def issue(self, session: ModelSession, step: Step) -> None:
        secret = f"a-token-minted-elsewhere-{next(self.numbers)}"
        client = min(session.clients) if step.apt and session.clients else step.client
        issuing = self.house.issue(
            session.session_id, client, offline=step.flag, lasts_s=step.lasts_s, idle_s=step.idle_s, secret=secret
        )
        if not session.honoured(self.now_ms):
            with pytest.raises(NotFound):
                self.run(issuing)
        elif client not in session.clients:
            with pytest.raises(InvalidRequest):
                self.run(issuing)
        else:
            self.run(issuing)
            idle_ms = None if step.idle_s is None else step.idle_s * 1000
            family = ModelFamily(self.now_ms + step.lasts_s * 1000, idle_ms)
            expires_at_ms = family.expiry(self.now_ms)
            self.all_tokens.append(ModelToken(secret, session, client, expires_at_ms, step.flag, ModelPlace(family)))

    def _token(self, step: Step) -> ModelToken:
        """The one that is meant: where that is apt, of those whose family may live."""
        now_ms = self.now_ms
        alive = [each for each in self.all_tokens if not each.place.family.ended and each.could_live(now_ms)]
        among = (step.apt and alive) or self.all_tokens
        return among[-1 - step.which % len(among)]

    def rotate(self, token: ModelToken, step: Step) -> None:
        """A client spends a token, for the first time or not; a crash comes right after a reuse is recorded, or just before."""
        place, family, now_ms = token.place, token.place.family, self.now_ms
        outcome = place.rotate(could_live=token.could_live(now_ms), now_ms=now_ms, grace_ms=step.grace_s * 1000)
        secret = f"a-successor-minted-elsewhere-{next(self.numbers)}"
        rotating = self.house.rotate(token.secret, token.client, grace_s=step.grace_s, successor=secret)
        if outcome == "invalid":
            with pytest.raises(InvalidGrant):
                self.run(rotating)
        elif outcome == "rotated":
            assert isinstance(self.run(rotating), RefreshToken)
            self.all_tokens.append(
                replace(token, secret=secret, expires_at_ms=family.expiry(now_ms), place=ModelPlace(family, place))
            )
        else:
            assert isinstance(self.run(rotating), Reused)
            self.what_is_honoured_is_what_the_model_says()
            if self.orderly or step.kind != "rotate and crash":
                self._accept(self._new_end(token, family, "refresh_token_reuse"))
            elif step.flag:
                self.run(self.house.record_only(self._new_end(token, family, "refresh_token_reuse").request))

    def give_back(self, token: ModelToken, _step: Step) -> None:
        """Its client has no use for it any more (RFC 7009): nobody counts that."""
        found = self._found(token)
        if found is not None:
            ending = self.house.resources.people.families.end(
                found.user_id,
                found.session_id,
                found.family_id,
                BY_ITS_CLIENT,
                now_ms=self.now_ms,
                accepted_at_ms=self.now_ms,
            )
            self.run(ending)
            token.place.family.ended = True

    def delete_token(self, token: ModelToken, _step: Step) -> None:
        if self._found(token) is not None:
            self._accept(self._new_end(token, token.place.family, "refresh_token_delete"))

    def _found(self, token: ModelToken) -> RefreshToken | None:
        found = self.run(self.house.resources.refresh_tokens.find(token.secret))
        # What is deleted is what is dead.
        assert found is not None or not token.honoured(self.now_ms)
        return found

    def _new_end(self, token: ModelToken, family: ModelFamily, initiator: Initiator) -> ModelRevocation:
        request = self.run(self.house.end_of_family(token.secret, initiator=initiator))
        if initiator == "refresh_token_delete":
            request = replace(request, revocation_id=f"rev_{next(self.numbers)}")
        for known in self.all_revocations:
            if known.request.revocation_id == request.revocation_id:
                return known  # recorded before a crash, and come again
        revocation = ModelRevocation(request, (), self.now_ms, family=family)
        self.all_revocations.append(revocation)
        return revocation

    def delete(self, session: ModelSession, _step: Step) -> None:
        self._accept(self._new((session.name,), OneSession(session_id=session.session_id)))

    def _logout(self, step: Step) -> SessionsBegunBy:
        """What an identity provider's message asks for that was sent around the newest sign-in."""
        newest_ms = self.all_sessions[-1].begun_ms if self.all_sessions else self.now_ms
        away_ms = {"before": -1000, "at": 0, "after": 1000, "now": self.now_ms - newest_ms}[step.sent]
        return SessionsBegunBy(
            begun_by_ms=newest_ms + away_ms,
            upstream_sid=step.upstream_sid,
            or_without_sid=step.upstream_sid is not None and step.which == 0,
            offline_too=step.flag and step.chore == "sweep",
        )

    def crash(self, step: Step, *, cut_off_too: bool) -> None:
        """A process dies right after it has recorded a revocation, or after it has cut off too."""
        revocation = self._new(self._whose(step), self._logout(step) if step.which else Everything())
        rid = self.run(self.house.record_only(revocation.request))
        if cut_off_too:
            recorded = self.run(self.house.receipt(rid))
            self.run(cut_off(self.house.resources.people, recorded, now_ms=self.now_ms))
            self._cut(revocation)

    def chore(self, step: Step) -> None:
        match step.chore:
            case "sweep":
                self.run(self.house.worker.sweeper.sweep())
            case "tidy":
                self.run(self.house.worker.sweeper.tidy())
            case _:
                self.run(self.house.resources.record.client.script_flush())

    def what_is_honoured_is_what_the_model_says(self) -> None:
        now_ms = self.now_ms
        expected = [each.honoured(now_ms) for each in (*self.all_sessions, *self.all_tokens)]
        assert self.run(self._honoured()) == expected

    async def _honoured(self) -> list[bool]:
        return list(
            await asyncio.gather(
                *(self.house.session_honoured(each.session_id) for each in self.all_sessions),
                *(self.house.token_honoured(each.secret) for each in self.all_tokens),
            )
        )

    def what_is_foretold_comes_true(self) -> None:
        """Whatever has happened so far: a dry run changes nothing, and names what the revocation after it ends and owes."""
        self.run(self.house.application("crm"))
        # Of two revocations in one millisecond the receipt of either may have what the first has ended.
        latest_ms = max(self.now_ms, *(each.clock for each in self.people.values()))
        self.house.clock.advance((latest_ms + 1 - self.now_ms) / 1000)
        revocation, connection = self._new(("ada", "bob")), self.house.connection()
        before = contents(self.redis_url)
        foretold = self.run(foretell(self.house.resources, connection, revocation.request.user_ids))
        assert contents(self.redis_url) == before

        self._accept(revocation)
        self._work_off(revocation)

        rid = revocation.request.revocation_id
        receipt, rows = self.run(self.house.receipt(rid)), self.run(self.house.deliveries(rid))
        assert foretold["sessions_ended"] == receipt.sessions_ended
        assert foretold["refresh_tokens_revoked"] == receipt.refresh_tokens_revoked
        told = {(each["client_id"], each["reason"]) for each in foretold["applications"]}
        assert told == {(each.client_id, each.reason) for each in rows}

    def everything_is_worked_off(self) -> None:
        """At last every revocation is; then each session was counted at most once, and nobody was left out."""
        for each in self.all_revocations:
            self._work_off(each)
        self.what_is_honoured_is_what_the_model_says()
        receipts = [self.run(self.house.receipt(each.request.revocation_id)) for each in self.all_revocations]
        assert all(each.state == "completed" for each in receipts)
        if self.orderly:
            self._everything_was_counted_once(receipts)
        for revocation in self.all_revocations:
            rows = self.run(self.house.deliveries(revocation.request.revocation_id))
            assert revocation.owed <= {each.client_id for each in rows}
        assert self.run(self.house.due()) == {}

    def _everything_was_counted_once(self, receipts: Sequence[Revocation]) -> None:
        # What expired between two revocations that both cover it is counted by the first or by none.
        sessions = [each for each in self.all_sessions if each.ended_alive]
        lasting = [each for each in sessions if self.now_ms < each.expires_at_ms]
        assert len(lasting) <= sum(each.sessions_ended for each in receipts) <= len(sessions)
        tokens = [each for each in self.all_tokens if each.ended_alive]
        outlasting = [
            each for each in tokens if self.now_ms < each.expires_at_ms and (each.offline or each.session in lasting)
        ]
        assert len(outlasting) <= sum(each.refresh_tokens_revoked for each in receipts) <= len(tokens)

    def _whose(self, step: Step) -> tuple[str, ...]:
        return ("ada", "bob") if step.flag else (step.who,)

    def _new(self, whose: tuple[str, ...], scope: Scope | None = None) -> ModelRevocation:
        request = self.house.request(*whose, scope=scope, revocation_id=f"rev_{next(self.numbers)}")
        revocation = ModelRevocation(request, whose, self.now_ms)
        self.all_revocations.append(revocation)
        return revocation

    def _accept(self, revocation: ModelRevocation) -> None:
        accepted = self.run(self.house.resources.sink.accept(revocation.request))
        if revocation.late:
            if revocation.again is None:
                request = replace(revocation.request, revocation_id=accepted.revocation_id)
                revocation.again = ModelRevocation(request, revocation.names, self.now_ms)
                self.all_revocations.append(revocation.again)
            revocation = revocation.again
        assert accepted.revocation_id == revocation.request.revocation_id
        assert accepted.repeated == revocation.acknowledged
        revocation.acknowledged = True
        self._cut(revocation)

    def _work_off(self, revocation: ModelRevocation) -> None:
        self.run(self.house.worker.revoker.revoke(revocation.request.revocation_id))
        revocation.late = revocation.late or not revocation.acknowledged
        revocation.acknowledged = True
        # One that was recorded and never cut off is completed now: it covers what had begun when it was recorded.
        self._cut(revocation, late_through=revocation.accepted_at_ms + LATE_MARGIN_MS)

    def _cut(self, revocation: ModelRevocation, *, late_through: int | None = None) -> None:
        if revocation.in_force:
            return
        revocation.in_force = True
        if revocation.family is not None:
            self._end_family(revocation.family)
        scope, through_ms = revocation.request.scope, self.now_ms if late_through is None else late_through
        for name in () if isinstance(scope, OneSession) else revocation.names:
            person = self.people[name]
            person.clock = max(person.clock, through_ms)
            if isinstance(scope, SessionsBegunBy):
                before_ms = person.logged_out_ms.get(scope.upstream_sid, 0)
                person.logged_out_ms[scope.upstream_sid] = max(before_ms, scope.begun_by_ms)
                if scope.or_without_sid:
                    person.without_sid_ms = max(person.without_sid_ms or 0, scope.begun_by_ms)
            else:
                person.revoked_at_ms = max(person.revoked_at_ms or 0, through_ms)
        for session in self.all_sessions:
            if self._covers(revocation, session, late_through):
                revocation.owed |= session.clients
                self._end(session, offline_too=not isinstance(scope, SessionsBegunBy) or scope.offline_too)

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
        prompt = revocation.accepted_at_ms - scope.begun_by_ms <= PROMPT_MS
        by_name = scope.upstream_sid is not None and scope.upstream_sid == session.upstream_sid
        return named and (session.begun_ms <= scope.begun_by_ms or (by_name and prompt and not session.dated))

    def _end_family(self, family: ModelFamily) -> None:
        for token in self.all_tokens:
            if token.place.family is family and token.honoured(self.now_ms):
                token.ended_alive = True
        family.ended = True

    def _end(self, session: ModelSession, *, offline_too: bool) -> None:
        for token in self.all_tokens:
            if token.session is session and token.honoured(self.now_ms) and (offline_too or not token.offline):
                token.ended_alive = True
        session.ended_alive = session.ended_alive or session.honoured(self.now_ms)
        session.ended = True
        session.offline_ended = session.offline_ended or offline_too


# Without shrinking, which takes minutes here. Whoever looks for the shortest story that fails takes `phases` out.
@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate]
)
@given(happening=st.lists(steps, min_size=STEPS, max_size=STEPS), orderly=st.booleans())
def test_no_interleaving_leaves_anything_honoured_that_is_dead_or_ends_anything_that_is_not(
    redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory, happening: list[Step], orderly: bool
) -> None:
    story = Story(redis_server, tmp_path_factory.getbasetemp(), orderly=orderly)
    try:
        for step in happening:
            story.happen(step)
            story.what_is_honoured_is_what_the_model_says()
        story.what_is_foretold_comes_true()
        story.everything_is_worked_off()
    finally:
        story.close()
