"""Law 7, at the end of a run: no secret in what any process wrote, nor in what a job carried."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote_plus

WORD: Final = re.compile(r"[A-Za-z0-9_+@.-]{8,}")
"""What could be a secret, in a line of a log."""

LOOKS_LIKE_ONE: Final = re.compile(r"eyJ[\w-]{10,}|[\w.+-]+@[\w-]+\.\w+")
"""A token, an e-mail address: of whomever."""

LONG: Final = 16
"""Parts of a token betray it as well as the whole when they are longer than this."""

JOB_COMMAND: Final = re.compile(rb"\r\narq:job:.*?(?=\r\n\*\d|\Z)", re.DOTALL)
"""A job's key and the rest of the command it stands in, to the beginning of the next (RESP: `*` and how many parts it has)."""


class Secrets:
    """What must stand nowhere."""

    def __init__(self, secrets: set[str]) -> None:
        whole = {each.lower() for each in secrets}
        parts = {part for each in whole if each.startswith("eyj") for part in each.split(".") if len(part) > LONG}
        self._wanted = whole | parts

    def found_in(self, text: str) -> Iterator[str]:
        """The beginning of each that is there, as it is or as a URL has it, and of what looks like one."""
        for said in {text, unquote_plus(text)}:
            words = {word.strip(".").lower() for word in WORD.findall(said)}
            yield from (f"{each[:6]}…" for each in words & self._wanted)
            yield from (f"{each[:6]}…, or what looks like one" for each in LOOKS_LIKE_ONE.findall(said))


def carried_by_jobs(redis_folder: Path) -> list[str]:
    """Every command about a job in Redis' append-only file: what the jobs of the run were given, since the file was last
    rewritten. Nothing else of it is looked at, for the record may hold what a job may not."""
    written = [path.read_bytes() for path in redis_folder.rglob("appendonly*.aof")]
    return [found.decode("utf-8", "replace") for each in written for found in JOB_COMMAND.findall(each)]
