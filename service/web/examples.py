"""An operation's example as the OpenAPI document shows it."""

import re
from collections.abc import Mapping
from typing import Any, Final

_VARIABLE: Final = re.compile(r"\$([A-Z][A-Z_]*)")

_SHOWN: Final[Mapping[str, str]] = {
    "SESSION": "ses_7vh3kq2c4mxw5zb3rtlpa7d6eu",
    "REFRESH_TOKEN": "logoutd_rt_the-token-itself",
    "LOGOUT_TOKEN": "eyJhbGciOiJSUzI1NiJ9…",
}
"""What stands for a variable of the reference page where nothing can be pasted."""


def as_example(value: Any) -> Any:
    """An example with its variables filled in."""
    if isinstance(value, Mapping):
        return {name: as_example(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_example(each) for each in value]
    found = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else _SHOWN.get(found[1], f"the-{found[1].lower().replace('_', '-')}")
