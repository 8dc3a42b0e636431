"""Signing keys as they are shown to people and programs: names and times, never what makes a key."""

from collections.abc import Sequence
from typing import Final, TextIO

from service.cli.shown import show_json, show_table
from service.keys.rotate import moment
from service.keys.signing_keys import Place

_MEMBERS: Final = ("kid", "alg", "state", "used_from", "used_until")


def tell_places(places: Sequence[Place], *, as_json: bool, out: TextIO, made: Sequence[str] = ()) -> None:
    """A table, or JSON for programs that ask for it; those in `made` are marked in the table."""
    rows = [(each.kid, each.algorithm, each.state, _shown(each.from_s), _shown(each.until_s)) for each in places]
    if as_json:
        show_json({"keys": [dict(zip(_MEMBERS, row, strict=True)) for row in rows]}, out=out)
        return
    texts = [
        [kid, alg, state + " (new)" * (kid in made), *(each or "-" for each in times)]
        for kid, alg, state, *times in rows
    ]
    show_table([each.replace("_", " ").upper() for each in _MEMBERS], texts, out=out)


def _shown(at_s: int | None) -> str | None:
    """A time; None for one there is not, and for one nobody knows."""
    return moment(at_s) if at_s else None
