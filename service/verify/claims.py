"""Claims that every kind of JWT has, read in one way: times, `jti`, `typ`, and how a claim is told of in a message."""

import re
from collections.abc import Mapping
from typing import Any, Final

from service.verify.signed_token import refuse

SKEW_S: Final = 60
"""How far the identity provider's clock may be from ours, in seconds."""

MAX_JTI_LENGTH: Final = 256
"""Longest `jti`, in characters."""

LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999, in seconds since the epoch. A time beyond it is a mistake, and may not fit a float."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can write and UTF-8 cannot."""

_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9._~:/%\[\]-]{1,200}", re.ASCII)


def time_claim(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2): a JSON number, whole or not. Raises NotAuthenticated."""
    value = claims.get(name)
    if value is None:
        refuse("bad_time_claim", f"`{name}` is missing")
    # JSON true is a number to Python; and the bound comes before any arithmetic, which a huge integer would break.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_SECOND:
        refuse("bad_time_claim", f"`{name}` must be a number of seconds since the epoch")
    return float(value)


def token_id(claims: Mapping[str, Any]) -> str:
    """The `jti`, by which the token is remembered (RFC 7519 section 4.1.7). Raises NotAuthenticated."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI_LENGTH or not is_text(jti):
        refuse("bad_jti", f"`jti` must be a string of 1 to {MAX_JTI_LENGTH} characters")
    return jti


def is_text(value: str) -> bool:
    """Whether a string of JSON can be written in UTF-8."""
    return not _SURROGATE.search(value)


def media_type(typ: str | None) -> str | None:
    """A header's `typ` as media types are compared (RFC 7515 section 4.1.9)."""
    return None if typ is None else typ.lower().removeprefix("application/")


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
