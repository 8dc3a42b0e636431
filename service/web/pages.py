"""Lists in pages: `limit` and an opaque `cursor` in, `items` and `next_cursor` out."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Final

from service.errors import InvalidRequest
from service.store.pages import Mark
from service.web.bodies import parse_moment
from service.web.state import Request

DEFAULT_LIMIT: Final = 50
"""Items in a page when none are asked for."""

MAX_LIMIT: Final = 100
"""Most items in a page."""

MAX_CURSOR: Final = 400
"""Longest cursor, in characters: of a moment of 20 digits and a client_id of the greatest length."""

FLAG: Final = {"type": "boolean"}
"""What `read_flag` reads, as a JSON schema."""

_MARK: Final = re.compile(r"(?P<score>[0-9]{1,20}):(?P<member>[!-~]+)", re.ASCII)
"""What a cursor says: scores are whole milliseconds, members ids."""


def read_page(request: Request, *, known: frozenset[str] = frozenset()) -> tuple[int, Mark | None]:
    """`limit`, and the entry a cursor stands for (None without one). Raises InvalidRequest, also for unknown parameters."""
    refuse_unknown(request, known | {"limit", "cursor"}, of="this list")
    limit = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not limit.isascii() or not limit.isdigit() or len(limit) > 4 or not 1 <= int(limit) <= MAX_LIMIT:
        raise InvalidRequest(f"`limit` must be a number from 1 to {MAX_LIMIT}")
    cursor = request.query_params.get("cursor")
    return int(limit), None if cursor is None else read_cursor(cursor)


def read_flag(request: Request, name: str) -> bool | None:
    """A parameter that is `true` or `false`; None when it is absent. Raises InvalidRequest for anything else."""
    match request.query_params.getlist(name):
        case []:
            return None
        case ["true" | "false" as given]:
            return given == "true"
        case _:
            raise InvalidRequest(f"`{name}` must be `true` or `false`, once")


def read_moment(request: Request, name: str) -> int | None:
    """A parameter that is an RFC 3339 time, in milliseconds since the epoch; None when it is absent. Raises InvalidRequest."""
    given = request.query_params.get(name)
    # A plus sign that is not percent-encoded arrives as a space, and stands in no such time otherwise.
    return None if given is None else parse_moment(given.replace(" ", "+"), name)


def refuse_unknown(request: Request, known: frozenset[str], *, of: str) -> None:
    """Raise InvalidRequest when the query has a parameter that is not known: one that is misspelt must not be ignored."""
    foreign = sorted(set(request.query_params) - known)
    if foreign:
        raise InvalidRequest(f"`{foreign[0][:64]}` is not a parameter of {of}")


def page(items: Sequence[Any], *, following: Mark | None) -> dict[str, Any]:
    """A page as answered."""
    return {"items": list(items), "next_cursor": write_cursor(following)}


def write_cursor(mark: Mark | None) -> str | None:
    """The cursor for what comes after an entry; None after the last."""
    if mark is None:
        return None
    return base64.urlsafe_b64encode(f"{mark.score}:{mark.member}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Mark:
    """The entry a cursor stands for. Raises InvalidRequest."""
    try:
        padded = cursor[: MAX_CURSOR + 1] + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        text = ""
    found = _MARK.fullmatch(text)
    if len(cursor) > MAX_CURSOR or found is None:
        raise InvalidRequest("`cursor` is not one this list gave")
    return Mark(score=int(found["score"]), member=found["member"])
