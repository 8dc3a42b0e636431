"""Lists of the API, a page or all of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from service.cli.shell import Shell, say
from service.cli.shown import show_table

MAX_PAGE: Final = 100
"""Most items the API puts in a page."""

Limit = Annotated[int, typer.Option("--limit", help="Items in a page.", min=1, max=MAX_PAGE)]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Where the page before ended.", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="Every page.")]

DEFAULT_LIMIT: Final = 50
"""Items in a page when none are asked for, as the API has it."""


def list_pages(
    shell: Shell,
    *path: str,
    columns: Sequence[str],
    row: Callable[[Mapping[str, Any]], Sequence[object]],
    limit: int,
    cursor: str | None,
    everything: bool,
    query: Mapping[str, str | None] | None = None,
) -> None:
    """Print a list of the API as a table of these columns, or as JSON. With `everything`, its pages joined into one."""
    asked = {name: value for name, value in (query or {}).items() if value is not None}
    size = MAX_PAGE if everything else limit
    page = _read(shell, path, asked, size, cursor)
    while everything and page["next_cursor"] is not None:
        following = _read(shell, path, asked, size, page["next_cursor"])
        page = {**following, "items": [*page["items"], *following["items"]]}
    shell.show(page, lambda told: show_table(columns, [row(each) for each in told["items"]]))
    if page["next_cursor"] is not None and not shell.as_json:
        say(f"there may be more: --cursor {page['next_cursor']}, or --all")


def _read(
    shell: Shell, path: Sequence[str], query: Mapping[str, str], limit: int, cursor: str | None
) -> dict[str, Any]:
    page: dict[str, Any] = shell.api.get(
        *path, query={**query, "limit": str(limit), **({} if cursor is None else {"cursor": cursor})}
    )
    return page
