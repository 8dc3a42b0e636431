"""The assertion of a Global Token Revocation request, step 9: its times; and that nothing drawn at random gets through.

Okta's own are iat now, exp 300 s ahead, nbf 300 s ago.
"""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import NotAuthenticated
from tests.support import tokens
from tests.support.assertion_door import Door
from tests.support.tokens import REMOVED


@pytest.mark.parametrize(
    ("iat", "exp", "nbf", "reason"),
    [
        (0, 300, -300, None),
        (0, 300, None, None),
        (0, 0, None, None),
        (60, 360, 60, None),
        (61, 300, None, "issued_in_future"),
        (-420, -60, None, "expired"),
        (-419, -59, None, None),
        (-600, -60, None, "expired"),
        (-601, 300, None, "too_old"),
        (-600, 300, None, "bad_lifetime"),
        (0, 360, None, None),
        (0, 361, None, "bad_lifetime"),
        (-61, 300, None, "bad_lifetime"),
        (60, 361, None, "bad_lifetime"),
        (10, 9, None, "bad_lifetime"),
        (0, 300, 60, None),
        (0, 300, 61, "not_yet_valid"),
        (0, 300, -100_000, None),
        (0.5, 299.25, -0.5, None),
        (0, 10**9, None, "bad_lifetime"),
    ],
)
def test_step_9_times_are_held_against_our_clock(
    door: Door, iat: float, exp: float, nbf: float | None, reason: str | None
) -> None:
    now = door.now
    token = door.assertion(claims={"iat": now + iat, "exp": now + exp, "nbf": REMOVED if nbf is None else now + nbf})
    if reason is None:
        assert door.accepts(token).expires_at_ms == round((now + exp + 60) * 1000)
    else:
        assert door.refuses(token).reason == reason


@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_step_9_exp_and_iat_are_required(door: Door, claim: str) -> None:
    refusal = door.refuses(door.assertion(claims={claim: REMOVED}))
    assert refusal.reason == "bad_time_claim"
    assert f"`{claim}`" in str(refusal)


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "written",
    [
        "null",
        "true",
        "false",
        '"1800000000"',
        '""',
        "[]",
        "[1800000000]",
        "{}",
        "-1",
        "1e300",
        "9" * 4000,
        "253402300800",
    ],
)
def test_step_9_a_time_that_is_no_number_of_seconds_is_refused(door: Door, claim: str, written: str) -> None:
    refusal = door.refuses(door.with_raw_claims(**{claim: written}))
    assert refusal.reason == "bad_time_claim"
    assert f"`{claim}`" in str(refusal)


offsets = st.one_of(
    st.integers(-800, 800),
    st.sampled_from([-601, -600, -599, -421, -420, -61, -60, -59, 0, 59, 60, 61, 299, 300, 301, 359, 360, 361]),
    st.floats(-800, 800),
)


@given(iat=offsets, exp=offsets, nbf=st.none() | offsets)
def test_step_9_exactly_the_times_of_the_profile_are_accepted(
    door: Door, iat: float, exp: float, nbf: float | None
) -> None:
    now = door.now
    times = {"iat": now + iat, "exp": now + exp} | ({} if nbf is None else {"nbf": now + nbf})
    iat, exp = times["iat"] - now, times["exp"] - now  # as precise as the token can say it
    nbf = None if nbf is None else times["nbf"] - now
    allowed = -600 <= iat <= 60 and -60 < exp <= 360 and 0 <= exp - iat <= 360 and (nbf is None or nbf <= 60)
    token = door.assertion(claims={"nbf": REMOVED, **times})
    if allowed:
        door.accepts(token)
    else:
        door.refuses(token)


json_texts = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers() | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ).map(json.dumps),
    st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1E+9999", "-0", "0.0", "1" * 4300, "1" * 4301, "00"]
    ),
    st.integers(1, 5).map(lambda digits: "9" * 10**digits if digits < 4 else "1e" + "9" * digits),
)


@given(claim=st.sampled_from(["exp", "iat", "nbf"]), written=json_texts)
def test_step_9_no_time_claim_whatever_it_is_is_anything_but_accepted_or_refused(
    door: Door, claim: str, written: str
) -> None:
    token = door.with_raw_claims(**{claim: written})
    try:
        value = json.loads(written)
    except ValueError:
        value = None
    plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(min(value, 2**60))
    if claim == "nbf" and plain and 0 <= value <= door.now:
        door.accepts(token)
    else:
        # Nothing drawn lies within minutes of the clock.
        door.refuses(token)


@given(payload=json_texts.map(str.encode) | st.binary(max_size=200))
def test_no_payload_whatever_it_is_is_anything_but_refused(door: Door, payload: bytes) -> None:
    door.refuses(door.with_payload(payload))


@given(token=st.text(max_size=60) | st.lists(st.binary(max_size=60).map(tokens.base64url), max_size=5).map(".".join))
def test_no_text_whatever_it_is_is_anything_but_refused(door: Door, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        door.verify(token, connection=door.connection)
