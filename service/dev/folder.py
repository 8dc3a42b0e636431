"""The data folder of `logoutd dev`: the record, the signing keys and the administrator's token, for one `dev` at a time."""

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import platformdirs

from service.dev.errors import DevError
from service.keys.generate import generate_signing_keys

ADMIN_TOKEN_BYTES: Final = 32
"""Randomness of an administrator's token made here, in bytes."""


def default_folder() -> Path:
    """The data folder where none is named: this user's, in the place their system has for it."""
    return platformdirs.user_data_path("logoutd", appauthor=False)


class DataFolder:
    """One data folder. Everything in it is its owner's alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @property
    def redis(self) -> Path:
        """Where the embedded Redis keeps its append-only file and its log."""
        return self.path / "redis"

    @property
    def signing_keys(self) -> Path:
        """The private JWKS."""
        return self.path / "signing-keys.json"

    @property
    def admin_token(self) -> Path:
        """The file that holds the administrator's token."""
        return self.path / "admin-token"

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the folder, made if it is not there; yields the lock's file descriptor. Raises DevError.

        The lock lives as long as anybody has the descriptor open. redis-server inherits it: should this process be
        killed and the server outlive it, the folder stays taken, and no second server writes to the same file.
        """
        lock = self.path / "lock"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = self.path.stat()
            if folder.st_uid != os.geteuid() or folder.st_mode & stat.S_IWOTH:
                # Whoever may write here chooses our keys and our administrator's token.
                raise DevError(f"the data folder {self.path} must be this user's, and not writable by everybody")
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DevError(f"the data folder {self.path} cannot be used: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                told = f" (process {holder}, or the redis-server it left behind)" if holder else ""
                raise DevError(f"another `logoutd dev` is using {self.path}{told}; name another --data-dir") from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def furnish(self) -> None:
        """Make the signing keys and the administrator's token where there are none. Only with the lock held."""
        _write_once(self.signing_keys, lambda: json.dumps(generate_signing_keys(), indent=2) + "\n")
        _write_once(self.admin_token, lambda: secrets.token_urlsafe(ADMIN_TOKEN_BYTES) + "\n")


def _write_once(path: Path, make: Callable[[], str]) -> None:
    if path.exists():
        return
    unfinished = path.with_name(f"{path.name}.new")
    try:
        unfinished.touch(mode=0o600)  # before there is anything in it to be read
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        # A rename: a crash leaves no file or a whole one, never half a key set that a second start would stumble over.
        unfinished.replace(path)
    except OSError as error:
        raise DevError(f"{path} cannot be written: {error.strerror}") from error
