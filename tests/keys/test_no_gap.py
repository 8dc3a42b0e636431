"""Rotations, retirements and time passing in any order: no application ever holds a signature it cannot check.

The law is about what applications know, so the model here is the history of what was published: which keys, from when on.
Keys are real and so are the signatures; only ES256 and EdDSA, because RSA keys take a tenth of a second each to make.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.keys.ring import KeyRing
from service.keys.rotate import add_next_keys, remove_keys
from service.keys.signing_keys import SigningKeysError, parse_signing_keys
from service.keys.times import JWKS_MAX_AGE_S, LEAST_USE_AFTER_S, USE_AFTER_S
from tests.support.clock import HandClock
from tests.support.relying_party import LogoutToken
from tests.support.signing_keys import jwk, jwks
from workers.logout_token import LIFETIME_S

ALGORITHMS = ("ES256", "EdDSA")

PAUSES_S = (0, 1, 60, 299, 300, 301, 599, 600, 601, 3600, USE_AFTER_S)
"""How much time passes between two steps, in seconds: the limits of the rules, and a second to either side."""

Step = tuple[str, int]
"""What is done, and a number that says to which key, with what lead, or how long is waited."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rotate"), st.sampled_from((LEAST_USE_AFTER_S, 3600, USE_AFTER_S))),
        st.tuples(st.just("retire"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.sampled_from(PAUSES_S)),
        st.tuples(st.just("wait"), st.sampled_from(PAUSES_S)),
    ),
    min_size=5,
    max_size=25,
)


@dataclass
class Operator:
    """Whoever does this to the file, and what the world has seen of it."""

    clock: HandClock = field(default_factory=HandClock)
    document: dict[str, Any] = field(default_factory=lambda: jwks(jwk("ES256"), jwk("EdDSA")))
    published: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    signed: list[tuple[int, LogoutToken]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ring = KeyRing(parse_signing_keys(self.document), clock=self.clock)
        self._publish()

    def take(self, step: Step) -> None:
        what, number = step
        if what == "wait":
            self.clock.advance(number)
            return
        now_s = self.clock.now_s
        try:
            if what == "rotate":
                self.document, _ = add_next_keys(self.document, now_s=now_s, algorithms=ALGORITHMS, use_after_s=number)
            else:
                kids = self.ring.keys.kids
                self.document = remove_keys(self.document, [kids[number % len(kids)]], now_s=now_s)
        except SigningKeysError:
            return  # refused; that what is not refused does no harm is what this test is about
        self.ring.replace(parse_signing_keys(self.document))
        self._publish()

    def sign(self) -> None:
        for algorithm in ALGORITHMS:
            token = LogoutToken.read(self.ring.sign({}, algorithm=algorithm, typ="logout+jwt"))
            self.signed.append((self.clock.now_s, token))

    def jwks_at(self, at_s: int) -> dict[str, Any]:
        """What was answered then; before the beginning, what was answered at it."""
        return next((keys for since_s, keys in reversed(self.published) if since_s <= at_s), self.published[0][1])

    def known_since_s(self, kid: str) -> int | None:
        """Since when a key has been published without interruption; None: always."""
        (first, *_) = [since_s for since_s, keys in self.published if kid in names(keys)]
        return None if first == self.published[0][0] else first

    def _publish(self) -> None:
        self.published.append((self.clock.now_s, self.ring.jwks()))


def names(keys: dict[str, Any]) -> Sequence[str]:
    return [each["kid"] for each in keys["keys"]]


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_no_signature_is_made_with_a_key_unknown_or_outlives_its_publication(steps: list[Step]) -> None:
    operator = Operator()
    operator.sign()
    for step in steps:
        operator.take(step)
        operator.sign()

    for at_s, token in operator.signed:
        kid = token.header["kid"]
        since_s = operator.known_since_s(kid)
        assert since_s is None or at_s - since_s >= LEAST_USE_AFTER_S, "published too late"
        # Whoever asked just before it was signed, as long ago as they may have, and whoever asks at its last moment.
        for asked_s in (at_s - JWKS_MAX_AGE_S, at_s, at_s + LIFETIME_S):
            assert token.is_signed_by(operator.jwks_at(asked_s))


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_whatever_is_done_each_algorithm_keeps_exactly_one_key_that_signs(steps: list[Step]) -> None:
    operator = Operator()
    for step in steps:
        operator.take(step)
        places = operator.ring.keys.places(now_s=operator.clock.now_s)
        assert sorted(each.algorithm for each in places if each.state == "current") == sorted(ALGORITHMS)


def test_the_steps_above_do_rotate_and_do_retire() -> None:
    # Else the two tests before this one would hold for a program that refuses everything.
    operator = Operator()
    first = set(operator.ring.keys.kids)
    for step in (("rotate", LEAST_USE_AFTER_S), ("wait", 600), ("wait", 600), ("retire", 0), ("retire", 0)):
        operator.take(step)
        operator.sign()

    assert len(operator.ring.keys.kids) == 2
    assert not first & set(operator.ring.keys.kids)
    assert len({token.header["kid"] for _, token in operator.signed}) == 4
