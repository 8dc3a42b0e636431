"""`logoutd check`: is everything this service leans on there and fit? A list of ok, warn and fail; a fail is exit status 1.

Every check is one function from the settings to findings. None changes anything, and none tells a secret.
"""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Final, TextIO, overload

from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.domain.application import Application
from service.domain.connection import SIGNING_ALGORITHMS, Connection
from service.errors import Unavailable
from service.keys.ring import SigningKeysError, load_key_ring
from service.keys.rotate import moment
from service.resources import awaited_by, open_resources
from service.setting_values import UNGUESSABLE_LENGTH
from service.settings import PREFIX, Settings, SettingsError, load_settings
from service.store.applications import Applications
from service.store.connections import Connections
from service.store.durability import Awaited
from service.store.health import Finding, Level, inspect_redis
from service.store.pages import Mark
from service.store.record import open_pool
from service.verify.application_health import look_at_tls
from service.verify.connection_health import look_at_certificates, look_at_keys
from service.verify.issuer_keys import IssuerKeys

CHECK_LIMIT_S: Final = 30.0
"""Longest time one check may take, in seconds."""

CONCURRENT_FETCHES: Final = 32
"""Most identity providers asked for their keys at once."""

PAGE: Final = 200
"""Connections or applications read from the record at once."""

NAMED: Final = 3
"""Most applications one finding names."""

Check = Callable[[Settings], Awaitable[list[Finding]]]

