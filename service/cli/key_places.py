"""Signing keys as they are shown to people and programs: names and times, never what makes a key."""

import json
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table

from service.keys.rotate import moment
from service.keys.signing_keys import Place

_COLUMNS = ("kid", "alg", "state", "used from", "used until")


def tell_places(places: Sequence[Place], *, as_json: bool, out: TextIO, made: Sequence[str] = ()) -> None:
    """A table on a terminal, JSON for programs that ask for it, else a line a key; those in `made` are marked."""
    rows = [(each.kid, each.algorithm, each.state, _shown(each.from_s), _shown(each.until_s)) for each in places]
    if as_json:
        members = ("kid", "alg", "state", "used_from", "used_until")
        json.dump({"keys": [dict(zip(members, row, strict=True)) for row in rows]}, out, indent=2)
        out.write("\n")
        return
    texts = [
        [kid, alg, state + " (new)" * (kid in made), *(each or "-" for each in times)]
        for kid, alg, state, *times in rows
    ]
    if out.isatty():
        table = Table(box=None, pad_edge=False)
        for name in _COLUMNS:
            table.add_column(name, overflow="fold")
        for text in texts:
            table.add_row(*text)
        Console(file=out).print(table)
        return
    out.writelines("  ".join(text) + "\n" for text in texts)


def _shown(at_s: int | None) -> str | None:
    """A time; None for one there is not, and for one nobody knows."""
    return moment(at_s) if at_s else None
