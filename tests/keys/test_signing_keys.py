"""Which key signs when: before its time, at it, after it; and what the file may say about it."""

import base64
import json
from typing import Any

import pytest

from service.keys.ring import KeyRing
from service.keys.signing_keys import SigningKeysError, parse_signing_keys
from service.keys.times import LATEST_TIME_S
from tests.support.clock import HandClock
from tests.support.signing_keys import jwk, jwks

NOW_S = 1_800_000_000


def kid_of(ring: KeyRing, algorithm: str = "ES256") -> str:
    token = ring.sign({}, algorithm=algorithm, typ="JWT")
    return str(json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "=="))["kid"])


def places(*keys: dict[str, Any], now_s: int = NOW_S) -> list[tuple[str, str, int, int | None]]:
    found = parse_signing_keys(jwks(*keys)).places(now_s=now_s)
    return [(each.kid, each.state, each.from_s, each.until_s) for each in found]


def test_a_key_signs_from_its_second_on_and_not_before_without_anybody_saying_so() -> None:
    clock = HandClock(NOW_S * 1000 - 1)
    document = jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=NOW_S))
    ring = KeyRing(parse_signing_keys(document), clock=clock)

    signed_before = kid_of(ring)
    clock.advance(0.001)
    signed_at = kid_of(ring)
    clock.advance(10 * 366 * 86_400)
    signed_after = kid_of(ring)

    assert (signed_before, signed_at, signed_after) == ("es256-1", "es256-2", "es256-2")


def test_all_keys_are_published_before_their_time_and_after_it_and_their_times_never() -> None:
    clock = HandClock(NOW_S * 1000)
    ring = KeyRing(parse_signing_keys(jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=NOW_S + 1))), clock=clock)

    before = ring.jwks()
    clock.advance(3600)

    assert ring.jwks() == before
    assert [each["kid"] for each in before["keys"]] == ["es256-1", "es256-2"]
    assert {name for each in before["keys"] for name in each} == {"kty", "crv", "x", "y", "use", "alg", "kid"}


def test_an_algorithm_whose_first_key_is_still_to_come_is_none_yet() -> None:
    clock = HandClock(NOW_S * 1000)
    document = jwks(jwk("ES256"), jwk("EdDSA", logoutd_use_from=NOW_S + 1))
    ring = KeyRing(parse_signing_keys(document), clock=clock)

    assert ring.algorithms == ("ES256",)
    with pytest.raises(KeyError):
        ring.sign({}, algorithm="EdDSA", typ="JWT")
    clock.advance(1)
    assert ring.algorithms == ("ES256", "EdDSA")
    assert kid_of(ring, "EdDSA") == "eddsa-1"


def test_the_place_of_each_key_is_told_with_the_times_between() -> None:
    assert places(
        jwk("ES256", 3, logoutd_use_from=NOW_S + 60),
        jwk("ES256", 1),
        jwk("EdDSA", 1),
        jwk("ES256", 2, logoutd_use_from=NOW_S),
    ) == [
        ("es256-3", "next", NOW_S + 60, None),
        ("es256-1", "previous", 0, NOW_S),
        ("eddsa-1", "current", 0, None),
        ("es256-2", "current", NOW_S, NOW_S + 60),
    ]


def test_of_keys_without_a_time_the_first_signs_as_in_any_jwks_from_elsewhere() -> None:
    assert places(jwk("ES256", 2), jwk("ES256", 1)) == [("es256-2", "current", 0, None), ("es256-1", "previous", 0, 0)]


@pytest.mark.parametrize(
    "said", ["1800000000", 1.8e9, True, None, -1, NOW_S * 1000, LATEST_TIME_S + 1, [NOW_S], float("nan")]
)
def test_a_time_that_is_none_in_whole_seconds_is_refused(said: object) -> None:
    with pytest.raises(SigningKeysError, match=r"^signing key 2 has a `logoutd_use_from` that is no time in whole sec"):
        parse_signing_keys(jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=said)))


@pytest.mark.parametrize("name", ["logoutd_use_form", "logoutd_usefrom", "logoutd_", "logoutd_publish_until"])
def test_a_member_that_looks_like_ours_and_is_not_is_refused_and_its_value_not_shown(name: str) -> None:
    with pytest.raises(SigningKeysError, match=r"that is none of ours; logoutd_use_from is$") as caught:
        parse_signing_keys(jwks(jwk("ES256", 1, **{name: NOW_S + 60})))
    assert str(NOW_S + 60) not in str(caught.value)


def test_members_of_others_are_left_alone() -> None:
    assert parse_signing_keys(jwks(jwk("ES256", 1, nbf=NOW_S + 60, note="mine"))).algorithms(now_s=NOW_S) == ("ES256",)
