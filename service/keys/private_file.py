"""A file with private keys, changed in one step: whoever reads it meanwhile finds the old content or the new, whole."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.keys.signing_keys import SigningKeysError


@contextmanager
def only_one_changes(path: Path) -> Iterator[None]:
    """Keep other changes of ours out from reading to writing: of two at once, the second sees what the first did.

    The folder is what is locked, for the file is another one afterwards. Raises SigningKeysError.
    """
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SigningKeysError(f"the signing keys cannot be read ({type(error).__name__})") from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError as error:
            raise SigningKeysError(f"the folder of {path} cannot be locked ({error.strerror}): use --print") from None
        yield
    finally:
        os.close(folder)


def replace_private_file(path: Path, text: str) -> None:
    """Write `text` to a new file and put it in the old one's place. Raises SigningKeysError, with the old one as it was.

    Owner and group stay those of the old file, or the processes that read it could not any more; its permissions too,
    without any for everybody. A link stays a link: what it leads to is replaced.
    """
    target = path.resolve()
    unfinished = ""
    try:
        before = target.stat()
        # Made with mode 0600, before there is anything in it to be read.
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            made = os.fstat(descriptor)
            if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, before.st_mode & 0o660 | 0o600)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(unfinished).replace(target)
        unfinished = ""
        _sync(target.parent)
    except OSError as error:
        raise SigningKeysError(
            f"{path} cannot be written ({error.strerror}): use --print, and put what it prints in the file's place"
        ) from None
    finally:
        if unfinished:
            Path(unfinished).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
