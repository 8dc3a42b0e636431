"""Rotation: what is added, what may go, and what is refused because an application may still need it."""

from typing import Any

import pytest

from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.rotate import add_next_keys, moment, remove_keys, replaced_keys
from service.keys.signing_keys import USE_FROM, SigningKeysError, State, parse_signing_keys
from service.keys.times import KEEP_AFTER_S, LEAST_USE_AFTER_S, MOST_USE_AFTER_S, USE_AFTER_S
from tests.support.clock import HandClock
from tests.support.tokens import private_key

NOW_S = HandClock().now_s

FAST = ("ES256", "EdDSA")
"""Algorithms whose keys are made in no time."""


def document(*algorithms: str, **more: object) -> dict[str, Any]:
    """A private JWKS as a fresh installation has it."""
    return {"keys": [private_key(each).as_dict(private=True) for each in algorithms or FAST], **more}


def states(found: Any, now_s: int, algorithm: str = "ES256") -> list[State]:
    places = parse_signing_keys(found).places(now_s=now_s)
    return [each.state for each in places if each.algorithm == algorithm]


def kids(found: Any, algorithm: str = "ES256") -> list[str]:
    return [each["kid"] for each in found["keys"] if each["alg"] == algorithm]


def rotated(found: Any, now_s: int = NOW_S, *, use_after_s: int = USE_AFTER_S) -> dict[str, Any]:
    changed, _ = add_next_keys(found, now_s=now_s, algorithms=["ES256"], use_after_s=use_after_s)
    return changed


def refused(found: Any, *which: str, now_s: int) -> str:
    with pytest.raises(SigningKeysError) as caught:
        remove_keys(found, which, now_s=now_s)
    return str(caught.value)


def test_a_rotation_adds_a_key_of_every_algorithm_that_signs_in_a_day() -> None:
    before = document(*SIGNING_ALGORITHMS)
    changed, made = add_next_keys(before, now_s=NOW_S)

    assert changed["keys"][:4] == before["keys"]
    new = changed["keys"][4:]
    assert tuple(each["kid"] for each in new) == made
    assert [each["alg"] for each in new] == list(SIGNING_ALGORITHMS)
    assert {each[USE_FROM] for each in new} == {NOW_S + 86_400}
    assert before == document(*SIGNING_ALGORITHMS), "what came in was changed"


def test_what_else_stands_in_the_file_stays() -> None:
    assert rotated(document(note="of the operator"))["note"] == "of the operator"
    assert remove_keys(document(note="kept"), [], now_s=NOW_S)["note"] == "kept"


def test_a_key_is_next_then_current_then_previous() -> None:
    one = rotated(document())
    starts = NOW_S + USE_AFTER_S
    assert states(one, NOW_S) == states(one, starts - 1) == ["current", "next"]
    assert states(one, starts) == ["previous", "current"]
    two = rotated(one, starts)
    assert states(two, starts + USE_AFTER_S - 1) == ["previous", "current", "next"]
    assert states(two, starts + USE_AFTER_S) == ["previous", "previous", "current"]


def test_a_rotation_repeated_is_one_and_says_what_waits() -> None:
    once = rotated(document())
    with pytest.raises(SigningKeysError) as caught:
        rotated(once, NOW_S + 60)
    waiting = kids(once)[1]
    assert str(caught.value) == (
        f"nothing to rotate, the next key is there already: {waiting} signs ES256 from {moment(NOW_S + USE_AFTER_S)}"
    )


def test_a_rotation_half_done_adds_what_is_missing_alone() -> None:
    changed, made = add_next_keys(rotated(document()), now_s=NOW_S, algorithms=FAST)
    assert [each["alg"] for each in changed["keys"] if each["kid"] in made] == ["EdDSA"]


@pytest.mark.parametrize("use_after_s", [-1, 0, LEAST_USE_AFTER_S - 1, MOST_USE_AFTER_S + 1])
def test_a_time_too_short_for_everybody_to_hear_or_too_long_is_refused(use_after_s: int) -> None:
    with pytest.raises(SigningKeysError, match=r"at least 10 minutes before it signs, and at most 366 days"):
        rotated(document(), use_after_s=use_after_s)


@pytest.mark.parametrize("use_after_s", [LEAST_USE_AFTER_S, MOST_USE_AFTER_S])
def test_the_shortest_and_the_longest_time_are_taken(use_after_s: int) -> None:
    assert states(rotated(document(), use_after_s=use_after_s), NOW_S + use_after_s) == ["previous", "current"]


def test_a_file_that_cannot_be_used_is_not_rotated() -> None:
    with pytest.raises(SigningKeysError, match="not a JWKS"):
        rotated({"keys": []})


def test_the_key_that_signs_is_not_retired() -> None:
    found = rotated(document())
    current, _ = kids(found)
    assert refused(found, current, now_s=NOW_S) == (
        f"{current} signs ES256 now: rotate, and retire it once another signs"
    )


def test_a_replaced_key_is_retired_once_its_last_signature_has_been_checked() -> None:
    found = rotated(document())
    old, new = kids(found)
    free_s = NOW_S + USE_AFTER_S + KEEP_AFTER_S
    assert refused(found, old, now_s=free_s - 1) == (
        f"{old} signed until a moment ago, and applications are still to check it: retire it from {moment(free_s)} on"
    )
    assert replaced_keys(found, now_s=free_s - 1) == ()
    assert replaced_keys(found, now_s=free_s) == (old,)
    assert kids(remove_keys(found, [old], now_s=free_s)) == [new]


def test_a_next_key_is_taken_back_while_everybody_can_still_hear_of_it() -> None:
    found = rotated(document())
    old, new = kids(found)
    starts = NOW_S + USE_AFTER_S
    assert kids(remove_keys(found, [new], now_s=starts - LEAST_USE_AFTER_S)) == [old]
    assert refused(found, new, now_s=starts - LEAST_USE_AFTER_S + 1) == (
        f"{new} signs from {moment(starts)} on, too soon for every process to hear that it shall not: "
        "let it, and rotate again"
    )


def test_the_only_key_of_an_algorithm_is_not_retired_before_it_signs_either() -> None:
    found, (only,) = add_next_keys(document("EdDSA"), now_s=NOW_S, algorithms=["ES256"])
    assert refused(found, only, now_s=NOW_S) == f"{only} is the last key for ES256: rotate first"


def test_of_several_keys_none_is_retired_unless_all_may_be() -> None:
    found = rotated(document())
    old, new = kids(found)
    now_s = NOW_S + USE_AFTER_S + KEEP_AFTER_S
    assert refused(found, old, new, now_s=now_s).startswith(f"{new} signs ES256 now")
    assert refused(found, old, "nobody", now_s=now_s) == "there is no signing key nobody"


def test_a_key_without_kid_is_retired_by_its_thumbprint() -> None:
    found = document()
    del found["keys"][0]["kid"]
    found = rotated(found)
    thumbprint = private_key("ES256").thumbprint()
    left = remove_keys(found, [thumbprint], now_s=NOW_S + USE_AFTER_S + KEEP_AFTER_S)
    assert left["keys"] == found["keys"][1:]


def test_no_refusal_shows_anything_private() -> None:
    found = rotated(document())
    told = "".join(refused(found, each, now_s=NOW_S + USE_AFTER_S) for each in kids(found))
    assert not [each for each in found["keys"] if each["d"] in told]


def test_a_moment_is_written_as_rfc_3339_has_it() -> None:
    assert moment(1_800_000_000) == "2027-01-15T08:00:00Z"
