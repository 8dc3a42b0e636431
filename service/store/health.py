"""Is this Redis fit to hold the record? Asked by `logoutd check`, and by both processes before they start."""

import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.store.durability import Awaited

OLDEST: Final = (6, 2)
"""Oldest Redis the record runs on, as (major, minor)."""

OLDEST_WITH_WAITAOF: Final = (7, 2)
"""Oldest Redis that can be asked to wait for a disk, as (major, minor)."""

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `fail`: it must not be run so; `warn`: it may, and something could be lost or unsafe."""

    level: Level
    subject: str
    """What was looked at, such as `redis persistence`."""
    detail: str
    """What was found, and for `warn` and `fail` what to do about it; holds no secret."""
    denied: bool = False
    """Whether it answers, and denies our user what it is asked: that stays so until somebody changes a password or a right."""


async def inspect_redis(
    client: "Redis", *, subject: str = "redis", holds_record: bool = True, awaited: Awaited | None = None
) -> list[Finding]:
    """Whether a Redis answers, is new enough, writable, persistent, never evicts, and can do what is `awaited` of it.

    `holds_record=False` is for one that holds the job queue alone: that may be lost, so what would lose the record there
    is a warning at most. INFO is asked first; CONFIG GET, which hosted Redis often forbids, only for what INFO leaves open.
    """
    try:
        info: dict[str, Any] = await client.info()
        policy = info.get("maxmemory_policy") or await _configured(client, "maxmemory-policy")
        appends = info["aof_enabled"] if "aof_enabled" in info else await _configured(client, "appendonly")
        fsync = await _configured(client, "appendfsync")
        tells_role = await _tells_role(client)
    except (RedisError, OSError) as error:
        denied = any(isinstance(each, AuthenticationError | NoPermissionError) for each in _causes(error))
        return [Finding(level="fail", subject=subject, detail=why_unreachable(error), denied=denied)]
    worst: Level = "fail" if holds_record else "warn"
    return [
        _version(info, subject),
        *_writable(info, subject),
        *([] if tells_role else [_role_untold(subject)]),
        _eviction(policy, subject, worst),
        *([_persistence(info, appends=appends, fsync=fsync, subject=subject)] if holds_record else []),
        *(_awaited(info, awaited, appends=appends, subject=subject) if awaited else []),
    ]


def why_unreachable(error: Exception) -> str:
    """Why a Redis did not answer, without a word of redis-py's own: its messages may hold parts of the URL."""
    for each in _causes(error):
        match each:
            case AuthenticationError():
                return "it refuses our user name or password"
            case NoPermissionError():
                return "our user may not run INFO; grant it"
            case RedisTimeoutError() | TimeoutError():
                return "it did not answer in time"
            case ssl.SSLError():
                return f"it cannot be reached (TLS: {each.reason})"
            case socket.gaierror():
                return "it cannot be reached (its name does not resolve)"
            case OSError(errno=int(number)):
                return f"it cannot be reached ({os.strerror(number)})"
            case _:
                pass
    return f"it cannot be reached ({type(error).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    # redis-py wraps what happens while it connects in a ConnectionError of its own.
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _version(info: dict[str, Any], subject: str) -> Finding:
    subject = f"{subject} version"
    told, numbers = str(info.get("redis_version", "")), _numbers(info)
    oldest = ".".join(map(str, OLDEST))
    if len(numbers) < len(OLDEST):
        return Finding(level="warn", subject=subject, detail=f"it does not tell; {oldest} or newer is needed")
    if numbers < OLDEST:
        return Finding(level="fail", subject=subject, detail=f"{told} is too old; {oldest} or newer is needed")
    return Finding(level="ok", subject=subject, detail=told)


def _numbers(info: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in str(info.get("redis_version", "")).split(".")[:2] if part.isdigit())


