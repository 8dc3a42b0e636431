"""Every environment variable, once.

Names carry the prefix `LOGOUTD_`; a secret may instead be named by `…_FILE`, the path of a file that holds it. A name
with the prefix that is not one of these is an error: a setting misspelt is a setting not made.
"""

import difflib
import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

PREFIX: Final = "LOGOUTD_"

SECRETS: Final = ("ADMIN_TOKEN", "REDIS_URL", "QUEUE_REDIS_URL")
"""Settings that may come from a file (`LOGOUTD_ADMIN_TOKEN_FILE` and so on). Redis URLs hold passwords."""

MIN_ADMIN_TOKEN_LENGTH: Final = 16
"""Shortest administrator's token, in characters: anything less can be guessed over the network."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """The environment cannot be used; the message names each variable and what is wrong, never its value."""


class Settings(BaseSettings):
    """What an operator may decide. Everything has a default that is right for production, but for what only they know."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", str_strip_whitespace=True, env_ignore_empty=True
    )

    public_url: str = Field(
        default="",
        description="Base URL under which identity providers and applications reach the service, such as "
        "`https://logout.example.com`. Every endpoint URL, and so the `aud` an identity provider must send, is built "
        "from it; request headers never are. Required.",
    )
    issuer: str = Field(
        default="",
        description="`iss` of outgoing logout tokens: the issuer of the authorization server beside us, exactly as in "
        "its ID tokens. Default: PUBLIC_URL.",
    )
    signing_keys_file: Path | None = Field(
        default=None,
        description="Path of a private JWKS (RFC 7517) with a key for each algorithm the applications use. "
        "Required; `logoutd dev` makes and keeps one, `logoutd keys generate` prints one.",
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="The record: `redis://`, `rediss://` or `unix://` URL of a Redis 6.2 or newer that persists "
        "(`appendonly yes`) and never evicts (`maxmemory-policy noeviction`).",
    )
    queue_redis_url: SecretStr = Field(
        default=SecretStr(""),
        description="Redis for the job queue, which may be lost without losing work. Default: REDIS_URL.",
    )
    admin_token: SecretStr = Field(
        default=SecretStr(""),
        description=f"Bearer token of the management API, at least {MIN_ADMIN_TOKEN_LENGTH} characters. Required by "
        "`logoutd serve`.",
    )
    allowed_private_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        default=(),
        description="Comma-separated CIDRs that outbound calls may reach besides public addresses, and the only ones "
        "to which plain `http` is allowed. Default: none.",
    )
    host: str = Field(default="0.0.0.0", description="Address the service listens on. Default: every interface.")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port the service listens on. Default: 8000.")
    log_format: Literal["json", "console"] = Field(
        default="json", description="`json`: one object a line; `console`: for people. Default: json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged. Default: info."
    )
    max_concurrent_deliveries: int = Field(
        default=128,
        ge=1,
        le=4096,
        description="Most logout tokens one worker has under way at once. Default: 128.",
    )
    suspend_after_days: int = Field(
        default=5,
        ge=0,
        le=365,
        description="How long an application may fail without a single answer before it is suspended, in days; it is asked once "
        "an hour then, until it answers or is resumed. 0: never. Default: 5.",
    )
    refresh_token_grace_seconds: int = Field(
        default=0,
        ge=0,
        le=60,
        description="How long after its rotation a refresh token may be rotated again by its client, whose first answer got "
        "lost, in seconds; at any other time that ends the token's family. Default: 0, not at all.",
    )
    participation_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="How long after a session's end its applications are still told of a revocation, in days: as long "
        "as the longest session any of them keeps. Default: 30.",
    )
    receipt_days: int = Field(
        default=90, ge=1, le=3650, description="How long a finished revocation's receipt is kept, in days. Default: 90."
    )

    @field_validator("public_url", "issuer")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
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

    @field_validator("allowed_private_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value

    @field_validator("admin_token")
    @classmethod
    def _is_long_enough(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value()) < MIN_ADMIN_TOKEN_LENGTH:
            raise ValueError(f"must have at least {MIN_ADMIN_TOKEN_LENGTH} characters")
        return value

    @field_validator("redis_url", "queue_redis_url")
    @classmethod
    def _is_redis_url(cls, value: SecretStr) -> SecretStr:
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

    @property
    def base_url(self) -> str:
        """PUBLIC_URL without a trailing slash: what endpoint paths are appended to."""
        return self.public_url.rstrip("/")

    @property
    def is_public_url_plain(self) -> bool:
        """Whether PUBLIC_URL is plain http to somewhere else than this machine: identity providers send secrets to it."""
        url = urlsplit(self.public_url)
        return url.scheme == "http" and url.hostname not in {"127.0.0.1", "::1", "localhost"}

    @property
    def token_issuer(self) -> str:
        """`iss` of outgoing logout tokens, to the letter as configured."""
        return self.issuer or self.public_url

    @property
    def queue_url(self) -> str:
        """Where arq's queue lives."""
        return self.queue_redis_url.get_secret_value() or self.redis_url.get_secret_value()

    def require(self, *names: str) -> None:
        """Raise SettingsError naming each of these settings that is not set."""
        missing = [f"{PREFIX}{name.upper()}" for name in names if not _plain(getattr(self, name))]
        if missing:
            raise SettingsError(f"not set: {', '.join(missing)}")

    def summary(self) -> dict[str, list[str]]:
        """The names of the settings that are set and of those left at their default, for the start-up line: never a
        value, for nobody can tell which of them somebody holds to be secret."""
        names = type(self).model_fields
        return {
            "set": [name for name in names if name in self.model_fields_set],
            "default": [name for name in names if name not in self.model_fields_set],
        }


def load_settings(**overrides: Any) -> Settings:
    """Read the environment into Settings; `overrides` win. Raises SettingsError, which never holds a value."""
    given = {name.upper(): value for name, value in os.environ.items() if name.upper().startswith(PREFIX) and value}
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    files = {f"{PREFIX}{name}_FILE" for name in SECRETS}
    problems = [_unknown(name, known | files) for name in sorted(set(given) - known - files)]
    from_files: dict[str, Any] = {}
    for name in sorted(files & set(given)):
        target = name.removesuffix("_FILE")
        if target in given:
            problems.append(f"{target} and {name} are both set; keep one")
            continue
        try:
            from_files[target.removeprefix(PREFIX).lower()] = Path(given[name]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}: the file cannot be read ({type(error).__name__})")
    if problems:
        raise SettingsError("; ".join(problems))
    try:
        return Settings(**{**from_files, **overrides})
    except ValidationError as error:
        told = [
            f"{PREFIX}{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_input=False)
        ]
        raise SettingsError("; ".join(told)) from None


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
