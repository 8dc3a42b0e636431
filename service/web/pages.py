"""Lists in pages: `limit` and an opaque `cursor` in, `items` and `next_cursor` out."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

from service.errors import InvalidRequest
from service.web.state import Request

DEFAULT_LIMIT: Final = 50
"""Items in a page when none are asked for."""

MAX_LIMIT: Final = 100
"""Most items in a page."""


MAX_CURSOR: Final = 20
"""Longest cursor, in characters: a position of 13 digits. More than that and Redis could not count so far."""


def read_page(request: Request, *, known: frozenset[str] = frozenset()) -> tuple[int, int]:
    """`limit`, and the number a cursor stands for (0 without one). Raises InvalidRequest, also for unknown parameters."""
    refuse_unknown(request, known | {"limit", "cursor"}, of="this list")
    limit = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not limit.isascii() or not limit.isdigit() or len(limit) > 4 or not 1 <= int(limit) <= MAX_LIMIT:
        raise InvalidRequest(f"`limit` must be a number from 1 to {MAX_LIMIT}")
    cursor = request.query_params.get("cursor")
    return int(limit), 0 if cursor is None else _read_cursor(cursor)


def read_flag(request: Request, name: str) -> bool | None:
    """A parameter that is `true` or `false`; None when it is absent. Raises InvalidRequest for anything else."""
    match request.query_params.getlist(name):
        case []:
            return None
        case ["true" | "false" as given]:
            return given == "true"
        case _:
            raise InvalidRequest(f"`{name}` must be `true` or `false`, once")


def refuse_unknown(request: Request, known: frozenset[str], *, of: str) -> None:
    """Raise InvalidRequest when the query has a parameter that is not known: one that is misspelt must not be ignored."""
    foreign = sorted(set(request.query_params) - known)
    if foreign:
        raise InvalidRequest(f"`{foreign[0][:64]}` is not a parameter of {of}")


def page(items: Sequence[Any], *, next_position: int | None) -> dict[str, Any]:
    """A page as answered."""
    return {"items": list(items), "next_cursor": None if next_position is None else _cursor(next_position)}


def next_after(offset: int, limit: int, *, of: int) -> int | None:
    """Where the next page begins in a list of so many entries; None after the last. Entries are counted, not what is shown
    of them: a page may be shorter than its limit and not be the last."""
    return offset + limit if offset + limit < of else None


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"p{position}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> int:
    try:
        padded = cursor[: MAX_CURSOR + 1] + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        text = ""
    if len(cursor) > MAX_CURSOR or not text.startswith("p") or not text[1:].isdigit():
        raise InvalidRequest("`cursor` is not one this list gave")
    return int(text[1:])
