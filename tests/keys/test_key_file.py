"""The file of the keys under a running process: replaced, edited, broken, gone, and as it was again."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from service.keys import key_file
from service.keys.key_file import KeyFile
from service.keys.signing_keys import SigningKeysError
from service.keys.times import JWKS_MAX_AGE_S
from tests.support.clock import HandClock
from tests.support.heard import listening
from tests.support.signing_keys import jwk, jwks, write_keys

FIRST = jwks(jwk("ES256", 1))
BOTH = jwks(jwk("ES256", 1), jwk("ES256", 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys.json", FIRST)


@pytest.fixture
def file(path: Path) -> KeyFile:
    return KeyFile(path, clock=HandClock())


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def change_unnoticed(path: Path) -> None:
    """Another name for the key, of the same length, and the file's times put back."""
    before = path.stat()
    write_keys(path, json.loads(path.read_text("utf-8").replace("es256-1", "es256-7")))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def move(path: Path, to: Path) -> None:
    path.rename(to)


def kids(file: KeyFile) -> list[str]:
    return [each["kid"] for each in file.ring.jwks()["keys"]]


async def test_a_file_written_in_place_is_taken(file: KeyFile, path: Path) -> None:
    write_keys(path, BOTH)
    with listening() as heard:
        await file.look()
    assert kids(file) == ["es256-1", "es256-2"]
    assert heard.one("signing_keys.changed")["kids"] == ("es256-1", "es256-2")
    assert file.trouble is None


async def test_a_mounted_secret_whose_link_is_turned_is_taken(tmp_path: Path) -> None:
    # As Kubernetes does it: a folder for each version, and one link that is replaced.
    for name, document in (("..1", FIRST), ("..2", BOTH)):
        (tmp_path / name).mkdir()
        write_keys(tmp_path / name / "keys.json", document)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys.json").symlink_to("..data/keys.json")
    file = KeyFile(tmp_path / "keys.json", clock=HandClock())

    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    await file.look()

    assert kids(file) == ["es256-1", "es256-2"]


async def test_a_change_that_leaves_size_and_time_as_they_were_is_seen(file: KeyFile, path: Path) -> None:
    change_unnoticed(path)
    await file.look()
    assert kids(file) == ["es256-7"]


async def test_a_file_that_is_the_same_changes_nothing_and_says_nothing(file: KeyFile) -> None:
    keys = file.ring.keys
    with listening() as heard:
        await file.look()
    assert (file.ring.keys is keys, heard.lines) == (True, [])


@pytest.mark.parametrize("content", [b"", b'{"keys": [', b"{}", json.dumps(jwks(jwk("ES256", use="enc"))).encode()])
async def test_a_broken_file_is_told_of_once_and_the_keys_from_before_go_on(
    file: KeyFile, path: Path, content: bytes
) -> None:
    write(path, content)
    with listening() as heard:
        await file.look()
        await file.look()
        assert kids(file) == ["es256-1"]
        assert file.ring.sign({}, algorithm="ES256", typ="JWT")
        assert heard.one("signing_keys.not_taken") == {
            "event": "signing_keys.not_taken",
            "level": "error",
            "reason": file.trouble,
        }

        # Broken in another way is told again; put right, it is taken.
        write(path, b"[]")
        await file.look()
        write_keys(path, BOTH)
        await file.look()
    assert len(heard.of("signing_keys.not_taken")) == 2
    assert (kids(file), file.trouble) == (["es256-1", "es256-2"], None)


async def test_a_file_that_is_gone_is_told_of_once_and_taken_up_again(file: KeyFile, path: Path) -> None:
    aside = path.with_name("aside")
    move(path, aside)
    with listening() as heard:
        await file.look()
        await file.look()
        assert file.trouble == "the signing keys cannot be read (FileNotFoundError)"
        assert heard.one("signing_keys.not_taken")["reason"] == file.trouble
        move(aside, path)
        await file.look()
        assert file.trouble is None
        assert heard.of("signing_keys.as_before")
    assert kids(file) == ["es256-1"]


async def test_a_key_that_signs_without_having_been_published_is_warned_of(file: KeyFile, path: Path) -> None:
    write_keys(path, jwks(jwk("ES256", 2), jwk("ES256", 1)))
    with listening() as heard:
        await file.look()
    assert heard.one("signing_keys.published_late")["kids"] == ["es256-2"]


@pytest.mark.parametrize(("lead_s", "late"), [(JWKS_MAX_AGE_S - 1, True), (JWKS_MAX_AGE_S, False)])
async def test_so_is_one_that_will_sign_before_an_answer_just_given_may_be_kept_no_longer(
    file: KeyFile, path: Path, lead_s: int, late: bool
) -> None:
    write_keys(path, jwks(jwk("ES256", 1), jwk("ES256", 2, logoutd_use_from=HandClock().now_s + lead_s)))
    with listening() as heard:
        await file.look()
    assert bool(heard.of("signing_keys.published_late")) is late


async def test_a_key_published_first_and_used_later_is_nothing_to_warn_of(file: KeyFile, path: Path) -> None:
    write_keys(path, BOTH)
    await file.look()
    write_keys(path, jwks(jwk("ES256", 2), jwk("ES256", 1)))
    with listening() as heard:
        await file.look()
    assert [line["event"] for line in heard.lines] == ["signing_keys.changed"]


async def test_an_algorithm_that_has_lost_its_last_key_is_an_error_in_the_log(file: KeyFile, path: Path) -> None:
    write_keys(path, jwks(jwk("EdDSA")))
    with listening() as heard:
        await file.look()
    assert heard.one("signing_keys.algorithm_lost")["algorithms"] == ["ES256"]
    assert file.ring.algorithms == ("EdDSA",)


async def test_nothing_private_is_logged_whatever_becomes_of_the_file(file: KeyFile, path: Path) -> None:
    with listening() as heard:
        for document in (BOTH, jwks(jwk("ES256", 1, d="AA")), jwks(jwk("EdDSA"))):
            write_keys(path, document)
            await file.look()
    told = repr(heard.lines)
    assert heard.lines
    assert not [each for each in (jwk("ES256", 1), jwk("ES256", 2), jwk("EdDSA")) if each["d"] in told]


async def test_it_is_followed_until_told_to_stop_even_after_a_fault(
    file: KeyFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_file, "LOOK_S", 0.001)
    looks = 0
    look = file.look

    async def faulty_once() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RuntimeError("a fault of ours")
        await look()

    monkeypatch.setattr(file, "look", faulty_once)
    write_keys(path, BOTH)
    with listening() as heard:
        following = asyncio.create_task(file.follow())
        await heard.wait_for("signing_keys.changed")
        following.cancel()
        await asyncio.wait([following])
    assert heard.of("signing_keys.fault")
    assert kids(file) == ["es256-1", "es256-2"]


def test_a_process_does_not_start_on_a_file_it_cannot_use(path: Path) -> None:
    path.write_text("{}", "utf-8")
    with pytest.raises(SigningKeysError):
        KeyFile(path, clock=HandClock())
