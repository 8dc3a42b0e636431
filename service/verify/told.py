"""What may be repeated of a value somebody sent us, in a message or a log line."""

import re
from typing import Final

_PLAIN_URL: Final = re.compile(r"https?://[A-Za-z0-9._~:/%\[\]-]{1,200}", re.ASCII)


def told(value: object) -> str:
    """A claim's value for a message: in full only where it is a plain URL, which is no secret and no person's name."""
    match value:
        case None:
            return "missing"
        case str() if _PLAIN_URL.fullmatch(value):
            return value
        case str():
            return "another string"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "not a string"
