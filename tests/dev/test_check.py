"""`logoutd check`: what it finds in a real Redis, in key files, in the environment - and what it never tells."""

import asyncio
import dataclasses
import datetime as dt
import io
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.check import CHECKS, PAGE, run_check
from service.domain.application import Application
from service.domain.connection import Connection
from service.embedded_redis import EmbeddedRedis
from service.keys.generate import generate_signing_keys
from service.keys.ring import parse_key_ring
from service.store.applications import Applications
from service.store.connections import Connections
from service.store.health import Finding, inspect_redis
from service.store.record import Record
from service.verify.certificates import read_certificate
from tests.support import tokens
from tests.support.certificates import Authority, signing_certificate
from tests.support.identity_provider import IdentityProvider
from tests.support.redis_server import connect

TOKEN = "an-administrators-token-of-the-checks"
PASSWORD = "pa55word"


@pytest.fixture(scope="module")
def persistent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("check")) as server:
        yield server


@pytest.fixture
def configure(persistent: EmbeddedRedis) -> Iterator[Callable[[str, str], None]]:
    """Change the configuration of the persistent Redis; put back after the test."""
    with closing(connect(persistent)) as client:
        before: dict[str, str] = {}

        def set_one(name: str, value: str) -> None:
            known: dict[str, str] = client.config_get(name)  # type: ignore[assignment]  # redis-py types both its clients as one
            before.setdefault(name, known[name])
            client.config_set(name, value)

        yield set_one
        for name, value in before.items():
            client.config_set(name, value)


@pytest.fixture(scope="module")
def private_keys() -> dict[str, Any]:
    return generate_signing_keys()


@pytest.fixture
def keys_file(tmp_path: Path, private_keys: dict[str, Any]) -> Path:
    return write_keys(tmp_path, private_keys)


