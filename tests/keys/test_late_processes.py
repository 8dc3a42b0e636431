"""Processes that see the file late, and applications that ask any of them: still nobody meets a signature unknown to them.

Several processes read the file, each up to LAG_S late; applications ask any of them for the published keys, keep what they
were given as long as they may, and check a logout token as late as it lives.
"""

from typing import Any, Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.keys.ring import KeyRing
from service.keys.rotate import add_next_keys, remove_keys, replaced_keys
from service.keys.signing_keys import SigningKeys, SigningKeysError, parse_signing_keys
from service.keys.times import JWKS_MAX_AGE_S, KEEP_AFTER_S, LEAST_USE_AFTER_S, USE_AFTER_S
from tests.support.clock import HandClock
from tests.support.relying_party import LogoutToken
from tests.support.tokens import private_key
from workers.logout_token import LIFETIME_S

LAG_S = 130
"""How late a process may see the file, in seconds: two minutes for a Secret to arrive, and some looks."""

ALGORITHMS = ("ES256", "EdDSA")
"""Those whose keys are made in no time."""

Step = tuple[Literal["wait", "eve", "rotate", "retire", "replaced"], int, int]
"""What is done, and two numbers that say how."""

WAITS_S = (1, 59, LAG_S, JWKS_MAX_AGE_S, KEEP_AFTER_S - 1, KEEP_AFTER_S, LEAST_USE_AFTER_S + 1, USE_AFTER_S)

STEPS = st.lists(
    st.tuples(st.sampled_from(["wait", "eve", "rotate", "retire", "replaced"]), st.integers(0, 7), st.integers(0, 3)),
    min_size=4,
    max_size=24,
)


class World:
    """One file over time, everybody who reads it, and the logout tokens that are still to be checked."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.document: Any = {"keys": [private_key(each).as_dict(private=True) for each in ALGORITHMS]}
        self.history: list[tuple[int, SigningKeys]] = [(0, parse_signing_keys(self.document))]
        self.under_way: list[tuple[int, LogoutToken]] = []
        self.changes = 0

    def seen_since(self, at_s: int) -> list[SigningKeys]:
        """What the file has held at some moment from then on: what a process may go by, or have published."""
        ends = [began for began, _ in self.history[1:]]
        return [keys for (_, keys), end in zip(self.history, [*ends, self.clock.now_s + 1], strict=True) if end > at_s]

    def take(self, step: Step) -> None:
        """Do one step; what is refused changes nothing."""
        what, how, which = step
        now_s = self.clock.now_s
        if what == "wait":
            self.clock.advance(WAITS_S[how])
            return
        if what == "eve":
            # One second before the next key signs: chance alone hardly ever waits until just then.
            places = self.history[-1][1].places(now_s=now_s)
            starts = [each.from_s for each in places if each.state == "next"]
            self.clock.advance(max(0, min(starts, default=now_s) - 1 - now_s))
            return
        try:
            if what == "rotate":
                algorithms = (ALGORITHMS, ALGORITHMS, ALGORITHMS[:1], ALGORITHMS[1:])[which]
                use_after_s = (LEAST_USE_AFTER_S, USE_AFTER_S)[how % 2]
                changed, _ = add_next_keys(self.document, now_s=now_s, algorithms=algorithms, use_after_s=use_after_s)
            else:
                kids = replaced_keys(self.document, now_s=now_s)
                if what == "retire":
                    known = self.history[-1][1].kids
                    kids = (known[how % len(known)],)
                changed = remove_keys(self.document, kids, now_s=now_s)
        except SigningKeysError:
            return
        self.changes += changed != self.document
        self.document = changed
        self.history.append((now_s, parse_signing_keys(changed)))

    def sign(self) -> None:
        """Every process signs with every algorithm, whatever it has seen of the file."""
        for keys in self.seen_since(self.clock.now_s - LAG_S):
            ring = KeyRing(keys, clock=self.clock)
            assert set(ring.algorithms) == set(ALGORITHMS), "an algorithm without a key"
            for each in ALGORITHMS:
                token = LogoutToken.read(ring.sign({}, algorithm=each, typ="logout+jwt"))
                self.under_way.append((self.clock.now_s, token))

    def check(self) -> None:
        """Every application checks what is on its way, with whatever keys it may have."""
        now_s = self.clock.now_s
        self.under_way = [(at_s, token) for at_s, token in self.under_way if now_s <= at_s + LIFETIME_S]
        for jwks in [each.jwks() for each in self.seen_since(now_s - JWKS_MAX_AGE_S - LAG_S)]:
            for _, token in self.under_way:
                assert token.header["kid"] in {each["kid"] for each in jwks["keys"]}, "a key nobody has heard of"
                assert token.is_signed_by(jwks)


@settings(max_examples=60, deadline=None)
@given(STEPS)
@example([("rotate", 0, 0), ("eve", 0, 0), ("wait", 1, 0), ("replaced", 0, 0), ("retire", 0, 0)])
def test_however_late_each_process_sees_the_file_every_signature_is_checked(
    steps: list[Step],
) -> None:
    world = World()
    for step in steps:
        world.take(step)
        world.sign()
        world.check()


def test_the_steps_do_rotate_and_retire() -> None:
    # The property above would hold of a world in which everything is refused.
    steps: list[Step] = [("rotate", 0, 0), ("wait", 6, 0), ("wait", 6, 0), ("replaced", 0, 0), ("rotate", 1, 1)]
    world = World()
    for step in steps:
        world.take(step)
        world.sign()
        world.check()
    assert world.changes == 3
    places = world.history[-1][1].places(now_s=world.clock.now_s)
    assert [each.state for each in places] == ["current", "current", "next", "next"]
