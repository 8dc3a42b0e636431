"""A story of one or two people, told to Redis and to a model at once: whatever happens, the two agree on what is honoured."""

import time
from collections.abc import Sequence

import pytest

from service.accept import cut_off
from service.admin.dry_run import foretell
from service.domain.revocation import Everything, OneSession, Revocation, SessionsBegunBy
from service.errors import NotFound, ReauthenticationRequired
from tests.store.session_model import ModelSession
from tests.store.story_of_tokens import StoryOfTokens
from tests.store.story_steps import Step
from tests.support.contents import contents, lifetimes_ms


class Story(StoryOfTokens):
    """One or two people, and everything that may happen to them."""

    def happen(self, step: Step) -> None:
        match step.kind:
            case "sign in":
                self.sign_in(step)
            case "join" | "leave" | "issue" | "delete" if self.model.sessions:
                alive = [each for each in self.model.sessions if each.honoured(self.now_ms)] if step.apt else []
                among = alive or self.model.sessions
                session = among[-1 - step.which % len(among)]
                doing = {"join": self.join, "leave": self.leave, "issue": self.issue, "delete": self.delete}
                doing[step.kind](session, step)
            case "rotate" | "rotate and crash" | "give back" | "delete token" if self.model.tokens:
                handling = {"give back": self.give_back, "delete token": self.delete_token}
                handling.get(step.kind, self.rotate)(self._token(step), step)
            case "revoke":
                self._accept(self._new(self._whose(step)))
            case "logout":
                self._accept(self._new(self._whose(step), self._logout(step)))
            case "crash" | "cut off and crash" if not self.orderly:
                self.crash(step, cut_off_too=step.kind == "cut off and crash")
            case "repeat" | "work off" if self.model.revocations:
                revocation = self.model.revocations[-1 - step.which % len(self.model.revocations)]
                {"repeat": self._accept, "work off": self._work_off}[step.kind](revocation)
            case "chore":
                self.chore(step)
            case "clock":
                self.house.clock.advance(abs(step.seconds) if self.orderly else step.seconds)
            case _:
                pass  # nothing to do it to, or not in an orderly story

    def sign_in(self, step: Step) -> None:
        person, session_id = self.model.people[step.who], f"ses_{next(self.numbers)}"
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
        self.model.sessions.append(
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
        for token in self.model.tokens:
            if token.session is session and token.client == step.client:
                token.place.family.ended = True

    def delete(self, session: ModelSession, _step: Step) -> None:
        self._accept(self._new((session.name,), OneSession(session_id=session.session_id)))

    def _logout(self, step: Step) -> SessionsBegunBy:
        """What an identity provider's message asks for that was sent around the newest sign-in."""
        newest_ms = self.model.sessions[-1].begun_ms if self.model.sessions else self.now_ms
        away_ms = {"before": -1000, "at": 0, "after": 1000, "now": self.now_ms - newest_ms}[step.sent]
        return SessionsBegunBy(
            begun_by_ms=newest_ms + away_ms,
            upstream_sid=step.upstream_sid,
            or_without_sid=step.upstream_sid is not None and step.which == 0,
            offline_too=step.flag and step.chore == "sweep",
            arrived_at_ms=self.now_ms - 2000 if step.idle_s else None,
        )

    def crash(self, step: Step, *, cut_off_too: bool) -> None:
        """A process dies right after it has recorded a revocation, or after it has cut off too."""
        revocation = self._new(self._whose(step), self._logout(step) if step.which else Everything())
        rid = self.run(self.house.record_only(revocation.request))
        if cut_off_too:
            recorded = self.run(self.house.receipt(rid))
            self.run(cut_off(self.house.resources.people, recorded, now_ms=self.now_ms))
            self.model.cut(revocation, now_ms=self.now_ms)

    def chore(self, step: Step) -> None:
        match step.chore:
            case "sweep":
                self.run(self.house.worker.sweeper.sweep())
            case "tidy":
                self.run(self.house.worker.sweeper.tidy())
            case _:
                self.run(self.house.resources.record.client.script_flush())

    def what_is_foretold_comes_true(self) -> None:
        """Whatever has happened so far: a dry run changes nothing, and names what the revocation after it ends and owes."""
        self.run(self.house.application("crm"))
        revocation, connection = self._new(("ada", "bob")), self.house.connection()
        before, began, left_ms = contents(self.redis_url), time.monotonic(), lifetimes_ms(self.redis_url)
        foretold = self.run(foretell(self.house.resources, connection, revocation.request.user_ids))
        after = contents(self.redis_url)
        passed_ms = (time.monotonic() - began) * 1000
        # What was lately asked for lives a minute by Redis' clock and not by ours. It may end meanwhile, and do nothing else.
        over = {key for key in before.keys() - after.keys() if key.startswith("logoutd:recent:")}
        assert [key for key in over if left_ms.get(key, 0) > passed_ms] == []
        assert after == {key: value for key, value in before.items() if key not in over}

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
        for each in self.model.revocations:
            self._work_off(each)
        self.what_is_honoured_is_what_the_model_says()
        receipts = [self.run(self.house.receipt(each.request.revocation_id)) for each in self.model.revocations]
        assert all(each.state == "completed" for each in receipts)
        if self.orderly:
            self._everything_was_counted_once(receipts)
        for revocation in self.model.revocations:
            rows = self.run(self.house.deliveries(revocation.request.revocation_id))
            assert revocation.owed <= {each.client_id for each in rows}
        assert self.run(self.house.due()) == {}

    def _everything_was_counted_once(self, receipts: Sequence[Revocation]) -> None:
        # What expired between two revocations that both cover it is counted by the first or by none.
        sessions = [each for each in self.model.sessions if each.ended_alive]
        lasting = [each for each in sessions if self.now_ms < each.expires_at_ms]
        assert len(lasting) <= sum(each.sessions_ended for each in receipts) <= len(sessions)
        tokens = [each for each in self.model.tokens if each.ended_alive]
        outlasting = [
            each for each in tokens if self.now_ms < each.expires_at_ms and (each.offline or each.session in lasting)
        ]
        assert len(outlasting) <= sum(each.refresh_tokens_revoked for each in receipts) <= len(tokens)
