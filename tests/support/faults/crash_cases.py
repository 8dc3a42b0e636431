"""One person of the crash matrix, and the process on the way of their revocation."""

import os
import select
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.support.authorization_server import Session
from tests.support.faults.crash_points import Point
from tests.support.story import Person

Request = Callable[[str], httpx.Response]
"""Sends one message of an identity provider's, always the same, to the service at a URL."""


@dataclass(kw_only=True)
class Case:
    """One person, and the process that something happened to on the way of their revocation."""

    whose: str
    """Which process, and through which door."""
    point: Point
    person: Person
    session: Session
    tokens: tuple[str, str]
    send: Request
    reached: bool = False
    """Whether it happened where it was to."""
    acknowledged: bool = False
    honoured: tuple[bool, ...] = ()
    """The session and both refresh tokens, right after that."""
    repeated_first: bool = False
    """Whether the identity provider sent its message again before a worker ran."""
    honoured_unrepeated: tuple[bool, ...] = ()
    """The same when a worker had cleaned up, and before any repeat."""
    told_unrepeated: bool = False
    honoured_at_last: tuple[bool, ...] = ()
    told_at_last: set[str] = field(default_factory=set)
    """Which applications know, by client_id."""
    receipts: list[str] = field(default_factory=list)
    """The states of what was recorded."""

    def __str__(self) -> str:
        return f"{self.whose} {self.point}"


class Watch:
    """Whether a process has ended that is somebody else's child (Linux)."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def ends(self, within_s: float) -> bool:
        """Whether it does, or had."""
        return bool(select.select([self._descriptor], [], [], within_s)[0])

    def close(self) -> None:
        """Look no longer."""
        os.close(self._descriptor)