def write_keys(folder: Path, document: object) -> Path:
    path = folder / "keys.json"
    path.write_text(json.dumps(document), "utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, persistent: EmbeddedRedis, keys_file: Path) -> Callable[..., None]:
    """Everything as it should be, but for what a test says."""
    for name in os.environ:
        if name.upper().startswith("LOGOUTD_"):
            monkeypatch.delenv(name)

    def set_all(**changed: str | None) -> None:
        usual = {
            "PUBLIC_URL": "https://logout.example.com",
            "SIGNING_KEYS_FILE": str(keys_file),
            "REDIS_URL": persistent.url,
            "ADMIN_TOKEN": TOKEN,
            "TRUSTED_PROXIES": "10.0.0.0/24",
        }
        for name, value in {**usual, **changed}.items():
            if value is not None:
                monkeypatch.setenv(f"LOGOUTD_{name}", value)

    set_all()
    return set_all


def check() -> tuple[int, list[Finding]]:
    out = io.StringIO()
    status = run_check(as_json=True, out=out)
    told = json.loads(out.getvalue())
    found = [Finding(**each) for each in told["findings"]]
    assert told["ok"] is (status == 0) is all(each.level != "fail" for each in found)
    assert TOKEN not in out.getvalue()
    assert PASSWORD not in out.getvalue()
    return status, found


def found_of(found: list[Finding], subject: str) -> list[tuple[str, str]]:
    return [(each.level, each.detail) for each in found if each.subject == subject]


@pytest.mark.parametrize(
    ("public_url", "proxies", "levels"),
    [
        ("https://logout.example.com", "10.0.0.0/24,2001:db8::/48", ["ok"]),
        ("https://logout.example.com", None, ["warn"]),
        ("http://logout.example.com", None, ["warn"]),
        ("http://127.0.0.1:8000", None, []),
        ("http://localhost:8000", None, []),
    ],
)
def test_a_proxy_that_may_be_there_and_is_not_named_is_warned_of(
    environment: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    public_url: str,
    proxies: str | None,
    levels: list[str],
) -> None:
    monkeypatch.delenv("LOGOUTD_TRUSTED_PROXIES")
    environment(PUBLIC_URL=public_url, TRUSTED_PROXIES=proxies)
    status, found = check()
    assert status == 0
    told = found_of(found, "trusted proxies")
    assert [level for level, _ in told] == levels
    assert all("LOGOUTD_TRUSTED_PROXIES" in detail for level, detail in told if level == "warn")


@pytest.mark.usefixtures("environment")
def test_where_everything_is_fit_every_line_is_ok() -> None:
    status, found = check()

    assert status == 0
    assert {each.level for each in found} == {"ok"}
    assert {each.subject for each in found} >= {
        "public url",
        "admin token",
        "signing keys",
        "redis version",
        "redis persistence",
        "redis eviction",
        "queue redis",
    }
    assert found_of(found, "redis persistence") == [("ok", "appendonly, appendfsync always")]
    assert found_of(found, "signing keys") == [("ok", "RS256, PS256, ES256, EdDSA")]


@pytest.mark.usefixtures("environment")
def test_for_a_program_that_reads_lines_there_is_one_line_a_finding() -> None:
    out = io.StringIO()

    assert run_check(as_json=False, out=out) == 0

    lines = out.getvalue().splitlines()
    assert len(lines) >= len(CHECKS)
    assert "ok    redis eviction: noeviction" in lines


def test_on_a_terminal_there_is_a_table(environment: Callable[..., None]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    environment(ADMIN_TOKEN="")
    out = Terminal()

    assert run_check(as_json=False, out=out) == 1
    assert "LOGOUTD_ADMIN_TOKEN" in out.getvalue()
    assert "ok    " not in out.getvalue().splitlines()[0]


def test_a_setting_that_is_none_is_a_finding_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGOUTD_PUBLIC_URI", "x")

    status, found = check()

    assert status == 1
    assert found == [
        Finding(
            level="fail",
            subject="settings",
            detail="LOGOUTD_PUBLIC_URI is not a setting; did you mean LOGOUTD_PUBLIC_URL?",
        )
    ]


@pytest.mark.parametrize(
    ("changed", "subject", "level", "detail"),
    [
        ({"PUBLIC_URL": ""}, "public url", "fail", "LOGOUTD_PUBLIC_URL is not set"),
        ({"PUBLIC_URL": "http://logout.example.com"}, "public url", "warn", "plain http"),
        ({"PUBLIC_URL": "http://127.0.0.1:8000"}, "public url", "ok", "http://127.0.0.1:8000"),
        ({"ADMIN_TOKEN": ""}, "admin token", "fail", "LOGOUTD_ADMIN_TOKEN"),
        ({"ADMIN_TOKEN": "x" * 31}, "admin token", "warn", "less than 32 characters and might be guessed"),
        ({"ADMIN_TOKEN": "x" * 32}, "admin token", "ok", "set"),
        ({"SIGNING_KEYS_FILE": "/nowhere/keys.json"}, "signing keys", "fail", "cannot be read (FileNotFoundError)"),
    ],
)
def test_what_only_the_operator_knows(
    environment: Callable[..., None], changed: dict[str, str], subject: str, level: str, detail: str
) -> None:
    environment(**changed)

    status, found = check()

    [(found_level, found_detail)] = found_of(found, subject)
    assert found_level == level
    assert detail in found_detail
    assert status == (1 if level == "fail" else 0)


def test_without_a_keys_file_it_says_how_to_make_one(
    environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOGOUTD_SIGNING_KEYS_FILE")

    status, found = check()

    assert status == 1
    assert found_of(found, "signing keys") == [
        ("fail", "LOGOUTD_SIGNING_KEYS_FILE is not set; `logoutd keys generate` prints some")
    ]


def unusable(kind: str, good: dict[str, Any]) -> object:
    first, *rest = good["keys"]
    match kind:
        case "no jwks":
            return [1, 2]
        case "empty":
            return {"keys": []}
        case "public":
            return parse_key_ring(good).jwks()
        case "same kid":
            return {"keys": [first, {**rest[-1], "kid": first["kid"]}]}
        case "half a key":
            return {"keys": [{name: value for name, value in first.items() if name != "n"}]}
        case _:
            return {"keys": [{**first, "alg": "HS256"}]}


@pytest.mark.parametrize("kind", ["no jwks", "empty", "public", "same kid", "half a key", "symmetric algorithm"])
def test_keys_that_cannot_be_used_are_a_fail_that_tells_nothing_of_them(
    environment: Callable[..., None], tmp_path: Path, private_keys: dict[str, Any], kind: str
) -> None:
    write_keys(tmp_path, unusable(kind, private_keys))

    status, found = check()

    assert status == 1
    [(level, detail)] = found_of(found, "signing keys")
    assert level == "fail"
    assert not any(str(key[name]) in detail for key in private_keys["keys"] for name in ("d", "kid"))


def test_an_algorithm_without_a_key_is_a_warning(
    environment: Callable[..., None], tmp_path: Path, private_keys: dict[str, Any]
) -> None:
    write_keys(tmp_path, {"keys": private_keys["keys"][:1]})

    status, found = check()

    assert status == 0
    assert found_of(found, "signing keys") == [
        ("ok", "RS256"),
        ("warn", "none for PS256, ES256, EdDSA: an application that asks for it cannot be told"),
    ]


@pytest.mark.usefixtures("environment")
def test_keys_that_anybody_can_read_are_a_warning(keys_file: Path) -> None:
    keys_file.chmod(0o644)

    status, found = check()

    assert status == 0
    assert [level for level, _ in found_of(found, "signing keys")] == ["ok", "warn"]


@pytest.mark.usefixtures("environment")
def test_keys_that_are_to_sign_later_are_told_with_the_time(private_keys: dict[str, Any], tmp_path: Path) -> None:
    others = generate_signing_keys()["keys"]
    write_keys(tmp_path, {"keys": [*private_keys["keys"], {**others[2], "logoutd_use_from": 4_000_000_000}]})

    status, found = check()

    assert status == 0
    assert found_of(found, "signing keys") == [
        ("ok", "RS256, PS256, ES256, EdDSA"),
        ("ok", "the next ones sign: ES256 from 2096-10-02T07:06:40Z"),
    ]


def record_applications(url: str, **algorithms: str) -> None:
    async def add() -> None:
        client: Redis = Redis.from_url(url, decode_responses=True)
        for name, algorithm in algorithms.items():
            await Applications(Record(client)).add(
                Application(
                    client_id=name,
                    client_secret_hash=name,
                    id_token_signed_response_alg=algorithm,
                    created_at_ms=0,
                    updated_at_ms=0,
                )
            )
        await client.aclose()

    asyncio.run(add())


def test_an_application_whose_algorithm_has_no_key_that_signs_is_a_fail_and_named(
    environment: Callable[..., None], redis_url: str, tmp_path: Path, private_keys: dict[str, Any]
) -> None:
    environment(REDIS_URL=redis_url)
    rs256, _ps256, es256, eddsa = private_keys["keys"]
    write_keys(tmp_path, {"keys": [rs256, es256, {**eddsa, "logoutd_use_from": 4_000_000_000}]})
    record_applications(redis_url, a="PS256", b="PS256", c="PS256", d="PS256", e="EdDSA", f="ES256")

    status, found = check()

    assert status == 1
    assert found_of(found, "applications") == [
        ("fail", "no key signs with EdDSA, which e cannot be told without"),
        ("fail", "no key signs with PS256, which a, b, c and 1 more cannot be told without"),
    ]


def test_applications_that_all_have_a_key_are_counted(environment: Callable[..., None], redis_url: str) -> None:
    environment(REDIS_URL=redis_url)
    record_applications(redis_url, **{f"app{number}": "RS256" for number in range(PAGE + 1)})

    _, found = check()

    assert found_of(found, "applications") == [("ok", f"{PAGE + 1}, each with a key for its algorithm")]


def test_an_applications_own_certificates_are_warned_of_before_they_end(
    environment: Callable[..., None], redis_url: str, tmp_path: Path
) -> None:
    environment(REDIS_URL=redis_url)
    now = dt.datetime.now(dt.UTC)
    authority = Authority(tmp_path, ends=now + dt.timedelta(days=3, hours=1))

    def own(days: int, *, begins_in_days: int = -100) -> dict[str, str]:
        ends, begins = (now + dt.timedelta(days=each, hours=1) for each in (days, begins_in_days))
        pair = authority.pair(common_name="us", begins=begins, ends=ends)
        return {"tls_client_certificate": pair.certificate, "tls_client_key": pair.key}

    async def add() -> None:
        client: Redis = Redis.from_url(url=redis_url, decode_responses=True)
        for name, members in {
            "fine": own(40),
            "soon": own(7),
            "over": own(-2),
            "next": own(60, begins_in_days=2),
            "their-root": {"tls_ca_certificates": authority.root},
        }.items():
            application = Application(
                client_id=name, client_secret_hash=name, created_at_ms=0, updated_at_ms=0, **members
            )
            await Applications(Record(client)).add(application)
        await client.aclose()

    asyncio.run(add())

    status, found = check()

    assert status == 1
    day = (now + dt.timedelta(days=7, hours=1)).date().isoformat()
    (soon,) = found_of(found, "application soon")
    assert soon[0] == "warn"
    assert soon[1].startswith(f"its client certificate expires in 7 days, on {day} (SHA-256 ")
    assert [level for level, _ in found_of(found, "application over")] == ["fail"]
    assert [level for level, _ in found_of(found, "application next")] == ["warn"], "it has not begun"
    (root,) = found_of(found, "application their-root")
    assert root[0] == "warn"
    assert "its CA certificate expires in 3 days" in root[1]
    assert found_of(found, "application fine") == []


def record_connections(url: str, *connections: Connection) -> None:
    async def add() -> None:
        client: Redis = Redis.from_url(url, decode_responses=True)
        for each in connections:
            await Connections(Record(client)).add(each)
        await client.aclose()

    asyncio.run(add())


def test_every_connection_is_asked_for_its_keys(environment: Callable[..., None], redis_url: str) -> None:
    environment(REDIS_URL=redis_url, ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8")
    with IdentityProvider.in_thread() as good, IdentityProvider.in_thread() as broken:
        broken.broken.add("keys")
        record_connections(
            redis_url,
            good.connection(id="con_good"),
            good.connection(id="con_one", id_token_signed_response_alg="ES256"),
            dataclasses.replace(good.connection(id="con_off"), enabled=False),
            broken.connection(id="con_broken"),
            good.connection(id="con_none", signing_algorithms=()),
        )

        status, found = check()

    assert status == 1
    assert found_of(found, "connection good") == [("ok", "4 usable keys in its identity provider's JWKS")]
    assert found_of(found, "connection one") == [("ok", "1 usable key in its identity provider's JWKS")]
    assert found_of(found, "connection off") == [("warn", "it is disabled: its identity provider is answered 403")]
    assert found_of(found, "connection broken") == [
        ("fail", "its identity provider's keys cannot be had: it answered 500, not 200")
    ]
    assert [level for level, _ in found_of(found, "connection none")] == ["fail"]


def test_pinned_keys_are_looked_at_without_asking_anybody(environment: Callable[..., None], redis_url: str) -> None:
    environment(REDIS_URL=redis_url, ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8")
    key = tokens.private_key("ES256")
    with IdentityProvider.in_thread() as provider:
        inline = json.dumps({"keys": [tokens.public_jwk(key)]})
        record_connections(
            redis_url,
            provider.connection(id="con_inline", jwks=inline, id_token_signed_response_alg="ES256"),
            provider.connection(id="con_any", jwks=inline),
            provider.connection(id="con_other", jwks=inline, id_token_signed_response_alg="RS256"),
        )

        status, found = check()

        assert provider.fetches == {}
    assert status == 1
    assert found_of(found, "connection inline") == [("ok", "1 usable key in its inline JWKS")]
    assert [level for level, _ in found_of(found, "connection any")] == ["warn"]
    assert found_of(found, "connection other") == [("fail", "there is no key for RS256 in its inline JWKS")]


@pytest.mark.parametrize(
    ("begins_days", "ends_days", "level", "detail"),
    [
        (-1, 400.5, "ok", "expires in 400 days, on DAY"),
        (-1, 30.5, "ok", "expires in 30 days, on DAY"),
        (-1, 29.5, "warn", "expires in 29 days, on DAY: pin its successor beside it"),
        (-1, 1.5, "warn", "expires in 1 day, on DAY: pin its successor beside it"),
        (-1, 0.5, "warn", "expires in 0 days, on DAY: pin its successor beside it"),
        (-9, -0.5, "fail", "expired on DAY, and what it signs is refused: remove it"),
        (0.5, 400, "warn", "counts from BEGINNING on, and not yet"),
    ],
)
def test_a_pinned_certificate_is_told_by_its_fingerprint_with_its_end(
    environment: Callable[..., None], redis_url: str, begins_days: float, ends_days: float, level: str, detail: str
) -> None:
    environment(REDIS_URL=redis_url, ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8")
    now = time.time()
    begins, ends = (now + days * 86_400 for days in (begins_days, ends_days))
    good = signing_certificate(tokens.private_key("ES256", 2), begins_s=now - 60, ends_s=now + 400 * 86_400)
    pem = signing_certificate(tokens.private_key("ES256"), begins_s=begins, ends_s=ends, name="Acme Inc")
    with IdentityProvider.in_thread() as provider:
        record_connections(redis_url, provider.connection(id="con_saml", signing_certificates=(good, pem)))

        status, found = check()

        assert provider.fetches == {}
    day, beginning = (dt.datetime.fromtimestamp(each, dt.UTC).date().isoformat() for each in (ends, begins))
    told = detail.replace("DAY", day).replace("BEGINNING", beginning)
    fingerprint = read_certificate(pem).fingerprint
    assert found_of(found, "connection saml certificate 2") == [(level, f"{told} (SHA-256 {fingerprint})")]
    assert status == (1 if level == "fail" else 0)
    usable = 1 if level == "fail" or begins > now else 2
    keys = "key" if usable == 1 else "keys"
    assert found_of(found, "connection saml") == [("ok", f"{usable} usable {keys} in its pinned certificates")]
    assert not any("Acme" in each.detail for each in found)


def test_a_connection_whose_certificates_have_all_expired_or_cannot_be_read_is_a_fail(
    environment: Callable[..., None], redis_url: str
) -> None:
    environment(REDIS_URL=redis_url)
    now = time.time()
    expired = signing_certificate(tokens.private_key("ES256"), begins_s=now - 86_400, ends_s=now - 60)
    with IdentityProvider.in_thread() as provider:
        record_connections(redis_url, provider.connection(id="con_saml", signing_certificates=(expired, "garbage")))

        status, found = check()

    assert status == 1
    assert found_of(found, "connection saml") == [
        ("fail", "there is no key for RS256, PS256, ES256, EdDSA in its pinned certificates")
    ]
    assert [found_of(found, f"connection saml certificate {number}")[0][0] for number in (1, 2)] == ["fail", "fail"]


def test_a_connection_in_capture_mode_is_warned_of(environment: Callable[..., None], redis_url: str) -> None:
    environment(REDIS_URL=redis_url, ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8")
    with IdentityProvider.in_thread() as provider:
        record_connections(redis_url, provider.connection(id="con_new", capture_refused_assertions=True))

        status, found = check()

    assert status == 0
    (usable, capturing) = found_of(found, "connection new")
    assert usable[0] == "ok"
    assert capturing[0] == "warn"
    assert capturing[1].startswith("capture mode is on")


def test_more_connections_than_one_page_are_all_looked_at(environment: Callable[..., None], redis_url: str) -> None:
    environment(REDIS_URL=redis_url, ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8")
    names = [f"con_{number}" for number in range(PAGE + 1)]
    with IdentityProvider.in_thread() as provider:
        record_connections(redis_url, *(provider.connection(id=name) for name in names))

        status, found = check()

    assert status == 0
    assert len([each for each in found if each.subject.startswith("connection ")]) == len(names)


def test_without_a_record_connections_are_not_looked_at(environment: Callable[..., None]) -> None:
    environment(REDIS_URL="redis://127.0.0.1:1")

    _, found = check()

    unseen = [("warn", "not looked at: the record cannot be reached (ConnectionError)")]
    assert found_of(found, "connections") == found_of(found, "applications") == unseen


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
@pytest.mark.usefixtures("environment")
def test_a_redis_that_evicts_is_a_fail(configure: Callable[[str, str], None], policy: str) -> None:
    configure("maxmemory-policy", policy)

    status, found = check()

    assert status == 1
    [(level, detail)] = found_of(found, "redis eviction")
    assert level == "fail"
    assert policy in detail


def test_a_queue_that_evicts_is_a_warning_and_need_not_persist(
    environment: Callable[..., None], redis_server: EmbeddedRedis, redis_url: str
) -> None:
    environment(QUEUE_REDIS_URL=redis_url)
    with closing(connect(redis_server)) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            status, found = check()
        finally:
            client.config_set("maxmemory-policy", "noeviction")

    assert status == 0
    assert [level for level, _ in found_of(found, "queue redis eviction")] == ["warn"]
    assert found_of(found, "queue redis persistence") == []


def test_a_redis_that_does_not_persist_is_a_loud_warning(environment: Callable[..., None], redis_url: str) -> None:
    environment(REDIS_URL=redis_url)

    status, found = check()

    assert status == 0
    [(level, detail)] = found_of(found, "redis persistence")
    assert level == "warn"
    assert "LOSES ACKNOWLEDGED REVOCATIONS" in detail


@pytest.mark.parametrize(
    ("fsync", "level", "detail"),
    [("everysec", "ok", "may lose the last second"), ("no", "warn", "power failure loses")],
)
@pytest.mark.usefixtures("environment")
def test_how_often_redis_syncs_is_told(
    configure: Callable[[str, str], None], fsync: str, level: str, detail: str
) -> None:
    configure("appendfsync", fsync)

    _, found = check()

    [(found_level, found_detail)] = found_of(found, "redis persistence")
    assert found_level == level
    assert detail in found_detail


@pytest.mark.usefixtures("environment")
def test_a_replica_is_a_fail(persistent: EmbeddedRedis) -> None:
    with closing(connect(persistent)) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            status, found = check()
        finally:
            client.replicaof("NO", "ONE")

    assert status == 1
    assert found_of(found, "redis role") == [("fail", "it is a replica; name its primary")]


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        (f"redis://:{PASSWORD}@127.0.0.1:1/0", "it cannot be reached (Connection refused)"),
        (f"redis://:{PASSWORD}@redis.invalid", "it cannot be reached (its name does not resolve)"),
        (f"unix:///{PASSWORD}/nothing", "it cannot be reached (No such file or directory)"),
    ],
)
def test_a_redis_that_cannot_be_reached_is_a_fail_without_its_url(
    environment: Callable[..., None], url: str, detail: str
) -> None:
    environment(REDIS_URL=url)

    status, found = check()

    assert status == 1
    [(level, told)] = found_of(found, "redis")
    assert level == "fail"
    assert told.startswith(detail)


def test_a_user_that_may_do_little_is_told_what_is_missing(
    environment: Callable[..., None], persistent: EmbeddedRedis
) -> None:
    url = f"unix://{{}}:{PASSWORD}@{persistent.socket}"
    with closing(connect(persistent)) as client:
        client.acl_setuser("careful", enabled=True, passwords=[f"+{PASSWORD}"], commands=["+info"])
        client.acl_setuser("powerless", enabled=True, passwords=[f"+{PASSWORD}"], commands=["+get"])
        try:
            environment(REDIS_URL=url.format("careful"))
            careful = check()
            environment(REDIS_URL=url.format("powerless"))
            powerless = check()
            environment(REDIS_URL=url.format("nobody"))
            nobody = check()
        finally:
            client.acl_deluser("careful", "powerless")

    # What INFO tells is enough: no right to CONFIG is needed.
    assert careful[0] == 0
    assert found_of(careful[1], "redis eviction") == [("ok", "noeviction")]
    assert found_of(careful[1], "redis persistence") == [("ok", "appendonly")]
    assert powerless[0] == 1
    assert found_of(powerless[1], "redis") == [("fail", "our user may not run INFO; grant it")]
    assert nobody[0] == 1
    assert found_of(nobody[1], "redis") == [("fail", "it refuses our user name or password")]


@asynccontextmanager
async def hosted_redis(info: Mapping[str, str]) -> AsyncIterator[Redis]:
    """A client of a stranger's Redis that answers INFO as told and forbids everything else."""
    text = "".join(f"{name}:{value}\r\n" for name, value in info.items()).encode()
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        while (header := await reader.readline()).startswith(b"*"):
            words = []
            for _ in range(int(header[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            if words[0] == b"INFO":
                writer.write(b"$%d\r\n%s\r\n" % (len(text), text))
            else:
                writer.write(b"-ERR unknown command or forbidden here\r\n")
            await writer.drain()
        writer.write(b"-ERR Protocol error\r\n")  # also what a TLS handshake gets from a server without TLS
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client: Redis = Redis(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    try:
        yield client
    finally:
        await client.aclose()
        server.close()
        await asyncio.gather(*tasks)


async def test_a_redis_without_tls_where_tls_is_asked_for_is_a_fail_that_says_so() -> None:
    async with hosted_redis({}) as plain:
        client: Redis = Redis(port=plain.connection_pool.connection_kwargs["port"], ssl=True)
        found = await inspect_redis(client)
        await client.aclose()

    [(level, detail)] = found_of(found, "redis")
    assert level == "fail"
    assert detail.startswith("it cannot be reached (TLS: ")


async def test_an_old_redis_is_a_fail() -> None:
    async with hosted_redis(
        {"redis_version": "6.0.20", "maxmemory_policy": "noeviction", "aof_enabled": "1"}
    ) as client:
        found = await inspect_redis(client)

    assert found_of(found, "redis version") == [("fail", "6.0.20 is too old; 6.2 or newer is needed")]


async def test_a_redis_that_tells_nothing_is_warned_of_and_not_refused() -> None:
    async with hosted_redis({"uptime_in_seconds": "1"}) as client:
        found = await inspect_redis(client)

    assert [each.level for each in found] == ["warn", "warn", "warn", "warn"]
    assert [each.subject for each in found] == ["redis version", "redis role", "redis eviction", "redis persistence"]


@pytest.mark.parametrize(
    ("member", "subject"),
    [
        ("aof_last_write_status", "redis disk"),
        ("rdb_last_bgsave_status", "redis disk"),
        ("aof_last_bgrewrite_status", "redis persistence"),
    ],
)
async def test_a_redis_whose_disk_fails_is_a_warning(member: str, subject: str) -> None:
    info = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "aof_enabled": "1", member: "err"}
    async with hosted_redis(info) as client:
        found = await inspect_redis(client)

    assert [level for level, _ in found_of(found, subject)] == ["warn"]
