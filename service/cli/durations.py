"""How long, as a person types it: `90s`, `10m`, `36h`, `7d`."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)


def parse_duration(text: str) -> int:
    """Seconds. Raises typer.BadParameter: a number without a unit is a mistake waiting to be made."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration such as 90s, 10m, 36h or 7d")
    return int(found[1]) * _UNITS_S[found[2]]


def parse_since(text: str) -> str:
    """A moment in the past as the API takes it: RFC 3339 as it is, or how long ago (`36h`)."""
    if _DURATION.fullmatch(text) is None:
        return text
    try:
        at = datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except OverflowError:
        raise typer.BadParameter(f"{text!r} ago there was no calendar") from None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spelt(seconds: float) -> str:
    """A duration for people: `2.5s`, `17m 4s`, `1d 2h`; its two greatest units."""
    if seconds < 60:
        return f"{seconds:g}s"
    left, parts = round(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS_S[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