def _writable(info: dict[str, Any], subject: str) -> list[Finding]:
    found: list[Finding] = []
    if info.get("role") in {"slave", "replica"}:
        found.append(Finding(level="fail", subject=f"{subject} role", detail="it is a replica; name its primary"))
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("rdb_last_bgsave_status", "ok") != "ok":
        detail = "its last write to disk failed, and it may refuse ours; see its log"
        found.append(Finding(level="warn", subject=f"{subject} disk", detail=detail))
    return found


def _role_untold(subject: str) -> Finding:
    detail = "our user may not run ROLE: a primary demoted by a failover would be read from until something is written"
    return Finding(level="warn", subject=f"{subject} role", detail=detail)


def _eviction(policy: object, subject: str, worst: Level) -> Finding:
    subject = f"{subject} eviction"
    if policy is None:
        return Finding(level="warn", subject=subject, detail="cannot be told; maxmemory-policy must be noeviction")
    if policy != "noeviction":
        detail = f"maxmemory-policy is {policy}: under pressure it would forget revocations; set noeviction"
        return Finding(level=worst, subject=subject, detail=detail)
    return Finding(level="ok", subject=subject, detail="noeviction")


def _persistence(info: dict[str, Any], *, appends: object, fsync: object, subject: str) -> Finding:
    subject = f"{subject} persistence"
    if appends is None:
        return Finding(level="warn", subject=subject, detail="cannot be told; appendonly must be yes")
    if str(appends) not in {"1", "yes"}:
        detail = "appendonly is no: A RESTART OF REDIS LOSES ACKNOWLEDGED REVOCATIONS; set appendonly yes"
        return Finding(level="warn", subject=subject, detail=detail)
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        detail = "appendonly is yes, but its last rewrite failed: the file will grow; see its log"
        return Finding(level="warn", subject=subject, detail=detail)
    if fsync == "no":
        detail = "appendfsync is no: a power failure loses what the system had not written yet; set everysec or always"
        return Finding(level="warn", subject=subject, detail=detail)
    held = f", appendfsync {fsync}" if fsync else ""
    limit = " (a power failure may lose the last second)" if fsync == "everysec" else ""
    return Finding(level="ok", subject=subject, detail=f"appendonly{held}{limit}")


def _awaited(info: dict[str, Any], awaited: Awaited, *, appends: object, subject: str) -> list[Finding]:
    subject = f"{subject} durability"
    if awaited.fsync and _numbers(info) < OLDEST_WITH_WAITAOF:
        oldest = ".".join(map(str, OLDEST_WITH_WAITAOF))
        return [Finding(level="fail", subject=subject, detail=f"WAIT_FOR_FSYNC needs Redis {oldest} or newer")]
    if awaited.fsync and appends is not None and str(appends) not in {"1", "yes"}:
        return [Finding(level="fail", subject=subject, detail="WAIT_FOR_FSYNC needs appendonly yes")]
    connected = int(info.get("connected_slaves", 0))
    if connected < awaited.replicas:
        # Said, not refused: replicas come and go, and until they are there every door says 503 by itself.
        detail = (
            f"{connected} of {awaited.replicas} replicas are connected: until then every revocation is answered 503"
        )
        return [Finding(level="warn", subject=subject, detail=detail)]
    disk = "the disk" if awaited.fsync else ""
    replicas = f"{awaited.replicas} of {connected} replicas" if awaited.replicas else ""
    waits = " and ".join(each for each in (disk, replicas) if each)
    return [Finding(level="ok", subject=subject, detail=f"success waits for {waits}, {awaited.timeout_ms} ms at most")]


async def _tells_role(client: "Redis") -> bool:
    try:
        await client.role()
    except ResponseError:  # forbidden or unknown there
        return False
    return True


async def _configured(client: "Redis", name: str) -> object:
    try:
        answer: dict[str, Any] = await client.config_get(name)
    except ResponseError:  # forbidden or unknown there
        return None
    return answer.get(name)
