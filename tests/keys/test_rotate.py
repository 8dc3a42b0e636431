"""Rotation: what is added and when it signs, what may be taken out, and what never may."""

from typing import Any

import pytest

from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.rotate import add_next_keys, remove_keys, replaced_keys
from service.keys.signing_keys import SigningKeysError, parse_signing_keys
from service.keys.times import KEEP_AFTER_S, LEAST_USE_AFTER_S, MOST_USE_AFTER_S, USE_AFTER_S
from tests.support.signing_keys import jwk, jwks
from tests.support.tokens import REMOVED, private_key

NOW_S = 1_800_000_000


def states(document: object, now_s: int = NOW_S) -> dict[str, str]:
    return {each.kid: each.state for each in parse_signing_keys(document).places(now_s=now_s)}


def refusal(document: Any, *kids: str, now_s: int = NOW_S) -> str:
    with pytest.raises(SigningKeysError) as caught:
        remove_keys(document, kids, now_s=now_s)
    return str(caught.value)


def test_every_algorithm_gets_a_next_key_and_nothing_else_changes() -> None:
    document = {"note": "ours", **jwks(jwk("ES256", note="mine"), jwk("RS256"))}

    changed, made = add_next_keys(document, now_s=NOW_S)

    assert changed["note"] == "ours"
    assert changed["keys"][:2] == document["keys"]
    added = changed["keys"][2:]
    assert [(each["alg"], each["kid"], each["logoutd_use_from"]) for each in added] == [
        (alg, kid, NOW_S + USE_AFTER_S) for alg, kid in zip(SIGNING_ALGORITHMS, made, strict=True)
    ]
    assert states(changed) == {"es256-1": "current", "rs256-1": "current", **dict.fromkeys(made, "next")}
    later = states(changed, NOW_S + USE_AFTER_S)
    assert later == {"es256-1": "previous", "rs256-1": "previous", **dict.fromkeys(made, "current")}


def test_an_algorithm_can_be_rotated_alone_and_sooner() -> None:
    document = jwks(jwk("ES256"), jwk("EdDSA"))

    changed, (made,) = add_next_keys(
        document, now_s=NOW_S, algorithms=["EdDSA", "EdDSA"], use_after_s=LEAST_USE_AFTER_S
    )

    assert states(changed, NOW_S + LEAST_USE_AFTER_S - 1)[made] == "next"
    assert states(changed, NOW_S + LEAST_USE_AFTER_S) == {"es256-1": "current", "eddsa-1": "previous", made: "current"}


@pytest.mark.parametrize("use_after_s", [0, -1, LEAST_USE_AFTER_S - 1, MOST_USE_AFTER_S + 1])
def test_a_key_that_would_sign_before_applications_know_it_is_not_made(use_after_s: int) -> None:
    with pytest.raises(SigningKeysError, match="at least 10 minutes before it signs"):
        add_next_keys(jwks(jwk("ES256")), now_s=NOW_S, use_after_s=use_after_s)


def test_a_rotation_repeated_adds_only_what_is_missing_and_then_says_there_is_nothing_to_do() -> None:
    first, _ = add_next_keys(jwks(jwk("ES256"), jwk("EdDSA")), now_s=NOW_S, algorithms=["ES256"])

    second, (made,) = add_next_keys(first, now_s=NOW_S + 5, algorithms=["ES256", "EdDSA"])
    with pytest.raises(SigningKeysError, match=rf"nothing to rotate.*{made} signs EdDSA from 2027-01-16T08:00:05Z$"):
        add_next_keys(second, now_s=NOW_S + 9, algorithms=["ES256", "EdDSA"])

    assert [each["alg"] for each in second["keys"]] == ["ES256", "EdDSA", "ES256", "EdDSA"]


def test_a_key_that_signs_is_not_removed() -> None:
    document = jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=NOW_S + 86_400))
    assert refusal(document, "es256-1") == "es256-1 signs ES256 now: rotate, and retire it once another signs"


def test_a_key_that_was_replaced_stays_until_nothing_it_signed_is_on_its_way() -> None:
    document = jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=NOW_S))
    leaves_s = NOW_S + KEEP_AFTER_S

    assert refusal(document, "es256-1", now_s=NOW_S).endswith("retire it from 2027-01-15T08:10:00Z on")
    assert replaced_keys(document, now_s=leaves_s - 1) == ()
    assert refusal(document, "es256-1", now_s=leaves_s - 1)
    assert replaced_keys(document, now_s=leaves_s) == ("es256-1",)
    assert states(remove_keys(document, ["es256-1"], now_s=leaves_s), leaves_s) == {"es256-2": "current"}


def test_a_next_key_can_be_taken_back_while_every_process_will_hear_of_it_in_time() -> None:
    document = jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=NOW_S))

    in_time = remove_keys(document, ["es256-2"], now_s=NOW_S - LEAST_USE_AFTER_S)

    assert states(in_time) == {"es256-1": "current"}
    assert "too soon" in refusal(document, "es256-2", now_s=NOW_S - LEAST_USE_AFTER_S + 1)


def test_the_last_key_of_an_algorithm_is_not_removed_whatever_its_place() -> None:
    waiting = jwks(jwk("ES256", 1), jwk("EdDSA", 1, logoutd_use_from=NOW_S + 86_400))
    assert refusal(waiting, "eddsa-1") == "eddsa-1 is the last key for EdDSA: rotate first"


def test_of_several_keys_none_is_removed_when_one_may_not_go() -> None:
    document = jwks(jwk("ES256", 1), jwk("ES256", 2), jwk("EdDSA", 1))
    assert refusal(document, "es256-2", "eddsa-1").startswith("eddsa-1 signs EdDSA now")
    assert refusal(document, "es256-2", "es256-9") == "there is no signing key es256-9"
    assert states(remove_keys(document, ["es256-2", "es256-2"], now_s=NOW_S)) == {
        "es256-1": "current",
        "eddsa-1": "current",
    }


def test_a_key_without_a_kid_goes_by_its_thumbprint() -> None:
    nameless = jwk("ES256", 2, kid=REMOVED)
    document = jwks(jwk("ES256", 1), nameless)

    left = remove_keys(document, [private_key("ES256", 2).thumbprint()], now_s=NOW_S)

    assert left == jwks(jwk("ES256", 1))


def test_a_document_that_is_no_key_ring_is_neither_rotated_nor_thinned_out() -> None:
    broken = {"keys": [jwk("ES256", d=REMOVED)]}
    with pytest.raises(SigningKeysError, match="holds no private key"):
        add_next_keys(broken, now_s=NOW_S)
    assert refusal(broken, "es256-1") == "signing key 1 holds no private key"
