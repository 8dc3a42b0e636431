"""Rotation: a new key beside the old one, and an old one taken out. Documents in, documents out; no file and no clock.

What is refused here is what would leave an application with a signature it cannot check, or without one.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.generate import generate_signing_key
from service.keys.signing_keys import USE_FROM, Place, SigningKeysError, parse_signing_keys
from service.keys.times import KEEP_AFTER_S, LEAST_USE_AFTER_S, MOST_USE_AFTER_S, USE_AFTER_S


def add_next_keys(
    document: Any, *, now_s: int, algorithms: Sequence[str] = SIGNING_ALGORITHMS, use_after_s: int = USE_AFTER_S
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The private JWKS with a new key for each of `algorithms`, which signs `use_after_s` from now; and their names.

    An algorithm whose next key is there already gets no other: two rotations begun at once, or one repeated, are one.
    Raises SigningKeysError when that leaves nothing to add, when the time is too short or too long, and as
    `parse_signing_keys` does.
    """
    if not LEAST_USE_AFTER_S <= use_after_s <= MOST_USE_AFTER_S:
        raise SigningKeysError(
            f"a key must be published at least {LEAST_USE_AFTER_S // 60} minutes before it signs, "
            f"and at most {MOST_USE_AFTER_S // 86_400} days"
        )
    waiting = {
        each.algorithm: each for each in parse_signing_keys(document).places(now_s=now_s) if each.state == "next"
    }
    wanted = [each for each in dict.fromkeys(algorithms) if each not in waiting]
    if not wanted:
        told = "; ".join(f"{waiting[each].kid} signs {each} from {moment(waiting[each].from_s)}" for each in algorithms)
        raise SigningKeysError(f"nothing to rotate, the next key is there already: {told}")
    made = [{**generate_signing_key(each), USE_FROM: now_s + use_after_s} for each in wanted]
    changed = {**document, "keys": [*document["keys"], *made]}
    parse_signing_keys(changed)
    return changed, tuple(str(each["kid"]) for each in made)


def remove_keys(document: Any, kids: Sequence[str], *, now_s: int) -> dict[str, Any]:
    """The private JWKS without these keys. Raises SigningKeysError, and removes none, unless all of them may go.

    A key that signs may not, nor one whose last signatures may still be on their way, nor one that begins to sign before
    every process would hear of its removal, nor the last one of its algorithm.
    """
    keys = parse_signing_keys(document)
    places = {each.kid: each for each in keys.places(now_s=now_s)}
    for kid in kids:
        if kid not in places:
            raise SigningKeysError(f"there is no signing key {kid}")
        _refuse_unless_idle(places[kid], now_s)
    left = Counter(each.algorithm for each in places.values() if each.kid not in kids)
    for kid in kids:
        if not left[places[kid].algorithm]:
            raise SigningKeysError(f"{kid} is the last key for {places[kid].algorithm}: rotate first")
    # By position: a key without `kid` in the file is called by its thumbprint, which only parsing tells.
    kept = [data for kid, data in zip(keys.kids, document["keys"], strict=True) if kid not in kids]
    return {**document, "keys": kept}


def replaced_keys(document: Any, *, now_s: int) -> tuple[str, ...]:
    """The names of the keys that were replaced long enough ago to be removed. Raises SigningKeysError."""
    places = parse_signing_keys(document).places(now_s=now_s)
    return tuple(each.kid for each in places if each.state == "previous" and _leaves_s(each) <= now_s)


def moment(at_s: int) -> str:
    """A time as people and programs read it: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def _refuse_unless_idle(place: Place, now_s: int) -> None:
    if place.state == "current":
        raise SigningKeysError(f"{place.kid} signs {place.algorithm} now: rotate, and retire it once another signs")
    if place.state == "previous" and _leaves_s(place) > now_s:
        raise SigningKeysError(
            f"{place.kid} signed until a moment ago, and applications are still to check it: "
            f"retire it from {moment(_leaves_s(place))} on"
        )
    if place.state == "next" and place.from_s - now_s < LEAST_USE_AFTER_S:
        raise SigningKeysError(
            f"{place.kid} signs from {moment(place.from_s)} on, too soon for every process to hear that it shall not: "
            "let it, and rotate again"
        )


def _leaves_s(place: Place) -> int:
    """From when on a key that was replaced may go."""
    return (place.until_s or 0) + KEEP_AFTER_S
