"""Logout tokens drawn at random, well signed: never an error of ours, and accepted exactly when they say what they must."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import NotAuthenticated
from service.verify.logout_token import EVENT
from tests.support import tokens
from tests.support.logout_token_door import LogoutTokenDoor, standing_for_logout_tokens

CLOSELY = settings(max_examples=400, deadline=None)

TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(["", "\x00", "\ud800", "x" * 1100, EVENT, "JWT", "logout+jwt"]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**63, -(2**63), 10**30]), st.floats(), TEXTS
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
CLAIMS = ("iss", "aud", "iat", "exp", "nbf", "jti", "sub", "sid", "events", "nonce")


@pytest.fixture(scope="module")
def door() -> Iterator[LogoutTokenDoor]:
    with standing_for_logout_tokens() as door:
        yield door


def is_name(value: object, longest: int) -> bool:
    """A string that UTF-8 can write, neither empty nor too long."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= longest
        and value.encode(errors="replace").decode() == value.encode(errors="ignore").decode()
    )


def is_time(value: object) -> bool:
    return type(value) in {int, float} and 0 <= value <= 253_402_300_799  # type: ignore[operator]  # a number


def should_be_accepted(door: LogoutTokenDoor, claims: Mapping[str, Any], *, allow_missing_exp: bool) -> bool:
    """What section 2.6 says, in other words than the verification's."""
    iat, exp, now = claims.get("iat"), claims.get("exp"), door.now
    if not is_time(iat) or ("exp" in claims and not is_time(exp)):
        return False
    without_exp = allow_missing_exp and iat >= now - 660
    timely = exp > now - 60 and exp >= iat >= now - 86_460 if "exp" in claims else without_exp
    if "nbf" in claims:
        timely = timely and is_time(claims["nbf"]) and claims["nbf"] <= now + 60
    events = claims.get("events")
    names = [claims[each] for each in ("sub", "sid") if claims.get(each) is not None]
    return (
        timely
        and iat <= now + 60
        and claims.get("iss") == door.idp.issuer
        and (claims.get("aud") == door.claims()["aud"] or claims.get("aud") == [door.claims()["aud"]])
        and is_name(claims.get("jti"), 256)
        and bool(names)
        and all(is_name(each, 1024) for each in names)
        and type(events) is dict
        and type(events.get(EVENT)) is dict
        and "nonce" not in claims
    )


def outcome(door: LogoutTokenDoor, token: str, **options: Any) -> bool:
    """Whether it is accepted; a refusal has its reason."""
    try:
        logout = door.verify(token, connection=door.idp.connection(**options))
    except NotAuthenticated:
        return False
    assert logout.sub or logout.sid
    assert logout.expires_at_ms >= door.clock.now_ms()
    return True


@CLOSELY
@given(data=st.data(), allow=st.booleans())
def test_claims_drawn_at_random_are_accepted_exactly_when_they_are_right(
    door: LogoutTokenDoor, data: st.DataObject, allow: bool
) -> None:
    now = door.now
    close = st.sampled_from([-90_000, -86_461, -86_460, -661, -660, -600, -61, -60, -59, 0, 60, 61, 120, 10**6])
    likely = {
        "iat": close.map(lambda away: now + away),
        "exp": close.map(lambda away: now + away),
        "nbf": close.map(lambda away: now + away),
        "aud": st.sampled_from([door.claims()["aud"], [door.claims()["aud"]], [door.claims()["aud"]] * 2]),
        "events": st.sampled_from([{EVENT: {}}, {EVENT: {"x": 1}}, {EVENT: None}, {EVENT: []}, [EVENT], {}]),
    }
    changes: dict[str, Any] = {}
    for claim in data.draw(st.sets(st.sampled_from(CLAIMS), max_size=3)):
        changes[claim] = data.draw(
            st.one_of(likely.get(claim, TEXTS), likely.get(claim, TEXTS), ANYTHING, st.just(tokens.REMOVED))
        )
    claims = door.claims(**changes)
    try:
        payload = tokens.encoded(claims)
    except ValueError:
        return  # what JSON has no word for
    finite = "NaN" not in str(claims) and "inf" not in str(claims)
    expected = should_be_accepted(door, claims, allow_missing_exp=allow)
    token = door.with_payload(claims)
    if len(payload) < 7000 and finite:
        assert outcome(door, token, allow_missing_exp=allow) is expected
    else:
        assert outcome(door, token, allow_missing_exp=allow) in {False, expected}


@CLOSELY
@given(header=st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x5c"]), ANYTHING))
def test_headers_drawn_at_random_change_nothing_of_what_may_sign(door: LogoutTokenDoor, header: dict[str, Any]) -> None:
    members = {**door.header(), **header}
    token = tokens.signed(door.claims(), key=door.idp.keys["RS256"], alg="RS256", header=members)
    kind = members["typ"].lower().removeprefix("application/") if isinstance(members["typ"], str) else None
    right = (
        members["alg"] == "RS256"
        and kind in {"logout+jwt", "jwt"}
        and members["kid"] == door.idp.keys["RS256"].kid
        and not {"crit", "b64"} & set(members)
    )
    assert outcome(door, token) in ({True, False} if right and set(header) & {"jwk", "x5c"} else {right})


@CLOSELY
@given(
    text=st.one_of(
        TEXTS, st.lists(st.binary(max_size=30), max_size=6).map(lambda parts: ".".join(map(tokens.base64url, parts)))
    )
)
def test_no_text_drawn_at_random_is_accepted(door: LogoutTokenDoor, text: str) -> None:
    assert not outcome(door, text)
