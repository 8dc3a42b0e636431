"""deploy/compose.yaml: what each process is given is what it starts with, and its Redis keeps what it answered."""

import ast
import re
import subprocess
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from service.embedded_redis import find_redis_server
from service.settings import PREFIX, SECRETS, Settings, load_settings
from service.web.server import GRACEFUL_SHUTDOWN_S
from workers.ledger import FINISH_S
from workers.worker import GRACE_S, LONGEST_STOP_S

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
PORT = Settings.model_fields["port"].default

AUDIT_KEY = "0123456789abcdef" * 4 + "\n"

START_LIMIT_S = 30.0
"""Longest wait for a Redis to say that it is ready, in seconds."""

KEEPING = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
"""What makes a Redis keep what it answered, through a kill and a power cut."""


def interpolated(value: str, given: dict[str, str]) -> str:
    """Compose's `${NAME:-default}` and `${NAME:?message}`."""

    def one(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if kind == "?" and name not in given:
            raise KeyError(name)
        return given.get(name, rest)

    return re.sub(r"\$\{([A-Z_]+):([-?])([^}]*)\}", one, value)


def seconds(text: str) -> int:
    """A duration in whole seconds."""
    assert text.endswith("s")
    return int(text[:-1])


@pytest.mark.parametrize("name", ["service", "worker"])
def test_what_compose_gives_a_process_is_an_environment_it_starts_with(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"LOGOUTD_PUBLIC_URL": "https://logout.example.com"}
    contents = {
        "redis-url": "redis://:password@redis:6379/0\n",
        "admin-token": "0123456789abcdef\n",
        "audit-key": AUDIT_KEY,
        "signing-keys": "{}",
    }
    process = COMPOSE["services"][name]
    for secret in process["secrets"]:
        (tmp_path / secret).write_text(contents[secret])
    for variable, value in process["environment"].items():
        monkeypatch.setenv(variable, interpolated(value, given).replace("/run/secrets", str(tmp_path)))

    settings = load_settings()

    assert settings.public_url == settings.token_issuer == given["LOGOUTD_PUBLIC_URL"]
    assert settings.allowed_private_networks == ()
    assert settings.redis_url.get_secret_value() == "redis://:password@redis:6379/0"
    assert settings.signing_keys_file is not None
    assert settings.signing_keys_file.is_file()
    assert settings.audit_key.get_secret_value() == AUDIT_KEY.strip()
    assert settings.port == PORT
    assert bool(settings.admin_token.get_secret_value()) == (name == "service")


def test_compose_refuses_to_start_without_a_public_url() -> None:
    with pytest.raises(KeyError, match="LOGOUTD_PUBLIC_URL"):
        interpolated(COMPOSE["services"]["service"]["environment"]["LOGOUTD_PUBLIC_URL"], {})


def test_compose_runs_the_two_commands_of_one_image() -> None:
    assert COMPOSE["services"]["service"]["command"] == ["serve"]
    assert COMPOSE["services"]["worker"]["command"] == ["work"]
    for name in ("service", "worker"):
        process = COMPOSE["services"][name]
        assert process["image"] == f"logoutd:{VERSION}"
        assert process["pull_policy"] == "never"
        assert process["depends_on"] == {"redis": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", ["redis", "service", "worker"])
def test_no_process_of_compose_may_do_what_it_does_not_need(name: str) -> None:
    process = COMPOSE["services"][name]
    assert process["read_only"] is True
    assert process["cap_drop"] == ["ALL"]
    assert process["security_opt"] == ["no-new-privileges:true"]


def test_compose_publishes_the_service_on_loopback_and_nothing_else() -> None:
    assert COMPOSE["services"]["service"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert [name for name, process in COMPOSE["services"].items() if "ports" in process] == ["service"]
    assert COMPOSE["networks"]["record"] == {"internal": True}
    assert COMPOSE["services"]["redis"]["networks"] == ["record"]


def test_compose_hands_every_secret_over_as_a_file_that_git_ignores() -> None:
    used = {secret for process in COMPOSE["services"].values() for secret in process["secrets"]}
    assert used == set(COMPOSE["secrets"])
    for secret in COMPOSE["secrets"].values():
        assert (DEPLOY / secret["file"]).parent == DEPLOY / "secrets"
        assert f" > secrets/{Path(secret['file']).name}\n" in README
    for name in ("service", "worker"):
        assert not set(COMPOSE["services"][name]["environment"]) & {f"{PREFIX}{each}" for each in SECRETS}
    assert "secrets/" in (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_compose_asks_each_process_for_its_health_and_gives_it_time_to_stop() -> None:
    service, worker = COMPOSE["services"]["service"], COMPOSE["services"]["worker"]
    *python, script = service["healthcheck"]["test"]
    assert python == ["CMD", "python", "-c"]
    assert f'"http://127.0.0.1:{PORT}/readyz"' in script
    assert ast.parse(script).body
    assert worker["healthcheck"]["test"] == ["CMD", "python", "-m", "workers", "--check"]
    assert seconds(service["stop_grace_period"]) > GRACEFUL_SHUTDOWN_S
    assert f"requests under way have {GRACEFUL_SHUTDOWN_S} s" in README
    assert f"attempts under way have {GRACE_S:.0f} s" in README
    assert f"what came of them has {FINISH_S:.0f} s to be written" in README
    assert seconds(worker["stop_grace_period"]) > LONGEST_STOP_S
    for process in COMPOSE["services"].values():
        assert seconds(process["healthcheck"]["timeout"]) < seconds(process["healthcheck"]["interval"])


def client(socket: Path, *, username: str | None = None, password: str | None = None) -> redis.Redis:
    """A client of the Redis on this socket."""
    return redis.Redis(unix_socket_path=str(socket), username=username, password=password, decode_responses=True)


@contextmanager
def redis_of_compose(folder: Path, users: Path) -> Iterator[Path]:
    """A redis-server run by Compose's own command, and its socket once it is ready; killed in the end."""
    command = [
        str(users) if word == "/run/secrets/redis-users" else word for word in COMPOSE["services"]["redis"]["command"]
    ]
    socket = folder / "redis.sock"
    here = ["--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--logfile", ""]
    process = subprocess.Popen([find_redis_server().path, *command[1:], *here], stdout=subprocess.PIPE, text=True)
    too_late = threading.Timer(START_LIMIT_S, process.kill)
    too_late.start()
    try:
        assert process.stdout
        said: list[str] = []
        while not said or (said[-1] and "eady to accept connections" not in said[-1]):
            said.append(process.stdout.readline())
        assert said[-1], "".join(said)
        yield socket
    finally:
        too_late.cancel()
        process.kill()
        process.communicate()


def test_the_redis_of_compose_keeps_what_it_answered_and_lets_nobody_in_without_the_password() -> None:
    (acl,) = re.findall(r"^printf '(.*)' \"\$password\" > secrets/redis-users$", README, flags=re.MULTILINE)
    (url,) = re.findall(r"^printf '(.*)\\n' \"\$password\" > secrets/redis-url$", README, flags=re.MULTILINE)
    assert url == "redis://:%s@redis:6379/0"
    check = COMPOSE["services"]["redis"]["healthcheck"]["test"]
    assert check[-2:] == ["-e", "ping"]
    with tempfile.TemporaryDirectory() as name:  # a short path: a unix socket's has little room
        folder = Path(name)
        users = folder / "redis-users"
        users.write_text((acl % "secret").replace("\\n", "\n"))
        with redis_of_compose(folder, users) as socket:
            with client(socket, password="secret") as record:
                told = {setting: record.config_get(setting)[setting] for setting in KEEPING}
                assert told == KEEPING
                record.set("told", "204")
            with client(socket) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.get("told")
            user, password = (check[check.index(option) + 1] for option in ("--user", "--pass"))
            with client(socket, username=user, password=password) as probe:
                assert probe.ping()
                with pytest.raises(redis.exceptions.NoPermissionError):
                    probe.get("told")
        with redis_of_compose(folder, users) as socket, client(socket, password="secret") as record:
            assert record.get("told") == "204"
