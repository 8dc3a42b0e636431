"""The file of the keys replaced: whole or not at all, never readable by more people than before."""

import errno
import fcntl
import stat
import threading
from pathlib import Path

import pytest

from service.keys.private_file import only_one_changes, replace_private_file
from service.keys.signing_keys import SigningKeysError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.touch(mode=0o600)
    file.write_text("before", "utf-8")
    return file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_new_content_is_there_and_nothing_beside_it(path: Path) -> None:
    replace_private_file(path, "after")
    assert path.read_text("utf-8") == "after"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("before", "after"), [(0o600, 0o600), (0o640, 0o640), (0o644, 0o640), (0o400, 0o600), (0o777, 0o660)]
)
def test_nobody_else_can_read_it_and_whoever_could_still_can(path: Path, before: int, after: int) -> None:
    path.chmod(before)
    replace_private_file(path, "after")
    assert mode(path) == after


def test_who_has_it_open_reads_what_there_was(path: Path) -> None:
    with path.open(encoding="utf-8") as reader:
        replace_private_file(path, "after")
        assert reader.read() == "before"


def test_a_link_stays_a_link(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path.name)
    replace_private_file(link, "after")
    assert link.is_symlink()
    assert path.read_text("utf-8") == "after"


def test_where_it_cannot_be_written_the_old_one_stays_and_the_way_out_is_told(tmp_path: Path) -> None:
    # A folder in the file's place: nothing can be renamed over it, whoever runs this test.
    blocked = tmp_path / "keys.json"
    (blocked / "in the way").mkdir(parents=True)
    with pytest.raises(SigningKeysError, match=r"cannot be written \(Is a directory\): use --print"):
        replace_private_file(blocked, "after")
    assert list(tmp_path.iterdir()) == [blocked]


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SigningKeysError, match="No such file"):
        replace_private_file(tmp_path / "nothing.json", "after")
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_change_it_at_once_the_second_waits(path: Path) -> None:
    order: list[str] = []
    trying = threading.Event()

    def second() -> None:
        trying.set()
        with only_one_changes(path):
            order.append("second")

    thread = threading.Thread(target=second)
    with only_one_changes(path):
        thread.start()
        trying.wait()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_folder_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(SigningKeysError, match="FileNotFoundError"), only_one_changes(tmp_path / "no" / "keys.json"):
        raise AssertionError("unreachable")


def test_where_nothing_can_be_locked_it_is_told_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have no locks; no test has one of those."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(SigningKeysError, match=r"cannot be locked \(No locks available\): use --print$"),
        only_one_changes(tmp_path / "keys.json"),
    ):
        pytest.fail("nothing may be changed")
