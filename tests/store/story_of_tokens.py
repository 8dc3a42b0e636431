"""What happens to refresh tokens in a story: issued, rotated, spent twice, given back, deleted."""

from dataclasses import replace

import pytest

from service.domain.refresh_token import RefreshToken
from service.domain.revocation import Initiator
from service.errors import InvalidGrant, InvalidRequest, NotFound
from service.store.families import BY_ITS_CLIENT
from service.store.refresh_tokens import Reused
from tests.store.family_model import ModelFamily, ModelPlace
from tests.store.session_model import ModelRevocation, ModelSession, ModelToken
from tests.store.story_opening import StoryOpening
from tests.store.story_steps import Step


class StoryOfTokens(StoryOpening):
    """A story, as far as it is about refresh tokens."""

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
            self.model.tokens.append(ModelToken(secret, session, client, expires_at_ms, step.flag, ModelPlace(family)))

    def _token(self, step: Step) -> ModelToken:
        """The one that is meant: where that is apt, of those whose family may live."""
        now_ms = self.now_ms
        alive = [each for each in self.model.tokens if not each.place.family.ended and each.could_live(now_ms)]
        among = (step.apt and alive) or self.model.tokens
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
            self.model.tokens.append(
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
        for known in self.model.revocations:
            if known.request.revocation_id == request.revocation_id:
                return known  # recorded before a crash, and come again
        revocation = ModelRevocation(request, (), self.now_ms, family=family)
        self.model.revocations.append(revocation)
        return revocation
