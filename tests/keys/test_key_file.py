"""The file of the signing keys followed by a running process: however it is replaced, and whatever is wrong with it."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.keys import key_file
from service.keys.key_file import KeyFile
from service.keys.rotate import add_next_keys, remove_keys
from service.keys.signing_keys import SigningKeysError
from service.keys.times import KEEP_AFTER_S, LEAST_USE_AFTER_S
from tests.support.clock import HandClock
from tests.support.heard import listening
from tests.support.tokens import private_key


def document(*numbers: int) -> dict[str, Any]:
    """A private JWKS of these keys, all of ES256; the first one signs."""
    return {"keys": [private_key("ES256", each).as_dict(private=True) for each in numbers]}


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), "utf-8")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    write(path, document(1))
    return path


@pytest.fixture
def file(path: Path, clock: HandClock) -> KeyFile:
    return KeyFile(path, clock=clock)


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def take_away(path: Path) -> None:
    path.unlink()


def stat_of(path: Path) -> os.stat_result:
    return path.stat()


def in_place(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def by_rename(path: Path, text: str) -> None:
    made = path.with_name("made.json")
    made.write_text(text, "utf-8")
    made.replace(path)


def by_turning_a_link(path: Path, text: str) -> None:
    """As Kubernetes changes a mounted Secret: the file is a link into `..data`, which is a link to a folder."""
    folder = path.with_name(f"..{len(list(path.parent.iterdir()))}")
    folder.mkdir()
    (folder / path.name).write_text(text, "utf-8")
    turned = path.with_name("..data_tmp")
    turned.symlink_to(folder.name)
    turned.replace(path.with_name("..data"))
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(f"..data/{path.name}")


@pytest.mark.parametrize("replace", [in_place, by_rename, by_turning_a_link])
async def test_however_the_file_is_replaced_its_keys_are_taken(
    path: Path, clock: HandClock, replace: Callable[[Path, str], None]
) -> None:
    replace(path, json.dumps(document(1)))
    file = KeyFile(path, clock=clock)
    for numbers in ((1, 2), (2, 1), (2, 3)):
        replace(path, json.dumps(document(*numbers)))
        await file.look()
        assert file.ring.keys.kids == tuple(f"es256-{each}" for each in numbers)


async def test_a_change_of_neither_size_nor_time_is_seen(path: Path, file: KeyFile) -> None:
    before = stat_of(path)
    write(path, document(2))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert stat_of(path).st_size == before.st_size

    await file.look()

    assert file.ring.keys.kids == ("es256-2",)


async def test_the_ring_a_process_has_been_given_is_the_one_that_changes(path: Path, file: KeyFile) -> None:
    given = file.ring
    write(path, document(1, 2))
    await file.look()
    assert [each["kid"] for each in given.jwks()["keys"]] == ["es256-1", "es256-2"]


async def test_what_was_taken_is_logged_once_and_nothing_private(path: Path, file: KeyFile) -> None:
    changed, made = add_next_keys(document(1), now_s=file.ring.now_s, algorithms=["ES256"])
    with listening() as heard:
        await file.look()
        write(path, changed)
        await file.look()
        await file.look()
    (line,) = heard.lines
    assert (line["event"], line["level"]) == ("signing_keys.changed", "info")
    assert (line["kids"], line["algorithms"]) == (("es256-1", *made), ("ES256",))
    assert not [each for each in changed["keys"] if each["d"] in str(line)]


async def test_a_whole_rotation_passes_without_a_warning(path: Path, file: KeyFile, clock: HandClock) -> None:
    with listening() as heard:
        changed, (made,) = add_next_keys(
            document(1), now_s=clock.now_s, algorithms=["ES256"], use_after_s=LEAST_USE_AFTER_S
        )
        write(path, changed)
        await file.look()
        clock.advance(LEAST_USE_AFTER_S + KEEP_AFTER_S)
        write(path, remove_keys(changed, ["es256-1"], now_s=clock.now_s))
        await file.look()
    assert file.ring.keys.kids == (made,)
    assert [each["event"] for each in heard.lines] == ["signing_keys.changed"] * 2


BROKEN = {
    b"": "the signing keys are not JSON",
    b'{"keys": [': "the signing keys are not JSON",
    b'{"keys": []}': "the signing keys are not a JWKS: no `keys`",
    b'{"keys": [{"kty": "EC", "alg": "ES256", "d": "SECRET"}]}': "signing key 1 cannot be read",
}


@pytest.mark.parametrize("content", BROKEN)
async def test_a_broken_file_changes_nothing_and_is_told_once(path: Path, file: KeyFile, content: bytes) -> None:
    put(path, content)
    with listening() as heard:
        for _ in range(3):
            await file.look()
    assert file.ring.keys.kids == ("es256-1",)
    assert file.trouble == BROKEN[content]
    (line,) = heard.lines
    assert (line["event"], line["level"], line["reason"]) == ("signing_keys.not_taken", "error", BROKEN[content])
    assert "SECRET" not in str(line)


async def test_a_file_that_is_gone_changes_nothing_and_is_told_once(path: Path, file: KeyFile) -> None:
    take_away(path)
    with listening() as heard:
        for _ in range(3):
            await file.look()
    assert file.ring.keys.kids == ("es256-1",)
    assert file.trouble == "the signing keys cannot be read (FileNotFoundError)"
    assert [each["event"] for each in heard.lines] == ["signing_keys.not_taken"]


async def test_each_state_of_a_broken_file_is_told(path: Path, file: KeyFile) -> None:
    with listening() as heard:
        for content in BROKEN:
            put(path, content)
            await file.look()
    assert [each["reason"] for each in heard.of("signing_keys.not_taken")] == list(BROKEN.values())


async def test_a_file_put_right_is_taken_and_the_trouble_is_over(path: Path, file: KeyFile) -> None:
    put(path, b"{")
    await file.look()
    write(path, document(1, 2))
    with listening() as heard:
        await file.look()
    assert file.ring.keys.kids == ("es256-1", "es256-2")
    assert file.trouble is None
    assert [each["event"] for each in heard.lines] == ["signing_keys.changed"]


async def test_a_file_put_back_as_it_was_ends_the_trouble(path: Path, file: KeyFile) -> None:
    with listening() as heard:
        for _ in range(2):
            put(path, b"{")
            await file.look()
            write(path, document(1))
            await file.look()
            await file.look()
    assert file.trouble is None
    assert [each["event"] for each in heard.lines] == ["signing_keys.not_taken", "signing_keys.as_before"] * 2


async def test_an_algorithm_lost_is_an_error(path: Path, file: KeyFile) -> None:
    write(path, {"keys": [private_key("EdDSA").as_dict(private=True)]})
    with listening() as heard:
        await file.look()
    line = heard.one("signing_keys.algorithm_lost")
    assert (line["level"], line["algorithms"]) == ("error", ["ES256"])


async def test_a_key_that_signs_before_it_was_published_is_warned_of(path: Path, file: KeyFile) -> None:
    write(path, document(2, 1))
    with listening() as heard:
        await file.look()
    line = heard.one("signing_keys.used_unpublished")
    assert (line["level"], line["kids"]) == ("warning", ["es256-2"])


@pytest.mark.parametrize("content", BROKEN)
def test_a_process_does_not_start_on_keys_it_cannot_use(path: Path, clock: HandClock, content: bytes) -> None:
    put(path, content)
    with pytest.raises(SigningKeysError):
        KeyFile(path, clock=clock)


async def test_it_goes_on_looking_whatever_a_look_has_come_to(
    path: Path, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_file, "LOOK_S", 0)
    faults = iter([RuntimeError("a fault of ours")])
    looks = file.look

    async def look() -> None:
        for each in faults:
            raise each
        await looks()

    monkeypatch.setattr(file, "look", look)
    with listening() as heard:
        following = asyncio.create_task(file.follow())
        await heard.wait_for("signing_keys.fault")
        by_rename(path, json.dumps(document(1, 2)))
        await heard.wait_for("signing_keys.changed")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert file.ring.keys.kids == ("es256-1", "es256-2")
