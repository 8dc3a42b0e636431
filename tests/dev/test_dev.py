"""`logoutd dev`: its processes, as whoever sits at the terminal sees them."""

import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.dev import DevError, DevStack, dev_stack
from service.dev.folder import DataFolder
from service.dev.stack import child_settings
from service.embedded_redis import EmbeddedRedis
from service.settings import SettingsError, load_settings
from tests.support.processes import LIMIT_S, children_of, logoutd, watched
from tests.support.redis_server import connect

PARTS = {"redis-server", "service", "workers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A `logoutd dev` that said it is ready."""

    process: "subprocess.Popen[str]"
    ready: dict[str, str]
    log: Path

    def ends(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(LIMIT_S)


@contextmanager
def running_dev(tmp_path: Path) -> Iterator[Running]:
    log = tmp_path / "log"
    with (
        tempfile.TemporaryDirectory() as short,  # for the socket, which a killed dev leaves behind
        log.open("a") as stderr,
        logoutd(*arguments(tmp_path), environment={"TMPDIR": short}, stderr=stderr.fileno()) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, log.read_text("utf-8")
            yield Running(process=process, ready=json.loads(line), log=log)
        finally:
            process.terminate()


def arguments(tmp_path: Path) -> tuple[str, ...]:
    return "dev", "--port", "0", "--data-dir", str(tmp_path / "data")


def get(url: str, path: str) -> tuple[int, bytes]:
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=LIMIT_S)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusal(*command: str, environment: dict[str, str] | None = None) -> str:
    """What a `logoutd` that cannot run says on stderr: one line, and nothing on stdout."""
    with logoutd(*command, environment=environment) as process:
        out, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert out == ""
    assert told.startswith("logoutd: ")
    assert told.count("\n") == 1
    return told


@pytest.fixture(scope="module", autouse=True)
def _clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("LOGOUTD_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    folder = tmp_path_factory.mktemp("stack")
    with dev_stack(port=0, data_dir=folder / "data", log_to=folder / "log") as running:
        yield running


def test_it_is_ready_stops_and_a_second_start_finds_everything(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_dev(tmp_path) as first:
        assert set(first.ready) == {"event", "url", "admin_token"}
        assert first.ready["event"] == "ready"
        assert first.ready["admin_token"] == (data / "admin-token").read_text("utf-8").strip()
        assert get(first.ready["url"], "/readyz")[0] == 200
        keys = get(first.ready["url"], "/.well-known/jwks.json")[1]
        parts = children_of(first.process.pid)
        assert set(parts) == PARTS
        with watched(*parts.values()) as all_ended:
            assert first.ends(signal.SIGTERM) == 0
            assert all_ended()
        assert first.process.stdout is not None
        assert first.process.stdout.read() == ""
    assert [permissions(data / each) for each in ("", "signing-keys.json", "admin-token", "lock")] == [
        0o700,
        0o600,
        0o600,
        0o600,
    ]

    with running_dev(tmp_path) as second:
        assert second.ready["admin_token"] == first.ready["admin_token"]
        assert get(second.ready["url"], "/.well-known/jwks.json")[1] == keys
        parts = children_of(second.process.pid)
        with watched(*parts.values()) as all_ended:
            os.killpg(second.process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
            assert second.process.wait(LIMIT_S) == 0
            assert all_ended()
    # Redis was the last to go: nobody missed it, and it wrote its last word.
    assert "unexpected" not in second.log.read_text("utf-8")
    assert "bye bye" in (data / "redis" / "redis.log").read_text("utf-8")
    assert first.ready["admin_token"] not in second.log.read_text("utf-8")


def test_the_end_of_one_part_stops_everything_with_one_line(tmp_path: Path) -> None:
    with running_dev(tmp_path) as dev:
        parts = children_of(dev.process.pid)
        with watched(*parts.values()) as all_ended:
            os.kill(parts["workers"], signal.SIGKILL)
            assert dev.process.wait(LIMIT_S) == 1
            assert all_ended()

    told = [line for line in dev.log.read_text("utf-8").splitlines() if line.startswith("logoutd: ")]
    assert told == ["logoutd: `workers` ended with status -9, and everything else was stopped"]


def test_a_killed_dev_leaves_nothing_running_and_the_folder_free(tmp_path: Path) -> None:
    with running_dev(tmp_path) as dev:
        parts = children_of(dev.process.pid)
        with watched(*parts.values()) as all_ended:
            dev.ends(signal.SIGKILL)
            assert all_ended()

    with DataFolder(tmp_path / "data").locked():
        pass
    with pytest.raises(ConnectionRefusedError):
        get(dev.ready["url"], "/readyz")


def test_ctrl_c_while_it_starts_stops_it_too(tmp_path: Path) -> None:
    with logoutd(*arguments(tmp_path)) as process:
        while not (tmp_path / "data" / "redis" / "redis.log").exists():  # it begins to start Redis, or ends
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 0
    assert out == ""
    assert "logoutd: " not in told


def test_a_second_dev_on_the_same_folder_is_one_line(stack: DevStack, tmp_path: Path) -> None:
    folder = Path(stack.environment["LOGOUTD_SIGNING_KEYS_FILE"]).parent

    told = refusal("dev", "--port", "0", "--data-dir", str(folder))

    assert f"another `logoutd dev` is using {folder} (process {os.getpid()}, " in told
    assert get(stack.url, "/readyz")[0] == 200


def test_a_busy_port_is_one_line(stack: DevStack, tmp_path: Path) -> None:
    port = urlsplit(stack.url).port

    told = refusal("dev", "--port", str(port), "--data-dir", str(tmp_path / "data"))

    assert told == f"logoutd: port {port} of 127.0.0.1 is in use; choose another with --port, or 0 for any\n"


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", "utf-8")

    told = refusal("dev", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))

    assert told == f"logoutd: the data folder {tmp_path}/file/data cannot be used: Not a directory\n"


def test_a_misspelt_setting_is_one_line_and_starts_nothing(tmp_path: Path) -> None:
    told = refusal(*arguments(tmp_path), environment={"LOGOUTD_PUBLIC_URI": "https://logout.example.com"})

    assert "did you mean LOGOUTD_PUBLIC_URL?" in told
    assert not (tmp_path / "data").exists()


def test_a_settings_file_of_garbage_stops_what_was_started(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{}", "utf-8")
    with logoutd(
        *arguments(tmp_path), environment={"LOGOUTD_SIGNING_KEYS_FILE": str(tmp_path / "keys.json")}
    ) as process:
        out, told = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 1
    assert out == ""
    assert "ended with status 1 while it started" in told
    with DataFolder(tmp_path / "data").locked():
        pass


@pytest.mark.parametrize("name", ["LOGOUTD_REDIS_URL", "LOGOUTD_QUEUE_REDIS_URL"])
def test_a_redis_of_the_users_is_refused_rather_than_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "redis://redis.example.com")

    with pytest.raises(DevError, match=f"^{name} is set"), dev_stack(port=0, data_dir=tmp_path):
        pytest.fail("it must not start")


def test_a_redis_server_that_outlives_dev_keeps_the_folder_taken(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with folder.locked() as lock:
        left_behind = EmbeddedRedis(folder.redis, pass_fds=(lock,))
        left_behind.start()
    try:
        with pytest.raises(DevError, match="or the redis-server it left behind"), folder.locked():
            pytest.fail("two servers would write to one file")
    finally:
        left_behind.stop()

    with folder.locked():
        pass


def test_keys_and_token_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "new")
    with folder.locked():
        folder.furnish()
        made = folder.signing_keys.read_bytes(), folder.admin_token.read_bytes()
        folder.furnish()

    assert (folder.signing_keys.read_bytes(), folder.admin_token.read_bytes()) == made
    assert sorted(each.name for each in folder.path.iterdir()) == ["admin-token", "lock", "signing-keys.json"]
    assert {permissions(each) for each in folder.path.iterdir()} == {0o600}


def test_what_the_processes_are_told(stack: DevStack) -> None:
    folder = Path(stack.environment["LOGOUTD_SIGNING_KEYS_FILE"]).parent

    assert stack.environment == {
        "LOGOUTD_HOST": "127.0.0.1",
        "LOGOUTD_PORT": str(urlsplit(stack.url).port),
        "LOGOUTD_REDIS_URL": stack.redis_url,
        "LOGOUTD_PUBLIC_URL": stack.url,
        "LOGOUTD_SIGNING_KEYS_FILE": str(folder / "signing-keys.json"),
        "LOGOUTD_ADMIN_TOKEN_FILE": str(folder / "admin-token"),
        "LOGOUTD_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8,::1/128",
        "LOGOUTD_LOG_FORMAT": "json",
        "LOGOUTD_SHUTDOWN_DELAY_SECONDS": "0",
    }
    assert stack.admin_token not in repr(stack)


def test_what_the_user_set_goes_before_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {
        "PUBLIC_URL": "https://logout.example.com",
        "SIGNING_KEYS_FILE": str(tmp_path / "keys.json"),
        "ADMIN_TOKEN": "an-administrators-token",
        "ALLOWED_PRIVATE_NETWORKS": "10.0.0.0/8",
        "LOG_FORMAT": "json",
        "SHUTDOWN_DELAY_SECONDS": "3",
    }
    for name, value in chosen.items():
        monkeypatch.setenv(f"LOGOUTD_{name}", value)

    told = child_settings(
        load_settings(), DataFolder(tmp_path), ("0.0.0.0", 8000), redis_url="unix:///redis.sock", to_terminal=True
    )

    assert told == {
        "LOGOUTD_HOST": "0.0.0.0",
        "LOGOUTD_PORT": "8000",
        "LOGOUTD_REDIS_URL": "unix:///redis.sock",
    }


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://[::1]:8000"), ("::1", "http://[::1]:8000")]
)
def test_the_public_url_is_one_that_this_machine_can_call(tmp_path: Path, host: str, url: str) -> None:
    told = child_settings(
        load_settings(), DataFolder(tmp_path), (host, 8000), redis_url="unix:///redis.sock", to_terminal=False
    )

    assert told["LOGOUTD_PUBLIC_URL"] == url


def test_an_impossible_setting_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGOUTD_RECEIPT_DAYS", "0")

    with pytest.raises(SettingsError), dev_stack(port=0, data_dir=tmp_path / "data"):
        pytest.fail("it must not start")
    assert not (tmp_path / "data").exists()


def test_each_part_can_be_stopped_killed_and_started_by_itself(stack: DevStack) -> None:
    before = stack.redis_url, stack.url

    stack.worker.stop()
    assert not stack.worker.running
    assert get(stack.url, "/healthz")[0] == 200
    stack.worker.start()

    stack.service.kill()
    assert stack.wait_for_any_end() == ("service", -9)
    with pytest.raises(ConnectionRefusedError):
        get(stack.url, "/healthz")
    address = urlsplit(stack.url)
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind((address.hostname, address.port))  # the port stays ours meanwhile
    stack.service.start()
    assert get(stack.url, "/readyz")[0] == 200

    with closing(connect(stack.redis)) as client:
        client.set("kept", "yes")
    stack.redis.kill()
    assert stack.wait_for_any_end() == ("redis-server", -9)
    stack.redis.start()
    with closing(connect(stack.redis)) as client:
        assert client.get("kept") == "yes"
    assert (stack.redis.url, stack.url) == before