_STYLES: Final[dict[Level, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


async def check_settings(settings: Settings) -> list[Finding]:
    """What only the operator knows: the public URL, the proxies in front and the administrator's token."""
    found = []
    if not settings.public_url:
        found.append(_fail("public url", f"{PREFIX}PUBLIC_URL is not set: no endpoint has a URL without it"))
    elif settings.is_public_url_plain:
        found.append(_warn("public url", f"{settings.public_url} is plain http: identity providers send secrets to it"))
    else:
        found.append(_ok("public url", settings.public_url))
    if settings.trusted_proxies:
        found.append(_ok("trusted proxies", ", ".join(str(each) for each in settings.trusted_proxies)))
    elif settings.public_url and not settings.is_public_url_here:
        told = f"{PREFIX}TRUSTED_PROXIES is not set: behind a proxy everybody has its address, and strangers can use up what is"
        found.append(_warn("trusted proxies", f"{told} counted by address; name the proxy, if there is one"))
    tokens = len(settings.admin_token_digests)
    if settings.guessable_admin_token_digests:
        told = f"{PREFIX}ADMIN_TOKEN has less than {UNGUESSABLE_LENGTH} characters and might be guessed"
        found.append(_warn("admin token", f"{told}; `openssl rand -hex 32` makes one that nobody guesses"))
    elif tokens:
        found.append(_ok("admin token", "set" if tokens == 1 else f"{tokens} are set"))
    else:
        names = f"{PREFIX}ADMIN_TOKEN, {PREFIX}ADMIN_TOKEN_FILE or {PREFIX}ADMIN_TOKEN_SHA256"
        found.append(_fail("admin token", f"none of {names} is set"))
    return found


async def check_signing_keys(settings: Settings) -> list[Finding]:
    """The private JWKS: there, readable by us and nobody else, usable, with a key for every algorithm."""
    subject = "signing keys"
    path = settings.signing_keys_file
    if path is None:
        hint = "`logoutd keys generate` prints some"
        return [_fail(subject, f"{PREFIX}SIGNING_KEYS_FILE is not set; {hint}")]
    try:
        ring = await asyncio.to_thread(load_key_ring, path)
        mode = path.stat().st_mode
    except SigningKeysError as error:
        return [_fail(subject, str(error))]
    except OSError as error:
        return [_fail(subject, f"the file cannot be looked at: {error.strerror}")]
    found = [_ok(subject, ", ".join(ring.algorithms))]
    if missing := [each for each in SIGNING_ALGORITHMS if each not in ring.algorithms]:
        found.append(_warn(subject, f"none for {', '.join(missing)}: an application that asks for it cannot be told"))
    if waiting := [each for each in ring.keys.places(now_s=ring.now_s) if each.state == "next"]:
        told = ", ".join(f"{each.algorithm} from {moment(each.from_s)}" for each in waiting)
        found.append(_ok(subject, f"the next ones sign: {told}"))
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        found.append(_warn(subject, "every user of this machine may read the file; take the permission away"))
    return found


async def check_redis(settings: Settings) -> list[Finding]:
    """The Redis of the record."""
    return await _inspect(
        settings.redis_url.get_secret_value(), subject="redis", holds_record=True, awaited=awaited_by(settings)
    )


async def check_queue_redis(settings: Settings) -> list[Finding]:
    """The Redis of the job queue, where it is another one."""
    if settings.queue_url == settings.redis_url.get_secret_value():
        return [_ok("queue redis", "the same as the record's")]
    return await _inspect(settings.queue_url, subject="queue redis", holds_record=False)


async def check_connections(settings: Settings) -> list[Finding]:
    """Every connection: can its identity provider's keys be had, as they will be when it asks us to sign somebody out?"""
    try:
        async with open_resources(settings) as resources:
            connections = [each async for each in _all_of(resources.connections)]
            fetches = asyncio.Semaphore(CONCURRENT_FETCHES)
            async with asyncio.TaskGroup() as group:
                looks = [group.create_task(_look_at(each, resources.issuer_keys, fetches)) for each in connections]
            now_ms = resources.clock.now_ms()
            found = []
            for connection, look in zip(connections, looks, strict=True):
                found += [look.result(), *look_at_certificates(connection, now_ms=now_ms)]
            found += [_capturing(each) for each in connections if each.options.capture_refused_assertions]
            return found or [_ok("connections", "none yet")]
    except (SettingsError, SigningKeysError, Unavailable) as error:
        return [_warn("connections", f"not looked at: {error}")]
    except ValueError:  # as in _inspect
        return [_warn("connections", "not looked at: the URL of the record cannot be read")]


async def check_applications(settings: Settings) -> list[Finding]:
    """Every application: is there a key for the algorithm it checks its logout tokens with, and are its own certificates
    valid?"""
    subject = "applications"
    try:
        async with open_resources(settings) as resources:
            wanting: dict[str, list[str]] = {}
            count = 0
            certificates: list[Finding] = []
            async for each in _all_of(resources.applications):
                count += 1
                certificates += look_at_tls(each, now_ms=resources.clock.now_ms())
                wanting.setdefault(each.id_token_signed_response_alg, []).append(each.client_id)
            there = resources.key_ring.algorithms
    except (SettingsError, SigningKeysError, Unavailable) as error:
        return [_warn(subject, f"not looked at: {error}")]
    except ValueError:  # as in _inspect
        return [_warn(subject, "not looked at: the URL of the record cannot be read")]
    lacking = [
        _fail(subject, f"no key signs with {algorithm}, which {_some(names)} cannot be told without")
        for algorithm, names in sorted(wanting.items())
        if algorithm not in there
    ]
    fit = [_ok(subject, f"{count}, each with a key for its algorithm" if count else "none yet")]
    return (lacking or fit) + certificates


CHECKS: Final[tuple[Check, ...]] = (
    check_settings,
    check_signing_keys,
    check_redis,
    check_queue_redis,
    check_connections,
    check_applications,
)
"""Every check, in the order they are shown."""


async def run_checks(settings: Settings) -> list[Finding]:
    """What every check found; one that takes longer than CHECK_LIMIT_S has failed."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            async with asyncio.timeout(CHECK_LIMIT_S):
                found += await check(settings)
        except TimeoutError:
            subject = check.__name__.removeprefix("check_").replace("_", " ")
            found.append(_fail(subject, f"not finished within {CHECK_LIMIT_S:.0f} s"))
    return found


def run_check(*, as_json: bool, out: TextIO) -> int:
    """Check everything the environment names and tell `out`: a table for people, JSON for programs. The exit status."""
    try:
        found = asyncio.run(run_checks(load_settings()))
    except SettingsError as error:
        found = [_fail("settings", str(error))]
    fit = all(each.level != "fail" for each in found)
    if as_json:
        json.dump({"ok": fit, "findings": [asdict(each) for each in found]}, out, indent=2)
        out.write("\n")
    elif out.isatty():
        Console(file=out).print(_table(found))
    else:
        out.writelines(f"{each.level:<4}  {each.subject}: {each.detail}\n" for each in found)
    return 0 if fit else 1


@overload
def _all_of(store: Connections) -> AsyncIterator[Connection]: ...
@overload
def _all_of(store: Applications) -> AsyncIterator[Application]: ...
async def _all_of(store: Connections | Applications) -> AsyncIterator[Connection | Application]:
    after: Mark | None = None
    while True:
        found, after = await store.page(after=after, limit=PAGE)
        for each in found:
            yield each
        if after is None:
            return


async def _look_at(connection: Connection, keys: IssuerKeys, fetches: asyncio.Semaphore) -> Finding:
    async with fetches:
        found = await look_at_keys(connection, keys)
    if found.level == "ok" and not connection.enabled:
        return _warn(found.subject, "it is disabled: its identity provider is answered 403")
    return found


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _capturing(connection: Connection) -> Finding:
    told = "capture mode is on: names in refused assertions are logged; switch it off when the connection is set up"
    return _warn(f"connection {connection.name}", told)


def _table(found: list[Finding]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for each in found:
        table.add_row(Text(each.level, style=_STYLES[each.level]), each.subject, Text(each.detail))
    return table


async def _inspect(url: str, *, subject: str, holds_record: bool, awaited: Awaited | None = None) -> list[Finding]:
    client = Redis(connection_pool=open_pool(url, decode=True, size=1))
    try:
        return await inspect_redis(client, subject=subject, holds_record=holds_record, awaited=awaited)
    finally:
        await client.aclose(close_connection_pool=True)


def _ok(subject: str, detail: str) -> Finding:
    return Finding(level="ok", subject=subject, detail=detail)


def _warn(subject: str, detail: str) -> Finding:
    return Finding(level="warn", subject=subject, detail=detail)


def _fail(subject: str, detail: str) -> Finding:
    return Finding(level="fail", subject=subject, detail=detail)
