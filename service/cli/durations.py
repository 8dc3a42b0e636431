"""How long, as a person types it: `90s`, `10m`, `36h`, `7d`."""

import re
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
