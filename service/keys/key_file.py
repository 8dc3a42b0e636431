"""The file of the signing keys as a running process follows it: whoever changes it need restart nothing.

Told by what it holds and not by its times: a mounted Secret is replaced by turning a link, an editor may write in place, and
neither need change a size or, within one tick of the file system, a time.
"""

import asyncio
import hashlib
from pathlib import Path

from service.domain.clock import Clock
from service.keys.ring import KeyRing
from service.keys.signing_keys import (
    SigningKeys,
    SigningKeysError,
    decode_signing_keys,
    parse_signing_keys,
    read_signing_keys,
)
from service.keys.times import JWKS_MAX_AGE_S, LOOK_S
from service.telemetry import get_logger

log = get_logger(__name__)


class KeyFile:
    """One file and the ring that has its keys. A file that cannot be used changes nothing: the ring keeps what it has."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        """Read it. Raises SigningKeysError: a process does not start on keys it cannot use."""
        content = read_signing_keys(path)
        self._path = path
        self._seen = _mark(content)
        self._trouble_with = ""
        self.trouble: str | None = None
        """Why the file as it is now cannot be used, or None. It never says what is in it."""
        self.ring = KeyRing(_parse(content), clock=clock)

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception:  # a fault here must not leave this process with the keys of today for ever
                log.exception("signing_keys.fault")

    async def look(self) -> None:
        """Take the file's keys if it has others than before. Reading and parsing are done in a thread."""
        try:
            content = await asyncio.to_thread(read_signing_keys, self._path)
        except SigningKeysError as error:
            self._refuse(str(error), "unread")
            return
        mark = _mark(content)
        if mark == self._seen:
            if self.trouble is not None:
                log.info("signing_keys.as_before")
            self.trouble, self._trouble_with = None, ""
            return
        if mark == self._trouble_with:
            return
        try:
            keys = await asyncio.to_thread(_parse, content)
        except SigningKeysError as error:
            self._refuse(str(error), mark)
            return
        self._take(keys, mark)

    def _take(self, keys: SigningKeys, mark: str) -> None:
        before, now_s = self.ring.keys, self.ring.now_s
        self.ring.replace(keys)
        self._seen, self.trouble, self._trouble_with = mark, None, ""
        log.info("signing_keys.changed", kids=keys.kids, algorithms=keys.algorithms(now_s=now_s))
        lost = [each for each in before.algorithms(now_s=now_s) if each not in keys.algorithms(now_s=now_s)]
        if lost:
            log.error("signing_keys.algorithm_lost", algorithms=lost)
        late = [
            each.kid
            for each in keys.places(now_s=now_s)
            if each.state != "previous" and each.from_s - now_s < JWKS_MAX_AGE_S and each.kid not in before.kids
        ]
        if late:
            # Whoever has just asked for our keys refuses what these sign until they ask again.
            log.warning("signing_keys.published_late", kids=late)

    def _refuse(self, why: str, mark: str) -> None:
        # Once for each state of the file, and not every two seconds.
        if (why, mark) != (self.trouble, self._trouble_with):
            log.error("signing_keys.not_taken", reason=why)
        self.trouble, self._trouble_with = why, mark


def _mark(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _parse(content: bytes) -> SigningKeys:
    return parse_signing_keys(decode_signing_keys(content))
