"""Pseudonyms for the audit trail: keyed hashes of people, addresses and credentials.

Whoever has the trail alone can guess nobody: the hashes are keyed. A person's is made of a salt besides, which is kept with
the person and goes with them: without it their entries lead to nobody, also for whoever holds the key and knows their name.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service.domain.identifiers import fingerprint
from service.setting_values import MIN_AUDIT_KEY_LENGTH
from service.store import keyspace, person_keys
from service.store.record import Command, Record, Script
from service.telemetry import get_logger

log = get_logger(__name__)

SALT_BYTES: Final = 16
"""Randomness in a person's salt, in bytes: nobody guesses it."""

KEY_BYTES: Final = 32
"""Randomness in a key we make, in bytes: as long as the hash."""

LOOK_S: Final = 30.0
"""Pause between two looks at the key's file, in seconds. Whoever seals or verifies looks first."""

CHUNK: Final = 500
"""Most people looked up in one round trip."""

_GIVEN: Final = "given:"
"""What stands in Redis in place of the key where the operator has given one: its fingerprint, to tell when it changes."""


def new_salt() -> str:
    """A salt for somebody new."""
    return secrets.token_hex(SALT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pseudonym:
    """What somebody, and what is theirs, stands under: nobody can make these again once their salt is gone."""

    user_id: str
    salt: str = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def person(self) -> str:
        """Their own."""
        return f"prs_{_hashed(self.key, 'person', self.salt, self.user_id)}"

    def delivery(self, delivery_id: str) -> str:
        """That of what an application is told of them. Its id could be made again by whoever knows their name."""
        return f"dlp_{_hashed(self.key, 'delivery', self.salt, delivery_id)}"


class Pseudonyms:
    """Who stands in the trail under which name. `given`: the operator's key, which `file`, if any, may come to change; without
    it one is made and kept in Redis."""

    def __init__(self, record: Record, *, given: str = "", file: Path | None = None) -> None:
        self._record = record
        self._given = given
        self._file = file
        self._key: bytes | None = None
        self._kept = ""
        """What stands in Redis of the key we go by."""

    async def key(self) -> bytes:
        """The key of this deployment. Raises Unavailable."""
        if self._key is None:
            self._key = await self._load()
        return self._key

    async def key_now(self) -> bytes:
        """The key, read again. Raises Unavailable."""
        await self._look()
        key = await self.key()
        kept = await self._record.run("GET", keyspace.AUDIT_KEY)
        if kept == self._kept or str(kept).startswith(_GIVEN):
            return key
        # Redis has lost it, or has one that was made for whom none was given.
        self._key = None
        return await self.key()

    async def sealing_key(self) -> bytes | None:
        """The key, read again; None where others seal with another one, which this process was not given: a seal by ours
        would only make theirs worth less. Raises Unavailable."""
        key = await self.key_now()
        return key if await self._record.run("GET", keyspace.AUDIT_KEY) == self._kept else None

    async def follow(self) -> None:
        """Read the file again and again, until cancelled; at once over where there is none."""
        while self._file is not None:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        if self._file is None:
            return
        try:
            given = (await asyncio.to_thread(self._file.read_text, "utf-8")).strip()
        except (OSError, UnicodeDecodeError) as error:
            log.warning("audit.key_not_read", error=type(error).__name__)
            return
        if given == self._given:
            return
        if len(given) < MIN_AUDIT_KEY_LENGTH:
            log.error("audit.key_not_taken", hint=f"it must have at least {MIN_AUDIT_KEY_LENGTH} characters")
            return
        self._given, self._key = given, None

    async def of_people(self, user_ids: Sequence[str]) -> dict[str, str]:
        """The pseudonym of each person who has one; somebody erased, or of whom no sign-in was recorded yet, has none."""
        return {user_id: each.person for user_id, each in (await self.of_all(user_ids)).items()}

    async def of_all(self, user_ids: Sequence[str]) -> dict[str, "Pseudonym"]:
        """The same, for whoever names what else is theirs."""
        key = await self.key()
        found: dict[str, Pseudonym] = {}
        for start in range(0, len(user_ids), CHUNK):
            some = user_ids[start : start + CHUNK]
            asked: list[Command | Script] = [("HGET", person_keys.person(each), "audit_salt") for each in some]
            salts = await self._record.pipeline(asked)
            found |= {
                each: Pseudonym(user_id=each, salt=salt, key=key)
                for each, salt in zip(some, salts, strict=True)
                if salt
            }
        return found

    async def of_person(self, user_id: str) -> str | None:
        """The pseudonym of one person, or None."""
        return (await self.of_people([user_id])).get(user_id)

    async def _load(self) -> bytes:
        ours = secrets.token_hex(KEY_BYTES)
        wanted = f"{_GIVEN}{fingerprint('audit_key', self._given)}" if self._given else ours
        _, kept = await self._record.pipeline(
            [("SET", keyspace.AUDIT_KEY, wanted, "NX"), ("GET", keyspace.AUDIT_KEY)],
        )
        if self._given and kept != wanted:
            # Entries from before stand under other pseudonyms; nothing else is lost.
            log.warning("audit.key_changed")
            await self._record.run("SET", keyspace.AUDIT_KEY, wanted)
        self._kept = wanted if self._given else str(kept)
        if self._kept.startswith(_GIVEN) and not self._given:
            log.error(
                "audit.key_missing", hint="LOGOUTD_AUDIT_KEY is set for another process of this deployment, not here"
            )
            # What stands in Redis is no secret: a pseudonym made of it could be guessed.
            self._kept = ours
        return hashlib.sha256((self._given or self._kept).encode()).digest()


def of_operator(key: bytes, token: str) -> str:
    """Which administrator's token it was."""
    return f"opr_{_hashed(key, 'operator', token)}"


def of_address(key: bytes, address: str) -> dict[str, str]:
    """Where somebody called from: the address as a pseudonym, and the network it is in, cut off where it is many people's
    (the first 24 bits of IPv4, 48 of IPv6). Nothing for what is no address."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return {}
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    network = ipaddress.ip_network((known, 24 if known.version == 4 else 48), strict=False)
    return {"address": f"adr_{_hashed(key, 'address', known.compressed)}", "network": network.compressed}


def _hashed(key: bytes, *parts: str) -> str:
    """128 bits of an HMAC-SHA-256 over length-prefixed parts."""
    digest = hmac.new(key, bytes.fromhex(fingerprint(*parts)), hashlib.sha256).digest()
    return base64.b32encode(digest[:16]).decode().rstrip("=").lower()
