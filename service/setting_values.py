"""What the values of settings may be: each function takes one as it was given and returns it checked, or raises ValueError with
words that hold nothing of it."""

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

UNGUESSABLE_LENGTH: Final = 32
"""From how many characters on an administrator's token is held to be one that nobody guesses: at random it has 128 bits, even of
hexadecimal digits. A shorter one may be somebody's phrase."""

MIN_ADMIN_TOKEN_LENGTH: Final = 16
"""Shortest administrator's token, in characters: anything less can be guessed over the network."""

MIN_AUDIT_KEY_LENGTH: Final = 32
"""Shortest key of the audit trail, in characters: 128 bits where it is hexadecimal."""

_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _is_base_url(value: str) -> str:
    if not value:
        return value
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    printable = value.isascii() and value.isprintable() and " " not in value
    if not usable or not printable or "@" in value or "?" in value or "#" in value:
        raise ValueError("must be an http(s) URL of printable ASCII without user, query or fragment")
    return value


def _is_redis_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        return value
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must be a redis://, rediss:// or unix:// URL")
    try:
        pool = ConnectionPool.from_url(text)
        # Made, not opened: only now does redis-py look at what the URL asks for.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, RedisError):
        readable = False
    else:
        readable = True
    if not readable:
        # redis-py's own words would hold a part of the password.
        raise ValueError("cannot be read: is the password percent-encoded, and every parameter one redis-py knows?")
    if {"ssl_cert_reqs", "ssl_check_hostname"} & set(pool.connection_kwargs):
        raise ValueError("must not choose how its certificate is checked: it always is, and its name too")
    return value


def _is_long_enough(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and len(value.get_secret_value()) < MIN_ADMIN_TOKEN_LENGTH:
        raise ValueError(f"must have at least {MIN_ADMIN_TOKEN_LENGTH} characters")
    return value


def _is_a_key(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and len(value.get_secret_value()) < MIN_AUDIT_KEY_LENGTH:
        raise ValueError(f"must have at least {MIN_AUDIT_KEY_LENGTH} characters")
    return value


def _are_digests(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_DIGEST.fullmatch(each) for each in value):
        raise ValueError("must be SHA-256 digests, of 64 hexadecimal digits each")
    return tuple(each.lower() for each in value)


def _split(value: object) -> object:
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


BaseUrl = Annotated[str, AfterValidator(_is_base_url)]
"""A URL that paths are appended to; empty where none is set."""

RedisUrl = Annotated[SecretStr, AfterValidator(_is_redis_url)]
"""Where a Redis is. A secret: it may hold a password."""

AdminToken = Annotated[SecretStr, AfterValidator(_is_long_enough)]
"""An administrator's token; empty where none is set."""

AuditKey = Annotated[SecretStr, AfterValidator(_is_a_key)]
"""Key of the audit trail; empty where none is set."""

Digests = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_are_digests)]
"""SHA-256 digests in lower case, comma-separated where they come as text."""

Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]
"""Networks as CIDRs, comma-separated where they come as text."""
