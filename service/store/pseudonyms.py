"""Pseudonyms for the audit trail: keyed hashes of people, addresses and credentials.

Whoever has the trail alone can guess nobody: the hashes are keyed. A person's is made of a salt besides, which is kept with
the person and goes with them: without it their entries lead to nobody, also for whoever holds the key and knows their name.
"""

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from typing import Final

from service.domain.identifiers import fingerprint
from service.store import keyspace, person_keys
from service.store.record import Command, Record, Script
from service.telemetry import get_logger

log = get_logger(__name__)

SALT_BYTES: Final = 16
"""Randomness in a person's salt, in bytes: nobody guesses it."""

KEY_BYTES: Final = 32
"""Randomness in a key we make, in bytes: as long as the hash."""

CHUNK: Final = 500
"""Most people looked up in one round trip."""

_GIVEN: Final = "given:"
"""What stands in Redis in place of the key where the operator has given one: its fingerprint, to tell when it changes."""


def new_salt() -> str:
    """A salt for somebody new."""
    return secrets.token_hex(SALT_BYTES)


class Pseudonyms:
    """Who stands in the trail under which name. `given`: the operator's key; without it one is made and kept in Redis."""

    def __init__(self, record: Record, *, given: str = "") -> None:
        self._record = record
        self._given = given
        self._key: bytes | None = None

    async def key(self) -> bytes:
        """The key of this deployment. Raises Unavailable."""
        if self._key is None:
            self._key = await self._load()
        return self._key

    async def of_people(self, user_ids: Sequence[str]) -> dict[str, str]:
        """The pseudonym of each person who has one; somebody erased, or of whom no sign-in was recorded yet, has none."""
        key = await self.key()
        found: dict[str, str] = {}
        for start in range(0, len(user_ids), CHUNK):
            some = user_ids[start : start + CHUNK]
            asked: list[Command | Script] = [("HGET", person_keys.person(each), "audit_salt") for each in some]
            salts = await self._record.pipeline(asked)
            found |= {
                each: f"prs_{_hashed(key, 'person', salt, each)}"
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
        if not self._given and str(kept).startswith(_GIVEN):
            log.error(
                "audit.key_missing", hint="LOGOUTD_AUDIT_KEY is set for another process of this deployment, not here"
            )
        return hashlib.sha256((self._given or str(kept)).encode()).digest()


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
