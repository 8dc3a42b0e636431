"""How the story looks in a terminal: 80 columns are enough, and colour says nothing that words do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.demo.claims import Claim

INDENT = 3
"""Columns that everything below a heading is moved in."""

LOG_LINES = 20
"""How many of the last lines of the processes' log are shown when something failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the timeline; `at_ms` counts from the moment the revocation was accepted."""

    at_ms: int
    who: str
    what: str
    answer: str = ""
    took_ms: int | None = None
    good: bool = True


class Narration:
    """Prints the story as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._chapters = 0

    def title(self, text: str) -> None:
        """What this is."""
        self._console.print(Text(text, style="bold"))

    def chapter(self, text: str) -> None:
        """A numbered heading."""
        self._chapters += 1
        self._console.print()
        self._console.print(Text(f"{self._chapters}  {text}", style="bold cyan"))

    def line(self, text: str) -> None:
        """One line; a long one (a URL) is not broken, so that it can be copied."""
        self._console.print(Text(" " * INDENT + text), soft_wrap=True)

    def facts(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Columns of text, the first one bright."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        for column in range(max(map(len, rows))):
            grid.add_column(style="cyan" if column == 0 else "", overflow="fold")
        for row in rows:
            grid.add_row(*(Text(cell) for cell in row))
        self._indented(grid)

    def timeline(self, moments: Sequence[Moment]) -> None:
        """Who was told what, and when."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("ms", justify="right", no_wrap=True)
        table.add_column("who", no_wrap=True)
        table.add_column("what")
        table.add_column("answer", justify="right", no_wrap=True)
        table.add_column("took", justify="right", no_wrap=True)
        for each in sorted(moments, key=lambda moment: moment.at_ms):
            style = "green" if each.good else "yellow"
            table.add_row(
                str(each.at_ms),
                Text(each.who),
                Text(each.what),
                Text(each.answer, style=style),
                "" if each.took_ms is None else str(each.took_ms),
            )
        self._indented(table)

    def verdict(self, claims: Sequence[Claim]) -> None:
        """Each promise, and whether it held."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column()
        for each in claims:
            mark = Text("true", style="bold green") if each.held else Text("FALSE", style="bold red")
            text = each.text if each.held or not each.found else f"{each.text} (found: {each.found})"
            grid.add_row(mark, Text(text))
        self._indented(grid)

    def failure(self, *reasons: str) -> None:
        """Why the demo ends with a failure."""
        self._console.print()
        for each in reasons:
            self._console.print(Text(f"FAILED  {each}", style="bold red"), soft_wrap=True)

    def log(self, path: Path) -> None:
        """The last lines of the processes' log, as they are."""
        lines = path.read_text("utf-8", "replace").splitlines()[-LOG_LINES:] if path.exists() else []
        if lines:
            self.line(f"The last {len(lines)} lines of the log:")
        for each in lines:
            self._console.print(Text(each, style="dim"), soft_wrap=True)

    def next_steps(self, steps: Sequence[tuple[str, ...]]) -> None:
        """What to try now: why, then the commands."""
        self._console.print()
        self._console.print(Text("Try next", style="bold"))
        for why, *commands in steps:
            self.line(why)
            for command in commands:
                self._console.print(Text(f"{' ' * INDENT}  $ {command}", style="cyan"), soft_wrap=True)

    def _indented(self, table: Table) -> None:
        frame = Table.grid()
        frame.add_column(width=INDENT)
        frame.add_column()
        frame.add_row("", table)
        self._console.print(frame)
