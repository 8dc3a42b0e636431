"""What may happen in a story of sign-ins, tokens and revocations, and how often each of it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

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
