"""What commands print: tables for a terminal, aligned text for whatever reads lines, JSON for programs.

Every string from the API passes `plain`: names are chosen by whoever registers them, and a terminal obeys what it is sent.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP: Final = 2
"""Columns of space between two columns of text."""

_LEVELS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}

_STATES: Final = {
    "completed": "green",
    "delivered": "green",
    "incomplete": "bold red",
    "dead": "bold red",
    "retrying": "yellow",
}
"""Words that have a colour wherever they stand alone. Colour says nothing that the word does not."""

Cell = object
"""What stands in a table: text, a number, a list, nothing."""


def plain(value: object) -> str:
    """A value as text that steers no terminal: what is not printable is written as an escape, lists are joined by commas."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return "".join(each if each.isprintable() else _escaped(each) for each in value)
        case list() | tuple():
            return ", ".join(plain(each) for each in value)
        case _:
            return plain(str(value))


def show_json(value: object, *, out: TextIO | None = None) -> None:
    """A JSON value as the API gave it, laid out, in ASCII: escapes are JSON's own, and steer nothing either."""
    print(json.dumps(value, indent=2), file=out or sys.stdout)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, out: TextIO | None = None) -> None:
    """Rows under headings."""
    out = out or sys.stdout
    headings = [plain(each) for each in columns]
    cells = [[plain(each) for each in row] for row in rows]
    if out.isatty():
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
        for number, each in enumerate(headings):
            # What a row is about comes first, and is there to be copied.
            table.add_column(Text(each), overflow="fold", no_wrap=number == 0)
        for row in cells:
            table.add_row(*(Text(each, style=_STATES.get(each, "")) for each in row))
        _console(out).print(table)
    else:
        _aligned([headings, *cells], out)


def show_facts(value: Mapping[str, Any], *, out: TextIO | None = None) -> None:
    """One thing: a name and a value a line, members of members by their path."""
    out = out or sys.stdout
    rows = [[name, plain(each)] for name, each in _flat("", value)]
    if out.isatty():
        width = max((cell_len(name) for name, _ in rows), default=0) + GAP
        for name, each in rows:
            # Not broken, as in a table: a URL is there to be copied.
            line = Text.assemble((name, "cyan"), " " * (width - cell_len(name)), (each, _STATES.get(each, "")))
            _console(out).print(line, soft_wrap=True)
    else:
        _aligned(rows, out)


def show_finding(level: str, subject: str, detail: str, *, out: TextIO | None = None) -> None:
    """One line of a checklist."""
    out = out or sys.stdout
    text = f"{plain(subject)}: {plain(detail)}"
    if out.isatty():
        line = Text.assemble((f"{plain(level):<4}", _LEVELS.get(level, "")), "  ", text)
        _console(out).print(line, soft_wrap=True)
    else:
        print(f"{plain(level):<4}  {text}", file=out)


def show_line(text: str, *, out: TextIO | None = None) -> None:
    """One line as it is, never broken: what is in it can be copied."""
    print(plain(text), file=out or sys.stdout)


def show_heading(text: str, *, out: TextIO | None = None) -> None:
    """A heading, with a line of space before it."""
    out = out or sys.stdout
    print(file=out)
    if out.isatty():
        _console(out).print(Text(plain(text), style="bold"), soft_wrap=True)
    else:
        print(plain(text), file=out)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _flat(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Every member that is no object, by its path; a list of objects has its members numbered from 1."""
    match value:
        case Mapping() if value:
            for name, each in value.items():
                yield from _flat(f"{path}.{plain(name)}" if path else plain(name), each)
        case list() if any(isinstance(each, dict) for each in value):
            for number, each in enumerate(value, 1):
                yield from _flat(f"{path}[{number}]", each)
        case Mapping():
            yield path, None
        case _:
            yield path, value


def _aligned(rows: Sequence[Sequence[str]], out: TextIO) -> None:
    if not rows:
        return
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        padded = [each + " " * (width - cell_len(each) + GAP) for each, width in zip(row, widths, strict=True)]
        print("".join(padded).rstrip(), file=out)


def _console(out: TextIO) -> Console:
    return Console(file=out, highlight=False, markup=False, emoji=False)
