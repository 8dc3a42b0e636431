"""Every environment variable, once.

Names carry the prefix `LOGOUTD_`; a secret may instead be named by `…_FILE`, the path of a file that holds it. A name
with the prefix that is not one of these is an error: a setting misspelt is a setting not made.
"""

import difflib
import hashlib
import os
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from service.delivery_settings import PREFIX, DeliverySettings
from service.setting_values import (
    MIN_ADMIN_TOKEN_LENGTH,
    UNGUESSABLE_LENGTH,
    AdminToken,
    AuditKey,
    BaseUrl,
    Digests,
    Networks,
    RedisUrl,
)

__all__ = ["PREFIX", "SECRETS", "Settings", "SettingsError", "load_settings", "secret_file"]

SECRETS: Final = ("ADMIN_TOKEN", "AUDIT_KEY", "REDIS_URL", "QUEUE_REDIS_URL")
"""Settings that may come from a file (`LOGOUTD_ADMIN_TOKEN_FILE` and so on). Redis URLs hold passwords."""


class SettingsError(Exception):
    """The environment cannot be used; the message names each variable and what is wrong, never its value."""


class Settings(DeliverySettings):
    """What an operator may decide. Everything has a default that is right for production, but for what only they know."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", str_strip_whitespace=True, env_ignore_empty=True
    )

    _guessable_digests: tuple[str, ...] = PrivateAttr(default=())

    public_url: BaseUrl = Field(
        default="",
        description="Base URL under which identity providers and applications reach the service, such as "
        "`https://logout.example.com`. Every endpoint URL, and so the `aud` an identity provider must send, is built "
        "from it; request headers never are. Required.",
    )
    issuer: BaseUrl = Field(
        default="",
        description="`iss` of outgoing logout tokens: the issuer of the authorization server beside us, exactly as in "
        "its ID tokens. Default: PUBLIC_URL.",
    )
    signing_keys_file: Path | None = Field(
        default=None,
        description="Path of a private JWKS (RFC 7517) with a key for each algorithm the applications use. "
        "Required; `logoutd dev` makes and keeps one, `logoutd keys generate` prints one.",
    )
    redis_url: RedisUrl = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="The record: `redis://`, `rediss://` or `unix://` URL of a Redis 6.2 or newer that persists "
        "(`appendonly yes`) and never evicts (`maxmemory-policy noeviction`).",
    )
    queue_redis_url: RedisUrl = Field(
        default=SecretStr(""),
        description="Redis for the job queue, which may be lost without losing work. Default: REDIS_URL.",
    )
    admin_token: AdminToken = Field(
        default=SecretStr(""),
        description=f"Bearer token of the management API, at least {MIN_ADMIN_TOKEN_LENGTH} characters. From "
        f"{UNGUESSABLE_LENGTH} on it is heard however many wrong ones come from its address. Required by `logoutd serve`.",
    )
    admin_token_sha256: Digests = Field(
        default=(),
        description="Comma-separated SHA-256 digests, in hexadecimal, of further administrators' tokens, for which "
        f"ADMIN_TOKEN may be left out: each is 64 digits, of a random token of at least {MIN_ADMIN_TOKEN_LENGTH} "
        "characters. Default: none.",
    )
    allowed_private_networks: Networks = Field(
        default=(),
        description="Comma-separated CIDRs that outbound calls may reach besides public addresses, and the only ones "
        "to which plain `http` is allowed; a cloud's metadata address counts only if listed by itself. Default: none.",
    )
    host: str = Field(default="0.0.0.0", description="Address the service listens on. Default: every interface.")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port the service listens on. Default: 8000.")
    trusted_proxies: Networks = Field(
        default=(),
        description="Comma-separated CIDRs of the proxies in front, whose `X-Forwarded-For` is believed when limits are "
        "counted by address; nobody else's is. Default: none, and everybody behind one proxy counts as one.",
    )
    max_connections: int = Field(
        default=1024,
        ge=8,
        le=65_536,
        description="Most connections one service process keeps open; a new one then takes the place of the one that has "
        "waited longest for a request or the rest of one. Default: 1024.",
    )
    max_concurrent_requests: int = Field(
        default=256,
        ge=1,
        le=8192,
        description="Most requests one service process works on at once, those still being received not counted; further "
        "ones are answered 503. Default: 256.",
    )
    door_requests_per_second: int = Field(
        default=500,
        ge=1,
        le=100_000,
        description="Most requests in a second that one connection may make at the doors of one service process, over time: "
        "ten times as many may come at once. Further ones are answered 429, or 503 to event hooks. Default: 500.",
    )
    failed_authentications_per_minute: int = Field(
        default=600,
        ge=1,
        le=100_000,
        description="Most wrong credentials in a minute that one address may present for one client, or for the "
        "administrator, to one service process. Further ones are answered 429. Default: 600.",
    )
    blast_radius_people: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Most people one connection's identity provider may have signed out within "
        "BLAST_RADIUS_WINDOW_SECONDS; what it asks beyond is held until an operator releases it. Default: 0, no bound.",
    )
    blast_radius_window_seconds: int = Field(
        default=3600,
        ge=1,
        le=604_800,
        description="How long people count towards BLAST_RADIUS_PEOPLE, in seconds. Default: 3600.",
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="`json`: one object a line; `console`: for people. Default: json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged. Default: info."
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
    wait_for_fsync: bool = Field(
        default=False,
        description="Whether success is told only once a revocation is on the disk of the record's Redis, and of each replica "
        "that WAIT_FOR_REPLICAS counts (`WAITAOF`, Redis 7.2). Default: false.",
    )
    wait_for_replicas: int = Field(
        default=0,
        ge=0,
        le=9,
        description="How many replicas of the record's Redis must have a revocation before success is told (`WAIT`). Default: 0.",
    )
    wait_timeout_ms: int = Field(
        default=1000,
        ge=10,
        le=1500,
        description="Longest time that is waited for either, in milliseconds; then the answer is 503, and a repeat waits "
        "again. Default: 1000.",
    )
    shutdown_delay_seconds: int = Field(
        default=5,
        ge=0,
        le=60,
        description="How long the service still takes requests after SIGTERM, with `/readyz` red, so that routers send the "
        "next ones elsewhere, in seconds. Default: 5.",
    )
    audit_days: int = Field(
        default=90, ge=1, le=3650, description="How long the audit trail is kept, in days. Default: 90."
    )
    audit_key: AuditKey = Field(
        default=SecretStr(""),
        description="Key of the audit trail's pseudonyms and seals, at least 32 characters, the same for every process; kept "
        "away from Redis, it keeps whoever can write there from changing the trail unseen. Default: one is made and kept "
        "in Redis.",
    )

    @property
    def base_url(self) -> str:
        """PUBLIC_URL without a trailing slash: what endpoint paths are appended to."""
        return self.public_url.rstrip("/")

    @property
    def is_public_url_plain(self) -> bool:
        """Whether PUBLIC_URL is plain http to somewhere else than this machine: identity providers send secrets to it."""
        url = urlsplit(self.public_url)
        return url.scheme == "http" and not self.is_public_url_here

    @property
    def is_public_url_here(self) -> bool:
        """Whether PUBLIC_URL is on this machine, as in development."""
        return urlsplit(self.public_url).hostname in {"127.0.0.1", "::1", "localhost"}

    @property
    def admin_token_digests(self) -> tuple[str, ...]:
        """SHA-256 of every administrator's token, in hexadecimal."""
        token = self.admin_token.get_secret_value()
        return ((hashlib.sha256(token.encode()).hexdigest(),) if token else ()) + self.admin_token_sha256

    def without_admin_token(self) -> "Settings":
        """The same, with the administrator's token kept as its digest alone: whoever reads this process's memory learns none."""
        kept = self.model_copy(update={"admin_token": SecretStr(""), "admin_token_sha256": self.admin_token_digests})
        kept._guessable_digests = self.guessable_admin_token_digests
        return kept

    @property
    def guessable_admin_token_digests(self) -> tuple[str, ...]:
        """Those of `admin_token_digests` whose token is so short that it might be guessed. Of those that were given as digests
        none is: they are to be of random tokens."""
        token = self.admin_token.get_secret_value()
        of_ours = (hashlib.sha256(token.encode()).hexdigest(),) if 0 < len(token) < UNGUESSABLE_LENGTH else ()
        return self._guessable_digests + of_ours

    @property
    def token_issuer(self) -> str:
        """`iss` of outgoing logout tokens, to the letter as configured."""
        return self.issuer or self.public_url

    @property
    def queue_url(self) -> str:
        """Where arq's queue lives."""
        return self.queue_redis_url.get_secret_value() or self.redis_url.get_secret_value()

    def require(self, *names: str) -> None:
        """Raise SettingsError naming each of these settings that is not set. The digest of an administrator's token is one."""
        held = {name: _plain(getattr(self, name)) for name in names}
        if "admin_token" in held:
            held["admin_token"] = self.admin_token_digests
        missing = [f"{PREFIX}{name.upper()}" for name, value in held.items() if not value]
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
    given = _given()
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
        named = ((str(each["loc"][0]).upper(), each["msg"]) for each in error.errors(include_input=False))
        told = (f"{PREFIX}{name}: {message.removeprefix('Value error, ')}" for name, message in named)
        raise SettingsError("; ".join(told)) from None


def secret_file(name: str) -> Path | None:
    """The file that a secret was read from, for whoever reads it again; None where it came from none."""
    return Path(given) if (given := _given().get(f"{PREFIX}{name}_FILE")) else None


def _given() -> dict[str, str]:
    """What the environment holds of ours, by name in capitals: how a name is written makes no difference."""
    return {name.upper(): value for name, value in os.environ.items() if name.upper().startswith(PREFIX) and value}


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
